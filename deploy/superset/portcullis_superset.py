"""Lets Superset 6.1.0 act for the user that the gateway names: in `superset mcp run` and in the REST API.

It stands beside superset_config.py, which shows how it is used. Whatever is missing ends the process or refuses the
request; nothing falls back to another identity.
"""

import sys

import jwt
from flask import abort, request
from superset.security import SupersetSecurityManager


def mcp_auth_factory(*, key_set, issuer, audience, algorithm="ES256"):
    """For MCP_AUTH_FACTORY. Superset catches what a factory raises and serves on without authentication, so a problem exits."""

    def create(app):
        try:
            _refuse_what_would_lift_it(app.config, key_set, issuer, audience)
            return _connect(app, _verifier(key_set, issuer, audience, algorithm))
        except Exception as problem:  # pylint: disable=broad-except
            sys.exit(f"portcullis_superset: {problem}")

    return create


def _refuse_what_would_lift_it(config, *needed):
    if not all(needed):
        raise ValueError("key_set, issuer and audience are all needed")
    if config.get("MCP_DEV_USERNAME"):
        raise ValueError("MCP_DEV_USERNAME makes everybody one user; remove it")
    if not config.get("MCP_RBAC_ENABLED", True):
        raise ValueError("MCP_RBAC_ENABLED = False lifts the roles; remove it")
    if (config.get("MCP_CACHE_CONFIG") or {}).get("enabled"):
        raise ValueError("MCP_CACHE_CONFIG answers one user with what another one got; disable it")


def _verifier(key_set, issuer, audience, algorithm):
    from fastmcp.server.auth.providers.jwt import JWTVerifier

    return JWTVerifier(
        jwks_uri=key_set, issuer=issuer, audience=audience, algorithm=algorithm, jwks_refresh_interval=1
    )


def _connect(app, verifier):
    from fastmcp.server.dependencies import get_access_token
    from superset.mcp_service import auth, middleware

    def caller():
        token = get_access_token()
        name = token.claims.get("preferred_username") if token else None
        user = auth.load_user_with_relationships(username=name) if name else None
        if user is None or not user.is_active:
            raise ValueError(f"the assertion names no active user of Superset: {name!r}")
        return user

    def caller_id():
        with app.app_context():
            try:
                return caller().id
            except ValueError:
                return None

    # Both names are looked up at each call: who a tool runs for, and whom Superset's action log names.
    for module, name, replacement in ((auth, "get_user_from_request", caller), (middleware, "get_user_id", caller_id)):
        if not callable(getattr(module, name, None)):
            raise RuntimeError(f"this version of Superset has no {module.__name__}.{name}")
        setattr(module, name, replacement)
    return verifier


def security_manager(*, key_set, issuer, audience, algorithm="ES256"):
    """For CUSTOM_SECURITY_MANAGER. Where an Authorization header comes, it is the gateway's assertion or the answer is 401."""
    if not all((key_set, issuer, audience)):
        raise ValueError("portcullis_superset: key_set, issuer and audience are all needed")
    keys = jwt.PyJWKClient(key_set, timeout=5)

    def username_of(authorization):
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise jwt.InvalidTokenError("not a bearer token")
        return jwt.decode(
            token,
            keys.get_signing_key_from_jwt(token),
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            options={"require": ["exp", "iss", "aud", "preferred_username"]},
            leeway=5,
        )["preferred_username"]

    class AssertionSecurityManager(SupersetSecurityManager):
        """Asked where no session cookie names the user."""

        def request_loader(self, request):
            authorization = request.headers.get("Authorization")
            if authorization is None:
                return super().request_loader(request)
            try:
                user = self.find_user(username=username_of(authorization))
            except jwt.PyJWTError:
                user = None
            if user is None or not user.is_active:
                abort(401)
            return user

    return AssertionSecurityManager


def need_no_csrf_token(app):
    """For FLASK_APP_MUTATOR. No page can make a browser send an Authorization header; without a cookie nothing else speaks for the caller."""
    csrf = app.extensions["csrf"]
    protect = csrf.protect

    def protect_cookies(*args, **kwargs):
        if "Authorization" in request.headers and not request.cookies:
            return None
        return protect(*args, **kwargs)

    csrf.protect = protect_cookies
