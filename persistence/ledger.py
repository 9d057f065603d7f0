"""The ledger of P9: counted up by the transactions that cause the counts, compared with the rows that are there."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from persistence.dialect import Bulk, Query, Row, Sql, Transaction, query, shared
from persistence.records import Accounting
from persistence.values import uuid_of

_COLUMNS = "tenant_id, connection_id, accepted, duplicate, rejected, forwarded, parked, created_at, updated_at"
_COUNTED = ("accepted", "duplicate", "rejected", "forwarded", "parked")
_NONE: Mapping[tuple[str, UUID], int] = {}
_ADDED = """accepted = delivery_counts.accepted + excluded.accepted,
    duplicate = delivery_counts.duplicate + excluded.duplicate,
    rejected = delivery_counts.rejected + excluded.rejected,
    forwarded = delivery_counts.forwarded + excluded.forwarded,
    parked = delivery_counts.parked + excluded.parked,
    updated_at = excluded.updated_at"""
# The times here are the database's: accept is told none, and nothing is decided by them.
_COUNT = Sql(
    postgres=f"""INSERT INTO delivery_counts ({_COLUMNS})
        SELECT g.*, now(), now()
        FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) AS g
        ON CONFLICT (tenant_id, connection_id) DO UPDATE SET {_ADDED}""",  # noqa: S608 - only names of ours
    sqlite=shared(
        f"""INSERT INTO delivery_counts ({_COLUMNS})
        VALUES ($1, $2, $3, $4, $5, $6, $7, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)
        ON CONFLICT (tenant_id, connection_id) DO UPDATE SET {_ADDED}"""  # noqa: S608
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


def count(**counts: Mapping[tuple[str, UUID], int]) -> Transaction[None]:
    """Add numbers by column (``accepted``, ``duplicate`` ...) and by (tenant, connection).

    Rows are written in the order of their keys, so that two nodes do not wait for each other in a circle.
    """
    keys = sorted({key for column in counts.values() for key in column})
    rows = [
        (*key, *(counts.get(column, _NONE).get(key, 0) for column in _COUNTED)) for key in keys
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
