"""deploy/superset/superset_config.py as it stands, and what tests on one machine need: a warehouse in SQLite and quiet logs."""

import os
import pathlib
import runpy
import sys

DEPLOY = pathlib.Path(__file__).parents[3] / "deploy" / "superset"
sys.path.insert(0, str(DEPLOY))

if os.environ.get("SUPERSET_STOCK") == "1":
    SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
    SQLALCHEMY_DATABASE_URI = os.environ["SUPERSET_DATABASE_URI"]
    MCP_AUTH_ENABLED = os.environ.get("SUPERSET_STOCK_AUTH") == "1"
    MCP_JWKS_URI = os.environ.get("PORTCULLIS_KEY_SET")
    MCP_JWT_ISSUER = os.environ.get("PORTCULLIS_ISSUER")
    MCP_JWT_AUDIENCE = "superset-mcp"
    MCP_JWT_ALGORITHM = "ES256"
else:
    globals().update({k: v for k, v in runpy.run_path(str(DEPLOY / "superset_config.py")).items() if k.isupper()})

MCP_DEV_USERNAME = os.environ.get("MCP_DEV_USERNAME")
PREVENT_UNSAFE_DB_CONNECTIONS = False
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
if os.environ.get("TOOL_SEARCH") == "off":
    MCP_TOOL_SEARCH_CONFIG = {"enabled": False}
LOG_LEVEL = "INFO"
