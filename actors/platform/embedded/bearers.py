"""Bearer tokens as the siblings read them that share a secret with us: HS256, and no audience expected."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import jwt

from adapters.contract import Request, Secret


def bearer_of(request: Request) -> str | None:
    """The bearer token, or None."""
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def claims_of(
    request: Request, secret: Secret, *, demanded: tuple[str, ...], now: datetime
) -> dict[str, Any] | None:
    """The claims of the bearer token, which are at least ``demanded``; None: it proves nothing.

    The library refuses a token that names an audience, as none is expected.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            bearer_of(request) or "",
            secret.value,
            algorithms=["HS256"],
            # It would read the machine's clock; the expiry is checked below, against ours.
            options={
                "require": list(demanded),
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.InvalidTokenError:
        return None
    expires = claims.get("exp")
    is_over = isinstance(expires, int | float) and expires <= now.timestamp()
    return None if is_over else claims
