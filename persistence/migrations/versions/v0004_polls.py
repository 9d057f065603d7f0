"""Polling and backfilling: cursors that know when they are due, backfills, and where a delivery came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TIME = sa.DateTime(timezone=True)
PLACE = ["tenant_id", "connection_id"]


def upgrade() -> None:
    """Add what is new; what is there keeps its meaning."""
    _deliveries()
    _cursors()
    _backfills()
    _index("ix_normalised_actions_expires_at", ["expires_at"], "state = 'queued'")
    _index("ix_webhook_registrations_checked_at", ["checked_at"], "hooks IS NOT NULL")


def _index(name: str, columns: list[str], where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    table = next(known for known in _INDEXED if name[3:].startswith(known))
    op.create_index(
        name,
        table,
        columns,
        unique=name.startswith("uq_"),
        postgresql_where=condition,
        sqlite_where=condition,
    )


_INDEXED = ("polling_cursors", "backfills", "normalised_actions", "webhook_registrations")


def _deliveries() -> None:
    """What came before there was polling came by webhook; the newest that is kept says when."""
    op.add_column(
        "adapter_events",
        sa.Column("origin", sa.Text(), nullable=False, server_default=sa.text("'webhook'")),
    )
    op.add_column("delivery_counts", sa.Column("last_webhook_at", TIME, nullable=True))
    op.execute(
        """UPDATE delivery_counts SET last_webhook_at = (SELECT max(e.received_at) FROM adapter_events e
        WHERE e.tenant_id = delivery_counts.tenant_id AND e.connection_id = delivery_counts.connection_id)"""
    )


def _cursors() -> None:
    """A cursor that is there already is due at once."""
    with op.batch_alter_table("polling_cursors") as batch:
        batch.add_column(sa.Column("state", sa.Text(), nullable=True))
        batch.add_column(sa.Column("every_s", sa.Double(), nullable=True))
        batch.add_column(sa.Column("failures", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("reason", sa.Text(), nullable=True))
        batch.add_column(sa.Column("next_poll_at", TIME, nullable=True))
        batch.add_column(sa.Column("last_news_at", TIME, nullable=True))
    op.execute(
        """UPDATE polling_cursors SET every_s = 300, failures = 0, next_poll_at = updated_at,
        state = (SELECT c.state FROM integration_connections c WHERE c.tenant_id = polling_cursors.tenant_id
            AND c.connection_id = polling_cursors.connection_id)"""
    )
    with op.batch_alter_table("polling_cursors") as batch:
        batch.alter_column("state", existing_type=sa.Text(), nullable=False)
        batch.alter_column("every_s", existing_type=sa.Double(), nullable=False)
        batch.alter_column("failures", existing_type=sa.Integer(), nullable=False)
        batch.alter_column("next_poll_at", existing_type=TIME, nullable=False)
    due = ["next_poll_at", "connection_id", "tenant_id"]
    _index("ix_polling_cursors_due", due, "state = 'active'")
    _index("ix_polling_cursors_deleted", ["updated_at"], "state = 'deleted'")


def _backfills() -> None:
    op.create_table(
        "backfills",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("backfill_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cursor_position", sa.LargeBinary(), nullable=True),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.Column("fresh", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            PLACE,
            [f"integration_connections.{name}" for name in PLACE],
            name=op.f("fk_backfills_integration_connections"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "backfill_id", name=op.f("pk_backfills")),
    )
    _index("uq_backfills_resource", [*PLACE, "resource"], "state IN ('running', 'paused')")
    _index("ix_backfills_connection", [*PLACE, "created_at"])
    _index("ix_backfills_due", ["next_at"], "state = 'running'")
    _index("ix_backfills_ended", ["ended_at"], "ended_at IS NOT NULL")
