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
else:
    globals().update({k: v for k, v in runpy.run_path(str(DEPLOY / "superset_config.py")).items() if k.isupper()})

MCP_DEV_USERNAME = os.environ.get("MCP_DEV_USERNAME")
PREVENT_UNSAFE_DB_CONNECTIONS = False
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
if os.environ.get("TOOL_SEARCH") == "off":
    MCP_TOOL_SEARCH_CONFIG = {"enabled": False}
LOG_LEVEL = "INFO"
