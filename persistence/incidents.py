"""Statements about incidents: opened, resolved, on their way to the alerting module."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from persistence.changes import IncidentRecord, NewIncident
from persistence.dialect import Query, Row, query, shared
from persistence.life_rows import incident_of
from persistence.schema.evidence import UNTOLD
from persistence.values import kept

_OPEN = shared(
    """INSERT INTO incidents (incident_id, tenant_id, connection_id, provider_id, kind, severity, summary, opened_at,
        told, attempts, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', 0, $8, $8)
    ON CONFLICT (tenant_id, connection_id, kind) WHERE resolved_at IS NULL DO NOTHING RETURNING incident_id"""
)
_CLOSE = shared(
    """UPDATE incidents SET resolved_at = $4, updated_at = $4
    WHERE tenant_id = $1 AND connection_id = $2 AND kind = $3 AND resolved_at IS NULL RETURNING incident_id"""
)
_OF_CONNECTION = shared(
    """SELECT * FROM incidents WHERE tenant_id = $1 AND connection_id = $2
    ORDER BY resolved_at IS NOT NULL, opened_at DESC, incident_id DESC LIMIT $3"""
)
_TENANTS = shared(
    f"""SELECT tenant_id FROM incidents WHERE {UNTOLD}
    GROUP BY tenant_id ORDER BY min(opened_at), tenant_id LIMIT $1"""  # noqa: S608 - a name of ours
)
_TO_TELL = shared(
    f"""UPDATE incidents SET attempts = attempts + 1 WHERE tenant_id = $1 AND incident_id IN (
        SELECT incident_id FROM incidents WHERE tenant_id = $1 AND ({UNTOLD})
        ORDER BY opened_at, incident_id LIMIT $2)
    RETURNING *"""  # noqa: S608
)
_TOLD = shared(
    """UPDATE incidents SET told = $3 WHERE tenant_id = $1 AND incident_id = $2 AND told <> 'resolved'"""
)
_WORDS = ("open", "resolved")


def insert_incident(incident: NewIncident, *, tenant_id: str) -> Query:
    """Open an incident of that tenant; no row comes back where one is open already."""
    if incident.tenant_id != tenant_id:
        raise ValueError("an incident of another tenant")
    return query(
        _OPEN,
        incident.incident_id,
        incident.tenant_id,
        incident.connection_id,
        incident.provider_id,
        kept(incident.kind),
        kept(incident.severity),
        kept(incident.summary),
        incident.opened_at,
    )


def close(tenant_id: str, connection_id: UUID, kind: str, *, now: datetime) -> Query:
    """Resolve the open incident of a kind; no row comes back where there is none."""
    return query(_CLOSE, tenant_id, connection_id, kept(kind), now)


def of_connection(tenant_id: str, connection_id: UUID, *, limit: int) -> Query:
    """The connection's incidents, open ones first."""
    return query(_OF_CONNECTION, tenant_id, connection_id, limit)


def tenants(limit: int) -> Query:
    """Tenants with incidents to tell, the one that waits longest first."""
    return query(_TENANTS, limit)


def to_tell(tenant_id: str, *, limit: int) -> Query:
    """The tenant's incidents to tell, each attempt counted."""
    return query(_TO_TELL, tenant_id, limit)


def to_tell_of(rows: Sequence[Row]) -> tuple[IncidentRecord, ...]:
    """Read the rows of ``to_tell`` (RETURNING promises no order)."""
    found = [incident_of(row) for row in rows]
    return tuple(sorted(found, key=lambda one: (one.opened_at, one.incident_id)))


def told(tenant_id: str, incident_id: UUID, *, word: str) -> Query:
    """The alerting module knows the incident as ``word``."""
    if word not in _WORDS:
        raise ValueError(f"an incident is told as {' or '.join(_WORDS)}")
    return query(_TOLD, tenant_id, incident_id, word)
