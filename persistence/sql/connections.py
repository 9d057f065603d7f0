"""The part of the store about connections, their endpoints and their sealed secrets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from persistence import connections, endpoints, leases, sealed, work
from persistence.changes import ConnectionChange, ConnectionFilter, Registration, RequestAnswer
from persistence.life_rows import registration_of
from persistence.providers import publish
from persistence.records import (
    ConnectionRecord,
    EndpointRecord,
    Lease,
    NewReceipt,
    ProviderRecord,
    SealedSecret,
    TenantKey,
)
from persistence.rows import connection_of, secret_of, tenant_key_of
from persistence.sql.part import Part
from persistence.values import places_of


class SqlConnections(Part):
    """See ``ConnectionStore``."""

    async def publish_providers(
        self, providers: Sequence[ProviderRecord], *, now: datetime
    ) -> None:
        """See ``ConnectionStore.publish_providers``."""
        await self._engine.run(publish, providers, now=now)

    async def create_connection(
        self,
        connection: ConnectionRecord,
        endpoint: EndpointRecord,
        secrets: Sequence[SealedSecret],
        receipt: NewReceipt,
        answer: RequestAnswer | None = None,
    ) -> None:
        """See ``ConnectionStore.create_connection``."""
        await self._engine.run(connections.create, connection, endpoint, secrets, receipt, answer)

    async def connection(self, tenant_id: str, connection_id: UUID) -> ConnectionRecord | None:
        """See ``ConnectionStore.connection``."""
        rows = await self._engine.ask(connections.one(tenant_id, connection_id))
        return connection_of(rows[0]) if rows else None

    async def connections(
        self,
        tenant_id: str,
        *,
        after: UUID | None,
        limit: int,
        only: ConnectionFilter | None = None,
    ) -> tuple[ConnectionRecord, ...]:
        """See ``ConnectionStore.connections``."""
        asked = connections.page(tenant_id, after=after, limit=limit, only=only)
        return tuple(connection_of(row) for row in await self._engine.ask(asked))

    async def change_connection(
        self,
        tenant_id: str,
        connection_id: UUID,
        change: ConnectionChange,
        *,
        version: int,
        receipt: NewReceipt | None,
        now: datetime,
    ) -> ConnectionRecord:
        """See ``ConnectionStore.change_connection``."""
        return await self._engine.run(
            connections.change,
            tenant_id,
            connection_id,
            change,
            version=version,
            receipt=receipt,
            now=now,
        )

    async def renew_credentials(
        self,
        lease: Lease,
        *,
        expected: UUID | None,
        sealed: SealedSecret,
        now: datetime,
        receipt: NewReceipt | None = None,
    ) -> None:
        """See ``ConnectionStore.renew_credentials``."""
        await self._engine.run(
            leases.renew, lease, expected=expected, sealed=sealed, receipt=receipt
        )

    async def keep_pressure(self, lease: Lease, pressure: bytes) -> None:
        """See ``ConnectionStore.keep_pressure``."""
        leases.kept_pressure(await self._engine.ask(leases.keep_pressure(lease, pressure)))

    async def endpoint(self, token_hash: bytes, *, now: datetime) -> EndpointRecord | None:
        """See ``ConnectionStore.endpoint``."""
        return endpoints.endpoint_of(
            await self._engine.ask(endpoints.endpoint(token_hash, now=now))
        )

    async def registrations(
        self, tenant_id: str, connection_id: UUID, *, now: datetime
    ) -> tuple[Registration, ...]:
        """See ``ConnectionStore.registrations``."""
        asked = endpoints.of_connection(tenant_id, connection_id, now=now)
        return tuple(registration_of(row) for row in await self._engine.ask(asked))

    async def keep_hooks(
        self, tenant_id: str, registration_id: UUID, *, hooks: bytes, now: datetime
    ) -> None:
        """See ``ConnectionStore.keep_hooks``."""
        await self._engine.ask(
            endpoints.keep_hooks(tenant_id, registration_id, hooks=hooks, now=now)
        )

    async def registrations_to_check(
        self, *, checked_before: datetime, limit: int
    ) -> tuple[tuple[str, UUID], ...]:
        """See ``ConnectionStore.registrations_to_check``."""
        asked = work.to_check(checked_before=checked_before, limit=limit)
        return places_of(await self._engine.ask(asked))

    async def sealed_secret(self, tenant_id: str, secret_id: UUID) -> SealedSecret | None:
        """See ``ConnectionStore.sealed_secret``."""
        rows = await self._engine.ask(sealed.secret(tenant_id, secret_id))
        return secret_of(rows[0]) if rows else None

    async def secrets_of(
        self, tenant_id: str, connection_id: UUID, purpose: str, *, now: datetime
    ) -> tuple[SealedSecret, ...]:
        """See ``ConnectionStore.secrets_of``."""
        asked = sealed.secrets_of(tenant_id, connection_id, purpose, now=now)
        return tuple(secret_of(row) for row in await self._engine.ask(asked))

    async def keep_tenant_key(self, key: TenantKey) -> TenantKey:
        """See ``ConnectionStore.keep_tenant_key``."""
        return await self._engine.run(sealed.keep_key, key)

    async def tenant_key(self, tenant_id: str, key_id: UUID | None = None) -> TenantKey | None:
        """See ``ConnectionStore.tenant_key``."""
        rows = await self._engine.ask(sealed.key(tenant_id, key_id))
        return tenant_key_of(rows[0]) if rows else None

    async def connections_to_clean(
        self, *, now: datetime, limit: int
    ) -> tuple[tuple[str, UUID], ...]:
        """See ``ConnectionStore.connections_to_clean``."""
        return places_of(await self._engine.ask(connections.to_clean(now=now, limit=limit)))

    async def cleaned(
        self, tenant_id: str, connection_id: UUID, *, again_at: datetime | None, now: datetime
    ) -> None:
        """See ``ConnectionStore.cleaned``."""
        await self._engine.run(
            connections.clean, tenant_id, connection_id, again_at=again_at, now=now
        )
