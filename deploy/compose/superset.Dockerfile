# check=error=true
# Superset with its MCP server's dependencies and what lets it act for the person that the gateway names. Context: deploy/.
FROM apache/superset:6.1.0
USER root
# fastmcp 4 does not start.
RUN uv pip install --no-cache "fastmcp>=3.1.0,<4.0"
COPY superset/portcullis_superset.py superset/superset_config.py /app/pythonpath/
USER superset
