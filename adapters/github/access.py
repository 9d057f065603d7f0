"""GitHub's credentials: how they are added, and what they were found to allow."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import orjson
from attrs import evolve

from adapters.contract import Done, Outcome, Plan, Request, Response, Secret
from adapters.document import Document, find, parse
from adapters.errors import PayloadError
from adapters.github import meaning
from adapters.github.plans import HEADERS

SCOPES = ("issues:write", "metadata:read", "pull_requests:write")
"""The permissions of a GitHub App or fine-grained token that the actions need."""

_USER = "/user"
_INSTALLATION = "/installation/repositories?per_page=1"
_GRANTED, _MISSING, _UNKNOWN = "granted", "missing", "unknown"

_CLASSIC: Mapping[str, str] = MappingProxyType({"repo": _GRANTED, "public_repo": _UNKNOWN})
"""What a scope of a classic token says of all permissions; ``public_repo`` holds for public ones only."""


def authorise(request: Request, *, token: Secret) -> Request:
    """See ``Adapter.authorise``; a personal token, an App's user token and its installation token alike."""
    # latin-1 decodes every byte; a decoding error would carry the token.
    bearer = ("authorization", f"Bearer {token.value.decode('latin-1')}")
    others = (header for header in request.headers if header[0] != "authorization")
    return evolve(request, headers=(*others, bearer))


def probe() -> Plan:
    """Find out whether the token works, and what it allows.

    ``Done.details``: ``account`` (a user's login; None for an installation), ``kind`` (``classic``,
    ``fine_grained`` or ``installation``) and ``permissions``: each ``granted``, ``missing`` or ``unknown``.
    Only classic tokens say what they allow.
    """
    request = _get(_USER)
    response = yield request
    if response.status != 403 or meaning.is_limit(response):
        return _ending(request, response) or _user(response)
    # A token of an installation has no user.
    request = _get(_INSTALLATION)
    response = yield request
    return _ending(request, response) or _done("installation", None, _all(_UNKNOWN))


def _ending(request: Request, response: Response) -> Outcome | None:
    return meaning.ending(response, request=request)


def _user(response: Response) -> Done:
    login = find(_readable(response), "login")
    account = login if isinstance(login, str) else None
    scopes = response.header("x-oauth-scopes")
    if scopes is None:
        return _done("fine_grained", account, _all(_UNKNOWN))
    held = {scope.strip() for scope in scopes.split(",")}
    verdicts = [verdict for scope, verdict in _CLASSIC.items() if scope in held]
    return _done("classic", account, _all(verdicts[0] if verdicts else _MISSING))


def _readable(response: Response) -> Document:
    try:
        return parse(response.body)
    except PayloadError:
        # The status proves the token; the name is only for people.
        return {}


def _done(kind: str, account: str | None, permissions: Mapping[str, str]) -> Done:
    details = {"kind": kind, "account": account, "permissions": dict(permissions)}
    return Done(details=orjson.dumps(details))


def _all(verdict: str) -> dict[str, str]:
    return dict.fromkeys(SCOPES, verdict)


def _get(url: str) -> Request:
    return Request(method="GET", url=url, headers=HEADERS)
