"""The stored shapes of polling and backfilling. All times are aware, in UTC."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from attrs import frozen


@frozen(kw_only=True)
class CursorRecord:
    """A row of ``polling_cursors``: how far one resource of a connection has been polled.

    ``cursor`` None: never. ``every`` is the present interval, adapted; ``failures`` counts polls in a row that failed;
    ``last_news_at`` is when a poll first found, after the last webhook before it, what none had brought.
    """

    tenant_id: str
    connection_id: UUID
    resource: str
    cursor: bytes | None
    next_poll_at: datetime
    every: timedelta
    failures: int
    reason: str | None
    last_polled_at: datetime | None
    last_news_at: datetime | None


@frozen(kw_only=True)
class Turn:
    """When a resource is polled again, and the interval that it has come to."""

    next_poll_at: datetime
    every: timedelta


@frozen(kw_only=True)
class PolledPage:
    """What one page changes besides its deliveries. ``expected`` is the cursor that it was asked with.

    ``nothing_new``: the turn that holds instead, if each of the deliveries was known; overlap brings such all the time.
    """

    resource: str
    expected: bytes | None
    cursor: bytes
    next_poll_at: datetime
    every: timedelta
    nothing_new: Turn | None = None


class BackfillState(StrEnum):
    """Where a backfill is. ``done``, ``cancelled`` and ``failed`` are final."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@frozen(kw_only=True)
class NewBackfill:
    """A backfill as it is asked for; ``until`` is not in it."""

    backfill_id: UUID
    tenant_id: str
    connection_id: UUID
    resource: str
    since: datetime
    until: datetime
    created_at: datetime


@frozen(kw_only=True)
class BackfillRecord(NewBackfill):
    """A row of ``backfills``. ``found`` counts what was read, ``fresh`` what was not known; ``total`` None: not known."""

    state: BackfillState
    cursor: bytes | None
    found: int
    fresh: int
    done: int | None
    total: int | None
    reason: str | None
    next_at: datetime
    updated_at: datetime
    ended_at: datetime | None


@frozen(kw_only=True)
class BackfillPage:
    """What one page changes of a backfill besides its deliveries; ``state`` DONE with the last one."""

    backfill_id: UUID
    expected: bytes | None
    cursor: bytes
    found: int
    done: int | None
    total: int | None
    state: BackfillState
