"""Transactions about the journal of what was sent for an action."""

from __future__ import annotations

from uuid import UUID

from persistence.dialect import Query, Transaction, query, shared
from persistence.endings import not_in_state, still_queued
from persistence.leases import fence, fence_active
from persistence.records import ExchangeRecord, ExchangeState, Lease

_EXCHANGES = shared(
    "SELECT * FROM exchanges WHERE tenant_id = $1 AND action_id = $2 ORDER BY position"
)
_INTEND = shared(
    """INSERT INTO exchanges (position, exchange_id, tenant_id, connection_id, action_id, step, digest, state,
        sent_at, status, headers, body, created_at, updated_at)
    VALUES (DEFAULT, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $8, $8)"""
)
_RESOLVE = shared(
    """UPDATE exchanges SET state = $4::text, status = $5, headers = $6, body = $7
    WHERE tenant_id = $1 AND connection_id = $2 AND exchange_id = $3 AND state IN ('intended', $4::text)
    RETURNING state"""
)
_STATE = shared(
    """SELECT state FROM exchanges
    WHERE tenant_id = $1 AND connection_id = $2 AND exchange_id = $3"""
)


def of_action(tenant_id: str, action_id: UUID) -> Query:
    """The exchanges of an action, oldest first."""
    return query(_EXCHANGES, tenant_id, action_id)


def intend(
    lease: Lease, exchange: ExchangeRecord, journalled: int | None = None
) -> Transaction[None]:
    """See ``ActionStore.intend``; whoever cancels the action takes the connection's row as this does."""
    yield from fence_active(lease)
    yield from still_queued(lease, exchange.action_id, journalled)
    yield query(
        _INTEND,
        exchange.exchange_id,
        lease.tenant_id,
        lease.connection_id,
        exchange.action_id,
        *written(exchange),
    )


def written(exchange: ExchangeRecord) -> tuple[object, ...]:
    """What the journal says of a write, from its step to the answer's body."""
    return (
        exchange.step,
        exchange.digest,
        exchange.state,
        exchange.sent_at,
        exchange.status,
        exchange.headers,
        exchange.body,
    )


def resolve(lease: Lease, exchange: ExchangeRecord, *, state: ExchangeState) -> Transaction[None]:
    """See ``ActionStore.resolve_exchange``; what is resolved stays so."""
    yield from fence(lease)
    key = (lease.tenant_id, lease.connection_id, exchange.exchange_id)
    answer = (exchange.status, exchange.headers, exchange.body)
    resolved = yield query(_RESOLVE, *key, state, *answer)
    if not resolved:
        rows = yield query(_STATE, *key)
        raise not_in_state("exchange", rows)
