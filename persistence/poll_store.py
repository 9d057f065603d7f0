"""The port to polling's state. See ``store`` for what holds of every method."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from persistence.polls import (
    BackfillPage,
    BackfillRecord,
    BackfillState,
    CursorRecord,
    NewBackfill,
    PolledPage,
)
from persistence.records import Lease, NewDelivery


class PollStore(Protocol):
    """Cursors and backfills: what moves, moves with the deliveries it covers, in one transaction."""

    async def plan_polls(
        self, lease: Lease, first: Sequence[CursorRecord], *, now: datetime
    ) -> None:
        """Make the connection's cursors those of ``first``'s resources: new ones as given, known ones as they are, others go.

        Raises:
            FencedError: nothing was written.
        """
        ...

    async def connections_to_poll(
        self, *, now: datetime, after: UUID | None, limit: int
    ) -> tuple[tuple[str, UUID], ...]:
        """(tenant, connection) of active connections with a poll or backfill due, by ascending id; by index, not by scan."""
        ...

    async def connections_without_cursors(
        self, *, after: UUID | None, limit: int
    ) -> tuple[tuple[str, UUID], ...]:
        """(tenant, connection) of active connections with credentials and no cursor, by ascending id; reads all of them."""
        ...

    async def cursors(self, tenant_id: str, connection_id: UUID) -> tuple[CursorRecord, ...]:
        """The connection's cursors by resource."""
        ...

    async def keep_page(
        self, lease: Lease, page: PolledPage, items: Sequence[NewDelivery], *, now: datetime
    ) -> tuple[bool, ...]:
        """The page's deliveries into the inbox and its cursor, in one transaction; False for each item known before.

        Known: its event id is in the connection's inbox. Both numbers go to the ledger. ``failures`` ends.

        Raises:
            FencedError: nothing was written.
            ChangedError: the connection is not active any more; nothing was written.
            ConflictError: the cursor is another by now; nothing was written.
        """
        ...

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
        """The cursor stays where it was; ``failed`` counts a failure.

        Raises:
            FencedError: nothing was written.
        """
        ...

    async def set_cursor(
        self,
        tenant_id: str,
        connection_id: UUID,
        resource: str,
        cursor: bytes | None,
        *,
        now: datetime,
    ) -> CursorRecord:
        """Set a cursor by hand, to be polled at once; None: from now on.

        Raises:
            MissingError: no such cursor in this tenant.
        """
        ...

    async def poll_now(
        self, tenant_id: str, connection_id: UUID, resources: Sequence[str], *, now: datetime
    ) -> None:
        """Let these be due now, each where it is; one that is due already, or is not there, stays as it is."""
        ...

    async def seen_news(self, lease: Lease, *, now: datetime) -> None:
        """A poll found what no webhook had brought; the first time since the last webhook is kept, with every cursor.

        Raises:
            FencedError: nothing was written.
        """
        ...

    async def last_webhook_at(self, tenant_id: str, connection_id: UUID) -> datetime | None:
        """When a webhook of the connection last came, be it one that was known before."""
        ...

    async def known_signals(self, lease: Lease, signal_ids: Sequence[str]) -> frozenset[str]:
        """Which of these signals the connection's outbox has, or had as long as they are kept.

        Raises:
            FencedError: the lease is no longer the connection's.
        """
        ...

    async def begin_backfill(self, backfill: NewBackfill) -> BackfillRecord:
        """Begin a backfill, running.

        Raises:
            MissingError: no such connection in this tenant.
            ConflictError: another of the same resource runs or is paused.
        """
        ...

    async def backfills(
        self, tenant_id: str, connection_id: UUID, *, limit: int
    ) -> tuple[BackfillRecord, ...]:
        """The connection's backfills, newest first."""
        ...

    async def backfill(self, tenant_id: str, backfill_id: UUID) -> BackfillRecord | None:
        """The tenant's backfill of that id."""
        ...

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
        """Pause, resume, cancel or fail a backfill.

        Raises:
            MissingError: no such backfill in this tenant.
            ConflictError: it is in another state.
        """
        ...

    async def due_backfills(
        self, lease: Lease, *, now: datetime, limit: int
    ) -> tuple[BackfillRecord, ...]:
        """The connection's running backfills whose time has come, oldest first."""
        ...

    async def keep_backfill_page(
        self, lease: Lease, page: BackfillPage, items: Sequence[NewDelivery], *, now: datetime
    ) -> tuple[bool, ...]:
        """As ``keep_page``, for a backfill.

        Raises:
            FencedError, ChangedError: nothing was written.
            ConflictError: it does not run any more, or its cursor is another by now; nothing was written.
        """
        ...

    async def postpone_backfill(
        self, lease: Lease, backfill_id: UUID, *, next_at: datetime, reason: str, now: datetime
    ) -> None:
        """Try the same page again at ``next_at``.

        Raises:
            FencedError: nothing was written.
        """
        ...
