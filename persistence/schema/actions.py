"""What was asked for, and what was sent for it."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, Index, Integer, LargeBinary, Table, Text, Uuid

from persistence.schema.columns import (
    DOCUMENT,
    METADATA,
    TIME,
    count_up,
    of_connection,
    of_tenant,
    position,
    times,
    where,
)

NORMALISED_ACTIONS = Table(
    "normalised_actions",
    METADATA,
    *of_tenant("action_id"),
    *of_connection(),
    position(),
    Column("provider_id", Text, nullable=False),
    Column("canonical_type", Text, nullable=False),
    Column("target", DOCUMENT, nullable=False),
    Column("target_key", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("correlation_id", Text),
    Column("expires_at", TIME, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("asked", Integer, nullable=False),
    Column("not_before", TIME, nullable=False),
    Column("reason", Text),
    Column("outcome", DOCUMENT),
    Column("ended_at", TIME),
    *times(),
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
        **where("state = 'queued'"),
    ),
    Index("ix_normalised_actions_expires_at", "expires_at", **where("state = 'queued'")),
    Index("ix_normalised_actions_listed", "tenant_id", "position"),
    Index("ix_normalised_actions_of_connection", "tenant_id", "connection_id", "position"),
    Index("ix_normalised_actions_final", "updated_at", **where("state <> 'queued'")),
    count_up("normalised_actions"),
)

EXCHANGES = Table(
    "exchanges",
    METADATA,
    *of_tenant("exchange_id"),
    Column("connection_id", Uuid, nullable=False),
    Column("action_id", Uuid, nullable=False),
    position(),
    Column("step", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("sent_at", TIME, nullable=False),
    Column("status", Integer),
    Column("headers", LargeBinary),
    Column("body", LargeBinary),
    *times(),
    ForeignKeyConstraint(
        ["tenant_id", "action_id"],
        ["normalised_actions.tenant_id", "normalised_actions.action_id"],
    ),
    Index("ix_exchanges_action_id", "tenant_id", "action_id", "position"),
    count_up("exchanges"),
)
