"""The program's own transactions: forgetting what is over, and proving that the database is the right one."""

from __future__ import annotations

from datetime import datetime

from persistence.dialect import Query, Transaction, query, shared

_END_REPLAY = shared(
    """UPDATE adapter_events SET replay_digest = NULL WHERE (tenant_id, delivery_id) IN (
        SELECT tenant_id, delivery_id FROM adapter_events WHERE replay_digest IS NOT NULL AND received_at < $1
        ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING tenant_id"""
)
_FORGET_DELIVERIES = shared(
    """DELETE FROM adapter_events WHERE (tenant_id, delivery_id) IN (
        SELECT tenant_id, delivery_id FROM adapter_events WHERE state = 'forwarded' AND updated_at < $1
        ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING tenant_id"""
)
_FORGET_SIGNALS = shared(
    """DELETE FROM outbox WHERE (tenant_id, outbox_id) IN (
        SELECT tenant_id, outbox_id FROM outbox WHERE state = 'forwarded' AND updated_at < $1
        ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING tenant_id"""
)
_FORGET_RECEIPTS = shared(
    """DELETE FROM receipts WHERE (tenant_id, receipt_id) IN (
        SELECT tenant_id, receipt_id FROM receipts WHERE state = 'sent' AND created_at < $1
        ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING tenant_id"""
)
_OVER = shared(
    """SELECT tenant_id, action_id FROM normalised_actions WHERE state <> 'queued' AND updated_at < $1
    ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED"""
)
_FORGET_EXCHANGES = shared(
    "DELETE FROM exchanges WHERE tenant_id = $1 AND action_id = ANY($2::uuid[]) RETURNING tenant_id"
)
_FORGET_ACTIONS = shared(
    "DELETE FROM normalised_actions WHERE tenant_id = $1 AND action_id = ANY($2::uuid[])"
)
_REVISION = shared("SELECT version_num FROM alembic_version")


def sweep(*, replay_before: datetime, forget_before: datetime, limit: int) -> Transaction[int]:
    """See ``InboxStore.sweep``; rows that another node sweeps at the same time are left to it."""
    ended = yield query(_END_REPLAY, replay_before, limit)
    touched = len(ended)
    for statement in (_FORGET_DELIVERIES, _FORGET_SIGNALS, _FORGET_RECEIPTS):
        rows = yield query(statement, forget_before, limit)
        touched += len(rows)
    over = yield query(_OVER, forget_before, limit)
    for tenant_id in sorted({row["tenant_id"] for row in over}):
        actions = tuple(row["action_id"] for row in over if row["tenant_id"] == tenant_id)
        exchanges = yield query(_FORGET_EXCHANGES, tenant_id, actions)
        yield query(_FORGET_ACTIONS, tenant_id, actions)
        touched += len(actions) + len(exchanges)
    return touched


def revision() -> Query:
    """The database's revision, in ``version_num``."""
    return query(_REVISION)
