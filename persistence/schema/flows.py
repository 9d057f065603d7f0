"""What came in and what became of it; which nodes there are."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)

from persistence.schema.columns import (
    METADATA,
    TIME,
    count_up,
    of_connection,
    of_tenant,
    position,
    times,
    where,
)

NODES = Table(
    "nodes",
    METADATA,
    Column("incarnation", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("expires_at", TIME, nullable=False),
    *times(),
)

# No foreign key: it would lock the connection's row for each delivery; the ledger's key below does the check.
ADAPTER_EVENTS = Table(
    "adapter_events",
    METADATA,
    *of_tenant("delivery_id"),
    Column("connection_id", Uuid, nullable=False),
    position(),
    Column("event_kind", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("replay_digest", LargeBinary),
    Column("received_at", TIME, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text),
    Column("body", LargeBinary),
    Column("origin", Text, nullable=False, server_default=text("'webhook'")),
    *times(),
    Index("uq_adapter_events_event_id", "tenant_id", "connection_id", "event_id", unique=True),
    Index(
        "uq_adapter_events_replay_digest",
        "tenant_id",
        "connection_id",
        "replay_digest",
        unique=True,
        **where("replay_digest IS NOT NULL"),
    ),
    Index(
        "ix_adapter_events_pending",
        "tenant_id",
        "connection_id",
        "position",
        **where("state = 'pending'"),
    ),
    Index("ix_adapter_events_settled", "tenant_id", "connection_id", **where("state = 'settled'")),
    Index(
        "ix_adapter_events_parked",
        "tenant_id",
        "connection_id",
        "position",
        **where("state = 'parked'"),
    ),
    Index("ix_adapter_events_replay", "received_at", **where("replay_digest IS NOT NULL")),
    Index("ix_adapter_events_forwarded", "updated_at", **where("state = 'forwarded'")),
    count_up("adapter_events"),
)

DELIVERY_COUNTS = Table(
    "delivery_counts",
    METADATA,
    Column("tenant_id", Text, nullable=False),
    *of_connection(),
    Column("accepted", BigInteger, nullable=False),
    Column("duplicate", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("forwarded", BigInteger, nullable=False),
    Column("parked", BigInteger, nullable=False),
    Column("last_webhook_at", TIME),
    *times(),
    PrimaryKeyConstraint("tenant_id", "connection_id"),
)

OUTBOX = Table(
    "outbox",
    METADATA,
    *of_tenant("outbox_id"),
    Column("connection_id", Uuid, nullable=False),
    Column("delivery_id", Uuid, nullable=False),
    position(),
    Column("signal_id", Text, nullable=False),
    Column("sequence_no", BigInteger, nullable=False),
    Column("signal_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text),
    Column("envelope", LargeBinary),
    *times(),
    Index("uq_outbox_signal_id", "tenant_id", "connection_id", "signal_id", unique=True),
    Index("uq_outbox_sequence_no", "tenant_id", "connection_id", "sequence_no", unique=True),
    Index("ix_outbox_delivery_id", "tenant_id", "delivery_id"),
    Index("ix_outbox_waiting", "tenant_id", "position", **where("state = 'waiting'")),
    Index("ix_outbox_forwarded", "updated_at", **where("state = 'forwarded'")),
    count_up("outbox"),
)
