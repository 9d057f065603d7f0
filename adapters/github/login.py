"""Where a person grants a GitHub connection its tokens, by OAuth 2.0.

docs.github.com, "Authorizing OAuth apps" and "Generating a user access token for a GitHub App". The refresh tokens
of the latter are spent by their use; tokens of an OAuth app do not expire. GitHub refuses with status 200.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from adapters.capabilities import AuthorizationServer
from adapters.github.permissions import OAUTH_SCOPES

_API = "api.github.com"
_DATA_RESIDENCY = ".ghe.com"


def authorization_server(base_url: str) -> AuthorizationServer:
    """See ``Login.authorization_server``."""
    web = _web(base_url)
    return AuthorizationServer(
        authorize_url=f"{web}/login/oauth/authorize",
        token_url=f"{web}/login/oauth/access_token",
        scopes=OAUTH_SCOPES,
    )


def _web(base_url: str) -> str:
    """Where people see what has its API at ``base_url``; an Enterprise Server has both on one host."""
    url = urlsplit(base_url)
    host = url.hostname or ""
    if host == _API or (host.startswith("api.") and host.endswith(_DATA_RESIDENCY)):
        return f"{url.scheme}://{url.netloc.removeprefix('api.')}"
    return f"{url.scheme}://{url.netloc}"
