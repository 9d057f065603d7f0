"""How far a connection's resources have been polled, and what is filled in behind them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, Table, Text

from persistence.schema.columns import METADATA, TIME, of_connection, of_tenant, times, where

# ``state`` is the connection's, kept along with it, so that the index of what is due holds nothing that may not be
# polled. The index has all that its query asks for: what is due is found without a look at the rows.
POLLING_CURSORS = Table(
    "polling_cursors",
    METADATA,
    *of_tenant("cursor_id"),
    *of_connection(),
    Column("resource", Text, nullable=False),
    Column("cursor_position", LargeBinary),
    Column("last_polled_at", TIME),
    Column("state", Text, nullable=False),
    Column("every_s", Double, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("reason", Text),
    Column("next_poll_at", TIME, nullable=False),
    Column("last_news_at", TIME),
    *times(),
    Index("uq_polling_cursors_resource", "tenant_id", "connection_id", "resource", unique=True),
    Index(
        "ix_polling_cursors_due",
        "next_poll_at",
        "connection_id",
        "tenant_id",
        **where("state = 'active'"),
    ),
    Index("ix_polling_cursors_deleted", "updated_at", **where("state = 'deleted'")),
)

BACKFILLS = Table(
    "backfills",
    METADATA,
    *of_tenant("backfill_id"),
    *of_connection(),
    Column("resource", Text, nullable=False),
    Column("since", TIME, nullable=False),
    Column("until", TIME, nullable=False),
    Column("state", Text, nullable=False),
    Column("cursor_position", LargeBinary),
    Column("found", BigInteger, nullable=False),
    Column("fresh", BigInteger, nullable=False),
    Column("done", BigInteger),
    Column("total", BigInteger),
    Column("reason", Text),
    Column("next_at", TIME, nullable=False),
    Column("ended_at", TIME),
    *times(),
    Index(
        "uq_backfills_resource",
        "tenant_id",
        "connection_id",
        "resource",
        unique=True,
        **where("state IN ('running', 'paused')"),
    ),
    Index("ix_backfills_connection", "tenant_id", "connection_id", "created_at"),
    Index("ix_backfills_due", "next_at", **where("state = 'running'")),
    Index("ix_backfills_ended", "ended_at", **where("ended_at IS NOT NULL")),
)
