"""Rows as older revisions of the program wrote them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from uuid import UUID

from persistence.opening import is_postgres, sqlite_path
from tests.postgres import execute


def literal(value: object, *, postgres: bool) -> str:
    match value:
        case None:
            return "NULL"
        case int():
            return str(value)
        case bytes():
            return f"'\\x{value.hex()}'" if postgres else f"x'{value.hex()}'"
        case UUID():
            return f"'{value.hex}'"
        case datetime():
            return f"'{value.isoformat(timespec='microseconds')}'"
        case _:
            return f"'{value}'"


class Old:
    """INSERTs of rows that were written ``at`` a time, in the dialect of one engine."""

    def __init__(self, *, at: datetime, postgres: bool) -> None:
        self.statements: list[str] = []
        self._at = at
        self._postgres = postgres
        self._positions = 0

    def add(
        self, table: str, *, counted: bool = False, at: datetime | None = None, **values: object
    ) -> None:
        """Add a row; ``counted``: of a table whose rows have a position."""
        made = at or self._at
        row = {"tenant_id": "acme", **values, "created_at": made, "updated_at": made}
        if counted and not self._postgres:
            self._positions += 1
            row["position"] = self._positions
        columns = ", ".join(row)
        cells = ", ".join(literal(value, postgres=self._postgres) for value in row.values())
        self.statements.append(f"INSERT INTO {table} ({columns}) VALUES ({cells})")  # noqa: S608

    def connection(
        self,
        connection_id: UUID,
        state: str,
        tenant_id: str = "acme",
        *,
        auth_ref: UUID | None = None,
    ) -> None:
        """Add a connection as it was before revision 0003."""
        self.add(
            "integration_connections",
            tenant_id=tenant_id,
            connection_id=connection_id,
            provider_id="github",
            display_name=f"site {connection_id.int}",
            state=state,
            base_url="https://api.example.test",
            enabled_capabilities='["webhook"]',
            auth_ref=auth_ref,
            settings='{"depth": 1}',
            tags="{}",
            epoch=4,
            sequence_no=7,
        )


def write(url: str, statements: list[str]) -> None:
    """Execute statements on a database of either engine."""
    if is_postgres(url):
        execute(url, *statements)
        return
    with closing(sqlite3.connect(sqlite_path(url))) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
