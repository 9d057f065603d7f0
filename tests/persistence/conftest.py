"""A look into the database beside the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
import trio

from persistence.opening import is_postgres, sqlite_path
from tests.postgres import on_postgres

RowsOf = Callable[[str], Awaitable[list[tuple[object, ...]]]]


def _rows(url: str, statement: str) -> list[tuple[object, ...]]:
    if is_postgres(url):
        found = on_postgres(url, lambda connection: connection.fetch(statement))
        return [tuple(row) for row in found]  # type: ignore[attr-defined]
    connection = sqlite3.connect(sqlite_path(url), timeout=10)
    try:
        with connection:
            return connection.execute(statement).fetchall()
    finally:
        connection.close()


async def rows_in(url: str, statement: str) -> list[tuple[object, ...]]:
    """Execute a statement beside whoever else works on the database; its rows as tuples."""
    return await trio.to_thread.run_sync(_rows, url, statement)


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, quick_folder: Path) -> str:
    """The URL of a database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{quick_folder / uuid4().hex}.db"
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
def rows_of(store_url: str) -> RowsOf:
    """Execute a statement on ``store_url`` beside the store; its rows as tuples."""

    async def rows_of(statement: str) -> list[tuple[object, ...]]:
        return await rows_in(store_url, statement)

    return rows_of
