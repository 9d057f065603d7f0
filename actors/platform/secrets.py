"""Secrets come by reference: sealed here under a tenant's data key, which only M33 can unwrap.

What is stored is useless without M33; what M33 holds is useless without the row. Unwrapped data keys are
remembered for minutes and never used longer, so that a key revoked at M33 ends here too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import orjson
import trio
from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from actors.platform.errors import PlatformUnavailableError, SecretLostError
from actors.platform.keys import KeyService, Wrapped
from actors.platform.memory import Memory, Turns
from adapters.contract import Secret
from persistence.records import SealedSecret, TenantKey
from runtime.clock import Clock

_KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D, 8.2: what GCM is made for
_KEY_PURPOSE = "connection-secrets"


class SecretStore(Protocol):
    """The port to whoever keeps the secrets of connections."""

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
        """Make the row that keeps ``value``; the caller stores it. The first for a tenant makes its data key.

        Raises:
            PlatformUnavailableError: the data key can not be had now.
            PlatformRefusedError, PlatformMisconfiguredError: M33's word.
            StoreError: the data key can not be kept.
        """
        ...

    async def unseal(self, tenant_id: str, secret_id: UUID) -> Secret:
        """The secret that the tenant's row ``secret_id`` keeps.

        Raises:
            SecretLostError: no such row, its time is over, or it does not open.
            PlatformUnavailableError, PlatformRefusedError, PlatformMisconfiguredError, StoreError: as for ``seal``.
        """
        ...

    async def open(self, row: SealedSecret) -> Secret:
        """The secret that ``row`` keeps, which the caller has already.

        Raises:
            SecretLostError, and the others: as for ``unseal``.
        """
        ...


class SecretRows(Protocol):
    """The part of ``persistence.store.Store`` that sealing needs."""

    async def sealed_secret(self, tenant_id: str, secret_id: UUID) -> SealedSecret | None:
        """See ``ConnectionStore.sealed_secret``."""
        ...

    async def keep_tenant_key(self, key: TenantKey) -> TenantKey:
        """See ``ConnectionStore.keep_tenant_key``."""
        ...

    async def tenant_key(self, tenant_id: str, key_id: UUID | None = None) -> TenantKey | None:
        """See ``ConnectionStore.tenant_key``."""
        ...


@frozen(kw_only=True)
class SealPace:
    """How long and how many data keys are remembered, and how long one may take to come.

    ``wait`` is for everything: another task's turn, M33 and the store.
    """

    remembered: timedelta = timedelta(minutes=5)
    at_most: int = 1000
    wait: timedelta = timedelta(seconds=30)


@frozen(kw_only=True)
class _DataKey:
    key_id: UUID
    value: bytes = field(repr=False)


class SealedSecrets:
    """Secrets sealed with AES-256-GCM in the store, under data keys wrapped by M33."""

    def __init__(  # noqa: PLR0913 - time, chance and ids are arguments
        self,
        keys: KeyService,
        store: SecretRows,
        *,
        clock: Clock,
        entropy: Callable[[int], bytes],
        ids: Callable[[], UUID],
        kms_key_id: str | None = None,
        pace: SealPace | None = None,
    ) -> None:
        """Seal with keys wrapped by ``keys``.

        ``entropy(n)`` gives n unpredictable bytes; ``kms_key_id`` is M33's key for all tenants (None: it is asked
        for one for each).
        """
        self._keys = keys
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._ids = ids
        self._kms_key_id = kms_key_id
        self._pace = pace or SealPace()
        self._known: Memory[tuple[str, UUID | None], _DataKey] = Memory(limit=self._pace.at_most)
        self._turns: Turns[str] = Turns()

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
        key = await self._data_key(tenant_id, None)
        nonce = self._entropy(_NONCE_BYTES)
        bound_to = _bound_to(tenant_id, str(connection_id), purpose, str(version))
        return SealedSecret(
            secret_id=self._ids(),
            tenant_id=tenant_id,
            connection_id=connection_id,
            purpose=purpose,
            version=version,
            key_id=key.key_id,
            nonce=nonce,
            ciphertext=AESGCM(key.value).encrypt(nonce, value.value, bound_to),
            created_at=now,
        )

    async def unseal(self, tenant_id: str, secret_id: UUID) -> Secret:
        """See ``SecretStore.unseal``."""
        row = await self._store.sealed_secret(tenant_id, secret_id)
        if row is None:
            raise SecretLostError(f"there is no secret {secret_id}")
        return await self.open(row)

    async def open(self, row: SealedSecret) -> Secret:
        """See ``SecretStore.open``."""
        if row.expires_at is not None and row.expires_at <= self._clock.now():
            raise SecretLostError(f"the time of secret {row.secret_id} is over")
        key = await self._data_key(row.tenant_id, row.key_id)
        bound_to = _bound_to(row.tenant_id, str(row.connection_id), row.purpose, str(row.version))
        try:
            plain = AESGCM(key.value).decrypt(row.nonce, row.ciphertext, bound_to)
        except (InvalidTag, ValueError) as error:
            raise SecretLostError(f"secret {row.secret_id} does not open with its key") from error
        return Secret(value=plain)

    async def _data_key(self, tenant_id: str, key_id: UUID | None) -> _DataKey:
        """Key ``key_id`` of the tenant, or its newest (made if there is none)."""
        try:
            with trio.fail_after(self._pace.wait.total_seconds()):
                async with self._turns.of(tenant_id):
                    known = self._known.get((tenant_id, key_id), now=self._clock.now())
                    return known or await self._fetch(tenant_id, key_id)
        except trio.TooSlowError as error:
            raise PlatformUnavailableError("a data key took too long to come") from error

    async def _fetch(self, tenant_id: str, key_id: UUID | None) -> _DataKey:
        row = await self._store.tenant_key(tenant_id, key_id)
        if row is not None:
            key = await self._unwrap(row)
        elif key_id is None:
            key = await self._make(tenant_id)
        else:
            raise SecretLostError(f"there is no data key {key_id}")
        until = self._clock.now() + self._pace.remembered
        for name in {key_id, key.key_id}:
            self._known.keep((tenant_id, name), key, until=until)
        return key

    async def _make(self, tenant_id: str) -> _DataKey:
        """Make the tenant's first data key, unless another node was faster: then its key is the tenant's."""
        value = Secret(value=self._entropy(_KEY_BYTES))
        kms_key_id = self._kms_key_id or await self._keys.create_key(tenant_id)
        wrapped = await self._keys.wrap(
            value, tenant_id=tenant_id, kms_key_id=kms_key_id, aad=_key_bound_to(tenant_id)
        )
        row = TenantKey(
            key_id=self._ids(),
            tenant_id=tenant_id,
            version=1,
            kms_key_id=wrapped.kms_key_id,
            algorithm=wrapped.algorithm,
            iv=wrapped.iv,
            ciphertext=wrapped.ciphertext,
            created_at=self._clock.now(),
        )
        kept = await self._store.keep_tenant_key(row)
        if kept.key_id != row.key_id:
            return await self._unwrap(kept)
        return _DataKey(key_id=row.key_id, value=value.value)

    async def _unwrap(self, row: TenantKey) -> _DataKey:
        wrapped = Wrapped(
            kms_key_id=row.kms_key_id,
            algorithm=row.algorithm,
            iv=row.iv,
            ciphertext=row.ciphertext,
        )
        value = await self._keys.unwrap(
            wrapped, tenant_id=row.tenant_id, aad=_key_bound_to(row.tenant_id)
        )
        if len(value.value) != _KEY_BYTES:
            raise SecretLostError(f"data key {row.key_id} is not what was wrapped")
        return _DataKey(key_id=row.key_id, value=value.value)


def _key_bound_to(tenant_id: str) -> bytes:
    return _bound_to(tenant_id, _KEY_PURPOSE)


def _bound_to(*parts: str) -> bytes:
    """Parts as a JSON list, so that no two different lists give the same bytes."""
    return orjson.dumps(parts)
