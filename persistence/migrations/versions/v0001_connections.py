"""Providers, connections and what belongs to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "integration_connections",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("enabled_capabilities", DOCUMENT, nullable=False),
        sa.Column("auth_ref", sa.Uuid(), nullable=True),
        sa.Column("settings", DOCUMENT, nullable=False),
        sa.Column("tags", DOCUMENT, nullable=False),
        sa.Column("verified_at", TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("owner", sa.Uuid(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("sequence_no", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant_id", "connection_id", name=op.f("pk_integration_connections")
        ),
    )
    op.create_index(
        "ix_integration_connections_active",
        "integration_connections",
        ["connection_id"],
        unique=False,
        postgresql_where=sa.text("state = 'active'"),
        sqlite_where=sa.text("state = 'active'"),
    )
    op.create_index(
        "uq_integration_connections_display_name",
        "integration_connections",
        ["tenant_id", "provider_id", "display_name"],
        unique=True,
        postgresql_where=sa.text("state <> 'deleted'"),
        sqlite_where=sa.text("state <> 'deleted'"),
    )
    op.create_table(
        "integration_providers",
        sa.Column("row_id", sa.Uuid(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("api_version", sa.Text(), nullable=False),
        sa.Column("capabilities", DOCUMENT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_integration_providers")),
    )
    op.create_index(
        "uq_integration_providers_provider_id",
        "integration_providers",
        ["provider_id"],
        unique=True,
    )
    op.create_table(
        "nodes",
        sa.Column("incarnation", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("incarnation", name=op.f("pk_nodes")),
    )
    op.create_table(
        "tenant_keys",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kms_key_id", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("iv", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key_id", name=op.f("pk_tenant_keys")),
    )
    op.create_index("uq_tenant_keys_version", "tenant_keys", ["tenant_id", "version"], unique=True)
    op.create_table(
        "polling_cursors",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("cursor_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("cursor_position", sa.LargeBinary(), nullable=True),
        sa.Column("last_polled_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["integration_connections.tenant_id", "integration_connections.connection_id"],
            name=op.f("fk_polling_cursors_integration_connections"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "cursor_id", name=op.f("pk_polling_cursors")),
    )
    op.create_index(
        "uq_polling_cursors_resource",
        "polling_cursors",
        ["tenant_id", "connection_id", "resource"],
        unique=True,
    )
    op.create_table(
        "sealed_secrets",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("secret_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["integration_connections.tenant_id", "integration_connections.connection_id"],
            name=op.f("fk_sealed_secrets_integration_connections"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "secret_id", name=op.f("pk_sealed_secrets")),
    )
    op.create_index(
        "uq_sealed_secrets_version",
        "sealed_secrets",
        ["tenant_id", "connection_id", "purpose", "version"],
        unique=True,
    )
    op.create_table(
        "webhook_registrations",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("registration_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("public_url", sa.Text(), nullable=True),
        sa.Column("events_subscribed", DOCUMENT, nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["integration_connections.tenant_id", "integration_connections.connection_id"],
            name=op.f("fk_webhook_registrations_integration_connections"),
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id", "registration_id", name=op.f("pk_webhook_registrations")
        ),
    )
    op.create_index(
        "ix_webhook_registrations_connection",
        "webhook_registrations",
        ["tenant_id", "connection_id"],
        unique=False,
    )
    op.create_index(
        "ix_webhook_registrations_token_hash",
        "webhook_registrations",
        ["token_hash"],
        unique=False,
    )
    op.create_index(
        "uq_webhook_registrations_token_hash",
        "webhook_registrations",
        ["tenant_id", "token_hash"],
        unique=True,
    )
