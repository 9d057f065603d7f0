"""Transactions about receipts: evidence, written with what it is evidence of, chained, on its way to ERIS.

The order of locks, everywhere: the connection's row, then rows that hang on it, then its tenant's chain. A receipt
is therefore the last thing that a transaction writes; until it ends, the tenant's other receipts wait.
"""

from __future__ import annotations

from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from persistence.chain import START, following, link
from persistence.dialect import Query, Transaction, query, shared
from persistence.records import NewReceipt, ReceiptBatch
from persistence.rows import receipt_of
from persistence.values import canonical, time_or_none, uuid_of

# Steps from tenant to tenant through the index of what waits: its cost is the tenants', not the backlog's.
_TENANTS = shared(
    """WITH RECURSIVE waiting (tenant_id) AS (
        SELECT min(tenant_id) FROM receipts WHERE state = 'waiting'
        UNION ALL
        SELECT (SELECT min(r.tenant_id) FROM receipts r WHERE r.state = 'waiting' AND r.tenant_id > w.tenant_id)
        FROM waiting w WHERE w.tenant_id IS NOT NULL
    )
    SELECT tenant_id FROM waiting WHERE tenant_id IS NOT NULL
    ORDER BY (SELECT min(r.position) FROM receipts r
        WHERE r.state = 'waiting' AND r.tenant_id = waiting.tenant_id)
    LIMIT $1"""
)
_LENGTHEN = shared(
    """INSERT INTO receipt_chains (tenant_id, chain_id, length, created_at, updated_at) VALUES ($1, $2, 1, $3, $3)
    ON CONFLICT (tenant_id, chain_id)
        DO UPDATE SET length = receipt_chains.length + 1, updated_at = excluded.updated_at
    RETURNING length, last_stamped_at, last_digest"""
)
_WRITE = shared(
    """INSERT INTO receipts (position, receipt_id, tenant_id, connection_id, operation, body, state, sequence_no,
        stamped_at, previous, digest, created_at, updated_at)
    VALUES (DEFAULT, $1, $2, $3, $4, $5, 'waiting', $6, $7, $8, $9, $10, $10)"""
)
_END = shared(
    """UPDATE receipt_chains SET last_stamped_at = $3, last_digest = $4
    WHERE tenant_id = $1 AND chain_id = $2"""
)
_LOCK = shared(
    "SELECT chain_id FROM receipt_chains WHERE tenant_id = $1 AND chain_id = $2 FOR UPDATE"
)
_UNSENT = shared(
    """SELECT * FROM receipts WHERE tenant_id = $1 AND state = 'waiting' AND batch_id IS NOT NULL
    ORDER BY sequence_no"""
)
# Within a tenant, positions are given under the lock of its chain: they have the order of the sequence.
_GROUP = shared(
    """UPDATE receipts SET batch_id = $2, updated_at = $3 WHERE tenant_id = $1 AND receipt_id IN (
        SELECT receipt_id FROM receipts WHERE tenant_id = $1 AND state = 'waiting' ORDER BY position LIMIT $4)
    RETURNING *"""
)
_SENT = shared(
    """UPDATE receipts SET state = 'sent' WHERE tenant_id = $1 AND batch_id = $2 AND state = 'waiting'"""
)
_CHAINED = shared(
    """SELECT * FROM receipts WHERE tenant_id = $1 AND sequence_no > $2 ORDER BY sequence_no LIMIT $3"""
)


def write_receipt(receipt: NewReceipt, *, tenant_id: str) -> Transaction[None]:
    """Write a receipt within the transaction it is evidence of, as the newest of its tenant's chain."""
    of_this_tenant(receipt, tenant_id)
    body = canonical(receipt.body)
    chain = (tenant_id, chain_id(tenant_id))
    (end,) = yield query(_LENGTHEN, *chain, receipt.created_at)
    number, previous = end["length"], end["last_digest"] or START
    stamp = following(time_or_none(end["last_stamped_at"]), receipt.created_at)
    digest = link(number, stamp, receipt.receipt_id, receipt.operation, body.encode(), previous)
    yield query(
        _WRITE,
        receipt.receipt_id,
        tenant_id,
        receipt.connection_id,
        receipt.operation,
        body,
        number,
        stamp,
        previous,
        digest,
        receipt.created_at,
    )
    yield query(_END, *chain, stamp, digest)


def of_this_tenant(receipt: NewReceipt, tenant_id: str) -> None:
    """Refuse a receipt of another tenant (P6)."""
    if receipt.tenant_id != tenant_id:
        raise ValueError("a receipt of another tenant")


def chain_id(tenant_id: str) -> UUID:
    """The one chain of a tenant."""
    return uuid5(NAMESPACE_URL, tenant_id)


def tenants(limit: int) -> Query:
    """Tenants with receipts that wait, the one that waits longest first."""
    return query(_TENANTS, limit)


def batch(
    tenant_id: str, *, batch_id: UUID, limit: int, now: datetime
) -> Transaction[ReceiptBatch | None]:
    """See ``OutboxStore.receipt_batch``; the lock of the chain lets two nodes get the same batch."""
    yield query(_LOCK, tenant_id, chain_id(tenant_id))
    rows = yield query(_UNSENT, tenant_id)
    if not rows:
        rows = yield query(_GROUP, tenant_id, batch_id, now, limit)
    if not rows:
        return None
    in_order = sorted(rows, key=lambda row: int(row["sequence_no"]))
    return ReceiptBatch(
        batch_id=uuid_of(rows[0]["batch_id"]),
        tenant_id=tenant_id,
        receipts=tuple(receipt_of(row) for row in in_order),
    )


def settle(tenant_id: str, batch_id: UUID) -> Query:
    """The batch is at ERIS; its receipts wait for the sweep."""
    return query(_SENT, tenant_id, batch_id)


def chained(tenant_id: str, *, after: int, limit: int) -> Query:
    """The tenant's receipts from behind a number, as a chain."""
    return query(_CHAINED, tenant_id, after, limit)
