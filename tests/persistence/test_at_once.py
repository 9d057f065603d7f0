"""An action's hot transactions as one statement: the same as the transactions, in one round trip, whoever comes between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
import trio
from attrs import evolve

from persistence import endings, leases
from persistence.chain import verify_chain
from persistence.changes import AnsweredWrite, SettledAction
from persistence.dialect import P, T, Transaction, query, shared
from persistence.errors import ChangedError, ConflictError, FencedError, StaleError
from persistence.postgres import PostgresEngine, open_postgres
from persistence.records import (
    ActionState,
    ConnectionState,
    ExchangeState,
    Lease,
)
from persistence.sql_store import SqlStore
from persistence.store import Store
from tests.persistence.samples import NOW, SECOND, action, exchange, leased, move, receipt

_WAITING = shared(
    """SELECT count(*) AS waiting FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND datname = current_database()"""
)


class Counted:
    """PostgreSQL's engine, and which transactions it was asked for."""

    def __init__(self, inner: PostgresEngine) -> None:
        self.transactions: list[str] = []
        self.ask, self.shortcut, self.accept = inner.ask, inner.shortcut, inner.accept
        self._inner = inner

    async def run(
        self, transaction: Callable[P, Transaction[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self.transactions.append(transaction.__name__)
        return await self._inner.run(transaction, *args, **kwargs)


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[Counted]:
    deadline = timedelta(seconds=10)
    async with open_postgres(postgres_url, deadline=deadline, connections=4) as opened:
        yield Counted(opened)


async def asked(store: Store, lease: Lease) -> UUID:
    made = action(lease)
    await store.enqueue(made)
    return made.action_id


async def end(
    store: Store,
    lease: Lease,
    action_id: UUID,
    answered: AnsweredWrite | None = None,
    *,
    journalled: int | None = None,
) -> SettledAction:
    return await store.settle_action(
        lease,
        action_id,
        state=ActionState.DONE,
        reason="said the café",
        outcome=b'{"id":1}',
        receipt=evolve(receipt(body='{"b":"\u20ac","a":1.0}'.encode()), operation="opération"),
        now=NOW + SECOND,
        answered=answered,
        journalled=journalled,
    )


async def test_a_write_and_an_end_cost_postgresql_one_statement_each(engine: Counted):
    store = SqlStore(engine)
    lease = await leased(store)
    one = await asked(store, lease)
    engine.transactions.clear()

    await store.intend(lease, exchange(lease, one), journalled=0)
    await end(store, lease, one, journalled=1)

    assert engine.transactions == []


async def test_the_first_receipt_of_a_tenant_goes_the_long_way_and_none_is_lost(engine: Counted):
    """A chain that is not there can not be locked."""
    store = SqlStore(engine)
    lease = await leased(store)
    one = await asked(store, lease)
    await engine.run(cleared)

    ended = await end(store, lease, one)

    assert engine.transactions[-1] == "settle"
    assert ended.record.state is ActionState.DONE
    (kept,) = await store.chained_receipts("acme", after=0, limit=9)
    assert kept.sequence_no == 1


def cleared() -> Transaction[None]:
    yield query(shared("DELETE FROM receipts"))
    yield query(shared("DELETE FROM receipt_chains"))


def cancelling(action_id: UUID) -> Transaction[None]:
    """Cancel an action, and commit when somebody waits for it."""
    yield from endings.cancel("acme", action_id, reason="", receipt=receipt(), now=NOW)
    yield from until_somebody_waits()


def taking_over(lease: Lease) -> Transaction[None]:
    """Take the connection over, and commit when somebody waits for it."""
    yield from leases.claim(lease.tenant_id, lease.connection_id, owner=UUID(int=2))
    yield from until_somebody_waits()


def until_somebody_waits() -> Transaction[None]:
    waiting = 0
    while not waiting:
        (row,) = yield query(_WAITING)
        waiting = row["waiting"]


@asynccontextmanager
async def meanwhile(
    engine: Counted, transaction: Callable[[], Transaction[None]]
) -> AsyncIterator[None]:
    """What happens in the block begins while the transaction is under way, and sees the world of before it."""
    begun = trio.Event()

    def begins() -> Transaction[None]:
        inner = transaction()
        found = yield next(inner)
        token.run_sync_soon(begun.set)
        while True:
            try:
                found = yield inner.send(found)
            except StopIteration:
                return

    token = trio.lowlevel.current_trio_token()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.run, begins)
        await begun.wait()
        yield


async def begin(
    late: str, store: Store, lease: Lease, action_id: UUID, *, journalled: int | None = None
) -> None:
    """Journal a write of the action, or settle it."""
    if late == "intend":
        await store.intend(lease, exchange(lease, action_id), journalled=journalled)
    else:
        await end(store, lease, action_id, journalled=journalled)


@pytest.mark.parametrize("late", ["intend", "settle"])
async def test_what_was_cancelled_while_it_waited_is_neither_sent_nor_settled(
    engine: Counted, late: str
):
    """P4: one statement sees the database as it was when it began, but not the rows that it locks."""
    store = SqlStore(engine)
    lease = await leased(store)
    one = await asked(store, lease)

    async with meanwhile(engine, lambda: cancelling(one)):
        with pytest.raises(ConflictError, match="cancelled"):
            await begin(late, store, lease, one)

    found = await store.action("acme", one)
    assert found is not None
    assert found.state is ActionState.CANCELLED
    assert await store.exchanges("acme", one) == ()
    assert verify_chain(await store.chained_receipts("acme", after=0, limit=99)) is None


@pytest.mark.parametrize("late", ["intend", "settle"])
async def test_who_lost_its_lease_while_it_waited_writes_nothing(engine: Counted, late: str):
    """P10 fenced."""
    store = SqlStore(engine)
    lease = await leased(store)
    one = await asked(store, lease)

    async with meanwhile(engine, lambda: taking_over(lease)):
        with pytest.raises(FencedError):
            await begin(late, store, lease, one)

    found = await store.action("acme", one)
    assert found is not None
    assert found.state is ActionState.QUEUED
    assert await store.exchanges("acme", one) == ()


async def test_what_is_settled_is_told_as_it_was_committed(store: Store):
    lease = await leased(store)
    one, other = await asked(store, lease), await asked(store, lease)

    first, second = await end(store, lease, one), await end(store, lease, other)

    assert first.record == await store.action("acme", one)
    assert (first.record.state, first.record.reason) == (ActionState.DONE, "said the café")
    assert first.record.ended_at == NOW + SECOND
    assert (first.more, second.more) == (True, False)


async def test_of_another_connection_nothing_is_more(store: Store):
    lease, other = await leased(store), await leased(store)
    one = await asked(store, lease)
    await asked(store, other)

    assert not (await end(store, lease, one)).more


async def test_the_write_whose_answer_was_the_end_says_so_and_no_other_does(store: Store):
    lease = await leased(store)
    one, other = await asked(store, lease), await asked(store, lease)
    doubtful, last = exchange(lease, one), exchange(lease, one, step=1)
    for each in (doubtful, last, exchange(lease, other)):
        await store.intend(lease, each)

    answer = AnsweredWrite(exchange_id=last.exchange_id, state=ExchangeState.TAKEN, status=201)
    await end(store, lease, one, answer)

    kept = [(each.state, each.status) for each in await store.exchanges("acme", one)]
    assert kept == [(ExchangeState.INTENDED, None), (ExchangeState.TAKEN, 201)]
    (untouched,) = await store.exchanges("acme", other)
    assert (untouched.state, untouched.status) == (ExchangeState.INTENDED, None)


async def test_every_way_to_end_makes_the_same_chain(store: Store):
    """In one statement, and in several; with stamps that do not move on by themselves."""
    lease = await leased(store)
    for number in range(6):
        one = await asked(store, lease)
        if number % 2:
            await store.cancel_action("acme", one, reason="", receipt=receipt(), now=NOW)
        else:
            await end(store, lease, one)

    kept = await store.chained_receipts("acme", after=0, limit=99)
    assert len(kept) == 7
    assert verify_chain(kept) is None
    assert {each.body for each in kept if each.operation == "opération"} == {
        '{"a":1.0,"b":"€"}'.encode()
    }


async def test_what_is_due_says_whether_it_was_begun(store: Store):
    lease = await leased(store)
    fresh, begun = await asked(store, lease), action(lease, target_key="another")
    await store.enqueue(begun)
    await store.intend(lease, exchange(lease, begun.action_id))

    due = await store.due_actions(lease, now=NOW, limit=9)

    assert {each.action_id: each.begun for each in due} == {fresh: False, begun.action_id: True}


async def test_an_action_is_taken_for_the_version_of_its_connection_that_was_checked(store: Store):
    lease = await leased(store)
    made = action(lease)

    stored, fresh = await store.enqueue(made, version=lease.version)
    again = await store.enqueue(made, version=lease.version + 1)

    assert (stored.action_id, fresh) == (made.action_id, True)
    assert (again[0].action_id, again[1]) == (
        made.action_id,
        False,
    )  # it is there whatever came since
    with pytest.raises(StaleError):
        await store.enqueue(action(lease), version=lease.version + 1)


async def test_an_action_for_a_connection_that_is_not_active_is_refused_whatever_its_version(
    store: Store,
):
    lease = await leased(store)
    connection = await store.connection("acme", lease.connection_id)
    assert connection is not None
    suspended = await move(store, connection, ConnectionState.SUSPENDED)

    with pytest.raises(ChangedError):
        await store.enqueue(action(lease), version=suspended.version)


async def test_a_new_action_says_whether_its_target_had_nothing_else_queued(store: Store):
    lease, elsewhere = await leased(store), await leased(store)
    first = action(lease)

    said = [
        (await store.enqueue(made))[0].head
        for made in (
            first,
            action(lease),
            action(lease, target_key="another"),
            action(elsewhere),
            evolve(first, action_id=UUID(int=7)),  # asked for again
        )
    ]

    assert said == [True, False, True, True, False]


async def test_what_has_ended_is_before_nothing(store: Store):
    lease = await leased(store)
    await end(store, lease, await asked(store, lease))

    record, _ = await store.enqueue(action(lease))

    assert (record.head, record.begun) == (True, False)


@pytest.mark.parametrize("late", ["intend", "settle"])
async def test_a_run_that_knows_another_journal_writes_nothing(store: Store, late: str):
    """P4: of two runs of one action, the one that began with less knowledge can neither send nor end it."""
    lease = await leased(store)
    one = await asked(store, lease)
    await store.intend(lease, exchange(lease, one), journalled=0)

    with pytest.raises(ConflictError, match="another journal"):
        await begin(late, store, lease, one, journalled=0)

    found = await store.action("acme", one)
    assert found is not None
    assert found.state is ActionState.QUEUED
    assert len(await store.exchanges("acme", one)) == 1
    await store.intend(lease, exchange(lease, one, step=1), journalled=1)
    assert (await end(store, lease, one, journalled=2)).record.state is ActionState.DONE
