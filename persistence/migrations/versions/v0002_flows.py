"""What comes in and what goes out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "adapter_events",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_kind", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("replay_digest", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "delivery_id", name=op.f("pk_adapter_events")),
    )
    op.create_index(
        "ix_adapter_events_forwarded",
        "adapter_events",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text("state = 'forwarded'"),
        sqlite_where=sa.text("state = 'forwarded'"),
    )
    op.create_index(
        "ix_adapter_events_parked",
        "adapter_events",
        ["tenant_id", "connection_id", "position"],
        unique=False,
        postgresql_where=sa.text("state = 'parked'"),
        sqlite_where=sa.text("state = 'parked'"),
    )
    op.create_index(
        "ix_adapter_events_pending",
        "adapter_events",
        ["tenant_id", "connection_id", "position"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
        sqlite_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_adapter_events_replay",
        "adapter_events",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("replay_digest IS NOT NULL"),
        sqlite_where=sa.text("replay_digest IS NOT NULL"),
    )
    op.create_index(
        "ix_adapter_events_settled",
        "adapter_events",
        ["tenant_id", "connection_id"],
        unique=False,
        postgresql_where=sa.text("state = 'settled'"),
        sqlite_where=sa.text("state = 'settled'"),
    )
    op.create_index(
        "uq_adapter_events_event_id",
        "adapter_events",
        ["tenant_id", "connection_id", "event_id"],
        unique=True,
    )
    op.create_index(
        "uq_adapter_events_replay_digest",
        "adapter_events",
        ["tenant_id", "connection_id", "replay_digest"],
        unique=True,
        postgresql_where=sa.text("replay_digest IS NOT NULL"),
        sqlite_where=sa.text("replay_digest IS NOT NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("outbox_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("signal_id", sa.Text(), nullable=False),
        sa.Column("sequence_no", sa.BigInteger(), nullable=False),
        sa.Column("signal_type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("envelope", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "outbox_id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_delivery_id", "outbox", ["tenant_id", "delivery_id"], unique=False)
    op.create_index(
        "ix_outbox_forwarded",
        "outbox",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text("state = 'forwarded'"),
        sqlite_where=sa.text("state = 'forwarded'"),
    )
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["tenant_id", "position"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "uq_outbox_sequence_no",
        "outbox",
        ["tenant_id", "connection_id", "sequence_no"],
        unique=True,
    )
    op.create_index(
        "uq_outbox_signal_id", "outbox", ["tenant_id", "connection_id", "signal_id"], unique=True
    )
    op.create_table(
        "receipt_chains",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("last_stamped_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "chain_id", name=op.f("pk_receipt_chains")),
    )
    op.create_table(
        "receipts",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("receipt_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("body", DOCUMENT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("stamped_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "receipt_id", name=op.f("pk_receipts")),
    )
    op.create_index(
        "ix_receipts_batch_id",
        "receipts",
        ["tenant_id", "batch_id"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting' AND batch_id IS NOT NULL"),
        sqlite_where=sa.text("state = 'waiting' AND batch_id IS NOT NULL"),
    )
    op.create_index(
        "ix_receipts_sent",
        "receipts",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("state = 'sent'"),
        sqlite_where=sa.text("state = 'sent'"),
    )
    op.create_index(
        "ix_receipts_waiting",
        "receipts",
        ["tenant_id", "position"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "delivery_counts",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("duplicate", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("forwarded", sa.BigInteger(), nullable=False),
        sa.Column("parked", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["integration_connections.tenant_id", "integration_connections.connection_id"],
            name=op.f("fk_delivery_counts_integration_connections"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "connection_id", name=op.f("pk_delivery_counts")),
    )
    op.create_table(
        "normalised_actions",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("canonical_type", sa.Text(), nullable=False),
        sa.Column("target", DOCUMENT, nullable=False),
        sa.Column("target_key", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=True),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("not_before", TIME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("outcome", DOCUMENT, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["integration_connections.tenant_id", "integration_connections.connection_id"],
            name=op.f("fk_normalised_actions_integration_connections"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "action_id", name=op.f("pk_normalised_actions")),
    )
    op.create_index(
        "ix_normalised_actions_final",
        "normalised_actions",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text("state <> 'queued'"),
        sqlite_where=sa.text("state <> 'queued'"),
    )
    op.create_index(
        "ix_normalised_actions_queued",
        "normalised_actions",
        ["tenant_id", "connection_id", "target_key", "position"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
        sqlite_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "uq_normalised_actions_idempotency_key",
        "normalised_actions",
        ["tenant_id", "connection_id", "idempotency_key"],
        unique=True,
    )
    op.create_table(
        "exchanges",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("exchange_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sent_at", TIME, nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "action_id"],
            ["normalised_actions.tenant_id", "normalised_actions.action_id"],
            name=op.f("fk_exchanges_normalised_actions"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "exchange_id", name=op.f("pk_exchanges")),
    )
    op.create_index(
        "ix_exchanges_action_id", "exchanges", ["tenant_id", "action_id", "position"], unique=False
    )
    if op.get_bind().dialect.name == "sqlite":  # PostgreSQL counts positions with a sequence
        for table in ("adapter_events", "outbox", "normalised_actions", "exchanges", "receipts"):
            op.create_index(f"ix_{table}_position", table, ["position"])
