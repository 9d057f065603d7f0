"""Transactions about backfills."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from persistence import inbox
from persistence.dialect import Query, Row, Transaction, query, shared
from persistence.endings import not_in_state
from persistence.errors import ConflictError, MissingError
from persistence.leases import fence, fence_active
from persistence.poll_rows import backfill_of
from persistence.polls import BackfillPage, BackfillRecord, BackfillState, NewBackfill
from persistence.records import Lease, NewDelivery
from persistence.sealed import Place, of_one_connection
from persistence.values import kept, kept_or_none

# The shared lock orders it against the end of the connection: what was deleted begins nothing.
_BEGIN = shared(
    """INSERT INTO backfills (backfill_id, tenant_id, connection_id, resource, since, until, state, found, fresh,
        next_at, created_at, updated_at)
    SELECT $1::uuid, $2::text, $3::uuid, $4::text, $5::timestamptz, $6::timestamptz, 'running', 0, 0,
        $7::timestamptz, $7::timestamptz, $7::timestamptz
    FROM (SELECT 1 FROM integration_connections
        WHERE tenant_id = $2::text AND connection_id = $3::uuid AND state <> 'deleted' FOR SHARE) AS connection
    RETURNING *"""
)
_OF_CONNECTION = shared(
    """SELECT * FROM backfills WHERE tenant_id = $1 AND connection_id = $2
    ORDER BY created_at DESC, backfill_id DESC LIMIT $3"""
)
_ONE = shared("SELECT * FROM backfills WHERE tenant_id = $1 AND backfill_id = $2")
_MOVE = shared(
    """UPDATE backfills SET state = $4::text, reason = $5, next_at = $6, updated_at = $6,
        ended_at = CASE WHEN $4::text IN ('running', 'paused') THEN NULL ELSE $6::timestamptz END
    WHERE tenant_id = $1 AND backfill_id = $2 AND state = ANY($3::text[]) AND state IN ('running', 'paused')
    RETURNING *"""
)
_CANCEL_ALL = shared(
    """UPDATE backfills SET state = 'cancelled', reason = $3, updated_at = $4, ended_at = $4
    WHERE tenant_id = $1 AND connection_id = $2 AND state IN ('running', 'paused')"""
)
_DUE = shared(
    """SELECT * FROM backfills
    WHERE tenant_id = $1 AND connection_id = $2 AND state = 'running' AND next_at <= $3
    ORDER BY created_at, backfill_id LIMIT $4"""
)
_KEEP = shared(
    """UPDATE backfills SET cursor_position = $5, found = found + $6, fresh = fresh + $7, done = $8, total = $9,
        state = $10::text, reason = NULL, next_at = $11, updated_at = $11,
        ended_at = CASE WHEN $10::text = 'done' THEN $11::timestamptz ELSE NULL END
    WHERE tenant_id = $1 AND connection_id = $2 AND backfill_id = $3 AND state = 'running'
        AND (cursor_position = $4 OR (cursor_position IS NULL AND $4::bytea IS NULL))
    RETURNING state"""
)
_POSTPONE = shared(
    """UPDATE backfills SET next_at = $4, reason = $5, updated_at = $6
    WHERE tenant_id = $1 AND connection_id = $2 AND backfill_id = $3 AND state = 'running'"""
)
_AFTER_A_PAGE = (BackfillState.RUNNING, BackfillState.DONE)


def begin(backfill: NewBackfill) -> Query:
    """See ``PollStore.begin_backfill``; no row comes back where there is no such connection."""
    return query(
        _BEGIN,
        backfill.backfill_id,
        backfill.tenant_id,
        backfill.connection_id,
        kept(backfill.resource),
        backfill.since,
        backfill.until,
        backfill.created_at,
    )


def begun_of(rows: Sequence[Row]) -> BackfillRecord:
    """Read the row of ``begin``."""
    if not rows:
        raise MissingError("no such connection")
    return backfill_of(rows[0])


def of_connection(tenant_id: str, connection_id: UUID, *, limit: int) -> Query:
    """The connection's backfills, newest first."""
    return query(_OF_CONNECTION, tenant_id, connection_id, limit)


def one(tenant_id: str, backfill_id: UUID) -> Query:
    """The tenant's backfill of that id."""
    return query(_ONE, tenant_id, backfill_id)


def move(
    tenant_id: str,
    backfill_id: UUID,
    *,
    expected: Sequence[BackfillState],
    state: BackfillState,
    reason: str | None,
    now: datetime,
) -> Transaction[BackfillRecord]:
    """See ``PollStore.move_backfill``; what is final stays, whatever is expected."""
    key = (tenant_id, backfill_id)
    moved = yield query(_MOVE, *key, tuple(expected), state, kept_or_none(reason), now)
    if not moved:
        there = yield one(*key)
        raise not_in_state("backfill", there)
    return backfill_of(moved[0])


def cancel_all(place: Place, *, reason: str, now: datetime) -> Query:
    """End what a connection still fills in; its row is locked by the caller."""
    return query(_CANCEL_ALL, *place, reason, now)


def due(lease: Lease, *, now: datetime, limit: int) -> Query:
    """The connection's running backfills whose time has come, oldest first."""
    return query(_DUE, lease.tenant_id, lease.connection_id, now, limit)


def keep(
    lease: Lease, page: BackfillPage, items: Sequence[NewDelivery], *, now: datetime
) -> Transaction[tuple[bool, ...]]:
    """See ``PollStore.keep_backfill_page``."""
    if page.state not in _AFTER_A_PAGE:
        raise ValueError(f"no page leaves a backfill {page.state}")
    place = (lease.tenant_id, lease.connection_id)
    of_one_connection(place, items)
    yield from fence_active(lease)
    rows = yield from inbox.accept(inbox.accept_rows(items))
    fresh = inbox.accepted_of(rows, items)
    kept_page = yield query(
        _KEEP,
        *place,
        page.backfill_id,
        page.expected,
        page.cursor,
        page.found,
        sum(fresh),
        page.done,
        page.total,
        page.state,
        now,
    )
    if not kept_page:
        raise ConflictError("the backfill does not run any more, or its cursor is another by now")
    return fresh


def postpone(
    lease: Lease, backfill_id: UUID, *, next_at: datetime, reason: str, now: datetime
) -> Transaction[None]:
    """See ``PollStore.postpone_backfill``."""
    yield from fence(lease)
    key = (lease.tenant_id, lease.connection_id, backfill_id)
    yield query(_POSTPONE, *key, next_at, kept(reason), now)
