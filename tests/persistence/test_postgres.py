"""What only PostgreSQL can do to us: connections that break, and calls that are cut off at the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from uuid import uuid4

import pytest
import trio

from persistence import connections, postgres
from persistence.changes import ConnectionChange
from persistence.dialect import Transaction, query, shared
from persistence.errors import ChangedError, StoreUnavailableError
from persistence.opening import open_store
from persistence.postgres import PostgresEngine, open_postgres
from persistence.records import ConnectionRecord, ConnectionState
from persistence.sql_store import SqlStore
from persistence.store import Store
from tests.persistence.samples import NOW, action, connected, delivery

SLEEP = shared("SELECT pg_sleep(600)")
NODES = shared("SELECT count(*) AS nodes FROM nodes")
NODE = shared(
    "INSERT INTO nodes (incarnation, name, expires_at, created_at, updated_at) VALUES ($1, $2, $3, $3, $3)"
)
SLEEPERS = shared(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(600)'"
    " AND state = 'active' AND wait_event = 'PgSleep'"
)
KILL = shared(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
LONG = timedelta(seconds=20)


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[PostgresEngine]:
    """An engine with a single connection."""
    async with open_postgres(postgres_url, deadline=LONG, connections=1) as opened:
        yield opened


@pytest.fixture
async def beside(postgres_url: str) -> AsyncIterator[PostgresEngine]:
    """Another process's view of the same database."""
    async with open_postgres(postgres_url, deadline=LONG, connections=1) as opened:
        yield opened


def write_and_sleep() -> Transaction[None]:
    yield query(NODE, uuid4(), "n", NOW)
    yield query(SLEEP)


async def asleep(beside: PostgresEngine) -> None:
    """Return when a query of the engine under test sleeps at the server."""
    while not await beside.ask(query(SLEEPERS)):
        await trio.lowlevel.checkpoint()


async def nodes(engine: PostgresEngine) -> int:
    (row,) = await engine.ask(query(NODES))
    return int(row["nodes"])


async def test_a_cancelled_caller_rolls_back_and_leaves_the_pool_healthy(
    engine: PostgresEngine, beside: PostgresEngine
):
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run, write_and_sleep)
            await asleep(beside)
            nursery.cancel_scope.cancel()

        assert await nodes(engine) == 0
        assert await beside.ask(query(SLEEPERS)) == []


async def test_a_backend_that_is_killed_is_unavailable_and_the_next_call_works(
    engine: PostgresEngine, beside: PostgresEngine
):
    async def call() -> None:
        with pytest.raises(StoreUnavailableError):
            await engine.run(write_and_sleep)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await asleep(beside)
        await beside.ask(query(KILL))

    assert await nodes(engine) == 0


async def test_an_idle_connection_that_was_killed_is_replaced(
    engine: PostgresEngine, beside: PostgresEngine
):
    await nodes(engine)

    await beside.ask(query(KILL))

    with trio.fail_after(20):
        while True:  # the news of its end may come after our next question
            try:
                assert await nodes(engine) == 0
            except StoreUnavailableError:
                continue
            break


def failing(sqlstate: str, *, times: int) -> Callable[[], Transaction[int]]:
    """A transaction that the server refuses with ``sqlstate`` so many times."""
    tries = 0

    def transaction() -> Transaction[int]:
        nonlocal tries
        tries += 1
        yield query(NODE, uuid4(), "n", NOW)
        if tries <= times:
            yield query(shared(f"DO 'BEGIN RAISE SQLSTATE ''{sqlstate}''; END'"))
        return tries

    return transaction


@pytest.mark.parametrize("sqlstate", ["40P01", "40001"])
async def test_a_deadlock_is_repeated_from_the_start(engine: PostgresEngine, sqlstate: str):
    assert await engine.run(failing(sqlstate, times=2)) == 3
    assert await nodes(engine) == 1


async def test_repeating_has_an_end(engine: PostgresEngine):
    """P7."""
    with pytest.raises(StoreUnavailableError, match="repeat"):
        await engine.run(failing("40P01", times=99))

    assert await nodes(engine) == 0


async def test_closing_does_not_wait_for_ever_for_a_call(
    postgres_url: str, beside: PostgresEngine, monkeypatch: pytest.MonkeyPatch
):
    """P11."""
    monkeypatch.setattr(postgres, "_CLEAN_UP", 0.05)
    outcomes = []

    async def call(engine: PostgresEngine) -> None:
        try:
            await engine.run(write_and_sleep)
        except StoreUnavailableError:
            outcomes.append("unavailable")

    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 10
        opened = open_postgres(postgres_url, deadline=LONG, connections=1)
        async with opened as engine:
            nursery.start_soon(call, engine)
            await asleep(beside)

    assert outcomes == ["unavailable"]
    assert await nodes(beside) == 0


async def test_a_store_with_few_connections_serves_many_callers(postgres_url: str):
    """P7."""
    async with open_store(postgres_url, connections=2) as store:
        at = await connected(store)
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(store.accept, [delivery(at), delivery(at)])

        assert await store.pending_count() == 80


HOLD = shared("SELECT pg_advisory_lock(7)")
RELEASE = shared("SELECT pg_advisory_unlock(7)")
QUEUE = shared("SELECT pg_advisory_xact_lock(7)")
WAITING = shared(
    "SELECT count(*) AS number FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def test_an_action_waits_for_a_suspension_that_is_under_way(
    postgres_url: str, beside: PostgresEngine
):
    """What was cancelled with the connection is all there was: nothing is queued behind its back."""
    outcomes = []

    async def ask(store: Store, at: ConnectionRecord) -> None:
        try:
            await store.enqueue(action(at))
        except ChangedError:
            outcomes.append("refused")

    async def locked(number: int) -> None:
        """Return when so many transactions wait for a lock."""
        while (await beside.ask(query(WAITING)))[0]["number"] < number:
            await trio.lowlevel.checkpoint()

    async with open_postgres(postgres_url, deadline=LONG, connections=2) as engine:
        store = SqlStore(engine)
        at = await connected(store)
        await beside.ask(query(HOLD))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run, suspending, at)
            await locked(1)
            nursery.start_soon(ask, store, at)
            await locked(2)
            await beside.ask(query(RELEASE))

    assert outcomes == ["refused"]


def suspending(at: ConnectionRecord) -> Transaction[None]:
    """A suspension that stops before its COMMIT until it is let go."""
    change = ConnectionChange(state=ConnectionState.SUSPENDED, cancel_actions=True)
    place = (at.tenant_id, at.connection_id)
    yield from connections.change(*place, change, version=1, receipt=None, now=NOW)
    yield query(QUEUE)
