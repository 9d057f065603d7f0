"""Statements about actions that wait: asked for, found, due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from persistence.changes import ActionFilter
from persistence.dialect import Query, Row, Sql, query, shared
from persistence.errors import ChangedError, ConflictError, MissingError, StaleError
from persistence.records import ActionRecord, ActionState, ConnectionState, Lease, NewAction
from persistence.rows import action_of, new_of
from persistence.values import document, kept, kept_or_none, time_or_none

# ``asked`` tells a new action from one that was there, in the one statement that decides it. The shared lock orders it
# against a change of the connection: what comes in after a suspension finds no active connection to belong to.
_COLUMNS = """action_id, tenant_id, connection_id, provider_id, canonical_type, target, target_key, payload,
        idempotency_key, digest, correlation_id, created_at, updated_at, expires_at, state, attempts, asked, not_before"""
_ENQUEUE = """INSERT INTO normalised_actions ({columns}{position})
    SELECT $1::uuid, $2::text, $3::uuid, $4::text, $5::text, $6::jsonb, $7::text, $8::bytea, $9::text, $10::bytea,
        $11::text, $12::timestamptz, $12::timestamptz, $13::timestamptz, 'queued', 0, 1, $12::timestamptz{following}
    FROM (SELECT 1 FROM integration_connections
        WHERE tenant_id = $2::text AND connection_id = $3::uuid AND state = 'active'
            AND ($14::integer IS NULL OR version = $14::integer) FOR SHARE) AS connection
    WHERE true
    ON CONFLICT (tenant_id, connection_id, idempotency_key)
        DO UPDATE SET asked = normalised_actions.asked + 1 WHERE normalised_actions.digest = excluded.digest
    RETURNING *, NOT EXISTS (SELECT 1 FROM normalised_actions b WHERE b.tenant_id = $2::text
        AND b.connection_id = $3::uuid AND b.state = 'queued' AND b.target_key = $7::text
        AND b.action_id <> $1::uuid) AS head"""
_ENQUEUED = Sql(
    postgres=_ENQUEUE.format(columns=_COLUMNS, position="", following=""),
    sqlite=shared(
        _ENQUEUE.format(columns=_COLUMNS, position=", position", following=", DEFAULT")
    ).sqlite,
)
_ACTION = shared("SELECT * FROM normalised_actions WHERE tenant_id = $1 AND action_id = $2")
_OF_KEY = shared(
    """SELECT * FROM normalised_actions
    WHERE tenant_id = $1 AND connection_id = $2 AND idempotency_key = $3"""
)
_LISTED = shared(
    """SELECT * FROM normalised_actions WHERE tenant_id = $1
        AND ($2::uuid IS NULL OR connection_id = $2::uuid) AND ($3::text IS NULL OR canonical_type = $3::text)
        AND ($4::text IS NULL OR correlation_id = $4::text) AND state = ANY($5::text[])
        AND ($6::uuid IS NULL OR position < (SELECT position FROM normalised_actions
            WHERE tenant_id = $1 AND action_id = $6::uuid))
    ORDER BY position DESC LIMIT $7"""
)
_HEADS = """FROM normalised_actions a WHERE a.tenant_id = $1 AND a.connection_id = $2 AND a.state = 'queued'
    AND NOT EXISTS (SELECT 1 FROM normalised_actions b WHERE b.tenant_id = $1 AND b.connection_id = $2
        AND b.state = 'queued' AND b.target_key = a.target_key AND b.position < a.position)"""
_DUE = shared(
    f"""SELECT a.*, EXISTS (SELECT 1 FROM exchanges e WHERE e.tenant_id = a.tenant_id AND e.action_id = a.action_id)
        AS begun
    {_HEADS} AND a.not_before <= $3 ORDER BY a.position LIMIT $4"""  # noqa: S608 - only text of ours
)
_NEXT_AT = shared(f"SELECT min(a.not_before) AS at {_HEADS}")


def enqueue(action: NewAction, *, version: int | None) -> Query:
    """Store an action of an active connection of that version, or find the one of its key; else no row comes back."""
    return query(
        _ENQUEUED,
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
        version,
    )


def enqueued_of(row: Row) -> tuple[ActionRecord, bool]:
    """Read the row of ``enqueue``: the action, and whether it is new."""
    if row["asked"] == 1:
        return new_of(row), True
    return action_of(row), False


def known_of(
    action: NewAction, of_its_key: Sequence[Row], connection: Sequence[Row]
) -> ActionRecord:
    """The action that an ``enqueue`` without a row had asked for before; or why it was refused.

    Raises:
        ConflictError: the key is taken by another action.
        MissingError, ChangedError, StaleError: there is no such connection, it is not active, or of another version.
    """
    if of_its_key:
        if of_its_key[0]["digest"] != action.digest:
            raise ConflictError("the idempotency key is taken by another action")
        return action_of(of_its_key[0])
    if not connection:
        raise MissingError("no such connection")
    state = connection[0]["state"]
    if state != ConnectionState.ACTIVE:
        raise ChangedError(f"the connection is {state}")
    raise StaleError("the connection is of another version")


def one(tenant_id: str, action_id: UUID) -> Query:
    """The tenant's action of that id."""
    return query(_ACTION, tenant_id, action_id)


def of_key(tenant_id: str, connection_id: UUID, idempotency_key: str) -> Query:
    """The action that the connection has under that key."""
    return query(_OF_KEY, tenant_id, connection_id, kept(idempotency_key))


def page(tenant_id: str, only: ActionFilter, *, before: UUID | None, limit: int) -> Query:
    """The tenant's actions, newest first; nothing behind an action that is not kept any more."""
    states = tuple(ActionState) if only.states is None else only.states
    return query(
        _LISTED,
        tenant_id,
        only.connection_id,
        only.canonical_type,
        kept_or_none(only.correlation_id),
        states,
        before,
        limit,
    )


def due(lease: Lease, *, now: datetime, limit: int) -> Query:
    """Actions at the head of their target's queue whose time has come."""
    return query(_DUE, lease.tenant_id, lease.connection_id, now, limit)


def next_at(lease: Lease) -> Query:
    """When the earliest head of a target's queue becomes due."""
    return query(_NEXT_AT, lease.tenant_id, lease.connection_id)


def next_at_of(rows: Sequence[Row]) -> datetime | None:
    """Read the row of ``next_at``."""
    return time_or_none(rows[0]["at"])
