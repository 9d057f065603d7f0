"""The ledger of P9: counted up by the transactions that cause the counts, compared with the rows that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from persistence.dialect import Bulk, Query, Row, Sql, Transaction, query, shared
from persistence.records import Accounting
from persistence.values import time_or_none, uuid_of

COLUMNS = """tenant_id, connection_id, accepted, duplicate, rejected, forwarded, parked, last_webhook_at,
    created_at, updated_at"""
_COUNTED = ("accepted", "duplicate", "rejected", "forwarded", "parked")
_NONE: Mapping[tuple[str, UUID], int] = {}
ADDED = """accepted = delivery_counts.accepted + excluded.accepted,
    duplicate = delivery_counts.duplicate + excluded.duplicate,
    rejected = delivery_counts.rejected + excluded.rejected,
    forwarded = delivery_counts.forwarded + excluded.forwarded,
    parked = delivery_counts.parked + excluded.parked,
    last_webhook_at = CASE
        WHEN delivery_counts.last_webhook_at IS NULL OR delivery_counts.last_webhook_at < excluded.last_webhook_at
        THEN excluded.last_webhook_at ELSE delivery_counts.last_webhook_at END,
    updated_at = excluded.updated_at"""
# The times here are the database's: accept is told none, and nothing is decided by them.
_COUNT = Sql(
    postgres=f"""INSERT INTO delivery_counts ({COLUMNS})
        SELECT g.*, now(), now()
        FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::timestamptz[]) AS g
        ON CONFLICT (tenant_id, connection_id) DO UPDATE SET {ADDED}""",  # noqa: S608 - only names of ours
    sqlite=shared(
        f"""INSERT INTO delivery_counts ({COLUMNS})
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)
        ON CONFLICT (tenant_id, connection_id) DO UPDATE SET {ADDED}"""  # noqa: S608
    ).sqlite,
)
_ROWS = """SELECT c.tenant_id, c.connection_id, c.provider_id,
        coalesce(d.accepted, 0) AS accepted, coalesce(d.duplicate, 0) AS duplicate,
        coalesce(d.rejected, 0) AS rejected, coalesce(d.forwarded, 0) AS forwarded, coalesce(d.parked, 0) AS parked,
        (SELECT count(*) FROM adapter_events e WHERE e.tenant_id = c.tenant_id
            AND e.connection_id = c.connection_id AND e.state = 'pending') AS pending,
        (SELECT count(*) FROM adapter_events e WHERE e.tenant_id = c.tenant_id
            AND e.connection_id = c.connection_id AND e.state = 'settled') AS settled
    FROM integration_connections c
    LEFT JOIN delivery_counts d ON d.tenant_id = c.tenant_id AND d.connection_id = c.connection_id"""
_ACCOUNTING = shared(f"{_ROWS} ORDER BY c.tenant_id, c.connection_id")
_OF_CONNECTION = shared(f"{_ROWS} WHERE c.tenant_id = $1 AND c.connection_id = $2")
_LAST_WEBHOOK = shared(
    "SELECT last_webhook_at FROM delivery_counts WHERE tenant_id = $1 AND connection_id = $2"
)


def count(
    webhooks_at: Mapping[tuple[str, UUID], datetime] | None = None,
    /,
    **counts: Mapping[tuple[str, UUID], int],
) -> Transaction[None]:
    """Add numbers by column (``accepted``, ``duplicate`` ...) and by (tenant, connection).

    ``webhooks_at``: when webhooks came, of connections that are counted.
    Rows are written in the order of their keys, so that two nodes do not wait for each other in a circle.
    """
    keys = sorted({key for column in counts.values() for key in column})
    times = webhooks_at or {}
    rows = [
        (*key, *(counts.get(column, _NONE).get(key, 0) for column in _COUNTED), times.get(key))
        for key in keys
    ]
    if rows:
        yield Bulk(sql=_COUNT, rows=rows)


def accounting() -> Query:
    """The ledger of every connection; one statement, so one snapshot."""
    return query(_ACCOUNTING)


def of_connection(tenant_id: str, connection_id: UUID) -> Query:
    """The ledger of one connection, without a look at anybody else's rows."""
    return query(_OF_CONNECTION, tenant_id, connection_id)


def accounting_of(row: Row) -> Accounting:
    """Read a row of ``accounting``."""
    return Accounting(
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        provider_id=row["provider_id"],
        accepted=row["accepted"],
        duplicate=row["duplicate"],
        rejected=row["rejected"],
        forwarded=row["forwarded"],
        parked=row["parked"],
        pending=row["pending"],
        settled=row["settled"],
    )


def last_webhook(tenant_id: str, connection_id: UUID) -> Query:
    """When a webhook of the connection last came."""
    return query(_LAST_WEBHOOK, tenant_id, connection_id)


def last_webhook_of(rows: Sequence[Row]) -> datetime | None:
    """Read the row of ``last_webhook``, which is not there before the first delivery."""
    return time_or_none(rows[0]["last_webhook_at"]) if rows else None
