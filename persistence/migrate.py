"""Bring a database to this program's revision; safe to run from several processes at once."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import asyncpg
import trio
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from persistence.errors import StoreUnavailableError
from persistence.opening import is_postgres, sqlite_path
from persistence.schema import REVISION

_LOCK = 0x4941_4D49_4752
"""The advisory lock of this program's migrations; any number nobody else takes in this database."""
_CONNECT_SECONDS = 10.0
_WAIT_SECONDS = 60.0
"""How long to wait for another process that migrates the same database."""


async def migrate(url: str) -> str:
    """Run the migrations that are missing, all in one transaction under a lock, and return the revision reached.

    Creates an SQLite file and its folder; a PostgreSQL database must exist. Not cancellable once it has begun.

    Raises:
        ValueError: the URL names no store.
        StoreUnavailableError: the database can not be reached, or another process held the lock too long.
    """
    try:
        if is_postgres(url):
            await trio.to_thread.run_sync(_migrate_postgres, url)
        else:
            await trio.to_thread.run_sync(_migrate_sqlite, sqlite_path(url))
    except (SQLAlchemyError, asyncpg.PostgresError, OSError) as error:
        raise StoreUnavailableError(f"can not migrate: {type(error).__name__}") from error
    return REVISION


def configuration(connection: Connection) -> Config:
    """Alembic's settings, for a connection in whose transaction it works."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection) -> None:
    command.upgrade(configuration(connection), "head")


def _migrate_sqlite(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None),
        poolclass=NullPool,
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        _upgrade(connection)


def _migrate_postgres(url: str) -> None:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(_upgrade_postgres(url))


async def _upgrade_postgres(url: str) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(url, timeout=_CONNECT_SECONDS),
        poolclass=NullPool,
    )
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_WAIT_SECONDS:.0f}s'")
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        await connection.run_sync(_upgrade)
