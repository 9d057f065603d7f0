"""Providers, connections, and where their webhooks arrive."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, Uuid, text

from persistence.schema.columns import (
    DOCUMENT,
    METADATA,
    TIME,
    of_connection,
    of_tenant,
    times,
    where,
)

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
    *times(),
    Index("uq_integration_providers_provider_id", "provider_id", unique=True),
)

INTEGRATION_CONNECTIONS = Table(
    "integration_connections",
    METADATA,
    *of_tenant("connection_id"),
    Column("provider_id", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("base_url", Text, nullable=False),
    Column("enabled_capabilities", DOCUMENT, nullable=False),
    Column("auth_ref", Uuid),
    Column("settings", DOCUMENT, nullable=False),
    Column("tags", DOCUMENT, nullable=False),
    Column("verified_at", TIME),
    Column("reason", Text),
    Column("owner", Uuid),
    Column("epoch", BigInteger, nullable=False),
    Column("sequence_no", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    Column("network", DOCUMENT, nullable=False, server_default=text("'{}'")),
    Column("pressure", DOCUMENT, nullable=False, server_default=text("'{}'")),
    Column("deleted_at", TIME),
    Column("clean_at", TIME),
    *times(),
    Index(
        "uq_integration_connections_display_name",
        "tenant_id",
        "provider_id",
        "display_name",
        unique=True,
        **where("state <> 'deleted'"),
    ),
    Index("ix_integration_connections_active", "connection_id", **where("state = 'active'")),
    Index("ix_integration_connections_clean", "clean_at", **where("clean_at IS NOT NULL")),
    Index("ix_integration_connections_deleted", "deleted_at", **where("deleted_at IS NOT NULL")),
)

WEBHOOK_REGISTRATIONS = Table(
    "webhook_registrations",
    METADATA,
    *of_tenant("registration_id"),
    *of_connection(),
    Column("token_hash", LargeBinary, nullable=False),
    Column("public_url", Text),
    Column("events_subscribed", DOCUMENT),
    Column("status", Text, nullable=False),
    Column("token_ref", Uuid),
    Column("ends_at", TIME),
    Column("hooks", DOCUMENT),
    Column("checked_at", TIME),
    *times(),
    Index("uq_webhook_registrations_token_hash", "tenant_id", "token_hash", unique=True),
    Index("ix_webhook_registrations_token_hash", "token_hash"),
    Index("ix_webhook_registrations_connection", "tenant_id", "connection_id"),
    Index("ix_webhook_registrations_checked_at", "checked_at", **where("hooks IS NOT NULL")),
    Index("ix_webhook_registrations_ends_at", "ends_at", **where("ends_at IS NOT NULL")),
)
