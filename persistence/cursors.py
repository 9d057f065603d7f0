"""Transactions about how far a connection's resources have been polled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

from persistence import inbox
from persistence.dialect import Bulk, Query, Sql, Transaction, query, shared
from persistence.errors import ConflictError, MissingError
from persistence.leases import fence, fence_active
from persistence.poll_rows import cursor_of
from persistence.polls import CursorRecord, PolledPage
from persistence.records import Lease, NewDelivery
from persistence.sealed import Place, of_one_connection
from persistence.values import kept, kept_or_none

_FORGET_OTHERS = shared(
    """DELETE FROM polling_cursors
    WHERE tenant_id = $1 AND connection_id = $2 AND NOT (resource = ANY($3::text[]))"""
)
_COLUMNS = """tenant_id, connection_id, state, created_at, updated_at, cursor_id, resource, cursor_position,
    next_poll_at, every_s, failures, reason, last_polled_at, last_news_at"""
_PLAN = Sql(
    postgres=f"""INSERT INTO polling_cursors ({_COLUMNS}) SELECT $1, $2, $3, $4, $4, g.*
        FROM unnest($5::uuid[], $6::text[], $7::bytea[], $8::timestamptz[], $9::float8[], $10::integer[],
            $11::text[], $12::timestamptz[], $13::timestamptz[]) AS g
        ON CONFLICT (tenant_id, connection_id, resource) DO NOTHING""",  # noqa: S608 - only names of ours
    sqlite=shared(
        f"""INSERT INTO polling_cursors ({_COLUMNS})
        VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT (tenant_id, connection_id, resource) DO NOTHING"""  # noqa: S608
    ).sqlite,
)
_OF_CONNECTION = shared(
    "SELECT * FROM polling_cursors WHERE tenant_id = $1 AND connection_id = $2 ORDER BY resource"
)
# Of two who asked with the same cursor, the one that commits first is kept.
_MOVE = shared(
    """UPDATE polling_cursors SET cursor_position = $5, next_poll_at = $6, every_s = $7, failures = 0, reason = NULL,
        last_polled_at = $8, updated_at = $8
    WHERE tenant_id = $1 AND connection_id = $2 AND resource = $3
        AND (cursor_position = $4 OR (cursor_position IS NULL AND $4::bytea IS NULL))
    RETURNING resource"""
)
_POSTPONE = shared(
    """UPDATE polling_cursors SET next_poll_at = $4, reason = $5, failures = failures + $6::integer, updated_at = $7
    WHERE tenant_id = $1 AND connection_id = $2 AND resource = $3"""
)
_SET = shared(
    """UPDATE polling_cursors SET cursor_position = $4, next_poll_at = $5, failures = 0, reason = NULL, updated_at = $5
    WHERE tenant_id = $1 AND connection_id = $2 AND resource = $3 RETURNING *"""
)
_POLL_NOW = shared(
    """UPDATE polling_cursors SET next_poll_at = $4, updated_at = $4
    WHERE tenant_id = $1 AND connection_id = $2 AND resource = ANY($3::text[]) AND next_poll_at > $4"""
)
_SEEN_NEWS = shared(
    """UPDATE polling_cursors SET last_news_at = $3, updated_at = $3
    WHERE tenant_id = $1 AND connection_id = $2 AND (last_news_at IS NULL OR last_news_at <= (
        SELECT d.last_webhook_at FROM delivery_counts d WHERE d.tenant_id = $1 AND d.connection_id = $2))"""
)
_KNOWN = shared(
    """SELECT signal_id FROM outbox
    WHERE tenant_id = $1 AND connection_id = $2 AND signal_id = ANY($3::text[])"""
)
_FOLLOW = shared(
    """UPDATE polling_cursors SET state = $3, updated_at = $4
    WHERE tenant_id = $1 AND connection_id = $2 AND state <> $3"""
)


def plan(lease: Lease, first: Sequence[CursorRecord], *, now: datetime) -> Transaction[None]:
    """See ``PollStore.plan_polls``."""
    place = (lease.tenant_id, lease.connection_id)
    of_one_connection(place, first)
    connection = yield from fence(lease)
    yield query(_FORGET_OTHERS, *place, tuple(kept(one.resource) for one in first))
    if first:
        rows = [_row(one) for one in first]
        yield Bulk(sql=_PLAN, args=(*place, connection["state"], now), rows=rows)


def _row(cursor: CursorRecord) -> tuple[object, ...]:
    return (
        uuid5(cursor.connection_id, cursor.resource),
        kept(cursor.resource),
        cursor.cursor,
        cursor.next_poll_at,
        cursor.every.total_seconds(),
        cursor.failures,
        kept_or_none(cursor.reason),
        cursor.last_polled_at,
        cursor.last_news_at,
    )


def of_connection(tenant_id: str, connection_id: UUID) -> Query:
    """The connection's cursors by resource."""
    return query(_OF_CONNECTION, tenant_id, connection_id)


def keep(
    lease: Lease, page: PolledPage, items: Sequence[NewDelivery], *, now: datetime
) -> Transaction[tuple[bool, ...]]:
    """See ``PollStore.keep_page``."""
    place = (lease.tenant_id, lease.connection_id)
    of_one_connection(place, items)
    yield from fence_active(lease)
    fresh = inbox.accepted_of((yield from inbox.accept(inbox.accept_rows(items))), items)
    turn = page if any(fresh) or page.nothing_new is None else page.nothing_new
    moved = yield query(
        _MOVE,
        *place,
        kept(page.resource),
        page.expected,
        page.cursor,
        turn.next_poll_at,
        turn.every.total_seconds(),
        now,
    )
    if not moved:
        raise ConflictError("the cursor is another by now")
    return fresh


def postpone(
    lease: Lease,
    resource: str,
    *,
    next_poll_at: datetime,
    reason: str,
    failed: bool,
    now: datetime,
) -> Transaction[None]:
    """See ``PollStore.postpone_poll``."""
    yield from fence(lease)
    key = (lease.tenant_id, lease.connection_id, kept(resource))
    yield query(_POSTPONE, *key, next_poll_at, kept(reason), int(failed), now)


def set_by_hand(
    place: Place, resource: str, cursor: bytes | None, *, now: datetime
) -> Transaction[CursorRecord]:
    """See ``PollStore.set_cursor``."""
    rows = yield query(_SET, *place, kept(resource), cursor, now)
    if not rows:
        raise MissingError("no such cursor")
    return cursor_of(rows[0])


def poll_now(place: Place, resources: Sequence[str], *, now: datetime) -> Query:
    """See ``PollStore.poll_now``."""
    return query(_POLL_NOW, *place, tuple(kept(each) for each in resources), now)


def seen_news(lease: Lease, *, now: datetime) -> Transaction[None]:
    """See ``PollStore.seen_news``."""
    yield from fence(lease)
    yield query(_SEEN_NEWS, lease.tenant_id, lease.connection_id, now)


def known_signals(lease: Lease, signal_ids: Sequence[str]) -> Transaction[frozenset[str]]:
    """See ``PollStore.known_signals``."""
    yield from fence(lease)
    rows = yield query(_KNOWN, lease.tenant_id, lease.connection_id, tuple(signal_ids))
    return frozenset(row["signal_id"] for row in rows)


def follow(place: Place, state: str, *, now: datetime) -> Query:
    """Keep a connection's state in its cursors, which are found by it; the connection's row is locked by the caller."""
    return query(_FOLLOW, *place, state, now)
