"""The part of the store about polling and backfilling."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from persistence import backfills, cursors, ledger, work
from persistence.poll_rows import backfill_of, cursor_of
from persistence.polls import (
    BackfillPage,
    BackfillRecord,
    BackfillState,
    CursorRecord,
    NewBackfill,
    PolledPage,
)
from persistence.records import Lease, NewDelivery
from persistence.sql.part import Part
from persistence.values import places_of


class SqlPolls(Part):
    """See ``PollStore``."""

    async def plan_polls(
        self, lease: Lease, first: Sequence[CursorRecord], *, now: datetime
    ) -> None:
        """See ``PollStore.plan_polls``."""
        await self._engine.run(cursors.plan, lease, first, now=now)

    async def connections_to_poll(
        self, *, now: datetime, after: UUID | None, limit: int
    ) -> tuple[tuple[str, UUID], ...]:
        """See ``PollStore.connections_to_poll``."""
        return places_of(await self._engine.ask(work.to_poll(now=now, after=after, limit=limit)))

    async def connections_without_cursors(
        self, *, after: UUID | None, limit: int
    ) -> tuple[tuple[str, UUID], ...]:
        """See ``PollStore.connections_without_cursors``."""
        return places_of(await self._engine.ask(work.unplanned(after=after, limit=limit)))

    async def cursors(self, tenant_id: str, connection_id: UUID) -> tuple[CursorRecord, ...]:
        """See ``PollStore.cursors``."""
        asked = cursors.of_connection(tenant_id, connection_id)
        return tuple(cursor_of(row) for row in await self._engine.ask(asked))

    async def keep_page(
        self, lease: Lease, page: PolledPage, items: Sequence[NewDelivery], *, now: datetime
    ) -> tuple[bool, ...]:
        """See ``PollStore.keep_page``."""
        return await self._engine.run(cursors.keep, lease, page, items, now=now)

    async def postpone_poll(
        self,
        lease: Lease,
        resource: str,
        *,
        next_poll_at: datetime,
        reason: str,
        failed: bool,
        now: datetime,
    ) -> None:
        """See ``PollStore.postpone_poll``."""
        await self._engine.run(
            cursors.postpone,
            lease,
            resource,
            next_poll_at=next_poll_at,
            reason=reason,
            failed=failed,
            now=now,
        )

    async def set_cursor(
        self,
        tenant_id: str,
        connection_id: UUID,
        resource: str,
        cursor: bytes | None,
        *,
        now: datetime,
    ) -> CursorRecord:
        """See ``PollStore.set_cursor``."""
        place = (tenant_id, connection_id)
        return await self._engine.run(cursors.set_by_hand, place, resource, cursor, now=now)

    async def poll_now(
        self, tenant_id: str, connection_id: UUID, resources: Sequence[str], *, now: datetime
    ) -> None:
        """See ``PollStore.poll_now``."""
        await self._engine.ask(cursors.poll_now((tenant_id, connection_id), resources, now=now))

    async def seen_news(self, lease: Lease, *, now: datetime) -> None:
        """See ``PollStore.seen_news``."""
        await self._engine.run(cursors.seen_news, lease, now=now)

    async def last_webhook_at(self, tenant_id: str, connection_id: UUID) -> datetime | None:
        """See ``PollStore.last_webhook_at``."""
        rows = await self._engine.ask(ledger.last_webhook(tenant_id, connection_id))
        return ledger.last_webhook_of(rows)

    async def known_signals(self, lease: Lease, signal_ids: Sequence[str]) -> frozenset[str]:
        """See ``PollStore.known_signals``."""
        return await self._engine.run(cursors.known_signals, lease, signal_ids)

    async def begin_backfill(self, backfill: NewBackfill) -> BackfillRecord:
        """See ``PollStore.begin_backfill``."""
        return backfills.begun_of(await self._engine.ask(backfills.begin(backfill)))

    async def backfills(
        self, tenant_id: str, connection_id: UUID, *, limit: int
    ) -> tuple[BackfillRecord, ...]:
        """See ``PollStore.backfills``."""
        asked = backfills.of_connection(tenant_id, connection_id, limit=limit)
        return tuple(backfill_of(row) for row in await self._engine.ask(asked))

    async def backfill(self, tenant_id: str, backfill_id: UUID) -> BackfillRecord | None:
        """See ``PollStore.backfill``."""
        rows = await self._engine.ask(backfills.one(tenant_id, backfill_id))
        return backfill_of(rows[0]) if rows else None

    async def move_backfill(
        self,
        tenant_id: str,
        backfill_id: UUID,
        *,
        expected: Sequence[BackfillState],
        state: BackfillState,
        reason: str | None,
        now: datetime,
    ) -> BackfillRecord:
        """See ``PollStore.move_backfill``."""
        return await self._engine.run(
            backfills.move,
            tenant_id,
            backfill_id,
            expected=expected,
            state=state,
            reason=reason,
            now=now,
        )

    async def due_backfills(
        self, lease: Lease, *, now: datetime, limit: int
    ) -> tuple[BackfillRecord, ...]:
        """See ``PollStore.due_backfills``."""
        rows = await self._engine.ask(backfills.due(lease, now=now, limit=limit))
        return tuple(backfill_of(row) for row in rows)

    async def keep_backfill_page(
        self, lease: Lease, page: BackfillPage, items: Sequence[NewDelivery], *, now: datetime
    ) -> tuple[bool, ...]:
        """See ``PollStore.keep_backfill_page``."""
        return await self._engine.run(backfills.keep, lease, page, items, now=now)

    async def postpone_backfill(
        self, lease: Lease, backfill_id: UUID, *, next_at: datetime, reason: str, now: datetime
    ) -> None:
        """See ``PollStore.postpone_backfill``."""
        await self._engine.run(
            backfills.postpone, lease, backfill_id, next_at=next_at, reason=reason, now=now
        )
