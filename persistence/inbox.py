"""Transactions about what came in: accepted, claimed, settled, swept.

The states of a delivery are literals in the statements, because SQLite uses a partial index only where the query
repeats its condition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

from attrs import evolve

from persistence import ledger
from persistence.dialect import Bulk, Query, Row, Sql, Transaction, query, shared
from persistence.errors import ConflictError, FencedError
from persistence.leases import fence_unchanged
from persistence.records import (
    DeliveryRecord,
    Lease,
    NewDelivery,
    ParkedRecord,
    SettledDelivery,
)
from persistence.rows import delivery_of
from persistence.values import kept, time_of, uuid_of

_COLUMNS = """delivery_id, tenant_id, connection_id, event_kind, event_id, replay_digest, received_at, state,
        attempts, body, origin, created_at, updated_at"""
_GIVEN = """SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::bytea[],
        $7::timestamptz[], $8::bytea[], $9::text[])
    WITH ORDINALITY AS g (delivery_id, tenant_id, connection_id, event_kind, event_id, replay_digest,
        received_at, body, origin, nth)"""
_KEEP = f"""INSERT INTO adapter_events ({_COLUMNS})
    SELECT delivery_id, tenant_id, connection_id, event_kind, event_id, replay_digest,
        received_at, 'pending', 0, body, origin, received_at, received_at
    FROM {{given}} ORDER BY nth
    ON CONFLICT DO NOTHING
    RETURNING tenant_id, connection_id, delivery_id"""  # noqa: S608 - only names of ours
# One statement, one round trip, one commit: rows, duplicates and ledger. A row that is there already, or comes
# twice in the same call, falls away; the ledger counts what came back and what did not.
ACCEPT_AND_COUNT = f"""
WITH given AS ({_GIVEN}), fresh AS ({_KEEP.format(given="given")}), counted AS (
    INSERT INTO delivery_counts ({ledger.COLUMNS})
    SELECT tenant_id, connection_id, sum(new), sum(came - new), 0, 0, 0, max(webhook_at), now(), now()
    FROM (
        SELECT tenant_id, connection_id, 1 AS came, 0 AS new,
            CASE WHEN origin = 'webhook' THEN received_at END AS webhook_at FROM given
        UNION ALL SELECT tenant_id, connection_id, 0, 1, NULL FROM fresh
    ) AS both_sides
    GROUP BY tenant_id, connection_id ORDER BY tenant_id, connection_id
    ON CONFLICT (tenant_id, connection_id) DO UPDATE SET {ledger.ADDED}
)
SELECT tenant_id, delivery_id FROM fresh
"""  # noqa: S608 - only names of ours
_ACCEPT = Sql(
    postgres=_KEEP.format(given=f"({_GIVEN}) AS given"),
    sqlite=shared(
        f"""INSERT INTO adapter_events (position, {_COLUMNS})
        VALUES (DEFAULT, $1, $2, $3, $4, $5, $6, $7, 'pending', 0, $8, $9, $7, $7)
        ON CONFLICT DO NOTHING RETURNING tenant_id, connection_id, delivery_id"""  # noqa: S608
    ).sqlite,
)
_IDLE = shared(
    """SELECT c.connection_id FROM integration_connections c
    WHERE c.tenant_id = $1 AND c.connection_id = $2 AND c.epoch = $3 AND c.version = $4 AND c.state = 'active'
        AND NOT EXISTS (SELECT 1 FROM adapter_events e
            WHERE e.tenant_id = $1 AND e.connection_id = $2 AND e.state = 'pending')"""
)
_OLDEST = shared(
    """SELECT delivery_id, attempts FROM adapter_events
    WHERE tenant_id = $1 AND connection_id = $2 AND state = 'pending' ORDER BY position LIMIT $3"""
)
_ATTEMPT = shared(
    """UPDATE adapter_events SET attempts = attempts + 1
    WHERE tenant_id = $1 AND delivery_id = ANY($2::uuid[]) RETURNING *"""
)
_NUMBER = shared(
    """UPDATE integration_connections SET sequence_no = sequence_no + $5
    WHERE tenant_id = $1 AND connection_id = $2 AND epoch = $3 AND sequence_no = $4 RETURNING epoch"""
)
_END_TURN = Sql(
    postgres="""UPDATE adapter_events AS e SET state = g.state, reason = g.reason, updated_at = $3,
            body = CASE WHEN g.state = 'forwarded' THEN NULL ELSE e.body END
        FROM unnest($4::uuid[], $5::text[], $6::text[]) AS g (delivery_id, state, reason)
        WHERE e.tenant_id = $1 AND e.connection_id = $2 AND e.delivery_id = g.delivery_id AND e.state = 'pending'
        RETURNING e.delivery_id""",
    sqlite="""UPDATE adapter_events SET state = ?5, reason = ?6, updated_at = ?3,
            body = CASE WHEN ?5 = 'forwarded' THEN NULL ELSE body END
        WHERE tenant_id = ?1 AND connection_id = ?2 AND delivery_id = ?4 AND state = 'pending'
        RETURNING delivery_id""",
)
_OUTBOX_COLUMNS = """tenant_id, connection_id, outbox_id, delivery_id, signal_id, sequence_no, signal_type,
    envelope, state, attempts, created_at, updated_at"""
_SEND = Sql(
    postgres=f"""INSERT INTO outbox ({_OUTBOX_COLUMNS})
        SELECT $1, $2, g.outbox_id, g.delivery_id, g.signal_id, g.sequence_no, g.signal_type, g.envelope,
            'waiting', 0, $3, $3
        FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::bigint[], $8::text[], $9::bytea[])
            AS g (outbox_id, delivery_id, signal_id, sequence_no, signal_type, envelope)
        ORDER BY g.sequence_no""",  # noqa: S608 - only names of ours
    sqlite=shared(
        f"""INSERT INTO outbox ({_OUTBOX_COLUMNS}, position)
        VALUES ($1, $2, $4, $5, $6, $7, $8, $9, 'waiting', 0, $3, $3, DEFAULT)"""  # noqa: S608
    ).sqlite,
)
_PARKED = shared(
    """SELECT delivery_id, event_kind, event_id, received_at, reason FROM adapter_events
    WHERE tenant_id = $1 AND connection_id = $2 AND state = 'parked' ORDER BY position DESC LIMIT $3"""
)
_PENDING = shared("SELECT count(*) AS pending FROM adapter_events WHERE state = 'pending'")


def accept_rows(deliveries: Sequence[NewDelivery]) -> list[tuple[object, ...]]:
    """The deliveries as rows, in the order of the parameters of the statements above."""
    return [
        (
            delivery.delivery_id,
            delivery.tenant_id,
            delivery.connection_id,
            kept(delivery.event_kind),
            kept(delivery.event_id),
            delivery.replay_digest,
            delivery.received_at,
            delivery.body,
            delivery.origin,
        )
        for delivery in deliveries
    ]


def accepted_of(rows: Sequence[Row], deliveries: Sequence[NewDelivery]) -> tuple[bool, ...]:
    """Which deliveries are new; of two with the same id in one call, the first."""
    fresh = {(row["tenant_id"], uuid_of(row["delivery_id"])) for row in rows}
    answers = []
    for delivery in deliveries:
        mark = (delivery.tenant_id, delivery.delivery_id)
        answers.append(mark in fresh)
        fresh.discard(mark)
    return tuple(answers)


def accept(rows: Sequence[tuple[object, ...]]) -> Transaction[Sequence[Row]]:
    """The same as ``ACCEPT_AND_COUNT``, as a part of more, or for an engine that has no round trips to save."""
    if not rows:
        return ()
    fresh = yield Bulk(sql=_ACCEPT, rows=rows)
    given = Counter((str(row[1]), uuid_of(row[2])) for row in rows)
    accepted = Counter((row["tenant_id"], uuid_of(row["connection_id"])) for row in fresh)
    webhooks_at = _webhooks_at(rows)
    yield from ledger.count(webhooks_at, accepted=accepted, duplicate=given - accepted)
    return fresh


def _webhooks_at(rows: Sequence[tuple[object, ...]]) -> dict[tuple[str, UUID], datetime]:
    """When the last webhook of each connection among ``accept_rows`` came."""
    latest: dict[tuple[str, UUID], datetime] = {}
    for _, tenant_id, connection_id, *_, received_at, _, origin in rows:
        if origin == "webhook":
            place, at = (str(tenant_id), uuid_of(connection_id)), time_of(received_at)
            latest[place] = max(at, latest.get(place, at))
    return latest


def idle(lease: Lease) -> Query:
    """A row, where a ``claim`` would find nothing to hand out and nothing to object to."""
    return query(_IDLE, lease.tenant_id, lease.connection_id, lease.epoch, lease.version)


def claim(lease: Lease, *, limit: int) -> Transaction[tuple[DeliveryRecord, ...]]:
    """See ``InboxStore.claim_deliveries``."""
    yield from fence_unchanged(lease)
    oldest = yield query(_OLDEST, lease.tenant_id, lease.connection_id, limit)
    ids = _one_turn(oldest)
    if not ids:
        return ()
    rows = yield query(_ATTEMPT, lease.tenant_id, ids)
    return tuple(delivery_of(row) for row in sorted(rows, key=lambda row: row["position"]))


def _one_turn(oldest: Sequence[Row]) -> tuple[UUID, ...]:
    """What to hand out together: the first alone if it was claimed before, else all up to the next such one."""
    again = [index for index, row in enumerate(oldest) if row["attempts"] > 0]
    end = max(again[0], 1) if again else len(oldest)
    return tuple(uuid_of(row["delivery_id"]) for row in oldest[:end])


def settle(
    lease: Lease, deliveries: Sequence[SettledDelivery], *, now: datetime
) -> Transaction[Lease]:
    """See ``InboxStore.settle``.

    The fence is the sequence too: a lease whose number is behind is one whose last settle did happen.
    """
    signals = [signal for delivery in deliveries for signal in delivery.signals]
    last = lease.sequence_no + len(signals)
    if [one.sequence_no for one in signals] != list(range(lease.sequence_no + 1, last + 1)):
        raise ValueError("signals must be numbered on from the lease's sequence_no")
    place = (lease.tenant_id, lease.connection_id)
    held = yield query(_NUMBER, *place, lease.epoch, lease.sequence_no, len(signals))
    if not held:
        raise FencedError("another incarnation owns the connection, or this lease is behind it")
    turns = [_turn(delivery) for delivery in deliveries]
    if turns:
        ended = yield Bulk(sql=_END_TURN, args=(*place, now), rows=turns)
        if len(ended) != len(turns):
            raise ConflictError("a delivery is not pending")
    if signals:
        yield Bulk(sql=_SEND, args=(*place, now), rows=_outbox_rows(lease, deliveries))
    states = Counter(turn[1] for turn in turns)
    counts = {state: {place: states[state]} for state in ("forwarded", "parked") if states[state]}
    yield from ledger.count(**counts)
    return evolve(lease, sequence_no=last)


def _turn(delivery: SettledDelivery) -> tuple[UUID, str, str | None]:
    if delivery.parked is not None and delivery.signals:
        raise ValueError("a parked delivery has no signals")
    if delivery.parked is not None:
        return delivery.delivery_id, "parked", kept(delivery.parked)
    return delivery.delivery_id, "settled" if delivery.signals else "forwarded", None


def _outbox_rows(lease: Lease, deliveries: Sequence[SettledDelivery]) -> list[tuple[object, ...]]:
    return [
        (
            uuid5(lease.connection_id, signal.signal_id),
            delivery.delivery_id,
            signal.signal_id,
            signal.sequence_no,
            signal.signal_type,
            signal.envelope,
        )
        for delivery in deliveries
        for signal in delivery.signals
    ]


def parked(tenant_id: str, connection_id: UUID, *, limit: int) -> Query:
    """What was set aside, newest first."""
    return query(_PARKED, tenant_id, connection_id, limit)


def parked_of(row: Row) -> ParkedRecord:
    """Read a row of ``parked``."""
    return ParkedRecord(
        delivery_id=uuid_of(row["delivery_id"]),
        event_kind=row["event_kind"],
        event_id=row["event_id"],
        received_at=time_of(row["received_at"]),
        reason=row["reason"],
    )


def pending() -> Query:
    """How many deliveries wait, in a column of that name."""
    return query(_PENDING)
