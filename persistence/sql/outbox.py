"""The parts of the store about what goes out, and about receipts as a chain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from persistence import outbox, receipts
from persistence.changes import ChainedReceipt
from persistence.life_rows import chained_of
from persistence.records import OutboxRecord, ReceiptBatch, RelayedSignal
from persistence.sql.part import Part


class SqlOutbox(Part):
    """See ``OutboxStore`` and ``EvidenceStore``."""

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

    async def chained_receipts(
        self, tenant_id: str, *, after: int, limit: int
    ) -> tuple[ChainedReceipt, ...]:
        """See ``EvidenceStore.chained_receipts``."""
        asked = receipts.chained(tenant_id, after=after, limit=limit)
        return tuple(chained_of(row) for row in await self._engine.ask(asked))
