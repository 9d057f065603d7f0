"""The program's own transactions: forgetting what is over, and proving that the database is the right one."""

from __future__ import annotations

from datetime import datetime

from persistence import gone
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
# From the start of each chain, so that what is kept of it still holds together: nothing is skipped because another
# node is about to forget it.
_FORGET_RECEIPTS = shared(
    """DELETE FROM receipts WHERE (tenant_id, receipt_id) IN (
        SELECT tenant_id, receipt_id FROM receipts WHERE state = 'sent' AND stamped_at < $1
        ORDER BY stamped_at, tenant_id, sequence_no LIMIT $2 FOR UPDATE) RETURNING tenant_id"""
)
_FORGET_INCIDENTS = shared(
    """DELETE FROM incidents WHERE (tenant_id, incident_id) IN (
        SELECT tenant_id, incident_id FROM incidents WHERE told = 'resolved' AND resolved_at < $1
        ORDER BY resolved_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING tenant_id"""
)
_FORGET_ENDPOINTS = shared(
    """DELETE FROM webhook_registrations WHERE (tenant_id, registration_id) IN (
        SELECT tenant_id, registration_id FROM webhook_registrations WHERE ends_at IS NOT NULL AND ends_at < $1
        ORDER BY ends_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING tenant_id"""
)
_FORGET_BACKFILLS = shared(
    """DELETE FROM backfills WHERE (tenant_id, backfill_id) IN (
        SELECT tenant_id, backfill_id FROM backfills WHERE ended_at IS NOT NULL AND ended_at < $1
        ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING tenant_id"""
)
_FORGET_CURSORS = shared(
    """DELETE FROM polling_cursors WHERE (tenant_id, cursor_id) IN (
        SELECT tenant_id, cursor_id FROM polling_cursors WHERE state = 'deleted' AND updated_at <= $1
        ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING tenant_id"""
)
_FORGET_SECRETS = shared(
    """DELETE FROM sealed_secrets WHERE (tenant_id, secret_id) IN (
        SELECT tenant_id, secret_id FROM sealed_secrets WHERE expires_at IS NOT NULL AND expires_at <= $1
        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING tenant_id"""
)
# An ended endpoint still answers that it is; that needs its token's digest, not its token.
_FORGET_TOKENS = shared(
    """DELETE FROM sealed_secrets WHERE (tenant_id, secret_id) IN (
        SELECT w.tenant_id, w.token_ref FROM webhook_registrations w
        JOIN sealed_secrets s ON s.tenant_id = w.tenant_id AND s.secret_id = w.token_ref
        WHERE w.ends_at IS NOT NULL AND w.ends_at <= $1
        ORDER BY w.ends_at LIMIT $2 FOR UPDATE OF s SKIP LOCKED) RETURNING tenant_id"""
)
_FORGET_LOGINS = shared(
    """DELETE FROM logins WHERE (tenant_id, login_id) IN (
        SELECT tenant_id, login_id FROM logins WHERE expires_at <= $1
        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING tenant_id"""
)
# A claim that nobody finished is kept as long as what is finished: its key still tells another request from it.
_FORGET_REQUESTS = shared(
    """DELETE FROM requests WHERE (tenant_id, request_id) IN (
        SELECT tenant_id, request_id FROM requests
        WHERE expires_at <= $1 AND (status IS NOT NULL OR expires_at < $3)
        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING tenant_id"""
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
_OLD = (
    _FORGET_DELIVERIES,
    _FORGET_SIGNALS,
    _FORGET_RECEIPTS,
    _FORGET_INCIDENTS,
    _FORGET_ENDPOINTS,
    _FORGET_BACKFILLS,
)
_ENDED = (_FORGET_SECRETS, _FORGET_TOKENS, _FORGET_LOGINS, _FORGET_CURSORS)
_REVISION = shared("SELECT version_num FROM alembic_version")


def sweep(
    *, replay_before: datetime, forget_before: datetime, limit: int, now: datetime
) -> Transaction[int]:
    """See ``InboxStore.sweep``; rows that another node sweeps at the same time are left to it."""
    ended = yield query(_END_REPLAY, replay_before, limit)
    touched = len(ended)
    for statement in _OLD:
        rows = yield query(statement, forget_before, limit)
        touched += len(rows)
    for statement in _ENDED:
        rows = yield query(statement, now, limit)
        touched += len(rows)
    rows = yield query(_FORGET_REQUESTS, now, limit, forget_before)
    touched += len(rows)
    touched += yield from _forget_actions(forget_before, limit)
    touched += yield from gone.forget(before=forget_before, limit=limit)
    return touched


def _forget_actions(before: datetime, limit: int) -> Transaction[int]:
    touched = 0
    over = yield query(_OVER, before, limit)
    for tenant_id in sorted({row["tenant_id"] for row in over}):
        actions = tuple(row["action_id"] for row in over if row["tenant_id"] == tenant_id)
        exchanges = yield query(_FORGET_EXCHANGES, tenant_id, actions)
        yield query(_FORGET_ACTIONS, tenant_id, actions)
        touched += len(actions) + len(exchanges)
    return touched


def revision() -> Query:
    """The database's revision, in ``version_num``."""
    return query(_REVISION)
