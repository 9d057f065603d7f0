"""Concurrent accepts share a commit, and nobody waits for ever (P1, P2, P6, P7, P11)."""

from __future__ import annotations

import functools
import operator
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import wait_all_tasks_blocked

from persistence.errors import (
    MissingError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from persistence.group_commit import CommitLimits, GroupCommit
from persistence.records import Lease, NewDelivery
from persistence.store import InboxStore, Store
from tests.persistence.samples import connected, delivery

AT = Lease(tenant_id="acme", connection_id=uuid4(), owner=uuid4(), epoch=1, sequence_no=0)
LIMITS = CommitLimits(deadline=timedelta(seconds=5), retry_after=timedelta(seconds=7))


@define
class Inbox:
    """The two methods a group commit asks for; a gate holds commits, and errors come as told."""

    batches: list[list[UUID]] = field(factory=list)
    seen: set[str] = field(factory=set)
    gate: trio.Event = field(factory=trio.Event)
    errors: list[Exception] = field(factory=list)
    poison: UUID | None = None
    pending: int | Exception = 0

    async def accept(self, deliveries: Sequence[NewDelivery]) -> tuple[bool, ...]:
        self.batches.append([one.delivery_id for one in deliveries])
        await trio.lowlevel.checkpoint()
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        if self.poison in self.batches[-1]:
            raise MissingError("no such connection")
        answers = tuple(one.event_id not in self.seen for one in deliveries)
        self.seen.update(one.event_id for one in deliveries)
        return answers

    async def pending_count(self) -> int:
        await trio.lowlevel.checkpoint()
        if isinstance(self.pending, Exception):
            raise self.pending
        return self.pending


@pytest.fixture
def inbox() -> Inbox:
    made = Inbox()
    made.gate.set()
    return made


@asynccontextmanager
async def running(
    inbox: Inbox | InboxStore, limits: CommitLimits = LIMITS
) -> AsyncIterator[tuple[GroupCommit, trio.Nursery]]:
    commit = GroupCommit(inbox, limits=limits)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(commit.run)
        yield commit, nursery
        nursery.cancel_scope.cancel()


async def accept_into(
    results: list[object], commit: GroupCommit, one: NewDelivery | None = None
) -> None:
    try:
        results.append(await commit.accept(one or delivery(AT)))
    except (StoreError, ValueError) as error:
        results.append(error)


def kinds(results: list[object]) -> list[type]:
    return [type(one) for one in results]


async def test_a_lone_delivery_is_committed_at_once(inbox: Inbox, autojump_clock):
    async with running(inbox) as (commit, _):
        started = trio.current_time()
        assert await commit.accept(delivery(AT, "e"))
        assert not await commit.accept(delivery(AT, "e"))

        assert trio.current_time() == started


async def test_what_comes_during_a_commit_is_the_next_batch(inbox: Inbox, autojump_clock):
    inbox.gate = trio.Event()
    results: list[object] = []
    async with running(inbox) as (commit, nursery):
        nursery.start_soon(accept_into, results, commit)
        await wait_all_tasks_blocked()
        for _ in range(10):
            nursery.start_soon(accept_into, results, commit)
        await wait_all_tasks_blocked()
        inbox.gate.set()
        await wait_all_tasks_blocked()

        assert results == [True] * 11
        assert [len(batch) for batch in inbox.batches] == [1, 10]


async def test_order_of_acceptance_is_order_of_arrival(inbox: Inbox, autojump_clock):
    """P5."""
    inbox.gate = trio.Event()
    deliveries = [delivery(AT) for _ in range(9)]
    async with running(inbox) as (commit, nursery):
        for one in deliveries:
            nursery.start_soon(accept_into, [], commit, one)
            await wait_all_tasks_blocked()
        inbox.gate.set()
        await wait_all_tasks_blocked()

    assert functools.reduce(operator.iadd, inbox.batches, []) == [
        one.delivery_id for one in deliveries
    ]


async def test_a_batch_is_bounded_in_count_and_bytes(inbox: Inbox, autojump_clock):
    """P7: a delivery larger than a batch still goes, alone."""
    inbox.gate = trio.Event()
    limits = evolve(LIMITS, batch_count=3, batch_bytes=10)
    sizes = [1, 6, 4, 1, 1, 1, 1, 50, 2]
    async with running(inbox, limits) as (commit, nursery):
        for size in sizes:
            nursery.start_soon(accept_into, [], commit, delivery(AT, body=b"x" * size))
            await wait_all_tasks_blocked()
        inbox.gate.set()
        await wait_all_tasks_blocked()

    assert [len(batch) for batch in inbox.batches] == [1, 2, 3, 1, 1, 1]


@pytest.mark.parametrize(
    "limits",
    [
        evolve(LIMITS, waiting_count=2),
        evolve(LIMITS, waiting_bytes=25),
        evolve(LIMITS, pending=2),
    ],
    ids=["count", "bytes", "pending"],
)
async def test_a_full_waiting_room_says_so_and_when_to_come_back(
    inbox: Inbox, limits: CommitLimits, autojump_clock
):
    """P7: and lets in again when there is room."""
    inbox.gate = trio.Event()
    results: list[object] = []
    async with running(inbox, limits) as (commit, nursery):
        for _ in range(2):
            nursery.start_soon(accept_into, results, commit, delivery(AT, body=b"x" * 10))
        await wait_all_tasks_blocked()

        with pytest.raises(StoreFullError) as caught:
            await commit.accept(delivery(AT, body=b"x" * 10))

        assert caught.value.retry_after == timedelta(seconds=7)
        inbox.gate.set()
        await trio.sleep(1.5)  # a recount later, in virtual time
        assert results == [True, True]
        assert await commit.accept(delivery(AT, body=b"x" * 10))


async def test_a_full_inbox_refuses_until_it_is_counted_again(inbox: Inbox, autojump_clock):
    """P7: own deliveries are added between two counts."""
    inbox.pending = 98
    async with running(inbox, evolve(LIMITS, pending=100)) as (commit, _):
        await wait_all_tasks_blocked()
        assert await commit.accept(delivery(AT))
        assert await commit.accept(delivery(AT))
        with pytest.raises(StoreFullError):
            await commit.accept(delivery(AT))

        inbox.pending = 0
        await trio.sleep(1.5)

        assert await commit.accept(delivery(AT))


async def test_the_last_count_stands_while_nobody_can_count(inbox: Inbox, autojump_clock):
    inbox.pending = 100
    async with running(inbox, evolve(LIMITS, pending=100)) as (commit, _):
        await wait_all_tasks_blocked()
        inbox.pending = StoreUnavailableError("away")
        await trio.sleep(3)

        with pytest.raises(StoreFullError):
            await commit.accept(delivery(AT))


async def test_a_waiter_gives_up_at_its_deadline(inbox: Inbox, autojump_clock):
    """P7: the one whose turn had not come is not committed later."""
    inbox.gate = trio.Event()
    results: list[object] = []
    async with running(inbox) as (commit, nursery):
        started = trio.current_time()
        nursery.start_soon(accept_into, results, commit)
        await wait_all_tasks_blocked()
        nursery.start_soon(accept_into, results, commit)
        await trio.sleep(5.1)
        assert kinds(results) == [StoreUnavailableError] * 2
        assert trio.current_time() - started == pytest.approx(5.1)
        inbox.gate.set()
        await wait_all_tasks_blocked()

        assert [len(batch) for batch in inbox.batches] == [1]
        assert await commit.accept(delivery(AT))


async def test_a_cancelled_caller_hurts_nobody(inbox: Inbox, autojump_clock):
    inbox.gate = trio.Event()
    results: list[object] = []
    limits = evolve(LIMITS, waiting_count=3)
    async with running(inbox, limits) as (commit, nursery):
        async with trio.open_nursery() as callers:
            for _ in range(2):
                callers.start_soon(commit.accept, delivery(AT))
                await wait_all_tasks_blocked()
            nursery.start_soon(accept_into, results, commit)
            await wait_all_tasks_blocked()
            callers.cancel_scope.cancel()
        inbox.gate.set()
        await wait_all_tasks_blocked()

        assert results == [True]
        assert [len(batch) for batch in inbox.batches] == [1, 1]
        for _ in range(5):
            assert await commit.accept(delivery(AT))


async def test_a_failing_batch_fails_those_who_wait_for_it_only(inbox: Inbox, autojump_clock):
    inbox.errors = [StoreUnavailableError("away")]
    async with running(inbox) as (commit, _):
        with pytest.raises(StoreUnavailableError):
            await commit.accept(delivery(AT))

        assert await commit.accept(delivery(AT))


async def test_a_delivery_that_can_not_be_kept_fails_alone(inbox: Inbox, autojump_clock):
    """P6."""
    inbox.gate = trio.Event()
    deliveries = [delivery(AT) for _ in range(4)]
    inbox.poison = deliveries[2].delivery_id
    results: dict[UUID, list[object]] = {one.delivery_id: [] for one in deliveries}
    async with running(inbox) as (commit, nursery):
        nursery.start_soon(accept_into, [], commit)
        await wait_all_tasks_blocked()
        for one in deliveries:
            nursery.start_soon(accept_into, results[one.delivery_id], commit, one)
        await wait_all_tasks_blocked()
        inbox.gate.set()
        await wait_all_tasks_blocked()

    assert kinds(results.pop(inbox.poison)) == [MissingError]
    assert list(results.values()) == [[True]] * 3


async def serve(
    commit: GroupCommit, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]
) -> None:
    """Run it in a scope that a test can cancel from outside."""
    with scope:
        await commit.run(task_status=task_status)


async def test_stopping_commits_what_was_taken_in_and_refuses_the_rest(
    inbox: Inbox, autojump_clock
):
    """P11."""
    inbox.gate = trio.Event()
    results: list[object] = []
    scope = trio.CancelScope()
    commit = GroupCommit(inbox, limits=LIMITS)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, commit, scope)
        for _ in range(3):
            nursery.start_soon(accept_into, results, commit)
            await wait_all_tasks_blocked()

        scope.cancel()
        await wait_all_tasks_blocked()
        inbox.gate.set()

    assert [len(batch) for batch in inbox.batches] == [1, 2]
    assert results == [True] * 3
    with pytest.raises(StoreUnavailableError):
        await commit.accept(delivery(AT))


@pytest.mark.parametrize("commit_seconds", [3, 3600])
async def test_stopping_has_an_end(autojump_clock, commit_seconds: int):
    """P7, P11: a slow store does not hold the node for longer than a commit's deadline and the stop's."""
    results: list[object] = []
    scope = trio.CancelScope()
    limits = evolve(LIMITS, batch_count=1, deadline=timedelta(seconds=4))
    slow = GroupCommit(SlowInbox(commit_seconds), limits=limits)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, slow, scope)
        for _ in range(9):
            nursery.start_soon(accept_into, results, slow)
        await wait_all_tasks_blocked()
        started = trio.current_time()
        scope.cancel()

    assert trio.current_time() - started <= 8
    assert kinds(results).count(StoreUnavailableError) > 0
    assert len(results) == 9


@define
class SlowInbox:
    """A store that breaks its promise to answer in time."""

    seconds: int

    async def accept(self, deliveries: Sequence[NewDelivery]) -> tuple[bool, ...]:
        await trio.sleep(self.seconds)
        return (True,) * len(deliveries)

    async def pending_count(self) -> int:
        await trio.lowlevel.checkpoint()
        return 0


async def test_a_crash_leaves_nobody_waiting_and_the_service_runs_again(
    inbox: Inbox, autojump_clock
):
    """P7."""
    inbox.gate = trio.Event()
    inbox.errors = [RuntimeError("a bug"), RuntimeError("the same bug")]
    results: list[object] = []
    commit = GroupCommit(inbox, limits=LIMITS)  # type: ignore[arg-type]
    async with trio.open_nursery() as callers:
        with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True, allow_unwrapped=True):
            async with trio.open_nursery() as service:
                await service.start(commit.run)
                for _ in range(2):
                    callers.start_soon(accept_into, results, commit)
                    await wait_all_tasks_blocked()
                inbox.gate.set()

    assert kinds(results) == [StoreUnavailableError] * 2
    async with trio.open_nursery() as nursery:
        await nursery.start(commit.run)
        assert await commit.accept(delivery(AT))
        nursery.cancel_scope.cancel()


async def test_accepting_before_it_runs_is_unavailable(inbox: Inbox):
    commit = GroupCommit(inbox)  # type: ignore[arg-type]

    with pytest.raises(StoreUnavailableError):
        await commit.accept(delivery(AT))


async def test_on_a_real_store_every_caller_gets_its_own_answer(store: Store):
    """P1, P2."""
    at = await connected(store)
    results: dict[str, list[object]] = {f"e{number}": [] for number in range(50)}

    async with running(store) as (commit, _nursery), trio.open_nursery() as callers:
        for _ in range(3):
            for event_id, answers in results.items():
                callers.start_soon(accept_into, answers, commit, delivery(at, event_id))

    assert all(sorted(map(bool, answers)) == [False, False, True] for answers in results.values())
    (ledger,) = await store.accounting()
    assert (ledger.accepted, ledger.duplicate) == (50, 100)
