"""The production engine: asyncpg, in an asyncio loop in a thread of its own.

A call crosses once: the whole transaction is an asyncio coroutine. When its caller is cancelled or its deadline
passes, asyncio's cancellation reaches asyncpg, which cancels the query at the server, rolls back and gives the
connection back, or drops it; trio waits for that, within ``_CLEAN_UP``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import trio

from persistence import inbox
from persistence.crossing import AsyncioThread, open_asyncio
from persistence.dialect import Bulk, P, Query, Row, Statement, T, Transaction
from persistence.errors import (
    ConflictError,
    MissingError,
    SchemaError,
    StoreError,
    StoreUnavailableError,
)

_CLEAN_UP = 5.0
"""Seconds that cleaning up after a failure may take before the connection is dropped."""
_REPEATS = 3
_REPEATABLE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_NOT_STORABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_NOT_OURS = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedObjectError,
)


@asynccontextmanager
async def open_postgres(
    dsn: str, *, deadline: timedelta, connections: int
) -> AsyncIterator[PostgresEngine]:
    """Open the engine; it connects when it is first asked, and again after a failure.

    Args:
        dsn: a libpq URL.
        deadline: how long one call may take, waiting for a connection included.
        connections: how many connections there may be at once.
    """
    seconds = deadline.total_seconds()
    async with open_asyncio(clean_up=_CLEAN_UP) as there:
        pool = await there.run(lambda: _create_pool(dsn, seconds, connections))
        try:
            yield PostgresEngine(there, pool, seconds=seconds)
        finally:
            with trio.CancelScope(shield=True):  # bounded: _close gives up on its own
                await there.run(lambda: _close(pool))


class _Connection(asyncpg.Connection):
    """One that is not asked to forget its session when it is given back: this program leaves nothing in one.

    An open transaction is rolled back all the same. It saves a round trip for each call.
    """

    def get_reset_query(self) -> str:
        """See ``asyncpg.Connection``."""
        return ""


async def _create_pool(dsn: str, seconds: float, connections: int) -> Any:  # noqa: ANN401 - asyncpg's generics
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=connections,
        connection_class=_Connection,
        timeout=seconds,
        command_timeout=seconds,
        server_settings={
            "application_name": "integration-adapters",
            # Short statements only: compiling them costs more than it saves.
            "jit": "off",
            # An owner that is paused inside a transaction must not hold its rows for ever.
            "idle_in_transaction_session_timeout": str(round(seconds * 1000)),
        },
    )


async def _close(pool: Any) -> None:  # noqa: ANN401, ASYNC910 - of asyncio, which has no checkpoints
    try:
        async with asyncio.timeout(_CLEAN_UP):
            await pool.close()
    except TimeoutError:
        pool.terminate()


class PostgresEngine:
    """See ``persistence.dialect.Engine``."""

    def __init__(
        self,
        there: AsyncioThread,
        pool: Any,  # noqa: ANN401 - asyncpg's generics
        *,
        seconds: float,
    ) -> None:
        self._there = there
        self._pool = pool
        self._seconds = seconds

    async def run(
        self, transaction: Callable[P, Transaction[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Carry out a transaction; cancelled before its COMMIT was sent, it is rolled back."""

        async def work(connection: Any) -> T:  # noqa: ANN401
            async with connection.transaction():
                return await _drive(connection, transaction(*args, **kwargs))

        return await self._cross(work)

    async def ask(self, statement: Query) -> Sequence[Row]:
        """Carry out a single statement: no BEGIN, no COMMIT, one round trip."""
        return await self._cross(lambda connection: _execute(connection, statement))

    async def shortcut(self, text: str, *args: object) -> Sequence[Row]:
        """Carry out the statement: one round trip for all of them."""
        return await self._cross(lambda connection: connection.fetch(text, *args))

    async def accept(self, rows: Sequence[tuple[object, ...]]) -> Sequence[Row]:
        """Insert, find the duplicates and count, in one statement."""
        columns = tuple(zip(*rows, strict=True))
        return await self._cross(
            lambda connection: connection.fetch(inbox.ACCEPT_AND_COUNT, *columns)
        )

    async def _cross(self, work: Callable[[Any], Awaitable[T]]) -> T:
        with trio.move_on_after(self._seconds):
            return await self._there.run(lambda: self._attempt(work))
        raise StoreUnavailableError("PostgreSQL did not answer in time")

    async def _attempt(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run in asyncio: translate the driver's errors here, where its cancellations are not among them."""
        for _ in range(_REPEATS):
            try:
                async with self._pool.acquire(timeout=self._seconds) as connection:
                    return await work(connection)
            except _REPEATABLE:
                continue
            except StoreError:
                raise
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                translated = _translated(error)
            raise translated
        raise StoreUnavailableError("PostgreSQL asked to repeat this too often")


async def _drive(connection: Any, transaction: Transaction[T]) -> T:  # noqa: ANN401
    try:
        statement = next(transaction)
        while True:
            statement = transaction.send(await _execute(connection, statement))
    except StopIteration as end:
        result: T = end.value
        return result  # noqa: ASYNC910 - of asyncio, which has no checkpoints


async def _execute(connection: Any, statement: Statement) -> Sequence[Row]:  # noqa: ANN401
    columns = tuple(zip(*statement.rows, strict=True)) if isinstance(statement, Bulk) else ()
    rows: Sequence[Row] = await connection.fetch(statement.sql.postgres, *statement.args, *columns)
    return rows


def _translated(error: Exception) -> Exception:
    """What an error of the driver's means, without the values it names."""
    match error:
        case asyncpg.UniqueViolationError():
            return ConflictError("a row of that key exists")
        case asyncpg.ForeignKeyViolationError():
            return MissingError("no such row in this tenant")
        case _ if isinstance(error, _NOT_OURS):
            return SchemaError("the database is not at the revision this program needs")
        case _ if isinstance(error, _NOT_STORABLE):
            return ValueError(f"PostgreSQL can not keep this: {type(error).__name__}")
        case _:
            return StoreUnavailableError(f"PostgreSQL: {type(error).__name__}")
