"""Transactions about signals on their way to PM-3."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from persistence import ledger
from persistence.dialect import Bulk, Query, Row, Sql, Transaction, query, shared
from persistence.records import OutboxRecord, RelayedSignal
from persistence.rows import signal_of
from persistence.values import kept_or_none, uuid_of

# Steps from tenant to tenant through the index of what waits: its cost is the tenants', not the backlog's.
_TENANTS = shared(
    """WITH RECURSIVE waiting (tenant_id) AS (
        SELECT min(tenant_id) FROM outbox WHERE state = 'waiting'
        UNION ALL
        SELECT (SELECT min(o.tenant_id) FROM outbox o WHERE o.state = 'waiting' AND o.tenant_id > w.tenant_id)
        FROM waiting w WHERE w.tenant_id IS NOT NULL
    )
    SELECT tenant_id FROM waiting WHERE tenant_id IS NOT NULL
    ORDER BY (SELECT min(o.position) FROM outbox o
        WHERE o.state = 'waiting' AND o.tenant_id = waiting.tenant_id)
    LIMIT $1"""
)
_NEXT = shared(
    """UPDATE outbox SET attempts = attempts + 1 WHERE tenant_id = $1 AND outbox_id IN (
        SELECT outbox_id FROM outbox WHERE tenant_id = $1 AND state = 'waiting' ORDER BY position LIMIT $2)
    RETURNING *"""
)
# The envelope goes with its signal, as the body goes with its delivery; a refused one is kept to be looked at.
_RELAYED = Sql(
    postgres="""UPDATE outbox AS o SET state = g.state, reason = g.reason, updated_at = $2,
            envelope = CASE WHEN g.state = 'forwarded' THEN NULL ELSE o.envelope END
        FROM unnest($3::uuid[], $4::text[], $5::text[]) AS g (outbox_id, state, reason)
        WHERE o.tenant_id = $1 AND o.outbox_id = g.outbox_id AND o.state = 'waiting'
        RETURNING o.delivery_id""",
    sqlite="""UPDATE outbox SET state = ?4, reason = ?5, updated_at = ?2,
            envelope = CASE WHEN ?4 = 'forwarded' THEN NULL ELSE envelope END
        WHERE tenant_id = ?1 AND outbox_id = ?3 AND state = 'waiting'
        RETURNING delivery_id""",
)
_LOCK = shared(
    """SELECT delivery_id FROM adapter_events WHERE tenant_id = $1 AND delivery_id = ANY($2::uuid[])
    ORDER BY delivery_id FOR UPDATE"""
)
_END = shared(
    """UPDATE adapter_events AS e SET updated_at = $3,
        state = CASE WHEN refused.reason IS NULL THEN 'forwarded' ELSE 'parked' END,
        reason = refused.reason,
        body = CASE WHEN refused.reason IS NULL THEN NULL ELSE e.body END
    FROM (
        SELECT d.delivery_id AS of_delivery, (
            SELECT o.reason FROM outbox o WHERE o.tenant_id = $1 AND o.delivery_id = d.delivery_id
                AND o.state = 'parked' ORDER BY o.position LIMIT 1) AS reason
        FROM adapter_events d WHERE d.tenant_id = $1 AND d.delivery_id = ANY($2::uuid[])
            AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.tenant_id = $1 AND o.delivery_id = d.delivery_id
                AND o.state = 'waiting')
    ) AS refused
    WHERE e.tenant_id = $1 AND e.delivery_id = refused.of_delivery AND e.state = 'settled'
    RETURNING tenant_id, connection_id, state"""
)


def tenants(limit: int) -> Query:
    """Tenants with signals that wait, the one that waits longest first."""
    return query(_TENANTS, limit)


def following(tenant_id: str, *, limit: int) -> Query:
    """The tenant's oldest waiting signals, each attempt counted."""
    return query(_NEXT, tenant_id, limit)


def signals_of(rows: Sequence[Row]) -> tuple[OutboxRecord, ...]:
    """Read the rows of ``following`` (RETURNING promises no order)."""
    return tuple(signal_of(row) for row in sorted(rows, key=lambda row: row["position"]))


def settle(
    tenant_id: str, signals: Sequence[RelayedSignal], *, now: datetime
) -> Transaction[None]:
    """See ``OutboxStore.settle_signals``.

    The deliveries are locked before their signals are counted: of two relays that settle the last two signals
    of a delivery at once, the later sees both.
    """
    if not signals:
        return
    words = [
        (one.outbox_id, "forwarded" if one.parked is None else "parked", kept_or_none(one.parked))
        for one in signals
    ]
    relayed = yield Bulk(sql=_RELAYED, args=(tenant_id, now), rows=words)
    touched = tuple({uuid_of(row["delivery_id"]) for row in relayed})
    yield query(_LOCK, tenant_id, touched)
    ended = yield query(_END, tenant_id, touched, now)
    places = Counter(
        (row["state"], (row["tenant_id"], uuid_of(row["connection_id"]))) for row in ended
    )
    yield from ledger.count(
        **{
            state: {place: number for (its, place), number in places.items() if its == state}
            for state in ("forwarded", "parked")
        }
    )
