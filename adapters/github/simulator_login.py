"""The simulated GitHub's web side: a person grants access, and an application changes the code into tokens.

Like GitHub it refuses with status 200, answers a form unless JSON is asked for, and lets a code be used once, within
ten minutes. Applications whose tokens expire get new refresh tokens with each use; the old pair dies.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

from attrs import define, field, frozen

from adapters.contract import Request, Response, Secret
from adapters.github.world import Token, World
from adapters.simulation import as_json

_CODE_LIVES = timedelta(minutes=10)
_TOKEN_LIVES = timedelta(hours=8)
_REFRESH_LIVES = timedelta(days=184)


@frozen(kw_only=True)
class Client:
    """An application that may ask for access. ``expires``: its tokens do, and come with a refresh token."""

    client_id: str
    client_secret: Secret
    redirect_uri: str
    expires: bool = True


@frozen(kw_only=True)
class Code:
    """What a person granted, and nobody took yet."""

    client_id: str
    login: str
    redirect_uri: str
    challenge: str | None
    scopes: tuple[str, ...]
    expires_at: datetime


@frozen(kw_only=True)
class Refresh:
    """What a refresh token stands for. ``access``: the token that dies with it."""

    client_id: str
    login: str
    access: Token
    expires_at: datetime


@define(kw_only=True)
class LoginServer:
    """``login`` is the person who sits in front of it; ``denied``: and refuses."""

    world: World
    login: str = "octo-bot"
    denied: bool = False
    clients: dict[str, Client] = field(factory=dict)
    codes: dict[str, Code] = field(factory=dict)
    refreshes: dict[str, Refresh] = field(factory=dict)

    def answer(self, request: Request, *, now: datetime) -> Response | None:
        """What the web side answers; None where the request is for the API."""
        url = urlsplit(request.url)
        match request.method, url.path:
            case "GET", "/login/oauth/authorize":
                return self._authorize(dict(parse_qsl(url.query)), now)
            case "POST", "/login/oauth/access_token":
                form = dict(parse_qsl(request.body.decode("latin-1")))
                return _in_form(self._token(form, now), request)
            case _:
                return None

    def revoke(self, login: str) -> None:
        """The person takes back all that was granted in their name."""
        self.refreshes = {
            token: refresh for token, refresh in self.refreshes.items() if refresh.login != login
        }
        self.world.tokens[:] = [one for one in self.world.tokens if one.login != login]

    def _authorize(self, query: Mapping[str, str], now: datetime) -> Response:
        client = self.clients.get(query.get("client_id", ""))
        if client is None:
            return as_json(404, {"message": "Not Found"})
        redirect_uri, state = query.get("redirect_uri", client.redirect_uri), query.get("state")
        said = {} if state is None else {"state": state}
        if not _leads_within(redirect_uri, client.redirect_uri):
            return _redirect(client.redirect_uri, {"error": "redirect_uri_mismatch", **said})
        if self.denied:
            return _redirect(redirect_uri, {"error": "access_denied", **said})
        code = f"code{self.world.new_id()}"
        self.codes[code] = Code(
            client_id=client.client_id,
            login=self.login,
            redirect_uri=redirect_uri,
            challenge=query.get("code_challenge"),
            scopes=tuple(query.get("scope", "").replace(",", " ").split()),
            expires_at=now + _CODE_LIVES,
        )
        return _redirect(redirect_uri, {"code": code, **said})

    def _token(self, form: Mapping[str, str], now: datetime) -> dict[str, object]:
        client = self.clients.get(form.get("client_id", ""))
        secret = form.get("client_secret", "").encode("latin-1")
        if client is None or client.client_secret.value != secret:
            return {"error": "incorrect_client_credentials"}
        match form.get("grant_type", "authorization_code"):
            case "authorization_code":
                return self._of_code(client, form, now)
            case "refresh_token":
                return self._of_refresh(client, form, now)
            case _:
                return {"error": "unsupported_grant_type"}

    def _of_code(
        self, client: Client, form: Mapping[str, str], now: datetime
    ) -> dict[str, object]:
        code = self.codes.pop(form.get("code", ""), None)
        if code is None or code.client_id != client.client_id or now >= code.expires_at:
            return {"error": "bad_verification_code"}
        if form.get("redirect_uri", code.redirect_uri) != code.redirect_uri:
            return {"error": "redirect_uri_mismatch"}
        if code.challenge is not None and code.challenge != _s256(form.get("code_verifier", "")):
            return {"error": "bad_verification_code"}
        return self._granted(client, code.login, code.scopes, now)

    def _of_refresh(
        self, client: Client, form: Mapping[str, str], now: datetime
    ) -> dict[str, object]:
        refresh = self.refreshes.pop(form.get("refresh_token", ""), None)
        if refresh is None or refresh.client_id != client.client_id or now >= refresh.expires_at:
            return {"error": "bad_refresh_token"}
        self.world.tokens[:] = [one for one in self.world.tokens if one is not refresh.access]
        return self._granted(client, refresh.login, (), now)

    def _granted(
        self, client: Client, login: str, scopes: tuple[str, ...], now: datetime
    ) -> dict[str, object]:
        number = self.world.new_id()
        if not client.expires:
            token = Token(secret=_secret(f"gho_{number}"), login=login, scopes=scopes)
            self.world.tokens.append(token)
            return _shown(token, ",".join(scopes))
        token = Token(secret=_secret(f"ghu_{number}"), login=login, expires_at=now + _TOKEN_LIVES)
        self.world.tokens.append(token)
        self.refreshes[f"ghr_{number}"] = Refresh(
            client_id=client.client_id,
            login=login,
            access=token,
            expires_at=now + _REFRESH_LIVES,
        )
        return {
            **_shown(token, ""),
            "expires_in": int(_TOKEN_LIVES.total_seconds()),
            "refresh_token": f"ghr_{number}",
            "refresh_token_expires_in": int(_REFRESH_LIVES.total_seconds()),
        }


def _secret(text: str) -> Secret:
    return Secret(value=text.encode())


def _shown(token: Token, scope: str) -> dict[str, object]:
    return {"access_token": token.secret.value.decode(), "scope": scope, "token_type": "bearer"}


def _in_form(document: dict[str, object], request: Request) -> Response:
    if "application/json" in (request.header("accept") or ""):
        return as_json(200, document)
    headers = (("content-type", "application/x-www-form-urlencoded; charset=utf-8"),)
    return Response(status=200, headers=headers, body=urlencode(document).encode())


def _redirect(uri: str, said: Mapping[str, str]) -> Response:
    mark = "&" if urlsplit(uri).query else "?"
    return as_json(302, {}, headers=(("location", f"{uri}{mark}{urlencode(said)}"),))


def _leads_within(uri: str, registered: str) -> bool:
    asked, allowed = urlsplit(uri), urlsplit(registered)
    same = (asked.scheme, asked.netloc) == (allowed.scheme, allowed.netloc)
    return same and asked.path.startswith(allowed.path)


def _s256(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
