"""Transactions about connections: made, found, changed, tidied up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson

from persistence import backfills, cursors, endpoints, sealed
from persistence.changes import ConnectionChange, ConnectionFilter, RequestAnswer
from persistence.dialect import Query, Sql, Transaction, query, shared
from persistence.endings import cancel_unsent
from persistence.errors import MissingError, StaleError
from persistence.receipts import write_receipt
from persistence.records import (
    ConnectionRecord,
    ConnectionState,
    EndpointRecord,
    NewReceipt,
    SealedSecret,
)
from persistence.requests import finish
from persistence.rows import connection_of
from persistence.values import document, document_or_none, kept, kept_or_none

_NOT_DELETED = tuple(state for state in ConnectionState if state is not ConnectionState.DELETED)
_CREATE = shared(
    """INSERT INTO integration_connections (connection_id, tenant_id, provider_id, display_name, state, base_url,
        enabled_capabilities, auth_ref, settings, tags, created_at, updated_at, verified_at, reason, version, network,
        pressure, epoch, sequence_no)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 0, 0)"""
)
_CONNECTION = shared(
    "SELECT * FROM integration_connections WHERE tenant_id = $1 AND connection_id = $2"
)
_PAGE = """SELECT * FROM integration_connections WHERE tenant_id = $1
    AND ($2::uuid IS NULL OR connection_id > $2::uuid)
    AND ($4::text IS NULL OR provider_id = $4::text) AND state = ANY($5::text[]) AND {tagged}
    ORDER BY connection_id LIMIT $3"""
_PAGED = Sql(
    postgres=_PAGE.format(tagged="tags @> $6::jsonb"),
    sqlite=shared(
        _PAGE.format(
            tagged="""NOT EXISTS (SELECT 1 FROM json_each($6) wanted WHERE NOT EXISTS (
                SELECT 1 FROM json_each(integration_connections.tags) tag
                WHERE tag.key = wanted.key AND tag.type = wanted.type AND tag.value = wanted.value))"""
        )
    ).sqlite,
)
# A reason belongs to its state: none given keeps it only as long as the state stays.
_CHANGE = shared(
    """UPDATE integration_connections SET version = version + 1, updated_at = $4, state = $5::text,
        reason = CASE WHEN $6::text IS NULL AND state = $5::text THEN reason ELSE $6::text END,
        verified_at = CASE WHEN $5::text = 'active' AND state NOT IN ('active', 'suspended') THEN $4
            ELSE verified_at END,
        deleted_at = CASE WHEN $5::text = 'deleted' THEN coalesce(deleted_at, $4) ELSE deleted_at END,
        clean_at = CASE WHEN $5::text = 'deleted' AND state <> 'deleted' THEN coalesce($7, $4)
            ELSE coalesce($7, clean_at) END,
        display_name = coalesce($8, display_name), base_url = coalesce($9, base_url),
        enabled_capabilities = coalesce($10, enabled_capabilities), settings = coalesce($11, settings),
        tags = coalesce($12, tags), network = coalesce($13, network),
        auth_ref = CASE WHEN $14::boolean THEN NULL ELSE coalesce($15, auth_ref) END
    WHERE tenant_id = $1 AND connection_id = $2 AND version = $3 RETURNING *"""
)
_TO_CLEAN = shared(
    """SELECT tenant_id, connection_id FROM integration_connections
    WHERE clean_at IS NOT NULL AND clean_at <= $1 AND state = 'deleted' ORDER BY clean_at LIMIT $2"""
)
_CLEANED = shared(
    """UPDATE integration_connections SET clean_at = $3, updated_at = $4
    WHERE tenant_id = $1 AND connection_id = $2 AND state = 'deleted' RETURNING connection_id"""
)


def create(
    connection: ConnectionRecord,
    endpoint: EndpointRecord,
    secrets: Sequence[SealedSecret],
    receipt: NewReceipt,
    answer: RequestAnswer | None = None,
) -> Transaction[None]:
    """See ``ConnectionStore.create_connection``."""
    place = (connection.tenant_id, connection.connection_id)
    sealed.of_one_connection(place, [endpoint, *secrets])
    yield _insert(connection)
    yield endpoints.register(endpoint)
    for secret in secrets:
        yield sealed.insert_secret(secret)
    if answer is not None:
        if answer.tenant_id != connection.tenant_id:
            raise ValueError("an answer to another tenant")
        yield from finish(answer)
    yield from write_receipt(receipt, tenant_id=connection.tenant_id)


def _insert(connection: ConnectionRecord) -> Query:
    return query(
        _CREATE,
        connection.connection_id,
        connection.tenant_id,
        connection.provider_id,
        kept(connection.display_name),
        connection.state,
        connection.base_url,
        document(orjson.dumps(connection.capabilities)),
        connection.auth_ref,
        document(connection.settings),
        document(connection.tags),
        connection.created_at,
        connection.updated_at,
        connection.verified_at,
        kept_or_none(connection.reason),
        connection.version,
        document(connection.network),
        document(connection.pressure),
    )


def one(tenant_id: str, connection_id: UUID) -> Query:
    """The tenant's connection of that id."""
    return query(_CONNECTION, tenant_id, connection_id)


def page(
    tenant_id: str, *, after: UUID | None, limit: int, only: ConnectionFilter | None
) -> Query:
    """The tenant's connections by ascending id; deleted ones only where their state is asked for."""
    wanted = only or ConnectionFilter()
    states = _NOT_DELETED if wanted.states is None else wanted.states
    tags = document(orjson.dumps(dict(wanted.tags)))
    return query(_PAGED, tenant_id, after, limit, wanted.provider_id, tuple(states), tags)


def change(
    tenant_id: str,
    connection_id: UUID,
    wanted: ConnectionChange,
    *,
    version: int,
    receipt: NewReceipt | None,
    now: datetime,
) -> Transaction[ConnectionRecord]:
    """See ``ConnectionStore.change_connection``."""
    place = (tenant_id, connection_id)
    given = () if wanted.endpoint is None else (wanted.endpoint,)
    sealed.of_one_connection(place, [*wanted.secrets, *given])
    changed = yield _changed(place, wanted, version=version, now=now)
    if not changed:
        there = yield one(tenant_id, connection_id)
        if not there:
            raise MissingError("no such connection")
        raise StaleError(f"the connection has version {there[0]['version']} by now")
    for secret in wanted.secrets:
        yield sealed.insert_secret(secret)
    yield from sealed.end_secrets(place, wanted.ending, now=now)
    yield from _change_endpoints(place, wanted, now=now)
    if wanted.cancel_actions:
        yield from cancel_unsent(place, reason=wanted.reason, now=now)
    yield cursors.follow(place, wanted.state, now=now)
    if wanted.state is ConnectionState.DELETED:
        yield backfills.cancel_all(place, reason="the connection was deleted", now=now)
    if receipt is not None:
        yield from write_receipt(receipt, tenant_id=tenant_id)
    return connection_of(changed[0])


def _changed(
    place: sealed.Place, wanted: ConnectionChange, *, version: int, now: datetime
) -> Query:
    capabilities = wanted.capabilities
    return query(
        _CHANGE,
        *place,
        version,
        now,
        wanted.state,
        kept_or_none(wanted.reason),
        wanted.clean_at,
        kept_or_none(wanted.display_name),
        wanted.base_url,
        None if capabilities is None else document(orjson.dumps(capabilities)),
        document_or_none(wanted.settings),
        document_or_none(wanted.tags),
        document_or_none(wanted.network),
        wanted.no_auth,
        wanted.auth_ref,
    )


def _change_endpoints(
    place: sealed.Place, wanted: ConnectionChange, *, now: datetime
) -> Transaction[None]:
    if wanted.endpoints_end_at is not None:
        yield endpoints.end_all(place, at=wanted.endpoints_end_at, now=now)
    if wanted.endpoint is not None:
        yield endpoints.register(wanted.endpoint)
    if wanted.open is not None:
        yield endpoints.set_open(place, wanted=wanted.open, now=now)


def to_clean(*, now: datetime, limit: int) -> Query:
    """Deleted connections whose time to be tidied up has come."""
    return query(_TO_CLEAN, now, limit)


def clean(
    tenant_id: str, connection_id: UUID, *, again_at: datetime | None, now: datetime
) -> Transaction[None]:
    """See ``ConnectionStore.cleaned``."""
    there = yield query(_CLEANED, tenant_id, connection_id, again_at, now)
    if not there:
        raise MissingError("no such deleted connection")
    if again_at is None:
        yield sealed.forget_all_secrets((tenant_id, connection_id))
