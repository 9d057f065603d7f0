"""Secrets that live in the store's own rows, so that what a transaction forgets is forgotten; nothing guards them here."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from uuid import UUID, uuid4

import trio
from attrs import define, field

from actors.platform.errors import PlatformError, SecretLostError
from adapters.contract import Secret
from persistence.records import SealedSecret
from persistence.store import Store
from runtime import Clock

_MASK = 0x5A


@define(eq=False)
class RowSecrets:
    """See ``actors.platform.secrets.SecretStore``. ``down``: what every call raises; ``seals_down``: what sealing does."""

    store: Store
    clock: Clock
    down: PlatformError | None = None
    seals_down: PlatformError | None = None
    reads: Counter[UUID] = field(factory=Counter)
    sealed_as: list[str] = field(factory=list)

    async def seal(
        self,
        tenant_id: str,
        connection_id: UUID,
        purpose: str,
        version: int,
        value: Secret,
        *,
        now: datetime,
    ) -> SealedSecret:
        """See ``SecretStore.seal``."""
        await trio.lowlevel.checkpoint()
        if self.down or self.seals_down:
            raise self.down or self.seals_down  # type: ignore[misc]
        self.sealed_as.append(purpose)
        return SealedSecret(
            secret_id=uuid4(),
            tenant_id=tenant_id,
            connection_id=connection_id,
            purpose=purpose,
            version=version,
            key_id=UUID(int=1),
            nonce=b"\x00" * 12,
            ciphertext=_masked(value.value),
            created_at=now,
        )

    async def unseal(self, tenant_id: str, secret_id: UUID) -> Secret:
        """See ``SecretStore.unseal``."""
        row = await self.store.sealed_secret(tenant_id, secret_id)
        if row is None:
            await trio.lowlevel.checkpoint()
            raise SecretLostError(f"there is no secret {secret_id}")
        return await self.open(row)

    async def open(self, row: SealedSecret) -> Secret:
        """See ``SecretStore.open``."""
        await trio.lowlevel.checkpoint()
        self.reads[row.secret_id] += 1
        if self.down is not None:
            raise self.down
        if row.expires_at is not None and row.expires_at <= self.clock.now():
            raise SecretLostError(f"the time of secret {row.secret_id} is over")
        return Secret(value=_masked(row.ciphertext))


def _masked(value: bytes) -> bytes:
    """So that who looks through the database for a secret does not find what only tests put there."""
    return bytes(byte ^ _MASK for byte in value)
