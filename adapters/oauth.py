"""OAuth 2.0 as values: the authorisation URL, and plans that get tokens (RFC 6749, PKCE by RFC 7636).

A code, and where the provider rotates them a refresh token, is spent by its first use (RFC 9700, 4.14.2). So where
an answer is lost, or ``Later.maybe_sent`` says that it may be, the caller asks once more with the same token, which
is all it has: either the server still takes it, or it answers ``NeedsLogin``. Never two at a time: a server takes a
second use for theft and may revoke the whole grant. What is granted is stored before it is used.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

from attrs import frozen

from adapters import answers
from adapters.capabilities import AuthorizationServer, ClientAuthentication
from adapters.contract import Later, NeedsLogin, Refused, Request, Response, Secret
from adapters.credentials import Grant, GrantOutcome, GrantPlan, bearer
from adapters.document import Document, parse
from adapters.errors import PayloadError

_Form: TypeAlias = Sequence[tuple[str, str | bytes]]

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CODE = re.compile(r"[a-z][a-z_]{1,49}")
_SENDABLE_OTHERWISE = frozenset({"dpop", "mac"})
_LONGEST = timedelta(days=3_650)

_LOGIN_AGAIN = frozenset(
    {
        "access_denied",
        "bad_refresh_token",  # GitHub's, for an invalid_grant
        "bad_verification_code",  # GitHub's, for an invalid_grant
        "consent_required",
        "expired_token",
        "interaction_required",
        "invalid_grant",
        "login_required",
    }
)
_NOT_NOW = frozenset({"server_error", "slow_down", "temporarily_unavailable"})


@frozen(kw_only=True)
class OAuthClient:
    """Who asks. ``client_secret`` None: a public client, which has only its id (RFC 6749, 2.1)."""

    client_id: str
    client_secret: Secret | None = None


def challenge(verifier: str) -> str:
    """The S256 code challenge of a verifier (RFC 7636, 4.2).

    Raises:
        ValueError: it is not 43 to 128 unreserved characters.
    """
    if not _VERIFIER.fullmatch(verifier):
        raise ValueError("a code verifier is 43 to 128 letters, digits, dots, hyphens and tildes")
    return (
        base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    )


def authorization_url(
    server: AuthorizationServer,
    *,
    client_id: str,
    redirect_uri: str,
    state: str,
    challenge: str,
    scopes: tuple[str, ...],
) -> str:
    """Where to send a person who is to grant access (RFC 6749, 4.1.1; RFC 7636, 4.3)."""
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    if scopes:
        asked["scope"] = " ".join(scopes)
    url = urlsplit(server.authorize_url)
    query = dict(parse_qsl(url.query)) | dict(server.extra) | asked
    return url._replace(query=urlencode(query)).geturl()


def code_grant(
    server: AuthorizationServer,
    client: OAuthClient,
    *,
    code: str,
    verifier: str,
    redirect_uri: str,
    now: datetime,
) -> GrantPlan:
    """Change the code of a callback into tokens (RFC 6749, 4.1.3)."""
    form = (
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    )
    return _asked(server, client, form, spends=True, now=now)


def refresh_grant(
    server: AuthorizationServer, client: OAuthClient, *, refresh_token: Secret, now: datetime
) -> GrantPlan:
    """Get a new access token (RFC 6749, 6). ``Grant.scopes`` is empty where they stay as they were."""
    form = (("grant_type", "refresh_token"), ("refresh_token", refresh_token.value))
    return _asked(server, client, form, spends=True, now=now)


def client_grant(
    server: AuthorizationServer, client: OAuthClient, *, scopes: tuple[str, ...], now: datetime
) -> GrantPlan:
    """Get a token in the client's own name (RFC 6749, 4.4); asking again does no harm."""
    scope = (("scope", " ".join(scopes)),) if scopes else ()
    form = (("grant_type", "client_credentials"), *scope)
    return _asked(server, client, form, spends=False, now=now)


def _asked(
    server: AuthorizationServer, client: OAuthClient, form: _Form, *, spends: bool, now: datetime
) -> GrantPlan:
    request = _token_request(server, client, form, spends=spends)
    response = yield request
    return read_grant(response, request=request, now=now)


def _token_request(
    server: AuthorizationServer, client: OAuthClient, form: _Form, *, spends: bool
) -> Request:
    headers = [
        ("accept", "application/json"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("user-agent", "zeroui-integration-adapters"),
    ]
    secret = client.client_secret
    if secret is None:
        form = (*form, ("client_id", client.client_id))
    elif server.client_authentication is ClientAuthentication.BASIC:
        headers.append(("authorization", _basic(client.client_id, secret)))
    else:
        form = (*form, ("client_id", client.client_id), ("client_secret", secret.value))
    body = urlencode(form).encode()
    return Request(
        method="POST", url=server.token_url, headers=tuple(headers), body=body, writes=spends
    )


def _basic(client_id: str, secret: Secret) -> str:
    # Both are form-encoded first (RFC 6749, 2.3.1), so that a colon in the id can not shift the border.
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.value)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def read_grant(response: Response, *, request: Request, now: datetime) -> GrantOutcome:
    """What a token endpoint's answer means; ``now`` is when it was asked.

    Of a refusal only its code is told: descriptions may hold what was sent. GitHub refuses with status 200.
    """
    ending = answers.ending(response, request=request)
    if isinstance(ending, Later):
        return ending
    try:
        document = parse(response.body)
    except PayloadError:
        document = {}
    if document.get("error") is not None:
        return _problem(document["error"], response, request)
    if ending is not None:
        # Also 401, which at this door is not the person's grant but the client (RFC 6749, 5.2).
        return Refused(reason=f"answered {response.status}", status=response.status)
    return _grant(document, now) or Later(
        reason="the answer holds no token that can be read", maybe_sent=request.writes
    )


def _problem(error: Any, response: Response, request: Request) -> GrantOutcome:  # noqa: ANN401 - JSON
    code = error if isinstance(error, str) and _CODE.fullmatch(error) else "an unreadable error"
    if code in _LOGIN_AGAIN:
        return NeedsLogin(reason=code)
    if code in _NOT_NOW:
        return Later(
            reason=code,
            retry_after=answers.retry_after(response),
            maybe_sent=request.writes and code == "server_error",
        )
    return Refused(reason=code, status=response.status)


def _grant(document: Document, now: datetime) -> GrantOutcome | None:
    access_token = bearer(document.get("access_token"))
    if access_token is None:
        return None
    kind = document.get("token_type")
    if isinstance(kind, str) and kind.lower() in _SENDABLE_OTHERWISE:
        return Refused(reason=f"tokens of type {kind.lower()} can not be sent from here")
    return Grant(
        access_token=access_token,
        expires_at=_expiry(document.get("expires_in"), now),
        refresh_token=bearer(document.get("refresh_token")),
        scopes=_scopes(document.get("scope")),
    )


def _scopes(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - JSON
    """Scopes apart by spaces (RFC 6749, 3.3), or by commas, as GitHub has them."""
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else ()


def _expiry(value: Any, now: datetime) -> datetime | None:  # noqa: ANN401 - JSON
    """When the token ends; None where that can not be read: the token is good, and a 401 will tell its end."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:12])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= _LONGEST.total_seconds():
        return None
    return now + timedelta(seconds=value)
