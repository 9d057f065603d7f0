"""The tables, for migrations and for those who read the database; queries are written in SQL elsewhere.

``tenant_id`` comes first in each key, so that the schema can be distributed by tenant. JSONB holds what operators
look into; BYTEA holds what must come back byte for byte (bodies, envelopes, payloads, kept answers), is never
queried, and may carry what JSONB refuses (U+0000). ``position`` orders rows: an identity on PostgreSQL, counted up
inside the INSERT by SQLite's single writer.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

REVISION = "0002"
"""The revision this program is written for: the newest in ``migrations/versions``."""

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

DOCUMENT = JSON().with_variant(JSONB(), "postgresql")
_TIME = DateTime(timezone=True)


def _times() -> tuple[Column[Any], Column[Any]]:
    return (
        Column("created_at", _TIME, nullable=False),
        Column("updated_at", _TIME, nullable=False),
    )


def _of_tenant(key: str) -> tuple[Any, ...]:
    """The key of a tenant's table: the tenant, then a UUID."""
    return (
        Column("tenant_id", Text, nullable=False),
        Column(key, Uuid, nullable=False),
        PrimaryKeyConstraint("tenant_id", key),
    )


def _of_connection() -> tuple[Column[Any], ForeignKeyConstraint]:
    """A row that can not be without its connection; for tables off the hot path."""
    columns = ["tenant_id", "connection_id"]
    return (
        Column("connection_id", Uuid, nullable=False),
        ForeignKeyConstraint(columns, [f"integration_connections.{name}" for name in columns]),
    )


def _position() -> Column[Any]:
    return Column("position", BigInteger, Identity(always=True), nullable=False)


def _where(condition: str) -> dict[str, Any]:
    """A partial index, spelled as the queries spell it (SQLite matches the text)."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


def _count_up(table: str) -> Index:
    """SQLite finds the greatest position by this index; PostgreSQL has a sequence and does without."""
    return Index(f"ix_{table}_position", "position", info={"only": "sqlite"})


INTEGRATION_PROVIDERS = Table(
    "integration_providers",
    METADATA,
    Column("row_id", Uuid, primary_key=True),
    Column("provider_id", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("api_version", Text, nullable=False),
    Column("capabilities", DOCUMENT, nullable=False),
    *_times(),
    Index("uq_integration_providers_provider_id", "provider_id", unique=True),
)

INTEGRATION_CONNECTIONS = Table(
    "integration_connections",
    METADATA,
    *_of_tenant("connection_id"),
    Column("provider_id", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("base_url", Text, nullable=False),
    Column("enabled_capabilities", DOCUMENT, nullable=False),
    Column("auth_ref", Uuid),
    Column("settings", DOCUMENT, nullable=False),
    Column("tags", DOCUMENT, nullable=False),
    Column("verified_at", _TIME),
    Column("reason", Text),
    Column("owner", Uuid),
    Column("epoch", BigInteger, nullable=False),
    Column("sequence_no", BigInteger, nullable=False),
    *_times(),
    Index(
        "uq_integration_connections_display_name",
        "tenant_id",
        "provider_id",
        "display_name",
        unique=True,
        **_where("state <> 'deleted'"),
    ),
    Index("ix_integration_connections_active", "connection_id", **_where("state = 'active'")),
)

WEBHOOK_REGISTRATIONS = Table(
    "webhook_registrations",
    METADATA,
    *_of_tenant("registration_id"),
    *_of_connection(),
    Column("token_hash", LargeBinary, nullable=False),
    Column("public_url", Text),
    Column("events_subscribed", DOCUMENT),
    Column("status", Text, nullable=False),
    *_times(),
    Index("uq_webhook_registrations_token_hash", "tenant_id", "token_hash", unique=True),
    Index("ix_webhook_registrations_token_hash", "token_hash"),
    Index("ix_webhook_registrations_connection", "tenant_id", "connection_id"),
)

POLLING_CURSORS = Table(
    "polling_cursors",
    METADATA,
    *_of_tenant("cursor_id"),
    *_of_connection(),
    Column("resource", Text, nullable=False),
    Column("cursor_position", LargeBinary),
    Column("last_polled_at", _TIME),
    *_times(),
    Index("uq_polling_cursors_resource", "tenant_id", "connection_id", "resource", unique=True),
)

SEALED_SECRETS = Table(
    "sealed_secrets",
    METADATA,
    *_of_tenant("secret_id"),
    *_of_connection(),
    Column("purpose", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("key_id", Uuid, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("expires_at", _TIME),
    *_times(),
    Index(
        "uq_sealed_secrets_version",
        "tenant_id",
        "connection_id",
        "purpose",
        "version",
        unique=True,
    ),
)

TENANT_KEYS = Table(
    "tenant_keys",
    METADATA,
    *_of_tenant("key_id"),
    Column("version", Integer, nullable=False),
    Column("kms_key_id", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("iv", Text, nullable=False),
    Column("ciphertext", Text, nullable=False),
    *_times(),
    Index("uq_tenant_keys_version", "tenant_id", "version", unique=True),
)

NODES = Table(
    "nodes",
    METADATA,
    Column("incarnation", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("expires_at", _TIME, nullable=False),
    *_times(),
)

# No foreign key: it would lock the connection's row for each delivery; the ledger's key below does the check.
ADAPTER_EVENTS = Table(
    "adapter_events",
    METADATA,
    *_of_tenant("delivery_id"),
    Column("connection_id", Uuid, nullable=False),
    _position(),
    Column("event_kind", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("replay_digest", LargeBinary),
    Column("received_at", _TIME, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text),
    Column("body", LargeBinary),
    *_times(),
    Index("uq_adapter_events_event_id", "tenant_id", "connection_id", "event_id", unique=True),
    Index(
        "uq_adapter_events_replay_digest",
        "tenant_id",
        "connection_id",
        "replay_digest",
        unique=True,
        **_where("replay_digest IS NOT NULL"),
    ),
    Index(
        "ix_adapter_events_pending",
        "tenant_id",
        "connection_id",
        "position",
        **_where("state = 'pending'"),
    ),
    Index(
        "ix_adapter_events_settled", "tenant_id", "connection_id", **_where("state = 'settled'")
    ),
    Index(
        "ix_adapter_events_parked",
        "tenant_id",
        "connection_id",
        "position",
        **_where("state = 'parked'"),
    ),
    Index("ix_adapter_events_replay", "received_at", **_where("replay_digest IS NOT NULL")),
    Index("ix_adapter_events_forwarded", "updated_at", **_where("state = 'forwarded'")),
    _count_up("adapter_events"),
)

DELIVERY_COUNTS = Table(
    "delivery_counts",
    METADATA,
    Column("tenant_id", Text, nullable=False),
    *_of_connection(),
    Column("accepted", BigInteger, nullable=False),
    Column("duplicate", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("forwarded", BigInteger, nullable=False),
    Column("parked", BigInteger, nullable=False),
    *_times(),
    PrimaryKeyConstraint("tenant_id", "connection_id"),
)

OUTBOX = Table(
    "outbox",
    METADATA,
    *_of_tenant("outbox_id"),
    Column("connection_id", Uuid, nullable=False),
    Column("delivery_id", Uuid, nullable=False),
    _position(),
    Column("signal_id", Text, nullable=False),
    Column("sequence_no", BigInteger, nullable=False),
    Column("signal_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text),
    Column("envelope", LargeBinary),
    *_times(),
    Index("uq_outbox_signal_id", "tenant_id", "connection_id", "signal_id", unique=True),
    Index("uq_outbox_sequence_no", "tenant_id", "connection_id", "sequence_no", unique=True),
    Index("ix_outbox_delivery_id", "tenant_id", "delivery_id"),
    Index("ix_outbox_waiting", "tenant_id", "position", **_where("state = 'waiting'")),
    Index("ix_outbox_forwarded", "updated_at", **_where("state = 'forwarded'")),
    _count_up("outbox"),
)

NORMALISED_ACTIONS = Table(
    "normalised_actions",
    METADATA,
    *_of_tenant("action_id"),
    *_of_connection(),
    _position(),
    Column("provider_id", Text, nullable=False),
    Column("canonical_type", Text, nullable=False),
    Column("target", DOCUMENT, nullable=False),
    Column("target_key", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("correlation_id", Text),
    Column("expires_at", _TIME, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("asked", Integer, nullable=False),
    Column("not_before", _TIME, nullable=False),
    Column("reason", Text),
    Column("outcome", DOCUMENT),
    *_times(),
    Index(
        "uq_normalised_actions_idempotency_key",
        "tenant_id",
        "connection_id",
        "idempotency_key",
        unique=True,
    ),
    Index(
        "ix_normalised_actions_queued",
        "tenant_id",
        "connection_id",
        "target_key",
        "position",
        **_where("state = 'queued'"),
    ),
    Index("ix_normalised_actions_final", "updated_at", **_where("state <> 'queued'")),
    _count_up("normalised_actions"),
)

EXCHANGES = Table(
    "exchanges",
    METADATA,
    *_of_tenant("exchange_id"),
    Column("connection_id", Uuid, nullable=False),
    Column("action_id", Uuid, nullable=False),
    _position(),
    Column("step", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("sent_at", _TIME, nullable=False),
    Column("status", Integer),
    Column("headers", LargeBinary),
    Column("body", LargeBinary),
    *_times(),
    ForeignKeyConstraint(
        ["tenant_id", "action_id"],
        ["normalised_actions.tenant_id", "normalised_actions.action_id"],
    ),
    Index("ix_exchanges_action_id", "tenant_id", "action_id", "position"),
    _count_up("exchanges"),
)

RECEIPTS = Table(
    "receipts",
    METADATA,
    *_of_tenant("receipt_id"),
    Column("connection_id", Uuid),
    _position(),
    Column("operation", Text, nullable=False),
    Column("body", DOCUMENT, nullable=False),
    Column("state", Text, nullable=False),
    Column("batch_id", Uuid),
    Column("stamped_at", _TIME),
    *_times(),
    Index("ix_receipts_waiting", "tenant_id", "position", **_where("state = 'waiting'")),
    Index(
        "ix_receipts_batch_id",
        "tenant_id",
        "batch_id",
        **_where("state = 'waiting' AND batch_id IS NOT NULL"),
    ),
    Index("ix_receipts_sent", "created_at", **_where("state = 'sent'")),
    _count_up("receipts"),
)

RECEIPT_CHAINS = Table(
    "receipt_chains",
    METADATA,
    *_of_tenant("chain_id"),
    Column("last_stamped_at", _TIME),
    *_times(),
)
