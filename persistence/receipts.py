"""Transactions about receipts: evidence, written with what it is evidence of, on its way to ERIS."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, UUID, uuid5

from persistence.dialect import Bulk, Query, Row, Sql, Transaction, query, shared
from persistence.records import NewReceipt, ReceiptBatch
from persistence.rows import document, receipt_of, time_of, time_or_none, uuid_of

_WRITE = shared(
    """INSERT INTO receipts
        (position, receipt_id, tenant_id, connection_id, operation, body, state, created_at, updated_at)
    VALUES (DEFAULT, $1, $2, $3, $4, $5, 'waiting', $6, $6)"""
)
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
_CHAIN = shared(
    """INSERT INTO receipt_chains (tenant_id, chain_id, created_at, updated_at) VALUES ($1, $2, $3, $3)
    ON CONFLICT (tenant_id, chain_id) DO UPDATE SET updated_at = excluded.updated_at
    RETURNING last_stamped_at"""
)
_UNSENT = shared(
    """SELECT * FROM receipts WHERE tenant_id = $1 AND state = 'waiting' AND batch_id IS NOT NULL
    ORDER BY stamped_at"""
)
_OLDEST = shared(
    """SELECT * FROM receipts WHERE tenant_id = $1 AND state = 'waiting' ORDER BY position LIMIT $2"""
)
_STAMP = Sql(
    postgres="""UPDATE receipts AS r SET batch_id = $2, stamped_at = g.stamped_at, updated_at = $3
        FROM unnest($4::uuid[], $5::timestamptz[]) AS g (receipt_id, stamped_at)
        WHERE r.tenant_id = $1 AND r.receipt_id = g.receipt_id""",
    sqlite="""UPDATE receipts SET batch_id = ?2, stamped_at = ?5, updated_at = ?3
        WHERE tenant_id = ?1 AND receipt_id = ?4""",
)
_LENGTHEN = shared(
    "UPDATE receipt_chains SET last_stamped_at = $3 WHERE tenant_id = $1 AND chain_id = $2"
)
_SENT = shared(
    """UPDATE receipts SET state = 'sent' WHERE tenant_id = $1 AND batch_id = $2 AND state = 'waiting'"""
)
_INSTANT = timedelta(microseconds=1)


def write_receipt(receipt: NewReceipt, *, tenant_id: str) -> Transaction[None]:
    """Write a receipt within the transaction it is evidence of."""
    if receipt.tenant_id != tenant_id:
        raise ValueError("a receipt of another tenant")
    yield query(
        _WRITE,
        receipt.receipt_id,
        receipt.tenant_id,
        receipt.connection_id,
        receipt.operation,
        document(receipt.body),
        receipt.created_at,
    )


def tenants(limit: int) -> Query:
    """Tenants with receipts that wait, the one that waits longest first."""
    return query(_TENANTS, limit)


def batch(
    tenant_id: str, *, batch_id: UUID, limit: int, now: datetime
) -> Transaction[ReceiptBatch | None]:
    """See ``OutboxStore.receipt_batch``.

    The tenant's chain row is locked first: two nodes get the same batch, and stamps outlive the receipts.
    """
    chain_id = uuid5(NAMESPACE_URL, tenant_id)
    chain = yield query(_CHAIN, tenant_id, chain_id, now)
    unsent = yield query(_UNSENT, tenant_id)
    if unsent:
        stamps = [time_of(row["stamped_at"]) for row in unsent]
        return _batch_of(tenant_id, uuid_of(unsent[0]["batch_id"]), unsent, stamps)
    oldest = yield query(_OLDEST, tenant_id, limit)
    if not oldest:
        return None
    stamps = _stamps(time_or_none(chain[0]["last_stamped_at"]), now, len(oldest))
    rows = [(row["receipt_id"], stamp) for row, stamp in zip(oldest, stamps, strict=True)]
    yield Bulk(sql=_STAMP, args=(tenant_id, batch_id, now), rows=rows)
    yield query(_LENGTHEN, tenant_id, chain_id, stamps[-1])
    return _batch_of(tenant_id, batch_id, oldest, stamps)


def _stamps(last: datetime | None, now: datetime, count: int) -> list[datetime]:
    first = now if last is None else max(now, last + _INSTANT)
    return [first + index * _INSTANT for index in range(count)]


def _batch_of(
    tenant_id: str, batch_id: UUID, rows: Sequence[Row], stamps: Sequence[datetime]
) -> ReceiptBatch:
    return ReceiptBatch(
        batch_id=batch_id,
        tenant_id=tenant_id,
        receipts=tuple(receipt_of(row, stamp) for row, stamp in zip(rows, stamps, strict=True)),
    )


def settle(tenant_id: str, batch_id: UUID) -> Query:
    """The batch is at ERIS; its receipts wait for the sweep."""
    return query(_SENT, tenant_id, batch_id)
