"""A look into the database beside the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import cast
from uuid import uuid4

import asyncpg
import pytest
import trio

from persistence.opening import is_postgres, sqlite_path
from tests.postgres import on_postgres

Rows = list[tuple[object, ...]]


def _rows(url: str, statements: tuple[str, ...]) -> list[Rows]:
    if is_postgres(url):

        async def fetched(connection: asyncpg.Connection) -> list[Rows]:
            return [[tuple(row) for row in await connection.fetch(one)] for one in statements]

        return cast("list[Rows]", on_postgres(url, fetched))
    with closing(sqlite3.connect(sqlite_path(url), timeout=10)) as connection, connection:
        return [connection.execute(one).fetchall() for one in statements]


async def rows_in(url: str, *statements: str) -> list[Rows]:
    """Execute statements beside whoever else works on the database, on one connection; the rows of each as tuples."""
    return await trio.to_thread.run_sync(_rows, url, statements)


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, quick_folder: Path) -> str:
    """The URL of a database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{quick_folder / uuid4().hex}.db"
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
def rows_of(store_url: str) -> Callable[[str], Awaitable[Rows]]:
    """Execute a statement on ``store_url`` beside the store; its rows as tuples."""

    async def rows_of(statement: str) -> Rows:
        (rows,) = await rows_in(store_url, statement)
        return rows

    return rows_of
