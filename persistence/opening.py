"""Open the store that a URL names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from persistence.postgres import open_postgres
from persistence.sql_store import SqlStore
from persistence.sqlite import open_sqlite
from persistence.store import Store


def is_postgres(url: str) -> bool:
    """Tell a PostgreSQL URL from an SQLite one.

    Raises:
        ValueError: it is neither; the message never repeats the URL, which may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme in {"postgresql", "postgres"} and rest and _has_valid_port(url):
        return True
    if separator and scheme == "sqlite" and rest.strip("/"):
        return False
    raise ValueError("a store URL is sqlite:///path, sqlite:////absolute/path or postgresql://...")


def _has_valid_port(url: str) -> bool:
    """An unescaped password may land in the port, and the driver's complaint would repeat it."""
    try:
        urlsplit(url).port  # noqa: B018 - it is computed, and checked, when it is read
    except ValueError:
        return False
    return True


def sqlite_path(url: str) -> Path:
    """The file an SQLite URL names: ``sqlite:///var/ia.db`` is relative, ``sqlite:////var/ia.db`` absolute."""
    parts = urlsplit(url)
    if parts.netloc or parts.query or parts.fragment:
        raise ValueError("an SQLite URL is sqlite:///path or sqlite:////absolute/path, no more")
    return Path(unquote(parts.path.removeprefix("/")))


@asynccontextmanager
async def open_store(
    url: str, *, deadline: timedelta = timedelta(seconds=10), connections: int = 8
) -> AsyncIterator[Store]:
    """Open the store of a migrated database; it connects when it is first asked (see ``Store.ping``).

    Args:
        url: ``sqlite:///path`` or ``postgresql://user@host/database``.
        deadline: how long any method may take before it raises StoreUnavailableError.
        connections: how many connections to PostgreSQL there may be at once.

    Raises:
        ValueError: the URL names no store.
    """
    if is_postgres(url):
        async with open_postgres(url, deadline=deadline, connections=connections) as postgres:
            yield SqlStore(postgres)
    else:
        async with open_sqlite(sqlite_path(url), deadline=deadline) as sqlite:
            yield SqlStore(sqlite)
