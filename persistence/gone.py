"""The transaction that forgets deleted connections, with all that hangs on them.

Their receipts stay until they are sent and old, like anybody's: evidence outlives what it is about.
"""

from __future__ import annotations

from datetime import datetime

from persistence.dialect import Transaction, query, shared
from persistence.sealed import Place
from persistence.values import uuid_of

_AT_ONCE = 50
"""Connections in one sweep; each takes a dozen statements."""

# Taken for good: a delivery that is accepted in this moment waits, and then finds that there is no such connection.
_GONE = shared(
    """SELECT tenant_id, connection_id FROM integration_connections c
    WHERE c.deleted_at IS NOT NULL AND c.deleted_at < $1 AND c.state = 'deleted' AND c.clean_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.tenant_id = c.tenant_id
            AND o.connection_id = c.connection_id AND o.state = 'waiting')
    ORDER BY c.deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED"""
)
_EXCHANGES = shared(
    """DELETE FROM exchanges WHERE tenant_id = $1 AND action_id IN (
        SELECT action_id FROM normalised_actions WHERE tenant_id = $1 AND connection_id = $2
        ORDER BY position LIMIT $3)"""
)
_ACTIONS = shared(
    """DELETE FROM normalised_actions WHERE tenant_id = $1 AND action_id IN (
        SELECT action_id FROM normalised_actions WHERE tenant_id = $1 AND connection_id = $2
        ORDER BY position LIMIT $3)
    RETURNING tenant_id"""
)
_HANGING = tuple(
    shared(
        f"""DELETE FROM {table} WHERE tenant_id = $1 AND {key} IN (
            SELECT {key} FROM {table} WHERE tenant_id = $1 AND connection_id = $2 LIMIT $3)
        RETURNING tenant_id"""  # noqa: S608 - names of ours
    )
    for table, key in (
        ("outbox", "outbox_id"),
        ("adapter_events", "delivery_id"),
        ("logins", "login_id"),
        ("incidents", "incident_id"),
        ("polling_cursors", "cursor_id"),
        ("backfills", "backfill_id"),
        ("sealed_secrets", "secret_id"),
        ("webhook_registrations", "registration_id"),
    )
)
_LEDGER = shared("DELETE FROM delivery_counts WHERE tenant_id = $1 AND connection_id = $2")
_CONNECTION = shared(
    "DELETE FROM integration_connections WHERE tenant_id = $1 AND connection_id = $2"
)


def forget(*, before: datetime, limit: int) -> Transaction[int]:
    """Forget tidied-up connections deleted ``before``: at most ``limit`` rows, the rest in the next sweep."""
    found = yield query(_GONE, before, min(limit, _AT_ONCE))
    touched = 0
    for row in found:
        place = (row["tenant_id"], uuid_of(row["connection_id"]))
        touched += yield from _forget_hanging(place, limit - touched)
        if touched >= limit:
            break
        yield query(_LEDGER, *place)
        yield query(_CONNECTION, *place)
        touched += 1
    return touched


def _forget_hanging(place: Place, room: int) -> Transaction[int]:
    """Forget up to ``room`` rows; fewer came where nothing is left."""
    touched = 0
    yield query(_EXCHANGES, *place, room)
    for statement in (_ACTIONS, *_HANGING):
        rows = yield query(statement, *place, room - touched)
        touched += len(rows)
    return touched
