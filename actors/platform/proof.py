"""What we check of a JWT ourselves, because IAM's ``verify`` checks no signature, issuer or audience.

RFC 7519 for the claims; RFC 8725 for the rules: the algorithm belongs to the key, never to the token.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import jwt
import trio
from attrs import field, frozen

from actors.platform.errors import InvalidTokenError
from actors.platform.tokens import SHORTEST_HS256_SECRET_BYTES
from adapters.contract import Secret

_REQUIRED = ("kid", "iat", "exp", "aud", "iss", "sub", "scope", "tenant_id")
_LONGEST_TOKEN = 8192
_LONGEST_TEXT = 255


@frozen(kw_only=True)
class Caller:
    """Who asks, and until when that is believed at most."""

    tenant_id: str
    subject: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    valid_until: datetime


@frozen(kw_only=True)
class VerifyingKey:
    """A key with the one algorithm it is for."""

    algorithm: str
    key: Any = field(repr=False)


class KeySource(Protocol):
    """Where the keys that tokens are signed with come from."""

    async def key(self, kid: str | None) -> VerifyingKey | None:
        """The key named ``kid`` in the token's header; None if there is none of that name.

        Raises:
            PlatformUnavailableError: the keys can not be had now.
        """
        ...


class SharedSecret:
    """HS256 under a secret that IAM and we know; the token's ``kid`` does not choose."""

    def __init__(self, secret: Secret) -> None:
        """Verify with ``secret``.

        Raises:
            ValueError: it is shorter than 32 bytes.
        """
        if len(secret.value) < SHORTEST_HS256_SECRET_BYTES:
            raise ValueError(f"needs a secret of at least {SHORTEST_HS256_SECRET_BYTES} bytes")
        self._key = VerifyingKey(algorithm="HS256", key=secret.value)

    async def key(self, kid: str | None) -> VerifyingKey | None:
        """See ``KeySource.key``."""
        await trio.lowlevel.checkpoint()
        return self._key


@frozen(kw_only=True)
class TokenRules:
    """Which tokens are for us."""

    issuer: str
    audience: str
    leeway: timedelta = timedelta(seconds=5)


def header_kid(token: str) -> str | None:
    """The ``kid`` of the token's header, to choose a key by; nothing of it is trusted.

    Raises:
        InvalidTokenError: it is no JWT.
    """
    if len(token) > _LONGEST_TOKEN or not token.isascii():
        raise InvalidTokenError("too long, or not ASCII")
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
        raise InvalidTokenError("no JWT") from error
    return kid if isinstance(kid, str) else None


def prove(token: str, *, key: VerifyingKey | None, rules: TokenRules, now: datetime) -> Caller:
    """Check signature, issuer, audience, times and the claims IAM requires, and read the caller from them.

    Raises:
        InvalidTokenError: with the rule that is broken.
    """
    if key is None:
        raise InvalidTokenError("signed with a key that is not known")
    try:
        claims = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            issuer=rules.issuer,
            audience=rules.audience,
            # PyJWT would read the machine's clock for the times; they are checked below, against ours.
            options={
                "require": list(_REQUIRED),
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
        raise InvalidTokenError(type(error).__name__) from error
    valid_until = _check_times(claims, rules, now)
    kid = header_kid(token)
    if kid is not None and claims["kid"] != kid:
        raise InvalidTokenError("kid differs between header and claims")
    return Caller(
        tenant_id=_text(claims, "tenant_id"),
        subject=_text(claims, "sub"),
        roles=_texts(claims, "roles"),
        scopes=_texts(claims, "scope"),
        valid_until=valid_until,
    )


def _check_times(claims: dict[str, Any], rules: TokenRules, now: datetime) -> datetime:
    expires = _instant(claims, "exp")
    if now >= expires + rules.leeway:
        raise InvalidTokenError("expired")
    for name in ("iat", "nbf"):
        if name in claims and _instant(claims, name) > now + rules.leeway:
            raise InvalidTokenError(f"{name} is in the future")
    return expires


def _instant(claims: dict[str, Any], name: str) -> datetime:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTokenError(f"{name} is no time")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidTokenError(f"{name} is no time") from error


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims[name]
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_TEXT:
        raise InvalidTokenError(f"{name} is no text of 1 to {_LONGEST_TEXT} characters")
    return value


def _texts(claims: dict[str, Any], name: str) -> tuple[str, ...]:
    value = claims.get(name, [])
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise InvalidTokenError(f"{name} is no list of texts")
    return tuple(value)
