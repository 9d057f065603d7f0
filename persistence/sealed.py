"""Statements about sealed secrets and the data keys they are sealed under."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from persistence.dialect import Query, Transaction, query, shared
from persistence.errors import ConflictError, MissingError
from persistence.records import SealedSecret, TenantKey
from persistence.rows import tenant_key_of

Place = tuple[str, UUID]
"""A tenant and its connection."""

_SEAL = shared(
    """INSERT INTO sealed_secrets (secret_id, tenant_id, connection_id, purpose, version, key_id, nonce, ciphertext,
        created_at, updated_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)"""
)
_SECRET = shared("SELECT * FROM sealed_secrets WHERE tenant_id = $1 AND secret_id = $2")
_SECRETS_OF = shared(
    """SELECT * FROM sealed_secrets WHERE tenant_id = $1 AND connection_id = $2 AND purpose = $3
        AND (expires_at IS NULL OR expires_at > $4)
    ORDER BY version DESC, created_at DESC"""
)
# A rotation never prolongs what an earlier one has already given an end.
_END = shared(
    """UPDATE sealed_secrets SET updated_at = $5,
        expires_at = CASE WHEN expires_at < $4 THEN expires_at ELSE $4 END
    WHERE tenant_id = $1 AND connection_id = $2 AND secret_id = $3 RETURNING secret_id"""
)
_FORGET = shared(
    """DELETE FROM sealed_secrets WHERE tenant_id = $1 AND connection_id = $2 AND secret_id = ANY($3::uuid[])
    RETURNING secret_id"""
)
_FORGET_ALL = shared("DELETE FROM sealed_secrets WHERE tenant_id = $1 AND connection_id = $2")
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


class _OfConnection(Protocol):
    """What belongs to a connection."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def connection_id(self) -> UUID: ...


def of_one_connection(place: Place, rows: Iterable[_OfConnection]) -> None:
    """Refuse rows of another connection than ``place`` (P6)."""
    if any((row.tenant_id, row.connection_id) != place for row in rows):
        raise ValueError("a row of another connection")


def insert_secret(secret: SealedSecret) -> Query:
    """Keep a sealed secret."""
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


def end_secrets(
    place: Place, ending: Sequence[tuple[UUID, datetime]], *, now: datetime
) -> Transaction[None]:
    """Give secrets of a connection an end; the row of one that ends ``now`` goes.

    Raises:
        MissingError: one of them is not the connection's.
    """
    for secret_id, at in ending:
        if at <= now:
            found = yield forget_secrets(place, [secret_id])
        else:
            found = yield query(_END, *place, secret_id, at, now)
        if not found:
            raise MissingError("no such secret of this connection")


def forget_secrets(place: Place, secret_ids: Sequence[UUID]) -> Query:
    """Forget some secrets of a connection; their ids come back."""
    return query(_FORGET, *place, tuple(secret_ids))


def forget_all_secrets(place: Place) -> Query:
    """Forget every secret of a connection."""
    return query(_FORGET_ALL, *place)


def secret(tenant_id: str, secret_id: UUID) -> Query:
    """A sealed secret of the tenant."""
    return query(_SECRET, tenant_id, secret_id)


def secrets_of(tenant_id: str, connection_id: UUID, purpose: str, *, now: datetime) -> Query:
    """The connection's valid secrets of a purpose, newest version first."""
    return query(_SECRETS_OF, tenant_id, connection_id, purpose, now)


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
