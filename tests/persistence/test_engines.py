"""What both engines promise: all or nothing, errors of ours, a deadline, and to work again afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import trio
from attrs import evolve

from persistence import (
    backfills,
    connections,
    cursors,
    endings,
    inbox,
    journal,
    leases,
    logins,
    outbox,
    receipts,
    upkeep,
)
from persistence.changes import ConnectionChange
from persistence.dialect import Engine, Sql, Transaction, query, shared
from persistence.errors import ConflictError, MissingError, SchemaError, StoreUnavailableError
from persistence.opening import is_postgres, sqlite_path
from persistence.polls import BackfillState
from persistence.postgres import open_postgres
from persistence.records import ActionState, ConnectionState, Lease, RelayedSignal, SettledDelivery
from persistence.sql_store import SqlStore
from persistence.sqlite import SqliteEngine, open_sqlite
from tests.persistence.conftest import rows_in
from tests.persistence.poll_samples import (
    backfill,
    backfill_page,
    cursor,
    page,
    planned,
    polled,
)
from tests.persistence.samples import (
    DAY,
    NOW,
    action,
    connected,
    connection,
    delivery,
    endpoint,
    exchange,
    flow,
    leased,
    move,
    receipt,
    secret,
    settled,
    signal,
)

Open = Callable[..., AbstractAsyncContextManager[Engine]]
ONE = shared("SELECT 1 AS one")
NODES = shared("SELECT count(*) AS nodes FROM nodes")
NODE = shared(
    "INSERT INTO nodes (incarnation, name, expires_at, created_at, updated_at) VALUES ($1, $2, $3, $3, $3)"
)
FOR_EVER = Sql(
    "SELECT pg_sleep(600)",
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
)


@pytest.fixture
def open_engine(store_url: str) -> Open:
    """Open the engine of ``store_url`` with a deadline in seconds."""

    @asynccontextmanager
    async def open_engine(*, seconds: float = 10) -> AsyncIterator[Engine]:
        deadline = timedelta(seconds=seconds)
        if is_postgres(store_url):
            async with open_postgres(store_url, deadline=deadline, connections=1) as postgres:
                yield postgres
        else:
            async with open_sqlite(sqlite_path(store_url), deadline=deadline) as sqlite:
                yield sqlite

    return open_engine


async def works(engine: Engine) -> bool:
    (row,) = await engine.ask(query(ONE))
    return bool(row["one"])


async def nodes(engine: Engine) -> int:
    (row,) = await engine.ask(query(NODES))
    return int(row["nodes"])


def write_then(*statements: Sql) -> Transaction[None]:
    yield query(NODE, uuid4(), "n", NOW)
    for one in statements:
        yield query(one)


class DiedError(Exception):
    """Stands for whatever ends a transaction in the middle."""


def dying(whole: Callable[[], Transaction[object]], *, after: int) -> Transaction[object]:
    """The same transaction, but it dies when ``after`` statements were carried out."""
    transaction = whole()
    try:
        statement = next(transaction)
        for _ in range(after):
            statement = transaction.send((yield statement))
    except StopIteration:
        raise AllDoneError from None
    raise DiedError


class AllDoneError(Exception):
    """The transaction has no more statements: it died just before its COMMIT."""


TABLES = (
    "SELECT * FROM adapter_events ORDER BY delivery_id",
    "SELECT * FROM outbox ORDER BY outbox_id",
    "SELECT * FROM normalised_actions ORDER BY action_id",
    "SELECT * FROM exchanges ORDER BY exchange_id",
    "SELECT * FROM receipts ORDER BY receipt_id",
    "SELECT * FROM receipt_chains",
    "SELECT * FROM delivery_counts ORDER BY connection_id",
    "SELECT * FROM integration_connections ORDER BY connection_id",
    "SELECT * FROM webhook_registrations ORDER BY connection_id",
    "SELECT * FROM sealed_secrets ORDER BY secret_id",
    "SELECT * FROM logins ORDER BY login_id",
    "SELECT * FROM requests ORDER BY request_id",
    "SELECT * FROM incidents ORDER BY incident_id",
    "SELECT * FROM polling_cursors ORDER BY cursor_id",
    "SELECT * FROM backfills ORDER BY backfill_id",
)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "fact",
    [
        *("create", "accept", "claim", "settle", "relay", "end", "batch", "intend"),
        *("change", "cancel", "find_out", "renew", "login", "clean", "sweep"),
        *("plan", "keep_page", "keep_backfill_page"),
    ],
)
async def test_a_transaction_that_dies_at_any_point_leaves_nothing(
    fact: str, open_engine: Open, store_url: str
):
    """P1, P4, P9: receipts and the chain among it."""
    async with open_engine() as engine:
        whole = await prepared(fact, SqlStore(engine))
        before = await rows_in(store_url, *TABLES)
        deaths = 0
        while True:
            with pytest.raises((DiedError, AllDoneError)) as caught:
                await engine.run(dying, whole, after=deaths)
            assert await rows_in(store_url, *TABLES) == before
            if caught.type is AllDoneError:
                break
            deaths += 1

        assert deaths >= 2
        await engine.run(whole)
        assert await rows_in(store_url, *TABLES) != before


async def prepared(fact: str, store: SqlStore) -> Callable[[], Transaction[object]]:
    """A state in which a fact can happen, and its transaction."""
    lease = await leased(store)
    lease, _ = await settled(store, lease, (1, 2))
    pending = [delivery(lease) for _ in range(3)]
    await store.accept(pending)
    asked = action(lease)
    await store.enqueue(asked)
    await store.intend(lease, exchange(lease, asked.action_id))
    waiting = await store.next_signals("acme", limit=9)
    made = connection()
    ends = (
        SettledDelivery(delivery_id=pending[0].delivery_id, signals=(signal(4), signal(5))),
        SettledDelivery(delivery_id=pending[1].delivery_id),
        SettledDelivery(delivery_id=pending[2].delivery_id, parked="why"),
    )
    words = [RelayedSignal(outbox_id=one.outbox_id) for one in waiting]
    facts: dict[str, Callable[[], Transaction[object]]] = {
        "create": lambda: connections.create(made, endpoint(made), (secret(made),), receipt()),
        "accept": lambda: inbox.accept(inbox.accept_rows([delivery(lease), pending[0]])),
        "claim": lambda: inbox.claim(lease, limit=9),
        "settle": lambda: inbox.settle(lease, ends, now=NOW),
        "relay": lambda: outbox.settle("acme", words, now=NOW),
        "batch": lambda: receipts.batch("acme", batch_id=uuid4(), limit=9, now=NOW),
        "intend": lambda: journal.intend(lease, exchange(lease, asked.action_id)),
        "end": lambda: endings.settle(lease, ended(asked.action_id, ActionState.DONE)),
    }
    facts |= await facts_of_life(store, lease)
    facts |= await facts_of_polling(store)
    if fact == "accept" and not isinstance(store._engine, SqliteEngine):
        return two_writes  # PostgreSQL accepts in a single statement, which has no middle
    return facts[fact]


def ended(action_id: UUID, state: ActionState) -> endings.Ending:
    return endings.Ending(
        action_id=action_id,
        state=state,
        reason=None,
        outcome=b"{}",
        receipt=receipt(),
        now=NOW,
        incident=None,
        answered=None,
    )


async def facts_of_life(
    store: SqlStore, lease: Lease
) -> dict[str, Callable[[], Transaction[object]]]:
    """The same for what happens in a connection's life."""
    waiting, unsure = action(lease, target_key="1"), action(lease, target_key="2")
    for one in (waiting, unsure):
        await store.enqueue(one)
    unknown = ended(unsure.action_id, ActionState.UNSURE)
    await store._engine.run(endings.settle, lease, unknown)
    made = connection()
    used, older = secret(made, purpose="auth"), secret(made)
    given = evolve(made, auth_ref=used.secret_id)
    await store.create_connection(given, endpoint(made), (used, older), receipt())
    held = await store.claim_connection("acme", made.connection_id, owner=uuid4())
    gone = connection()
    await store.create_connection(gone, endpoint(gone), (secret(gone),), receipt())
    await move(store, gone, ConnectionState.DELETED)
    swept = await connected(store)
    await move(store, swept, ConnectionState.DELETED)
    await store.cleaned("acme", swept.connection_id, again_at=None, now=NOW)
    change = ConnectionChange(
        state=ConnectionState.SUSPENDED,
        secrets=(secret(made, version=2),),
        ending=((older.secret_id, NOW),),
        endpoint=endpoint(made, b"2"),
        endpoints_end_at=NOW,
        open=False,
        cancel_actions=True,
    )
    place = ("acme", made.connection_id)
    late = NOW + DAY
    return {
        "change": lambda: connections.change(
            *place, change, version=1, receipt=receipt(), now=NOW
        ),
        "cancel": lambda: endings.cancel(
            "acme", waiting.action_id, reason="", receipt=receipt(), now=NOW
        ),
        "find_out": lambda: endings.find_out(
            "acme",
            unsure.action_id,
            state=ActionState.DONE,
            reason="",
            outcome=b"{}",
            receipt=receipt(),
            now=NOW,
        ),
        "renew": lambda: leases.renew(
            held,
            expected=used.secret_id,
            sealed=secret(made, purpose="auth", version=2),
            receipt=receipt(),
        ),
        "login": lambda: logins.begin(*flow(made)),
        "clean": lambda: connections.clean("acme", gone.connection_id, again_at=None, now=NOW),
        "sweep": lambda: upkeep.sweep(replay_before=late, forget_before=late, limit=9, now=late),
    }


async def facts_of_polling(store: SqlStore) -> dict[str, Callable[[], Transaction[object]]]:
    """The same for what is polled and filled in: a page is seen whole or not at all."""
    lease = await planned(store)
    asked = backfill(lease)
    await store.begin_backfill(asked)
    await store.accept([polled(lease, "known")])
    items = [polled(lease, name) for name in ("new", "known", "newer")]
    first = [cursor(lease, "pulls"), cursor(lease, "commits")]
    done = backfill_page(asked, None, b"1", state=BackfillState.DONE)
    return {
        "plan": lambda: cursors.plan(lease, first, now=NOW),
        "keep_page": lambda: cursors.keep(lease, page(None, b"1"), items, now=NOW),
        "keep_backfill_page": lambda: backfills.keep(lease, done, items, now=NOW),
    }


def two_writes() -> Transaction[None]:
    yield query(shared("UPDATE delivery_counts SET duplicate = duplicate + 1"))
    yield query(shared("UPDATE adapter_events SET attempts = attempts + 1"))


async def test_what_takes_too_long_is_unavailable_and_undone(open_engine: Open):
    """P7."""
    async with open_engine(seconds=0.4) as engine:
        with pytest.raises(StoreUnavailableError):
            await engine.run(write_then, FOR_EVER)

        assert await nodes(engine) == 0


async def test_who_waits_too_long_for_a_turn_is_told(open_engine: Open):
    """P7."""
    outcomes: list[str] = []

    async def attempt(engine: Engine) -> None:
        try:
            await engine.run(write_then, FOR_EVER)
        except StoreUnavailableError:
            outcomes.append("unavailable")

    async with open_engine(seconds=0.4) as engine:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(attempt, engine)

        assert outcomes == ["unavailable"] * 3
        assert await works(engine)


async def test_a_caller_that_is_cancelled_while_it_waits_hurts_nobody(open_engine: Open):
    async with open_engine() as engine, trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(engine.run, write_then)
        with trio.CancelScope() as scope:
            scope.cancel()
            await engine.run(write_then, FOR_EVER)

        assert scope.cancelled_caught
        assert await works(engine)


NO_NAME = """INSERT INTO nodes (incarnation, name, expires_at, created_at, updated_at)
    VALUES ('00000000000000000000000000000000', NULL, '2026-01-01', '2026-01-01', '2026-01-01')"""
NO_CONNECTION = """INSERT INTO polling_cursors
    (tenant_id, cursor_id, connection_id, resource, state, every_s, failures, next_poll_at, created_at, updated_at)
    VALUES ('t', '00000000000000000000000000000000', '00000000000000000000000000000000', 'r', 'active', 1, 0,
    '2026-01-01', '2026-01-01', '2026-01-01')"""


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("SELECT * FROM nowhere", SchemaError),
        ("SELECT nothing FROM nodes", SchemaError),
        (NO_NAME, ValueError),
        (NO_CONNECTION, MissingError),
    ],
    ids=["no_table", "no_column", "no_name", "no_connection"],
)
async def test_the_drivers_errors_become_ours(open_engine: Open, statement: str, error):
    async with open_engine() as engine:
        with pytest.raises(error) as caught:
            await engine.ask(query(shared(statement)))

        assert "0000" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert await works(engine)


async def test_an_errors_message_never_holds_what_was_written(open_engine: Open):
    """P8."""
    async with open_engine() as engine:
        twice = query(NODE, uuid4(), "hunter2", NOW)
        await engine.ask(twice)

        with pytest.raises(ConflictError) as caught:
            await engine.ask(evolve(twice))

        assert "hunter2" not in str(caught.value)


async def test_a_value_no_column_is_made_for_is_refused(open_engine: Open):
    async with open_engine() as engine:
        with pytest.raises((TypeError, ValueError)):
            await engine.ask(query(NODE, uuid4(), {"a": 1}, NOW))

        assert await nodes(engine) == 0
