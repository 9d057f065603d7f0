"""What is polled makes one signal each, whatever the provider's habits, and the cursor moves with it: P2, FR-5."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
from attrs import evolve, frozen

from actors.reading import BEGUN_FOR, BEING_READ
from adapters.envelope import keyed_signal_id
from adapters.polling import Page, PollPlan, Resource
from persistence.opening import open_store
from tests.actors.book import SECOND, a_library, a_running_library, since
from tests.actors.scene import EPOCH, Scene
from tests.fakes.adapters import PoisonError
from tests.fakes.ledgerbook import ENTRIES, LIMIT, LedgerbookAdapter


async def test_a_polled_item_makes_one_signal_with_its_own_time_and_the_cursor_moves_with_it(
    store_url,
):
    """P2, FR-5: from its first turn on a connection reads what is new, and nothing of the past."""
    async with open_store(store_url) as store:
        library = a_library(store)
        library.write()
        library.clock.advance(days=1)
        async with library.scene.node():
            begun = await library.begun()
            library.clock.advance(minutes=1)
            (entry,) = library.write()

            after = await library.turn()

            await library.all_told(1)
            (told,) = library.scene.signals.accepted
            assert told["signal_id"] == keyed_signal_id(
                library.connection.connection_id, f"entry:{entry.id}"
            )
            assert told["occurred_at"] == entry.at.isoformat()
            assert since(begun.cursor) == EPOCH.replace(day=2).isoformat()
            assert since(after.cursor) == entry.at.isoformat()
            assert after.last_polled_at == library.clock.now()
            assert (after.failures, after.reason) == (0, None)
            assert library.metric("events_found", 'origin="poll"') == 1
            ledger = await library.scene.ledger(library.connection)
            assert (ledger.accepted, ledger.forwarded) == (1, 1)


@pytest.mark.parametrize(
    "habits",
    [
        {},
        {"repeats": 2},
        {"backwards": True},
        {"ahead": timedelta(hours=5)},
        {"ahead": timedelta(hours=-5)},
    ],
    ids=["none", "repeated", "reordered", "clock ahead", "clock behind"],
)
async def test_whatever_the_habits_of_the_provider_each_entry_is_one_signal(sqlite_url, habits):
    """P2: what overlap, repeated and reordered pages, late arrivals and other clocks bring twice is known."""
    await some_turns(sqlite_url, **habits)


async def test_all_bad_habits_at_once_make_one_signal_of_each_entry(store_url):
    """P2."""
    await some_turns(store_url, backwards=True, repeats=3, ahead=timedelta(minutes=2))


async def some_turns(store_url: str, **habits: Any) -> None:
    async with a_running_library(store_url, **habits) as library:
        for number in (1, LIMIT + 2, 0, 3, 2 * LIMIT + 1, 0, 1):
            library.clock.advance(seconds=40)
            library.write(number)
            library.write(late_by=timedelta(seconds=100))
            await library.turn()
        library.clock.advance(minutes=2)
        await library.turn()

        await library.all_told()
        ledger = await library.scene.ledger(library.connection)
        assert ledger.duplicate > 0
        assert library.metric("events_found") == len(library.book.entries)
        assert library.scene.recorder.crashes == []


async def test_an_entry_that_the_overlap_brings_again_is_no_news(sqlite_url):
    """Else a list with one entry at its end would be asked as often as may be, for ever."""
    async with a_running_library(sqlite_url) as library:
        library.write()
        after = await library.turn()
        intervals = [after.every, *[(await library.turn()).every for _ in range(12)]]

        assert all(earlier < later for earlier, later in pairwise(intervals[:5]))
        assert intervals[-1] == ENTRIES.slowest
        assert library.metric("polls_total{", 'result="nothing_new"') >= 12


async def test_what_is_there_on_the_next_page_is_read_at_once(sqlite_url):
    async with a_running_library(sqlite_url) as library:
        before = library.asked
        library.write(4 * LIMIT)
        due = (await library.cursor()).next_poll_at

        await library.turn()

        assert [seen.at for seen in library.book.seen[before:]] == [due] * 4
        await library.all_told()


async def test_many_hints_while_one_poll_runs_make_no_second_of_it(sqlite_url):
    gate, let_go = trio.Event(), trio.Event()

    async def around() -> None:
        await trio.lowlevel.checkpoint()
        if gate.is_set():
            await let_go.wait()

    async with a_running_library(sqlite_url, around=around) as library:
        library.write()
        gate.set()
        before = library.asked
        library.clock.at = (await library.cursor()).next_poll_at
        library.look()
        await library.scene.watch.until(lambda: library.scene.store.calls["postpone_poll"] == 2)
        library.clock.advance(hours=1)  # begun so long ago that it is due once more
        await library.looked(times=5)
        let_go.set()

        await library.rested()

        await library.all_told()
        assert library.asked == before + 1
        assert library.scene.store.calls["keep_page"] == 2


@frozen(kw_only=True)
class Shelves(LedgerbookAdapter):
    """The same book as several resources, some of which have a bug, or a page that leads to itself."""

    names: tuple[str, ...] = ()
    buggy: tuple[str, ...] = ()
    circular: bool = False

    def resources(self, settings: bytes) -> tuple[Resource, ...]:
        return tuple(evolve(ENTRIES, name=name) for name in self.names)

    def poll(self, resource: str, cursor: bytes | None, **told: Any) -> PollPlan:
        page = yield from super().poll(resource, cursor, **told)
        if resource in self.buggy:
            raise PoisonError("the adapter does not survive this page")
        if self.circular and cursor is not None:
            assert isinstance(page, Page)
            return evolve(page, cursor=cursor, more=True)
        return page


async def test_at_most_two_lists_of_a_connection_are_read_at_once_and_all_get_their_turn(
    sqlite_url,
):
    waiting: list[trio.Event] = []
    names = tuple(f"shelf-{number}" for number in range(8))

    async def around() -> None:
        """Nobody goes on alone."""
        if not waiting:
            waiting.append(trio.Event())
            await waiting[0].wait()
        else:
            await trio.lowlevel.checkpoint()
            assert len(running()) == 2
            waiting.pop().set()

    async with open_store(sqlite_url) as store:
        library = a_library(store, adapter=Shelves(names=names), around=around)
        async with library.scene.node():
            await library.begun()

            cursors = await library.turns.cursors()
            assert tuple(one.resource for one in cursors) == names
            assert all(one.cursor is not None for one in cursors)
            assert library.asked == len(names)


def running() -> list[str]:
    """The polls that run, as trio knows them."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    tasks = [root]
    for task in tasks:
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return [task.name for task in tasks if ":poll-" in task.name]


async def test_a_page_that_leads_to_itself_is_the_last_one(sqlite_url):
    shelves = Shelves(names=("entries",), circular=True)
    async with a_running_library(sqlite_url, adapter=shelves) as library:
        library.write()
        before = library.asked

        await library.turn()

        assert library.asked == before + 1
        await library.all_told()


async def test_pages_that_kill_their_actor_keep_no_webhook_from_being_settled(sqlite_url):
    """P5, P6: a bug in the adapter's poll, of each of five lists; only a minute later the next page is tried."""
    names = tuple(f"shelf-{number}" for number in range(5))
    shelves = Shelves(names=names, buggy=names)
    async with open_store(sqlite_url) as store:
        library = a_library(store, adapter=shelves)
        scene = library.scene
        async with scene.node():
            connection = await library.connect()
            for minute in range(1, 4):
                scene.wake.polls("acme", connection.connection_id)
                await scene.watch.until(partial(so_many_poisoned, scene, minute))
                heard = {"id": minute, "at": EPOCH.isoformat(), "text": "heard"}
                (delivery,) = scene.deliveries(connection, heard)
                await scene.deliver(connection, evolve(delivery, event_id=f"entry:{minute}"))
                await scene.counted(connection, forwarded=minute)
                await library.looked(times=3)
                assert len(poisoned(scene)) == minute
                begun = [one for one in await library.turns.cursors() if one.reason == BEING_READ]
                assert begun
                library.clock.at += BEGUN_FOR + SECOND


def so_many_poisoned(scene: Scene, number: int) -> bool:
    return len(poisoned(scene)) >= number


def poisoned(scene: Scene) -> list[Exception]:
    return [one for one in scene.recorder.crashes if isinstance(one, PoisonError | ExceptionGroup)]
