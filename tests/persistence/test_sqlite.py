"""What only SQLite can do to us."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from uuid import uuid4

import pytest

from persistence.dialect import query, shared
from persistence.errors import StoreUnavailableError
from persistence.opening import open_store, sqlite_path
from persistence.sqlite import open_sqlite
from tests.persistence.samples import connected, delivery

SHORT = timedelta(seconds=0.3)


async def test_a_file_that_another_process_writes_is_unavailable_until_it_is_done(sqlite_url: str):
    async with open_store(sqlite_url, deadline=SHORT) as store:
        at = await connected(store)
        with closing(sqlite3.connect(sqlite_path(sqlite_url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="BUSY"):
                await store.accept([delivery(at)])
            other.execute("ROLLBACK")

        assert await store.accept([delivery(at)]) == (True,)


async def test_a_full_disk_is_unavailable_and_writes_nothing(sqlite_url: str):
    async with open_sqlite(sqlite_path(sqlite_url), deadline=timedelta(seconds=5)) as engine:
        await engine.ask(query(shared("PRAGMA max_page_count = 1")))  # no page more than now

        with pytest.raises(StoreUnavailableError, match="FULL"):
            await engine.ask(query(shared("CREATE TABLE big AS SELECT zeroblob(99999) AS zeros")))

        tables = shared("SELECT count(*) AS big FROM sqlite_master WHERE name = 'big'")
        (row,) = await engine.ask(query(tables))
        assert row["big"] == 0


async def test_a_file_that_is_no_database_is_unavailable(tmp_path):
    path = tmp_path / "garbage.db"
    path.write_bytes(b"x" * 8192)

    async with open_store(f"sqlite:///{path}") as store:
        with pytest.raises(StoreUnavailableError, match="NOTADB"):
            await store.ping()


async def test_a_commit_is_on_the_disk_when_it_returns(sqlite_url: str):
    """P1: how the connection is set up."""
    async with open_sqlite(sqlite_path(sqlite_url), deadline=SHORT) as engine:
        found = {}
        for pragma in ("journal_mode", "synchronous", "foreign_keys"):
            (row,) = await engine.ask(query(shared(f"PRAGMA {pragma}")))
            found[pragma] = row[pragma]

    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


async def test_a_closed_store_leaves_no_file_behind_but_its_own(sqlite_url: str):
    path = sqlite_path(sqlite_url)
    async with open_store(sqlite_url) as store:
        await connected(store, str(uuid4()))

    assert [one.name for one in path.parent.glob(f"{path.name}*")] == [path.name]
