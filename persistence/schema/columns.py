"""What the tables share: their metadata, and the columns and indexes that come again in many of them."""

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
    MetaData,
    PrimaryKeyConstraint,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
DOCUMENT = JSON().with_variant(JSONB(), "postgresql")
TIME = DateTime(timezone=True)


def times() -> tuple[Column[Any], Column[Any]]:
    """When a row was made, and last changed."""
    return (
        Column("created_at", TIME, nullable=False),
        Column("updated_at", TIME, nullable=False),
    )


def of_tenant(key: str) -> tuple[Any, ...]:
    """The key of a tenant's table: the tenant, then a UUID."""
    return (
        Column("tenant_id", Text, nullable=False),
        Column(key, Uuid, nullable=False),
        PrimaryKeyConstraint("tenant_id", key),
    )


def of_connection() -> tuple[Column[Any], ForeignKeyConstraint]:
    """A row that can not be without its connection; for tables off the hot path."""
    columns = ["tenant_id", "connection_id"]
    return (
        Column("connection_id", Uuid, nullable=False),
        ForeignKeyConstraint(columns, [f"integration_connections.{name}" for name in columns]),
    )


def position() -> Column[Any]:
    """The order of rows."""
    return Column("position", BigInteger, Identity(always=True), nullable=False)


def where(condition: str) -> dict[str, Any]:
    """A partial index, spelled as the queries spell it (SQLite matches the text)."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


def count_up(table: str) -> Index:
    """SQLite finds the greatest position by this index; PostgreSQL has a sequence and does without."""
    return Index(f"ix_{table}_position", "position", info={"only": "sqlite"})
