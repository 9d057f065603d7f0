"""The life of a connection, the ends of actions, incidents, and receipts as a chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from persistence.migrations.chaining import chain_all

revision = "0003"
down_revision = "0002"

DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add what is new; what is there keeps its meaning."""
    _connections()
    _actions()
    _logins()
    _requests()
    _incidents()
    _receipts()


def _index(name: str, table: str, columns: list[str], where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        name,
        table,
        columns,
        unique=name.startswith("uq_"),
        postgresql_where=condition,
        sqlite_where=condition,
    )


def _connections() -> None:
    table = "integration_connections"
    op.add_column(
        table, sa.Column("version", sa.BigInteger(), nullable=False, server_default=sa.text("1"))
    )
    for name in ("network", "pressure"):
        op.add_column(
            table, sa.Column(name, DOCUMENT, nullable=False, server_default=sa.text("'{}'"))
        )
    for name in ("deleted_at", "clean_at"):
        op.add_column(table, sa.Column(name, TIME, nullable=True))
        _index(f"ix_{table}_{name.removesuffix('_at')}", table, [name], f"{name} IS NOT NULL")
    # Nobody forgot their secrets yet: upkeep finds them.
    op.execute(
        f"UPDATE {table} SET deleted_at = updated_at, clean_at = updated_at WHERE state = 'deleted'"  # noqa: S608
    )
    table = "webhook_registrations"
    op.add_column(table, sa.Column("token_ref", sa.Uuid(), nullable=True))
    op.add_column(table, sa.Column("ends_at", TIME, nullable=True))
    op.add_column(table, sa.Column("hooks", DOCUMENT, nullable=True))
    op.add_column(table, sa.Column("checked_at", TIME, nullable=True))
    _index(f"ix_{table}_ends_at", table, ["ends_at"], "ends_at IS NOT NULL")
    table = "sealed_secrets"
    op.drop_index("uq_sealed_secrets_version", table)
    _index(
        "uq_sealed_secrets_version",
        table,
        ["tenant_id", "connection_id", "purpose", "version"],
        "purpose IN ('auth', 'webhook')",
    )
    _index("ix_sealed_secrets_connection", table, ["tenant_id", "connection_id", "purpose"])
    _index("ix_sealed_secrets_expires_at", table, ["expires_at"], "expires_at IS NOT NULL")


def _actions() -> None:
    table = "normalised_actions"
    op.add_column(table, sa.Column("ended_at", TIME, nullable=True))
    op.execute(f"UPDATE {table} SET ended_at = updated_at WHERE state <> 'queued'")  # noqa: S608
    _index(f"ix_{table}_listed", table, ["tenant_id", "position"])
    _index(f"ix_{table}_of_connection", table, ["tenant_id", "connection_id", "position"])


def _times() -> tuple[sa.Column[object], sa.Column[object]]:
    return (
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
    )


def _of_connection(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", "connection_id"],
        ["integration_connections.tenant_id", "integration_connections.connection_id"],
        name=op.f(f"fk_{table}_integration_connections"),
    )


def _logins() -> None:
    table = "logins"
    op.create_table(
        table,
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("login_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("state_hash", sa.LargeBinary(), nullable=False),
        sa.Column("verifier_ref", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("return_to", sa.Text(), nullable=True),
        sa.Column("expires_at", TIME, nullable=False),
        *_times(),
        _of_connection(table),
        sa.PrimaryKeyConstraint("tenant_id", "login_id", name=op.f(f"pk_{table}")),
    )
    _index("uq_logins_connection", table, ["tenant_id", "connection_id"])
    _index("uq_logins_state_hash", table, ["tenant_id", "state_hash"])
    _index("ix_logins_state_hash", table, ["state_hash"])
    _index("ix_logins_expires_at", table, ["expires_at"])


def _requests() -> None:
    table = "requests"
    op.create_table(
        table,
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("secret_id", sa.Uuid(), nullable=True),
        sa.Column("connection_id", sa.Uuid(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("nonce", sa.LargeBinary(), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_at", TIME, nullable=True),
        sa.Column("sealed_until", TIME, nullable=True),
        *_times(),
        sa.PrimaryKeyConstraint("tenant_id", "request_id", name=op.f(f"pk_{table}")),
    )
    _index("uq_requests_key", table, ["tenant_id", "key"])
    _index("ix_requests_expires_at", table, ["expires_at"])


def _incidents() -> None:
    table = "incidents"
    op.create_table(
        table,
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("resolved_at", TIME, nullable=True),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        *_times(),
        _of_connection(table),
        sa.PrimaryKeyConstraint("tenant_id", "incident_id", name=op.f(f"pk_{table}")),
    )
    place = ["tenant_id", "connection_id"]
    _index("uq_incidents_open", table, [*place, "kind"], "resolved_at IS NULL")
    _index(
        "ix_incidents_untold",
        table,
        ["tenant_id", "opened_at"],
        "told = '' OR (told = 'open' AND resolved_at IS NOT NULL)",
    )
    _index("ix_incidents_connection", table, [*place, "opened_at"])
    _index("ix_incidents_resolved", table, ["resolved_at"], "told = 'resolved'")


def _receipts() -> None:
    """Every receipt that is kept gets its place in its tenant's chain; what was stamped keeps its stamp."""
    op.add_column(
        "receipt_chains",
        sa.Column("length", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    )
    op.add_column("receipt_chains", sa.Column("last_digest", sa.LargeBinary(), nullable=True))
    indexes = ("ix_receipts_waiting", "ix_receipts_batch_id", "ix_receipts_sent")
    for name in indexes:
        op.drop_index(name, "receipts")
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("ix_receipts_position", "receipts")
    with op.batch_alter_table("receipts") as batch:
        # As text it comes back as it was hashed; a batch under way is sent on with the same bytes.
        batch.alter_column(
            "body", existing_type=DOCUMENT, type_=sa.Text(), postgresql_using="body::text"
        )
        batch.add_column(sa.Column("sequence_no", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("previous", sa.LargeBinary(), nullable=True))
        batch.add_column(sa.Column("digest", sa.LargeBinary(), nullable=True))
    chain_all(op.get_bind())
    with op.batch_alter_table("receipts") as batch:
        batch.alter_column("stamped_at", existing_type=TIME, nullable=False)
        batch.alter_column("sequence_no", existing_type=sa.BigInteger(), nullable=False)
        for name in ("previous", "digest"):
            batch.alter_column(name, existing_type=sa.LargeBinary(), nullable=False)
    _index("uq_receipts_sequence_no", "receipts", ["tenant_id", "sequence_no"])
    _index("ix_receipts_waiting", "receipts", ["tenant_id", "position"], "state = 'waiting'")
    batched = "state = 'waiting' AND batch_id IS NOT NULL"
    _index("ix_receipts_batch_id", "receipts", ["tenant_id", "batch_id"], batched)
    _index("ix_receipts_sent", "receipts", ["stamped_at"], "state = 'sent'")
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("ix_receipts_position", "receipts", ["position"])
