"""Transactions about actions and the journal of what was sent for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from persistence.connections import fence
from persistence.dialect import Query, Row, Transaction, query, shared
from persistence.errors import ConflictError, MissingError
from persistence.receipts import write_receipt
from persistence.records import (
    ActionRecord,
    ActionState,
    ExchangeRecord,
    ExchangeState,
    Lease,
    NewAction,
    NewReceipt,
)
from persistence.rows import action_of, document, kept, kept_or_none, time_or_none

# ``asked`` tells a new action from one that was there, in the one statement that decides it.
_ENQUEUE = shared(
    """INSERT INTO normalised_actions (position, action_id, tenant_id, connection_id, provider_id, canonical_type,
        target, target_key, payload, idempotency_key, digest, correlation_id, created_at, updated_at, expires_at,
        state, attempts, asked, not_before)
    VALUES (DEFAULT, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, 'queued', 0, 1, $12)
    ON CONFLICT (tenant_id, connection_id, idempotency_key)
        DO UPDATE SET asked = normalised_actions.asked + 1 WHERE normalised_actions.digest = excluded.digest
    RETURNING *"""
)
_ACTION = shared("SELECT * FROM normalised_actions WHERE tenant_id = $1 AND action_id = $2")
_OF_KEY = shared(
    """SELECT * FROM normalised_actions
    WHERE tenant_id = $1 AND connection_id = $2 AND idempotency_key = $3"""
)
_HEADS = """FROM normalised_actions a WHERE a.tenant_id = $1 AND a.connection_id = $2 AND a.state = 'queued'
    AND NOT EXISTS (SELECT 1 FROM normalised_actions b WHERE b.tenant_id = $1 AND b.connection_id = $2
        AND b.state = 'queued' AND b.target_key = a.target_key AND b.position < a.position)"""
_DUE = shared(f"SELECT a.* {_HEADS} AND a.not_before <= $3 ORDER BY a.position LIMIT $4")
_NEXT_AT = shared(f"SELECT min(a.not_before) AS at {_HEADS}")
_POSTPONE = shared(
    """UPDATE normalised_actions SET attempts = attempts + 1, not_before = $4, reason = $5, updated_at = $6
    WHERE tenant_id = $1 AND connection_id = $2 AND action_id = $3 AND state = 'queued' RETURNING state"""
)
_SETTLE = shared(
    """UPDATE normalised_actions SET state = $4, reason = $5, outcome = $6, updated_at = $7
    WHERE tenant_id = $1 AND connection_id = $2 AND action_id = $3 AND state = 'queued' RETURNING state"""
)
_STATE = shared(
    """SELECT state FROM normalised_actions
    WHERE tenant_id = $1 AND connection_id = $2 AND action_id = $3"""
)
_FORGET_ANSWERS = shared(
    """UPDATE exchanges SET headers = NULL, body = NULL, updated_at = $3
    WHERE tenant_id = $1 AND action_id = $2"""
)
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
_EXCHANGE_STATE = shared(
    """SELECT state FROM exchanges
    WHERE tenant_id = $1 AND connection_id = $2 AND exchange_id = $3"""
)


def enqueue(action: NewAction) -> Query:
    """Store an action, or find the one of its key."""
    return query(
        _ENQUEUE,
        action.action_id,
        action.tenant_id,
        action.connection_id,
        action.provider_id,
        action.canonical_type,
        document(action.target),
        kept(action.target_key),
        action.payload,
        kept(action.idempotency_key),
        action.digest,
        kept_or_none(action.correlation_id),
        action.created_at,
        action.expires_at,
    )


def enqueued_of(rows: Sequence[Row]) -> tuple[ActionRecord, bool]:
    """Read the row of ``enqueue``: the action, and whether it is new."""
    if not rows:
        raise ConflictError("the idempotency key is taken by another action")
    return action_of(rows[0]), rows[0]["asked"] == 1


def one(tenant_id: str, action_id: UUID) -> Query:
    """The tenant's action of that id."""
    return query(_ACTION, tenant_id, action_id)


def of_key(tenant_id: str, connection_id: UUID, idempotency_key: str) -> Query:
    """The action that the connection has under that key."""
    return query(_OF_KEY, tenant_id, connection_id, kept(idempotency_key))


def due(lease: Lease, *, now: datetime, limit: int) -> Query:
    """Actions at the head of their target's queue whose time has come."""
    return query(_DUE, lease.tenant_id, lease.connection_id, now, limit)


def next_at(lease: Lease) -> Query:
    """When the earliest head of a target's queue becomes due."""
    return query(_NEXT_AT, lease.tenant_id, lease.connection_id)


def next_at_of(rows: Sequence[Row]) -> datetime | None:
    """Read the row of ``next_at``."""
    return time_or_none(rows[0]["at"])


def journal(tenant_id: str, action_id: UUID) -> Query:
    """The exchanges of an action, oldest first."""
    return query(_EXCHANGES, tenant_id, action_id)


def intend(lease: Lease, exchange: ExchangeRecord) -> Transaction[None]:
    """See ``ActionStore.intend``."""
    yield from fence(lease)
    yield from _still_queued(lease, exchange.action_id)
    yield query(
        _INTEND,
        exchange.exchange_id,
        lease.tenant_id,
        lease.connection_id,
        exchange.action_id,
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
        rows = yield query(_EXCHANGE_STATE, *key)
        raise _not_in_state("exchange", rows)


def settle(  # noqa: PLR0913 - what it takes is one fact
    lease: Lease,
    action_id: UUID,
    *,
    state: ActionState,
    reason: str | None,
    outcome: bytes,
    receipt: NewReceipt,
    now: datetime,
) -> Transaction[None]:
    """See ``ActionStore.settle_action``."""
    if state is ActionState.QUEUED:
        raise ValueError("queued is no end")
    yield from fence(lease)
    key = (lease.tenant_id, lease.connection_id, action_id)
    settled = yield query(_SETTLE, *key, state, kept_or_none(reason), document(outcome), now)
    if not settled:
        yield from _still_queued(lease, action_id)
    yield query(_FORGET_ANSWERS, lease.tenant_id, action_id, now)
    yield from write_receipt(receipt, tenant_id=lease.tenant_id)


def postpone(
    lease: Lease, action_id: UUID, *, not_before: datetime, reason: str, now: datetime
) -> Transaction[None]:
    """See ``ActionStore.postpone_action``."""
    yield from fence(lease)
    key = (lease.tenant_id, lease.connection_id, action_id)
    postponed = yield query(_POSTPONE, *key, not_before, kept(reason), now)
    if not postponed:
        yield from _still_queued(lease, action_id)


def _still_queued(lease: Lease, action_id: UUID) -> Transaction[None]:
    """Say why an action can not be written to, if it can not."""
    rows = yield query(_STATE, lease.tenant_id, lease.connection_id, action_id)
    if not rows or rows[0]["state"] != ActionState.QUEUED:
        raise _not_in_state("action", rows)


def _not_in_state(what: str, rows: Sequence[Row]) -> ConflictError | MissingError:
    if not rows:
        return MissingError(f"no such {what}")
    return ConflictError(f"the {what} is {rows[0]['state']}")
