"""Transactions about who may write a connection's state."""

from __future__ import annotations

from uuid import UUID

from persistence.dialect import Query, Row, Transaction, query, shared
from persistence.errors import ChangedError, ConflictError, FencedError, MissingError
from persistence.receipts import write_receipt
from persistence.records import ConnectionState, Lease, NewReceipt, SealedSecret
from persistence.sealed import forget_secrets, insert_secret, of_one_connection
from persistence.values import document, uuid_or_none

_CLAIM = shared(
    """UPDATE integration_connections SET owner = $3, epoch = epoch + 1
    WHERE tenant_id = $1 AND connection_id = $2 RETURNING epoch, sequence_no, version"""
)
_FENCE = shared(
    """UPDATE integration_connections SET epoch = epoch
    WHERE tenant_id = $1 AND connection_id = $2 AND epoch = $3 RETURNING state, version, auth_ref"""
)
_LOCK = shared(
    """SELECT state FROM integration_connections WHERE tenant_id = $1 AND connection_id = $2
    FOR NO KEY UPDATE"""
)
_KEEP_PRESSURE = shared(
    """UPDATE integration_connections SET pressure = $4
    WHERE tenant_id = $1 AND connection_id = $2 AND epoch = $3 RETURNING epoch"""
)
_RENEW = shared(
    """UPDATE integration_connections SET auth_ref = $3
    WHERE tenant_id = $1 AND connection_id = $2"""
)


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
        version=rows[0]["version"],
    )


def fence(lease: Lease) -> Transaction[Row]:
    """Take the connection's row for the rest of the transaction, if the lease still holds (P10).

    An UPDATE, because its row lock orders this transaction against a takeover; a look would not.
    """
    rows = yield query(_FENCE, lease.tenant_id, lease.connection_id, lease.epoch)
    if not rows:
        raise _fenced()
    return rows[0]


def fence_active(lease: Lease) -> Transaction[Row]:
    """``fence``, for what must not be begun on a connection that is not active."""
    row = yield from fence(lease)
    if row["state"] != ConnectionState.ACTIVE:
        raise ChangedError(f"the connection is {row['state']}")
    return row


def fence_unchanged(lease: Lease) -> Transaction[None]:
    """``fence_active``, for what must not be begun by an owner that knows another version of the connection."""
    row = yield from fence_active(lease)
    if row["version"] != lease.version:
        raise ChangedError("the connection was changed since it was claimed")


def lock(tenant_id: str, connection_id: UUID) -> Transaction[None]:
    """Take the connection's row for the rest of the transaction, whoever owns it."""
    rows = yield query(_LOCK, tenant_id, connection_id)
    if not rows:
        raise MissingError("no such connection")


def keep_pressure(lease: Lease, pressure: bytes) -> Query:
    """See ``ConnectionStore.keep_pressure``; no row comes back where the lease is lost."""
    place = (lease.tenant_id, lease.connection_id, lease.epoch)
    return query(_KEEP_PRESSURE, *place, document(pressure))


def kept_pressure(rows: object) -> None:
    """Read the rows of ``keep_pressure``."""
    if not rows:
        raise _fenced()


def renew(
    lease: Lease, *, expected: UUID | None, sealed: SealedSecret, receipt: NewReceipt | None
) -> Transaction[None]:
    """See ``ConnectionStore.renew_credentials``."""
    place = (lease.tenant_id, lease.connection_id)
    of_one_connection(place, [sealed])
    row = yield from fence(lease)
    if uuid_or_none(row["auth_ref"]) != expected:
        raise ConflictError("the connection's credentials are others by now")
    yield insert_secret(sealed)
    yield query(_RENEW, *place, sealed.secret_id)
    if expected is not None:
        yield forget_secrets(place, [expected])
    if receipt is not None:
        yield from write_receipt(receipt, tenant_id=lease.tenant_id)


def _fenced() -> FencedError:
    return FencedError("another incarnation owns the connection")
