"""The simulated GitHub's Apps: a signed JWT is changed into an installation's token, which lasts an hour."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from attrs import define, field, frozen

from adapters.contract import Request, Response, Secret
from adapters.github.requests import stamp
from adapters.github.world import Token, World
from adapters.simulation import as_json

_PATH = re.compile(r"/app/installations/(\d{1,19})/access_tokens")
_TOKEN_LIVES = timedelta(hours=1)
_LONGEST_AHEAD = timedelta(minutes=10)
# The time is the caller's, so what the library would check by its own clock is checked here.
_DECODE: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}


@frozen(kw_only=True)
class RegisteredApp:
    """A GitHub App, its public key in PEM, and what each installation of it allows (``issues:write``)."""

    app_id: str
    public_key: str
    installations: Mapping[str, tuple[str, ...]]


@define(kw_only=True)
class AppServer:
    """The part of the API that an app opens with its key."""

    world: World
    apps: dict[str, RegisteredApp] = field(factory=dict)

    def answer(self, request: Request, *, path: str, now: datetime) -> Response | None:
        """What an app gets at ``path``; None where it is for others."""
        found = _PATH.fullmatch(path)
        if found is None or request.method != "POST":
            return None
        app = self._signed_by(request, now)
        if isinstance(app, Response):
            return app
        permissions = app.installations.get(found[1])
        if permissions is None:
            return as_json(404, {"message": "Not Found"})
        return self._granted(permissions, now)

    def _signed_by(self, request: Request, now: datetime) -> RegisteredApp | Response:
        token = (request.header("authorization") or "").removeprefix("Bearer ")
        try:
            claimed = jwt.decode(token, options={"verify_signature": False})
            app = self.apps[str(claimed.get("iss"))]
            claims = jwt.decode(token, app.public_key, algorithms=["RS256"], options=_DECODE)
            issued, expires = int(claims["iat"]), int(claims["exp"])
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            return as_json(401, {"message": "A JSON web token could not be decoded"})
        if datetime.fromtimestamp(issued, UTC) > now:
            return as_json(401, {"message": "'Issued at' claim ('iat') must be in the past"})
        ends = datetime.fromtimestamp(expires, UTC)
        if ends <= now:
            return as_json(401, {"message": "'Expiration time' claim ('exp') is in the past"})
        if ends > now + _LONGEST_AHEAD:
            message = "'Expiration time' claim ('exp') is too far in the future"
            return as_json(401, {"message": message})
        return app

    def _granted(self, permissions: tuple[str, ...], now: datetime) -> Response:
        token = Token(
            secret=Secret(value=f"ghs_{self.world.new_id()}".encode()),
            login=None,
            permissions=permissions,
            expires_at=now + _TOKEN_LIVES,
        )
        self.world.tokens.append(token)
        document = {
            "token": token.secret.value.decode(),
            "expires_at": stamp(now + _TOKEN_LIVES),
            "permissions": dict(entry.split(":") for entry in permissions),
            "repository_selection": "all",
        }
        return as_json(201, document)
