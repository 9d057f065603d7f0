"""The part of the store about what came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import trio

from persistence import inbox, leases, ledger, upkeep, work
from persistence.records import (
    Accounting,
    DeliveryRecord,
    Lease,
    NewDelivery,
    ParkedRecord,
    SettledDelivery,
)
from persistence.sql.part import Part
from persistence.values import places_of


class SqlInbox(Part):
    """See ``InboxStore``."""

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
        return await self._engine.run(leases.claim, tenant_id, connection_id, owner=owner)

    async def claim_deliveries(self, lease: Lease, *, limit: int) -> tuple[DeliveryRecord, ...]:
        """See ``InboxStore.claim_deliveries``; where nothing waits, a look costs less than a transaction."""
        if await self._engine.ask(inbox.idle(lease)):
            return ()
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
        return places_of(await self._engine.ask(work.with_work(now=now, after=after, limit=limit)))

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

    async def sweep(
        self,
        *,
        replay_before: datetime,
        forget_before: datetime,
        limit: int,
        now: datetime | None = None,
    ) -> int:
        """See ``InboxStore.sweep``."""
        return await self._engine.run(
            upkeep.sweep,
            replay_before=replay_before,
            forget_before=forget_before,
            limit=limit,
            now=now or forget_before,
        )
