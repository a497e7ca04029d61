"""Superset behind the gateway: who the caller is comes from the gateway's assertion. A missing variable stops Superset.

This file and portcullis_superset.py stand in one folder that is on PYTHONPATH.
"""

import os

from portcullis_superset import mcp_auth_factory, need_no_csrf_token, security_manager

SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ["SUPERSET_DATABASE_URI"]
SUPERSET_WEBSERVER_ADDRESS = os.environ["SUPERSET_PUBLIC_URL"]  # for the links in answers

GATEWAY = {
    "key_set": os.environ["PORTCULLIS_KEY_SET"],  # http://127.0.0.1:9090/.well-known/jwks.json
    "issuer": os.environ["PORTCULLIS_ISSUER"],  # server.publicUrl of gateway.yaml
}

# `superset mcp run`
MCP_AUTH_FACTORY = mcp_auth_factory(**GATEWAY, audience="superset-mcp")
# The web server's /api/v1
CUSTOM_SECURITY_MANAGER = security_manager(**GATEWAY, audience="superset-api")
FLASK_APP_MUTATOR = need_no_csrf_token
# Redirects name the gateway, which sets X-Forwarded-Host itself and drops a client's. Not where others reach Superset past it.
ENABLE_PROXY_FIX = True
