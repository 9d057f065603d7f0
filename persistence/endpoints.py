"""Statements about where a provider sends a connection's webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from persistence.dialect import Query, Row, query, shared
from persistence.records import ConnectionState, EndpointRecord
from persistence.sealed import Place
from persistence.values import document, time_of, uuid_of, uuid_or_none

_REGISTER = shared(
    """INSERT INTO webhook_registrations
        (registration_id, tenant_id, connection_id, token_hash, status, token_ref, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7)"""
)
_END = shared(
    """UPDATE webhook_registrations SET ends_at = $3, updated_at = $4
    WHERE tenant_id = $1 AND connection_id = $2 AND (ends_at IS NULL OR ends_at > $3)"""
)
_OPEN = shared(
    """UPDATE webhook_registrations SET status = 'active', updated_at = $3
    WHERE tenant_id = $1 AND connection_id = $2 AND (ends_at IS NULL OR ends_at > $3)"""
)
_CLOSE = shared(
    """UPDATE webhook_registrations SET status = 'closed', updated_at = $3
    WHERE tenant_id = $1 AND connection_id = $2"""
)
_ENDPOINT = shared(
    """SELECT w.registration_id, w.tenant_id, w.connection_id, w.token_hash, w.token_ref, w.created_at,
        c.provider_id, c.state, c.base_url, s.secret_id,
        w.status = 'active' AND (w.ends_at IS NULL OR w.ends_at > $2) AS open
    FROM webhook_registrations w
    JOIN integration_connections c ON c.tenant_id = w.tenant_id AND c.connection_id = w.connection_id
    LEFT JOIN sealed_secrets s ON s.tenant_id = w.tenant_id AND s.connection_id = w.connection_id
        AND s.purpose = 'webhook' AND (s.expires_at IS NULL OR s.expires_at > $2)
    WHERE w.token_hash = $1 ORDER BY s.version DESC"""
)
_REGISTRATIONS = shared(
    """SELECT * FROM webhook_registrations
    WHERE tenant_id = $1 AND connection_id = $2 AND (ends_at IS NULL OR ends_at > $3)
    ORDER BY created_at DESC, registration_id DESC"""
)
_KEEP_HOOKS = shared(
    """UPDATE webhook_registrations SET hooks = $3, checked_at = $4, updated_at = $4
    WHERE tenant_id = $1 AND registration_id = $2"""
)


def register(endpoint: EndpointRecord) -> Query:
    """Open an endpoint."""
    return query(
        _REGISTER,
        endpoint.registration_id,
        endpoint.tenant_id,
        endpoint.connection_id,
        endpoint.token_hash,
        "active" if endpoint.open else "closed",
        endpoint.token_ref,
        endpoint.created_at,
    )


def end_all(place: Place, *, at: datetime, now: datetime) -> Query:
    """Give all endpoints of a connection an end; one that ends earlier keeps it."""
    return query(_END, *place, at, now)


def set_open(place: Place, *, wanted: bool, now: datetime) -> Query:
    """Open all endpoints of a connection that are not ended, or close all."""
    return query(_OPEN if wanted else _CLOSE, *place, now)


def endpoint(token_hash: bytes, *, now: datetime) -> Query:
    """The endpoint of a token: one row for each of its valid secrets, newest first, or one without."""
    return query(_ENDPOINT, token_hash, now)


def endpoint_of(rows: Sequence[Row]) -> EndpointRecord | None:
    """Put the rows of ``endpoint`` together."""
    if not rows:
        return None
    row = rows[0]
    return EndpointRecord(
        registration_id=uuid_of(row["registration_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        provider_id=row["provider_id"],
        token_hash=row["token_hash"],
        state=ConnectionState(row["state"]),
        base_url=row["base_url"],
        secret_refs=tuple(
            uuid_of(each["secret_id"]) for each in rows if each["secret_id"] is not None
        ),
        created_at=time_of(row["created_at"]),
        token_ref=uuid_or_none(row["token_ref"]),
        open=bool(row["open"]),
    )


def of_connection(tenant_id: str, connection_id: UUID, *, now: datetime) -> Query:
    """The connection's endpoints that are not ended, newest first."""
    return query(_REGISTRATIONS, tenant_id, connection_id, now)


def keep_hooks(tenant_id: str, registration_id: UUID, *, hooks: bytes, now: datetime) -> Query:
    """Remember what the provider's webhooks were brought to."""
    return query(_KEEP_HOOKS, tenant_id, registration_id, document(hooks), now)
