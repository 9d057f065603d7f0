"""Statements that find the connections that have something to do, whichever tenant's they are."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from persistence.dialect import Query, query, shared

# What waits is found by the indexes of what waits, which are empty where nothing does. Where more waits than is worth
# sorting (after an outage, say), the active connections are walked instead; as many are hits, that ends soon. Else the
# walk's limit is nothing: SQLite would ask the same condition of each of them.
_MANY = 5000
_IF_MANY = f"LIMIT CASE WHEN (SELECT count(*) FROM soon) >= {_MANY} THEN $2 ELSE 0 END"  # noqa: S608 - a number of ours
_AFTER = "AND c.connection_id > $3"
# An action is due only at the head of its target's queue, so a connection with nothing but blocked ones has no work.
_HEAD = """a.state = 'queued' AND a.not_before <= $1
        AND NOT EXISTS (SELECT 1 FROM normalised_actions b WHERE b.tenant_id = a.tenant_id
            AND b.connection_id = a.connection_id AND b.target_key = a.target_key AND b.state = 'queued'
            AND b.position < a.position)"""
# The state by a subselect, and not by a join: PostgreSQL would read every connection beforehand to hash them.
_WITH_WORK = f"""WITH soon AS (
        SELECT * FROM (SELECT tenant_id, connection_id FROM adapter_events WHERE state = 'pending'
            ORDER BY tenant_id, connection_id LIMIT {_MANY}) AS pending
        UNION ALL SELECT * FROM (SELECT a.tenant_id, a.connection_id FROM normalised_actions a WHERE {_HEAD}
            ORDER BY a.tenant_id, a.connection_id LIMIT {_MANY}) AS due)
    SELECT c.tenant_id, c.connection_id FROM (SELECT DISTINCT tenant_id, connection_id FROM soon) AS c
        WHERE (SELECT count(*) FROM soon) < {_MANY} {{after}} AND (SELECT i.state FROM integration_connections i
            WHERE i.tenant_id = c.tenant_id AND i.connection_id = c.connection_id) = 'active'
    UNION SELECT * FROM (SELECT c.tenant_id, c.connection_id FROM integration_connections c
        WHERE c.state = 'active' {{after}} AND (
            EXISTS (SELECT 1 FROM adapter_events e WHERE e.tenant_id = c.tenant_id
                AND e.connection_id = c.connection_id AND e.state = 'pending')
            OR EXISTS (SELECT 1 FROM normalised_actions a WHERE a.tenant_id = c.tenant_id
                AND a.connection_id = c.connection_id AND {_HEAD}))
        ORDER BY c.connection_id {_IF_MANY}) AS walked
    UNION SELECT c.tenant_id, c.connection_id FROM normalised_actions a
        JOIN integration_connections c ON c.tenant_id = a.tenant_id AND c.connection_id = a.connection_id
        WHERE c.state NOT IN ('active', 'deleted') {{after}} AND a.expires_at <= $1 AND {_HEAD}
    ORDER BY connection_id LIMIT $2"""  # noqa: S608 - only text of ours
_FIRST_WITH_WORK = shared(_WITH_WORK.format(after=""))
_NEXT_WITH_WORK = shared(_WITH_WORK.format(after=_AFTER))
# A minimum, and not EXISTS: PostgreSQL would look up every cursor beforehand to hash them.
_TO_POLL = f"""WITH soon AS (SELECT tenant_id, connection_id FROM polling_cursors
        WHERE state = 'active' AND next_poll_at <= $1 ORDER BY next_poll_at LIMIT {_MANY})
    SELECT c.tenant_id, c.connection_id FROM soon c
        WHERE (SELECT count(*) FROM soon) < {_MANY} {{after}}
    UNION SELECT * FROM (SELECT c.tenant_id, c.connection_id FROM integration_connections c
        WHERE c.state = 'active' {{after}}
            AND (SELECT min(p.next_poll_at) FROM polling_cursors p
                WHERE p.tenant_id = c.tenant_id AND p.connection_id = c.connection_id) <= $1
        ORDER BY c.connection_id {_IF_MANY}) AS walked
    UNION SELECT c.tenant_id, c.connection_id FROM backfills c
        WHERE c.state = 'running' AND c.next_at <= $1 {{after}} AND (SELECT i.state FROM integration_connections i
            WHERE i.tenant_id = c.tenant_id AND i.connection_id = c.connection_id) = 'active'
    ORDER BY connection_id LIMIT $2"""  # noqa: S608 - only text of ours
_FIRST_TO_POLL = shared(_TO_POLL.format(after=""))
_NEXT_TO_POLL = shared(_TO_POLL.format(after=_AFTER))
# By the index of the active ones; asked once after a start, and not while a node runs.
_UNPLANNED = shared(
    """SELECT c.tenant_id, c.connection_id FROM integration_connections c
    WHERE c.state = 'active' AND c.auth_ref IS NOT NULL
        AND ($2::uuid IS NULL OR c.connection_id > $2::uuid) AND NOT EXISTS (SELECT 1 FROM polling_cursors p
            WHERE p.tenant_id = c.tenant_id AND p.connection_id = c.connection_id)
    ORDER BY c.connection_id LIMIT $1"""
)
_TO_CHECK = shared(
    """SELECT w.tenant_id, w.connection_id FROM webhook_registrations w
    JOIN integration_connections c ON c.tenant_id = w.tenant_id AND c.connection_id = w.connection_id
    WHERE w.hooks IS NOT NULL AND w.checked_at < $1 AND w.status = 'active' AND w.ends_at IS NULL
        AND c.state = 'active' AND NOT EXISTS (
            SELECT 1 FROM webhook_registrations n WHERE n.tenant_id = w.tenant_id
                AND n.connection_id = w.connection_id AND n.status = 'active' AND n.ends_at IS NULL
                AND (n.created_at, n.registration_id) > (w.created_at, w.registration_id))
    ORDER BY w.checked_at LIMIT $2"""
)


def with_work(*, now: datetime, after: UUID | None, limit: int) -> Query:
    """See ``InboxStore.connections_with_work``."""
    if after is None:
        return query(_FIRST_WITH_WORK, now, limit)
    return query(_NEXT_WITH_WORK, now, limit, after)


def to_poll(*, now: datetime, after: UUID | None, limit: int) -> Query:
    """See ``PollStore.connections_to_poll``."""
    if after is None:
        return query(_FIRST_TO_POLL, now, limit)
    return query(_NEXT_TO_POLL, now, limit, after)


def unplanned(*, after: UUID | None, limit: int) -> Query:
    """See ``PollStore.connections_without_cursors``."""
    return query(_UNPLANNED, limit, after)


def to_check(*, checked_before: datetime, limit: int) -> Query:
    """See ``ConnectionStore.registrations_to_check``."""
    return query(_TO_CHECK, checked_before, limit)
