"""The tokens we show to siblings: fixed, by tenant, or minted for each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import jwt
from attrs import field, frozen

from actors.platform.errors import PlatformMisconfiguredError
from adapters.contract import Secret
from runtime.clock import Clock

SHORTEST_HS256_SECRET_BYTES = 32
"""RFC 7518, 3.2: a key of at least the hash's size."""


class TokenSource(Protocol):
    """Where a client gets the token for what it does in a tenant's name."""

    def token(self, tenant_id: str) -> Secret:
        """The token to show now.

        Raises:
            PlatformMisconfiguredError: there is none for this tenant.
        """
        ...


@frozen(kw_only=True)
class TenantTokens:
    """A token by tenant: from ``own``, else ``template`` with ``{tenant}`` replaced by the tenant's id.

    A template without ``{tenant}`` is one service token for all.
    """

    template: Secret | None = None
    own: Mapping[str, Secret] = field(factory=dict, repr=False)

    def token(self, tenant_id: str) -> Secret:
        """See ``TokenSource.token``."""
        if tenant_id in self.own:
            return self.own[tenant_id]
        if self.template is None:
            raise PlatformMisconfiguredError(f"no token for tenant {tenant_id!r}")
        return Secret(value=self.template.value.replace(b"{tenant}", tenant_id.encode()))


@frozen(kw_only=True)
class MintedClaims:
    """What a minted token says besides the tenant. ERIS lets in a scope that contains ``admin``.

    ``audience`` None: the claim is left out, as M35 and EPC-4 expect none, and a library that is told to expect none
    refuses a token that has one.
    """

    service: str
    issuer: str
    audience: str | None
    key_id: str
    scope: tuple[str, ...] = ("admin",)
    roles: tuple[str, ...] = ()
    lifetime: timedelta = timedelta(minutes=5)


class MintedTokens:
    """Signs a short-lived HS256 token for each call; IAM wants ``kid`` in the payload and ``scope`` as a list."""

    def __init__(
        self, secret: Secret, claims: MintedClaims, *, clock: Clock, ids: Callable[[], UUID]
    ) -> None:
        """Sign ``claims`` with ``secret``.

        Raises:
            ValueError: the secret is shorter than 32 bytes.
        """
        if len(secret.value) < SHORTEST_HS256_SECRET_BYTES:
            raise ValueError(f"needs a secret of at least {SHORTEST_HS256_SECRET_BYTES} bytes")
        self._secret = secret
        self._claims = claims
        self._clock = clock
        self._ids = ids

    def token(self, tenant_id: str) -> Secret:
        """See ``TokenSource.token``; the subject is ``<tenant>:<service>``, where ERIS looks for the tenant."""
        claims, now = self._claims, self._clock.now()
        payload = {
            "kid": claims.key_id,
            "iss": claims.issuer,
            **({} if claims.audience is None else {"aud": claims.audience}),
            "sub": f"{tenant_id}:{claims.service}",
            "tenant_id": tenant_id,
            "scope": list(claims.scope),
            "roles": list(claims.roles),
            "iat": int(now.timestamp()),
            "exp": int((now + claims.lifetime).timestamp()),
            "jti": str(self._ids()),
        }
        headers = {"kid": claims.key_id}
        signed = jwt.encode(payload, self._secret.value, algorithm="HS256", headers=headers)
        return Secret(value=signed.encode())


def bearer(source: TokenSource, tenant_id: str) -> dict[str, str]:
    """The Authorization header for ``tenant_id``.

    Raises:
        PlatformMisconfiguredError: no token, or one that no header can carry.
    """
    token = source.token(tenant_id).value
    if not token.isascii() or not token.decode("ascii").isprintable():
        raise PlatformMisconfiguredError(
            f"the token for tenant {tenant_id!r} is not printable ASCII"
        )
    return {"authorization": f"Bearer {token.decode('ascii')}"}
