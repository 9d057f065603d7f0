"""The transaction that publishes the registry of adapters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from persistence.dialect import Bulk, Sql, Transaction
from persistence.records import ProviderRecord
from persistence.values import document

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
