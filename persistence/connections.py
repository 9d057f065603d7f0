"""Transactions about connections, their endpoints and their sealed secrets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from persistence.dialect import Bulk, Query, Row, Sql, Transaction, query, shared
from persistence.errors import ConflictError, FencedError, MissingError
from persistence.receipts import write_receipt
from persistence.records import (
    ConnectionRecord,
    ConnectionState,
    EndpointRecord,
    Lease,
    NewReceipt,
    ProviderRecord,
    SealedSecret,
    TenantKey,
)
from persistence.rows import (
    connection_of,
    document,
    kept,
    kept_or_none,
    tenant_key_of,
    time_of,
    uuid_of,
)

_PROVIDER_COLUMNS = "row_id, provider_id, category, name, status, api_version, capabilities, created_at, updated_at"
_PROVIDER_CHANGES = """category = excluded.category, name = excluded.name, status = excluded.status,
    api_version = excluded.api_version, capabilities = excluded.capabilities, updated_at = excluded.updated_at"""
_PUBLISH = Sql(
    postgres=f"""INSERT INTO integration_providers ({_PROVIDER_COLUMNS})
        SELECT g.row_id, g.provider_id, g.category, g.name, g.status, g.api_version, g.capabilities::jsonb, $1, $1
        FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
            AS g (row_id, provider_id, category, name, status, api_version, capabilities)
        ON CONFLICT (provider_id) DO UPDATE SET {_PROVIDER_CHANGES}""",  # noqa: S608 - only names of ours
    sqlite=f"""INSERT INTO integration_providers ({_PROVIDER_COLUMNS})
        VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?1, ?1)
        ON CONFLICT (provider_id) DO UPDATE SET {_PROVIDER_CHANGES}""",  # noqa: S608
)
_CREATE = shared(
    """INSERT INTO integration_connections (connection_id, tenant_id, provider_id, display_name, state, base_url,
        enabled_capabilities, auth_ref, settings, tags, created_at, updated_at, verified_at, reason, epoch, sequence_no)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, 0)"""
)
_REGISTER = shared(
    """INSERT INTO webhook_registrations
        (registration_id, tenant_id, connection_id, token_hash, status, created_at, updated_at)
    VALUES ($1, $2, $3, $4, 'active', $5, $5)"""
)
_SEAL = shared(
    """INSERT INTO sealed_secrets (secret_id, tenant_id, connection_id, purpose, version, key_id, nonce, ciphertext,
        created_at, updated_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)"""
)
_CONNECTION = shared(
    "SELECT * FROM integration_connections WHERE tenant_id = $1 AND connection_id = $2"
)
_CONNECTIONS = shared(
    "SELECT * FROM integration_connections WHERE tenant_id = $1 ORDER BY connection_id LIMIT $2"
)
_CONNECTIONS_AFTER = shared(
    """SELECT * FROM integration_connections WHERE tenant_id = $1 AND connection_id > $3
    ORDER BY connection_id LIMIT $2"""
)
_CHANGE_STATE = shared(
    """UPDATE integration_connections SET state = $3::text, reason = $4, updated_at = $5,
        verified_at = CASE WHEN $3::text = 'active' THEN $5 ELSE verified_at END
    WHERE tenant_id = $1 AND connection_id = $2 AND state = ANY($6::text[]) RETURNING *"""
)
_ENDPOINT = shared(
    """SELECT w.registration_id, w.tenant_id, w.connection_id, w.token_hash, w.created_at,
        c.provider_id, c.state, c.base_url, s.secret_id
    FROM webhook_registrations w
    JOIN integration_connections c ON c.tenant_id = w.tenant_id AND c.connection_id = w.connection_id
    LEFT JOIN sealed_secrets s ON s.tenant_id = w.tenant_id AND s.connection_id = w.connection_id
        AND s.purpose = 'webhook' AND (s.expires_at IS NULL OR s.expires_at > $2)
    WHERE w.token_hash = $1 ORDER BY s.version DESC"""
)
_SECRET = shared("SELECT * FROM sealed_secrets WHERE tenant_id = $1 AND secret_id = $2")
_KEEP_KEY = shared(
    """INSERT INTO tenant_keys
        (key_id, tenant_id, version, kms_key_id, algorithm, iv, ciphertext, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT DO NOTHING"""
)
_KEY_OF_VERSION = shared("SELECT * FROM tenant_keys WHERE tenant_id = $1 AND version = $2")
_KEY = shared("SELECT * FROM tenant_keys WHERE tenant_id = $1 AND key_id = $2")
_NEWEST_KEY = shared(
    "SELECT * FROM tenant_keys WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1"
)
_CLAIM = shared(
    """UPDATE integration_connections SET owner = $3, epoch = epoch + 1
    WHERE tenant_id = $1 AND connection_id = $2 RETURNING epoch, sequence_no"""
)
_FENCE = shared(
    """UPDATE integration_connections SET epoch = epoch
    WHERE tenant_id = $1 AND connection_id = $2 AND epoch = $3 RETURNING epoch"""
)


def publish(providers: Sequence[ProviderRecord], *, now: datetime) -> Transaction[None]:
    """See ``ConnectionStore.publish_providers``."""
    rows = [
        (
            uuid5(NAMESPACE_URL, provider.provider_id),
            provider.provider_id,
            provider.category,
            provider.name,
            provider.status,
            provider.api_version,
            document(provider.capabilities),
        )
        for provider in providers
    ]
    if rows:
        yield Bulk(sql=_PUBLISH, args=(now,), rows=rows)


def create(
    connection: ConnectionRecord,
    endpoint: EndpointRecord,
    secrets: Sequence[SealedSecret],
    receipt: NewReceipt,
) -> Transaction[None]:
    """See ``ConnectionStore.create_connection``."""
    places = {(secret.tenant_id, secret.connection_id) for secret in secrets}
    places.add((endpoint.tenant_id, endpoint.connection_id))
    if places != {(connection.tenant_id, connection.connection_id)}:
        raise ValueError("an endpoint or secret of another connection")
    yield _insert_connection(connection)
    yield query(
        _REGISTER,
        endpoint.registration_id,
        endpoint.tenant_id,
        endpoint.connection_id,
        endpoint.token_hash,
        endpoint.created_at,
    )
    for secret in secrets:
        yield _insert_secret(secret)
    yield from write_receipt(receipt, tenant_id=connection.tenant_id)


def _insert_connection(connection: ConnectionRecord) -> Query:
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
    )


def _insert_secret(secret: SealedSecret) -> Query:
    return query(
        _SEAL,
        secret.secret_id,
        secret.tenant_id,
        secret.connection_id,
        secret.purpose,
        secret.version,
        secret.key_id,
        secret.nonce,
        secret.ciphertext,
        secret.created_at,
        secret.expires_at,
    )


def one(tenant_id: str, connection_id: UUID) -> Query:
    """The tenant's connection of that id."""
    return query(_CONNECTION, tenant_id, connection_id)


def page(tenant_id: str, *, after: UUID | None, limit: int) -> Query:
    """The tenant's connections by ascending id."""
    if after is None:
        return query(_CONNECTIONS, tenant_id, limit)
    return query(_CONNECTIONS_AFTER, tenant_id, limit, after)


def change_state(  # noqa: PLR0913 - what it takes is one fact
    tenant_id: str,
    connection_id: UUID,
    *,
    expected: Sequence[ConnectionState],
    state: ConnectionState,
    reason: str | None,
    now: datetime,
    receipt: NewReceipt | None,
) -> Transaction[ConnectionRecord]:
    """See ``ConnectionStore.change_state``."""
    changed = yield query(
        _CHANGE_STATE,
        tenant_id,
        connection_id,
        state,
        kept_or_none(reason),
        now,
        tuple(expected),
    )
    if not changed:
        there = yield one(tenant_id, connection_id)
        if not there:
            raise MissingError("no such connection")
        raise ConflictError(f"the connection is {there[0]['state']}")
    if receipt is not None:
        yield from write_receipt(receipt, tenant_id=tenant_id)
    return connection_of(changed[0])


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
    )


def secret(tenant_id: str, secret_id: UUID) -> Query:
    """A sealed secret of the tenant."""
    return query(_SECRET, tenant_id, secret_id)


def keep_key(key: TenantKey) -> Transaction[TenantKey]:
    """See ``ConnectionStore.keep_tenant_key``; of several at once, the first to commit is kept by all."""
    yield query(
        _KEEP_KEY,
        key.key_id,
        key.tenant_id,
        key.version,
        key.kms_key_id,
        key.algorithm,
        key.iv,
        key.ciphertext,
        key.created_at,
    )
    rows = yield query(_KEY_OF_VERSION, key.tenant_id, key.version)
    if not rows:
        raise ConflictError("the tenant has that key under another version")
    return tenant_key_of(rows[0])


def key(tenant_id: str, key_id: UUID | None) -> Query:
    """The tenant's data key of that id, or its newest."""
    if key_id is None:
        return query(_NEWEST_KEY, tenant_id)
    return query(_KEY, tenant_id, key_id)


def claim(tenant_id: str, connection_id: UUID, *, owner: UUID) -> Transaction[Lease]:
    """See ``InboxStore.claim_connection``."""
    rows = yield query(_CLAIM, tenant_id, connection_id, owner)
    if not rows:
        raise MissingError("no such connection")
    return Lease(
        tenant_id=tenant_id,
        connection_id=connection_id,
        owner=owner,
        epoch=rows[0]["epoch"],
        sequence_no=rows[0]["sequence_no"],
    )


def fence(lease: Lease) -> Transaction[None]:
    """Take the connection's row for the rest of the transaction, if the lease still holds (P10).

    An UPDATE, because its row lock orders this transaction against a takeover; a look would not.
    """
    rows = yield query(_FENCE, lease.tenant_id, lease.connection_id, lease.epoch)
    if not rows:
        raise FencedError("another incarnation owns the connection")
