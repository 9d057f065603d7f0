"""Between a page and its cursor a process may end anywhere: nothing is lost, nothing is made twice (P1, P2, P10)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
import trio
from attrs import define, evolve

from actors.reading import BEGUN_FOR
from persistence.opening import open_store
from persistence.records import ConnectionState
from tests.actors.book import SECOND, a_library, a_running_library, since
from tests.actors.scene import NEVER
from tests.fakes.ledgerbook import LIMIT
from tests.fakes.mortality import points

OFTEN = evolve(NEVER, every=timedelta(milliseconds=20))
PAGE = ("/connections/",)
ACTORS = (*PAGE, "runtime.directory.")
"""As trio names the tasks that read a page, and the actors of connections and couriers."""


@define(eq=False)
class Fate:
    """Ends all that runs in its scope at one of the points passed, counted from 1, as kill -9 does."""

    whose: tuple[str, ...]
    dies_at: int = 0
    passed: int = 0
    scope: trio.CancelScope | None = None

    async def point(self) -> None:
        """One more point, if one of those whose points count passes it."""
        await trio.lowlevel.checkpoint()
        if not trio.lowlevel.current_task().name.startswith(self.whose):
            return
        self.passed += 1
        if self.passed == self.dies_at and self.scope is not None:
            self.scope.cancel()
            await trio.sleep_forever()

    async def lives(self, dies_at: int, life: Callable[[], Awaitable[None]]) -> bool:
        """Whether that life came to its end."""
        self.dies_at, self.passed = dies_at, 0
        with trio.CancelScope() as self.scope:
            await life()
        self.dies_at = 0
        return not self.scope.cancelled_caught


async def test_a_node_that_is_killed_at_any_point_of_a_page_loses_nothing_and_makes_nothing_twice(
    sqlite_url,
):
    """P1, P2, enumerated: before and after each call of the store and the provider, page after page."""
    assert await deaths(sqlite_url, PAGE) >= 2 * (2 + 2 + 2)


@pytest.mark.thorough
async def test_a_node_that_is_killed_at_any_point_of_a_poll_loses_nothing_and_makes_nothing_twice(
    store_url,
):
    """P1, P2: the same on each engine, with the points of the actor that settles what was found."""
    assert await deaths(store_url, ACTORS) > 50


async def deaths(store_url: str, whose: tuple[str, ...]) -> int:
    """So many lives a poll of two pages has, each a point further than the one before; each is followed by another."""
    fate = Fate(whose)
    async with open_store(store_url) as store:
        library = a_library(store, around=fate.point, repeats=1)
        library.scene.store.around = fate.point
        async with library.scene.node():
            await library.begun()

        async def life() -> None:
            async with library.scene.node():
                await library.turn()
                await library.scene.counted(library.connection, pending=0)

        for dies_at in points():
            for _ in range(LIMIT + 2):  # over more time than the overlap, which would hide a loss
                library.clock.advance(seconds=50)
                library.write()
            before = since((await library.cursor()).cursor)
            lived = await fate.lives(dies_at, life)
            library.clock.at += BEGUN_FOR + SECOND
            async with library.scene.node():
                await library.turn()
                await library.all_told(resent=True)
            assert since((await library.cursor()).cursor) > before
            if lived:
                break
        assert library.scene.recorder.crashes == []
    return dies_at - 1


PATH = ("cursors", "postpone_poll", "keep_page", "claim_deliveries", "settle")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", PATH)
async def test_a_store_that_fails_at_any_step_of_a_poll_loses_nothing(sqlite_url, method, after):
    """P1, P2: it does not answer, before or after it did what it was asked; nobody crashes."""
    async with a_running_library(sqlite_url, timetable=OFTEN) as library:
        store = library.scene.store
        library.write(LIMIT + 2)
        store.fail(method, after=after)
        library.clock.at = (await library.cursor()).next_poll_at
        library.look()
        await library.scene.watch.until(
            lambda: library.scene.log.of("connection.store_unavailable")
        )

        library.clock.at += BEGUN_FOR + SECOND
        await library.insisted()

        await library.all_told()
        assert library.scene.recorder.crashes == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_store_that_fails_over_the_plan_begins_all_the_same(sqlite_url, after):
    async with open_store(sqlite_url) as store:
        library = a_library(store)
        library.scene.store.fail("plan_polls", after=after)
        async with library.scene.node():
            cursor = await library.begun()

            assert cursor.cursor is not None
            assert len(library.scene.log.of("connection.store_unavailable")) == 1


async def test_what_was_read_while_the_connection_was_suspended_is_read_again_when_it_is_resumed(
    store_url,
):
    """The page came, and was not wanted any more: nothing of it is kept; resumed, it goes on at the cursor."""
    async with a_running_library(store_url) as library:
        begun = await library.cursor()
        library.write(LIMIT + 2)
        library.scene.store.on("keep_page", lambda: library.move(ConnectionState.SUSPENDED))
        library.clock.at = begun.next_poll_at
        library.look()
        await library.scene.watch.until(lambda: library.scene.store.calls["keep_page"] == 2)
        await library.scene.watch.until(lambda: library.scene.log.of("connection.read_again"))
        asked = library.asked

        library.clock.advance(days=1)
        library.look()
        await library.scene.watch.until(lambda: library.scene.store.calls["connection"] >= 3)

        assert (await library.cursor()).cursor == begun.cursor
        assert (await library.scene.ledger(library.connection)).accepted == 0
        assert library.asked == asked
        await library.move(ConnectionState.ACTIVE)
        await library.turn()
        await library.all_told()


async def test_a_cursor_that_is_set_by_hand_while_a_page_is_read_is_where_it_goes_on(store_url):
    async with a_running_library(store_url) as library:
        begun = await library.cursor()
        library.clock.advance(minutes=2)
        library.write(2)
        await library.turn()

        async def reset() -> None:
            await library.scene.store.inner.set_cursor(
                "acme",
                library.connection.connection_id,
                begun.resource,
                begun.cursor,
                now=library.clock.now(),
            )

        library.clock.advance(minutes=1)
        library.write(2)
        library.scene.store.on("keep_page", reset)
        await library.turn()

        await library.all_told()
        (told,) = library.scene.log.of("read.superseded")
        assert told["about"] == begun.resource
        assert library.metric("polls_total{", 'result="news"') == 2
