"""What is told to others: receipts in their chains, and incidents."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, Uuid, text

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

RECEIPTS = Table(
    "receipts",
    METADATA,
    *of_tenant("receipt_id"),
    Column("connection_id", Uuid),
    position(),
    Column("operation", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("batch_id", Uuid),
    Column("sequence_no", BigInteger, nullable=False),
    Column("stamped_at", TIME, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    *times(),
    Index("uq_receipts_sequence_no", "tenant_id", "sequence_no", unique=True),
    Index("ix_receipts_waiting", "tenant_id", "position", **where("state = 'waiting'")),
    Index(
        "ix_receipts_batch_id",
        "tenant_id",
        "batch_id",
        **where("state = 'waiting' AND batch_id IS NOT NULL"),
    ),
    Index("ix_receipts_sent", "stamped_at", **where("state = 'sent'")),
    count_up("receipts"),
)

RECEIPT_CHAINS = Table(
    "receipt_chains",
    METADATA,
    *of_tenant("chain_id"),
    Column("last_stamped_at", TIME),
    Column("last_digest", LargeBinary),
    Column("length", BigInteger, nullable=False, server_default=text("0")),
    *times(),
)

UNTOLD = "told = '' OR (told = 'open' AND resolved_at IS NOT NULL)"
"""Incidents that the alerting module does not know as they are."""

INCIDENTS = Table(
    "incidents",
    METADATA,
    *of_tenant("incident_id"),
    *of_connection(),
    Column("provider_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("opened_at", TIME, nullable=False),
    Column("resolved_at", TIME),
    Column("told", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    *times(),
    Index(
        "uq_incidents_open",
        "tenant_id",
        "connection_id",
        "kind",
        unique=True,
        **where("resolved_at IS NULL"),
    ),
    Index("ix_incidents_untold", "tenant_id", "opened_at", **where(UNTOLD)),
    Index("ix_incidents_connection", "tenant_id", "connection_id", "opened_at"),
    Index("ix_incidents_resolved", "resolved_at", **where("told = 'resolved'")),
)
