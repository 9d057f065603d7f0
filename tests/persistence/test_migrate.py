"""The migrations and the schema say the same on both engines, whoever runs them."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
import trio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Index, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from persistence.errors import SchemaError, StoreUnavailableError
from persistence.migrate import configuration, migrate
from persistence.opening import is_postgres, open_store, sqlite_path
from persistence.schema import METADATA, REVISION
from tests.persistence.conftest import rows_in
from tests.postgres import bring_to, execute


def differences(connection: Connection) -> list[object]:
    """What Alembic would change."""
    engine = connection.dialect.name

    def belongs(item: object, *_: object) -> bool:
        return not isinstance(item, Index) or item.info.get("only", engine) == engine

    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "include_object": belongs}
    )
    return list(compare_metadata(context, METADATA))


def differences_of(url: str) -> list[object]:
    if not is_postgres(url):
        engine = create_engine(url)
        with engine.connect() as connection:
            found = differences(connection)
        engine.dispose()
        return found

    async def compared() -> list[object]:
        engine = create_async_engine(
            "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url)
        )
        async with engine.connect() as connection:
            found = await connection.run_sync(differences)
        await engine.dispose()
        return found

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(compared())


async def test_migrations_make_exactly_the_schema(store_url: str):
    assert await trio.to_thread.run_sync(differences_of, store_url) == []


async def test_the_comparison_sees_a_missing_index_and_a_changed_column(postgres_url: str):
    await trio.to_thread.run_sync(
        execute,
        postgres_url,
        "DROP INDEX ix_outbox_waiting",
        "ALTER TABLE outbox ALTER COLUMN attempts TYPE bigint",
    )

    assert len(await trio.to_thread.run_sync(differences_of, postgres_url)) == 2


def test_the_program_is_written_for_the_newest_revision():
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        scripts = ScriptDirectory.from_config(configuration(connection))
    engine.dispose()

    assert scripts.get_heads() == [REVISION]


async def test_migrating_twice_or_at_once_is_safe(empty_url: str):
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(migrate, empty_url)

    assert await migrate(empty_url) == REVISION
    async with open_store(empty_url) as store:
        await store.ping()


async def test_the_oldest_database_catches_up_and_keeps_its_rows(empty_url: str):
    await trio.to_thread.run_sync(bring_to, empty_url, "0001")
    node = """INSERT INTO nodes (incarnation, name, expires_at, created_at, updated_at)
        VALUES ('00000000000000000000000000000000', 'n', '2026-01-01', '2026-01-01', '2026-01-01')"""
    await rows_in(empty_url, node)

    assert await migrate(empty_url) == REVISION

    assert await rows_in(empty_url, "SELECT name FROM nodes") == [[("n",)]]
    async with open_store(empty_url) as store:
        await store.ping()


async def test_ping_refuses_another_revision(store_url: str, rows_of):
    if is_postgres(store_url):
        await trio.to_thread.run_sync(
            execute, store_url, "UPDATE alembic_version SET version_num = '0001'"
        )
    else:
        await rows_of("UPDATE alembic_version SET version_num = '0001'")

    async with open_store(store_url) as store:
        with pytest.raises(SchemaError, match="0001"):
            await store.ping()


async def test_an_empty_database_is_no_store(empty_url: str):
    if not is_postgres(empty_url):
        sqlite_path(empty_url).touch()

    async with open_store(empty_url) as store:
        with pytest.raises(SchemaError):
            await store.ping()
        with pytest.raises(SchemaError):
            await store.pending_count()


async def test_a_migration_that_fails_leaves_the_database_as_it_was(empty_url: str):
    """Its tables are there already: the first CREATE TABLE that collides undoes those before it."""
    table = "CREATE TABLE webhook_registrations (id INTEGER)"
    if is_postgres(empty_url):
        await trio.to_thread.run_sync(execute, empty_url, table)
    else:
        with closing(sqlite3.connect(sqlite_path(empty_url))) as connection:
            connection.execute(table)

    with pytest.raises(StoreUnavailableError):
        await migrate(empty_url)

    async with open_store(empty_url) as store:
        with pytest.raises(SchemaError):
            await store.connections("acme", after=None, limit=1)


@pytest.mark.parametrize(
    "url", ["postgresql://nobody:hunter2@127.0.0.1:1/none", "sqlite:///{file}/below/it.db"]
)
async def test_a_database_that_can_not_be_reached_is_unavailable(url: str, tmp_path: Path):
    """P8."""
    url = url.format(file=tmp_path / "file")
    (tmp_path / "file").touch()

    with pytest.raises(StoreUnavailableError) as caught:
        await migrate(url)

    assert "hunter2" not in str(caught.value)
