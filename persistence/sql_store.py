"""The store, written once for both engines: which transaction a business fact is, and how its rows are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import trio

from persistence import actions, connections, inbox, ledger, outbox, receipts, upkeep
from persistence.dialect import Engine
from persistence.errors import SchemaError
from persistence.records import (
    Accounting,
    ActionRecord,
    ActionState,
    ConnectionRecord,
    ConnectionState,
    DeliveryRecord,
    EndpointRecord,
    ExchangeRecord,
    ExchangeState,
    Lease,
    NewAction,
    NewDelivery,
    NewReceipt,
    OutboxRecord,
    ParkedRecord,
    ProviderRecord,
    ReceiptBatch,
    RelayedSignal,
    SealedSecret,
    SettledDelivery,
    TenantKey,
)
from persistence.rows import (
    action_of,
    connection_of,
    exchange_of,
    secret_of,
    tenant_key_of,
    uuid_of,
)
from persistence.schema import REVISION


class SqlStore:
    """``Store`` on an engine. Every method is described there."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def publish_providers(
        self, providers: Sequence[ProviderRecord], *, now: datetime
    ) -> None:
        """See ``ConnectionStore.publish_providers``."""
        await self._engine.run(connections.publish, providers, now=now)

    async def create_connection(
        self,
        connection: ConnectionRecord,
        endpoint: EndpointRecord,
        secrets: Sequence[SealedSecret],
        receipt: NewReceipt,
    ) -> None:
        """See ``ConnectionStore.create_connection``."""
        await self._engine.run(connections.create, connection, endpoint, secrets, receipt)

    async def connection(self, tenant_id: str, connection_id: UUID) -> ConnectionRecord | None:
        """See ``ConnectionStore.connection``."""
        rows = await self._engine.ask(connections.one(tenant_id, connection_id))
        return connection_of(rows[0]) if rows else None

    async def connections(
        self, tenant_id: str, *, after: UUID | None, limit: int
    ) -> tuple[ConnectionRecord, ...]:
        """See ``ConnectionStore.connections``."""
        rows = await self._engine.ask(connections.page(tenant_id, after=after, limit=limit))
        return tuple(connection_of(row) for row in rows)

    async def change_state(  # noqa: PLR0913 - what it takes is one fact
        self,
        tenant_id: str,
        connection_id: UUID,
        *,
        expected: Sequence[ConnectionState],
        state: ConnectionState,
        reason: str | None,
        now: datetime,
        receipt: NewReceipt | None,
    ) -> ConnectionRecord:
        """See ``ConnectionStore.change_state``."""
        return await self._engine.run(
            connections.change_state,
            tenant_id,
            connection_id,
            expected=expected,
            state=state,
            reason=reason,
            now=now,
            receipt=receipt,
        )

    async def endpoint(self, token_hash: bytes, *, now: datetime) -> EndpointRecord | None:
        """See ``ConnectionStore.endpoint``."""
        return connections.endpoint_of(
            await self._engine.ask(connections.endpoint(token_hash, now=now))
        )

    async def sealed_secret(self, tenant_id: str, secret_id: UUID) -> SealedSecret | None:
        """See ``ConnectionStore.sealed_secret``."""
        rows = await self._engine.ask(connections.secret(tenant_id, secret_id))
        return secret_of(rows[0]) if rows else None

    async def keep_tenant_key(self, key: TenantKey) -> TenantKey:
        """See ``ConnectionStore.keep_tenant_key``."""
        return await self._engine.run(connections.keep_key, key)

    async def tenant_key(self, tenant_id: str, key_id: UUID | None = None) -> TenantKey | None:
        """See ``ConnectionStore.tenant_key``."""
        rows = await self._engine.ask(connections.key(tenant_id, key_id))
        return tenant_key_of(rows[0]) if rows else None

    async def accept(self, deliveries: Sequence[NewDelivery]) -> tuple[bool, ...]:
        """See ``InboxStore.accept``."""
        rows = inbox.accept_rows(deliveries)
        if not rows:
            await trio.lowlevel.checkpoint()
            return ()
        return inbox.accepted_of(await self._engine.accept(rows), deliveries)

    async def count_rejected(self, rejected: Mapping[tuple[str, UUID], int]) -> None:
        """See ``InboxStore.count_rejected``."""
        await self._engine.run(ledger.count, rejected=rejected)

    async def claim_connection(self, tenant_id: str, connection_id: UUID, *, owner: UUID) -> Lease:
        """See ``InboxStore.claim_connection``."""
        return await self._engine.run(connections.claim, tenant_id, connection_id, owner=owner)

    async def claim_deliveries(self, lease: Lease, *, limit: int) -> tuple[DeliveryRecord, ...]:
        """See ``InboxStore.claim_deliveries``."""
        return await self._engine.run(inbox.claim, lease, limit=limit)

    async def settle(
        self, lease: Lease, deliveries: Sequence[SettledDelivery], *, now: datetime
    ) -> Lease:
        """See ``InboxStore.settle``."""
        return await self._engine.run(inbox.settle, lease, deliveries, now=now)

    async def connections_with_work(
        self, *, now: datetime, after: UUID | None, limit: int
    ) -> tuple[tuple[str, UUID], ...]:
        """See ``InboxStore.connections_with_work``."""
        rows = await self._engine.ask(inbox.with_work(now=now, after=after, limit=limit))
        return tuple((row["tenant_id"], uuid_of(row["connection_id"])) for row in rows)

    async def parked(
        self, tenant_id: str, connection_id: UUID, *, limit: int
    ) -> tuple[ParkedRecord, ...]:
        """See ``InboxStore.parked``."""
        rows = await self._engine.ask(inbox.parked(tenant_id, connection_id, limit=limit))
        return tuple(inbox.parked_of(row) for row in rows)

    async def accounting(self) -> tuple[Accounting, ...]:
        """See ``InboxStore.accounting``."""
        rows = await self._engine.ask(ledger.accounting())
        return tuple(ledger.accounting_of(row) for row in rows)

    async def ledger(self, tenant_id: str, connection_id: UUID) -> Accounting | None:
        """See ``InboxStore.ledger``."""
        rows = await self._engine.ask(ledger.of_connection(tenant_id, connection_id))
        return ledger.accounting_of(rows[0]) if rows else None

    async def pending_count(self) -> int:
        """See ``InboxStore.pending_count``."""
        rows = await self._engine.ask(inbox.pending())
        return int(rows[0]["pending"])

    async def sweep(self, *, replay_before: datetime, forget_before: datetime, limit: int) -> int:
        """See ``InboxStore.sweep``."""
        return await self._engine.run(
            upkeep.sweep, replay_before=replay_before, forget_before=forget_before, limit=limit
        )

    async def tenants_with_signals(self, *, limit: int) -> tuple[str, ...]:
        """See ``OutboxStore.tenants_with_signals``."""
        rows = await self._engine.ask(outbox.tenants(limit))
        return tuple(row["tenant_id"] for row in rows)

    async def next_signals(self, tenant_id: str, *, limit: int) -> tuple[OutboxRecord, ...]:
        """See ``OutboxStore.next_signals``."""
        return outbox.signals_of(await self._engine.ask(outbox.following(tenant_id, limit=limit)))

    async def settle_signals(
        self, tenant_id: str, signals: Sequence[RelayedSignal], *, now: datetime
    ) -> None:
        """See ``OutboxStore.settle_signals``."""
        await self._engine.run(outbox.settle, tenant_id, signals, now=now)

    async def tenants_with_receipts(self, *, limit: int) -> tuple[str, ...]:
        """See ``OutboxStore.tenants_with_receipts``."""
        rows = await self._engine.ask(receipts.tenants(limit))
        return tuple(row["tenant_id"] for row in rows)

    async def receipt_batch(
        self, tenant_id: str, *, batch_id: UUID, limit: int, now: datetime
    ) -> ReceiptBatch | None:
        """See ``OutboxStore.receipt_batch``."""
        return await self._engine.run(
            receipts.batch, tenant_id, batch_id=batch_id, limit=limit, now=now
        )

    async def settle_receipts(self, tenant_id: str, batch_id: UUID) -> None:
        """See ``OutboxStore.settle_receipts``."""
        await self._engine.ask(receipts.settle(tenant_id, batch_id))

    async def enqueue(self, action: NewAction) -> tuple[ActionRecord, bool]:
        """See ``ActionStore.enqueue``."""
        return actions.enqueued_of(await self._engine.ask(actions.enqueue(action)))

    async def action(self, tenant_id: str, action_id: UUID) -> ActionRecord | None:
        """See ``ActionStore.action``."""
        rows = await self._engine.ask(actions.one(tenant_id, action_id))
        return action_of(rows[0]) if rows else None

    async def action_of_key(
        self, tenant_id: str, connection_id: UUID, idempotency_key: str
    ) -> ActionRecord | None:
        """See ``ActionStore.action_of_key``."""
        rows = await self._engine.ask(actions.of_key(tenant_id, connection_id, idempotency_key))
        return action_of(rows[0]) if rows else None

    async def due_actions(
        self, lease: Lease, *, now: datetime, limit: int
    ) -> tuple[ActionRecord, ...]:
        """See ``ActionStore.due_actions``."""
        rows = await self._engine.ask(actions.due(lease, now=now, limit=limit))
        return tuple(action_of(row) for row in rows)

    async def next_action_at(self, lease: Lease) -> datetime | None:
        """See ``ActionStore.next_action_at``."""
        return actions.next_at_of(await self._engine.ask(actions.next_at(lease)))

    async def exchanges(self, tenant_id: str, action_id: UUID) -> tuple[ExchangeRecord, ...]:
        """See ``ActionStore.exchanges``."""
        rows = await self._engine.ask(actions.journal(tenant_id, action_id))
        return tuple(exchange_of(row) for row in rows)

    async def intend(self, lease: Lease, exchange: ExchangeRecord) -> None:
        """See ``ActionStore.intend``."""
        await self._engine.run(actions.intend, lease, exchange)

    async def resolve_exchange(
        self, lease: Lease, exchange: ExchangeRecord, *, state: ExchangeState
    ) -> None:
        """See ``ActionStore.resolve_exchange``."""
        await self._engine.run(actions.resolve, lease, exchange, state=state)

    async def settle_action(  # noqa: PLR0913 - what it takes is one fact
        self,
        lease: Lease,
        action_id: UUID,
        *,
        state: ActionState,
        reason: str | None,
        outcome: bytes,
        receipt: NewReceipt,
        now: datetime,
    ) -> None:
        """See ``ActionStore.settle_action``."""
        await self._engine.run(
            actions.settle,
            lease,
            action_id,
            state=state,
            reason=reason,
            outcome=outcome,
            receipt=receipt,
            now=now,
        )

    async def postpone_action(
        self, lease: Lease, action_id: UUID, *, not_before: datetime, reason: str, now: datetime
    ) -> None:
        """See ``ActionStore.postpone_action``."""
        await self._engine.run(
            actions.postpone, lease, action_id, not_before=not_before, reason=reason, now=now
        )

    async def ping(self) -> None:
        """See ``Store.ping``."""
        rows = await self._engine.ask(upkeep.revision())
        found = [row["version_num"] for row in rows]
        if found != [REVISION]:
            raise SchemaError(
                f"the database is at revision {found}, this program needs {REVISION}"
            )
