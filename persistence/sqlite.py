"""The embedded engine: the standard library's sqlite3, one connection, in one worker thread at a time.

WAL with ``synchronous=FULL``: a commit that returned is on the disk. There is one writer, so transactions begin
IMMEDIATE and nothing is ever found to conflict in the middle.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import trio

from persistence import inbox
from persistence.dialect import Bulk, P, Query, Row, Statement, T, Transaction
from persistence.errors import ConflictError, MissingError, SchemaError, StoreUnavailableError

_STEPS_BETWEEN_LOOKS = 10_000
"""How often SQLite asks whether the deadline has passed, in its own instructions (well under a millisecond)."""
_NOT_STORABLE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError)


@asynccontextmanager
async def open_sqlite(path: Path, *, deadline: timedelta) -> AsyncIterator[SqliteEngine]:
    """Open the engine on a migrated file; it connects when it is first asked, and again after a failure.

    Args:
        path: the database file, which must exist by then.
        deadline: how long one call may wait for its turn, and then take.
    """
    engine = SqliteEngine(path, deadline=deadline)
    try:
        yield engine
    finally:
        with trio.CancelScope(shield=True):  # bounded: the call before this one is
            await engine.close()


class SqliteEngine:
    """See ``persistence.dialect.Engine``."""

    def __init__(self, path: Path, *, deadline: timedelta) -> None:
        self._path = path
        self._seconds = deadline.total_seconds()
        self._turn = trio.Lock()
        self._thread = trio.CapacityLimiter(1)
        self._connection: sqlite3.Connection | None = None
        self._ends_at = 0.0

    async def run(
        self, transaction: Callable[P, Transaction[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Carry out a transaction; one that was begun is carried to its end even if the caller is cancelled."""
        return await self._in_thread(
            lambda connection: _perform(connection, transaction(*args, **kwargs))
        )

    async def ask(self, statement: Query) -> Sequence[Row]:
        """Carry out a single statement."""
        return await self._in_thread(lambda connection: _execute(connection, statement))

    async def shortcut(self, _text: str, *_args: object) -> Sequence[Row]:
        """There are no round trips to save."""
        await trio.lowlevel.checkpoint()
        return ()

    async def accept(self, rows: Sequence[tuple[object, ...]]) -> Sequence[Row]:
        """Insert row by row (there are no round trips to save) and count, in one transaction."""
        return await self.run(inbox.accept, rows)

    async def close(self) -> None:
        """Close the connection, in its turn."""
        async with self._turn:
            await trio.to_thread.run_sync(self._disconnect, limiter=self._thread)

    async def _in_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with trio.move_on_after(self._seconds):
            async with self._turn:
                with trio.CancelScope(shield=True):  # bounded by SQLite itself: see _work
                    return await trio.to_thread.run_sync(self._work, work, limiter=self._thread)
        raise StoreUnavailableError("no turn at the database in time")

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run in the thread: connect if needed, and give up at the deadline."""
        self._ends_at = time.monotonic() + self._seconds
        try:
            if self._connection is None:
                self._connection = self._connect()
            return work(self._connection)
        except sqlite3.Error as error:
            translated = _translated(error)
        if isinstance(translated, StoreUnavailableError):
            self._disconnect()
        raise translated

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self._seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        connection.set_progress_handler(self._is_late, _STEPS_BETWEEN_LOOKS)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _is_late(self) -> bool:
        return time.monotonic() > self._ends_at

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _perform(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = _drive(connection, transaction)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.rollback()
    return result


def _drive(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    try:
        statement = next(transaction)
        while True:
            statement = transaction.send(_execute(connection, statement))
    except StopIteration as end:
        result: T = end.value
        return result


def _execute(connection: sqlite3.Connection, statement: Statement) -> Sequence[Row]:
    args = tuple(_bound(value) for value in statement.args)
    if isinstance(statement, Bulk):
        each = (args + tuple(_bound(value) for value in row) for row in statement.rows)
        return [
            found
            for values in each
            for found in connection.execute(statement.sql.sqlite, values).fetchall()
        ]
    return connection.execute(statement.sql.sqlite, args).fetchall()


def _bound(value: object) -> object:
    """A value as it is kept: UUIDs in hex, times as text of one width so that they compare, lists as JSON."""
    match value:
        case None | bytes() | int() | float():
            return value
        case StrEnum():
            return value.value
        case str():
            return value
        case UUID():
            return value.hex
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case tuple():
            return json.dumps([_bound(one) for one in value])
        case _:
            raise TypeError(f"no way to keep a {type(value).__name__}")


def _translated(error: sqlite3.Error) -> Exception:
    """What an error of SQLite's means, without the values it names."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if name in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}:
        return ConflictError("a row of that key exists")
    if name == "SQLITE_CONSTRAINT_FOREIGNKEY":
        return MissingError("no such row in this tenant")
    if name == "SQLITE_ERROR":  # the statement does not fit what is there
        return SchemaError("the database is not at the revision this program needs")
    if isinstance(error, _NOT_STORABLE):
        return ValueError(f"SQLite can not keep this: {name}")
    return StoreUnavailableError(f"SQLite says {name}")
