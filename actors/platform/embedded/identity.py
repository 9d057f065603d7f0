"""IAM (M21) for development and tests.

Like the real one: it believes any signature, issuer and audience, wants its claims in the payload and ``scope`` as a
list, answers without tenant and roles, and limits each X-Client-Id to 50 calls a second and 200 in 10 s.

Control of its own: POST ``/_sim/revoke`` (``{"jti"}``); the real deny list has no route that fills it.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from actors.platform.embedded.answers import (
    bare_error,
    body_of,
    demand,
    detail,
    error,
    fault,
    unprocessable,
)
from actors.platform.embedded.controls import Controls
from actors.platform.embedded.limits import RateLimit
from adapters.contract import Request, Response
from adapters.simulation import Reply, as_json

_REQUIRED = ("kid", "iat", "exp", "aud", "iss", "sub", "scope")
_MAY: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "developer": frozenset({"read", "write", "execute"}),
    "ci_bot": frozenset({"read", "execute"}),
}
_DAY = range(6, 22)


class IdentityService:
    """IAM's state: what was revoked, and who asked how often."""

    def __init__(self) -> None:
        """Start with nothing revoked."""
        self._revoked: set[str] = set()
        self._limit = RateLimit((50, 1), (200, 10))
        self._controls = Controls(self._perform, {("POST", "/_sim/revoke"): self._revoke})

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer as IAM does."""
        return self._controls.handle(request, now=now)

    def _perform(self, request: Request, now: datetime) -> Response:
        path = urlsplit(request.url).path
        if request.method == "GET" and path == "/iam/v1/health":
            return as_json(200, {"status": "healthy"})
        if not self._limit.admits(request.header("x-client-id") or "", now=now):
            raise bare_error(429, "RATE_LIMITED", "Rate limit exceeded", retry_after=1)
        match request.method, path:
            case "POST", "/iam/v1/verify":
                return self._verify(request, now)
            case "POST", "/iam/v1/decision":
                return _decide(request)
            case _:
                raise detail(404, "Not Found")

    def _verify(self, request: Request, now: datetime) -> Response:
        body = body_of(request)
        demand(body, token=str)
        claims = _claims(body["token"])
        missing = [name for name in _REQUIRED if name not in claims]
        if missing or not isinstance(claims.get("scope"), list):
            raise error(401, "AUTH_FAILED", f"Missing or invalid claims: {missing or ['scope']}")
        expires = _instant(claims["exp"])
        if expires <= now:
            raise error(401, "AUTH_FAILED", "Token expired")
        if str(claims.get("jti")) in self._revoked:
            raise error(401, "AUTH_FAILED", "Token revoked")
        until = expires.replace(tzinfo=None).isoformat()
        answer = {"sub": claims["sub"], "scope": claims["scope"], "valid_until": until}
        return as_json(200, answer)

    def _revoke(self, request: Request) -> Response:
        body = body_of(request)
        demand(body, jti=str)
        self._revoked.add(body["jti"])
        return as_json(200, {"revoked": len(self._revoked)})


def _claims(token: str) -> dict[str, Any]:
    """The payload, whatever the signature."""
    parts = token.split(".")
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = orjson.loads(payload)
    except (IndexError, binascii.Error, ValueError) as reason:
        raise error(401, "AUTH_FAILED", "Malformed token") from reason
    if not isinstance(claims, dict):
        raise error(401, "AUTH_FAILED", "Malformed token")
    return claims


def _instant(seconds: object) -> datetime:
    try:
        return datetime.fromtimestamp(float(str(seconds)), UTC)
    except (ValueError, OverflowError, OSError) as reason:
        raise error(401, "AUTH_FAILED", "exp is no time") from reason


def _decide(request: Request) -> Response:
    """200 also for a DENY; actions of a domain are nobody's but the admin's."""
    body = body_of(request)
    demand(body, subject=dict, action=str, resource=str)
    subject = body["subject"]
    demand(subject, sub=str, roles=list)
    if not subject["roles"]:
        message = "List should have at least 1 item"
        raise unprocessable([fault("too_short", ("subject", "roles"), message, [])])
    roles = {str(role) for role in subject["roles"]}
    granted = "admin" in roles or any(body["action"] in _MAY.get(role, ()) for role in roles)
    allowed = granted and _is_day(body.get("context"))
    decision, reason = ("ALLOW", "granted") if allowed else ("DENY", "not granted")
    answer = {"decision": decision, "reason": reason, "expires_at": None, "receipt_id": None}
    return as_json(200, answer)


def _is_day(context: object) -> bool:
    given = context.get("time") if isinstance(context, dict) else None
    if given is None:
        return True
    try:
        return datetime.fromisoformat(str(given)).hour in _DAY
    except ValueError as reason:
        what = fault("datetime_parsing", ("context", "time"), "Input is not valid", given)
        raise unprocessable([what]) from reason
