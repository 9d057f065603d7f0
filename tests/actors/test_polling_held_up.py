"""A poll that is held up: the cursor stays, the wait is in full and to be seen, and it goes on where it was (FR-5, FR-8)."""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson
import pytest
from attrs import evolve, frozen

from actors.platform.budgets import Withheld
from actors.platform.policy import TenantPolicy
from adapters.faults import cut, dropped_before, failing, rate_limited, revoked
from adapters.polling import CursorLost, PollPlan
from persistence.records import ActionState, ConnectionState
from runtime import Backoff, Breaker
from tests.actors.book import PACE, SECOND, Turns, a_running_library, since
from tests.actors.hub import a_hub
from tests.actors.life import REPOSITORY
from tests.fakes.ledgerbook import ENTRIES, LIMIT, LedgerbookAdapter

WISH = timedelta(minutes=7)
TOUCHY = evolve(
    PACE,
    breaker=Breaker(
        failures=1, probes=1, pause=Backoff(base=timedelta(minutes=20), cap=timedelta(minutes=20))
    ),
)


async def test_a_429_in_the_middle_of_the_pages_is_waited_for_in_full_and_no_page_is_read_again(
    store_url,
):
    """RF-IA-02: what was read before it is kept, what comes behind it follows at the cursor."""
    async with a_running_library(store_url) as library:
        library.write(3 * LIMIT)
        library.scene.store.on("keep_page", lambda: limited(library))
        held = await library.turn()
        at, asked = library.clock.now(), library.asked

        await library.all_told(LIMIT)
        assert held.next_poll_at >= at + WISH
        assert held.reason is not None
        assert "429" in held.reason or "free at" in held.reason
        assert library.metric("rate_limited") == 1
        library.clock.at = at + WISH - SECOND
        await library.looked()
        assert library.asked == asked

        library.clock.at = at + WISH
        after = await library.turn()

        await library.all_told()
        assert (after.failures, after.reason) == (0, None)
        assert library.asked == asked + 2


async def limited(library):
    library.book.plan(rate_limited(WISH))


async def test_while_the_breaker_is_open_polls_wait_and_say_until_when(sqlite_url):
    async with a_running_library(sqlite_url, pace=TOUCHY) as library:
        library.write()
        library.book.plan(failing(503))
        failed = await library.turn()
        asked = library.asked
        waited = await library.turn()

        assert failed.failures == 1
        assert waited.failures == 1  # to wait is no failure
        assert waited.reason is not None
        assert waited.reason.startswith("the circuit breaker is open; free at ")
        assert library.asked == asked
        assert library.metric("polls_total{", 'result="waited"') == 1
        await library.turn()
        await library.all_told()


async def test_while_m35_withholds_calls_polls_wait_and_say_so(sqlite_url):
    async with a_running_library(sqlite_url) as library:
        library.write()
        wait = Withheld(reason="the tenant's budget is used up", retry_after=timedelta(minutes=9))
        library.clock.advance(hours=1)
        library.scene.budgets.withheld.append(wait)
        asked = library.asked

        waited = await library.turn()

        assert waited.next_poll_at == library.clock.now() + wait.retry_after
        assert (waited.failures, library.asked) == (0, asked)
        assert waited.reason is not None
        assert waited.reason.startswith("the tenant's budget is used up; free at ")
        assert {one.work for one in library.scene.budgets.asked} == {"live"}
        assert library.metric("polls_total{", 'result="waited"') == 1
        assert library.metric("budget_exhausted", 'limit="m35"') == 1
        await library.turn()
        await library.all_told()


async def test_polls_leave_an_action_its_share_of_the_connections_own_budget(sqlite_url):
    """FR-8: what is polled waits for the next minute; what was asked for goes before it."""
    async with a_hub(sqlite_url, node=False) as hub:
        scene = hub.scene
        async with scene.node():
            connection = await hub.active(capabilities=("webhook", "polling", "outbound_actions"))
            scene.policy.default = TenantPolicy(requests_per_minute=10)
        async with scene.node():
            turns = Turns(scene, hub.clock, connection)
            await turns.rested()
            await read_until_held_up(turns)
            polls = len(hub.github.seen)
            action = evolve(
                scene.action(connection, REPOSITORY),
                canonical_type="create_issue",
                target=b'{"repository": "acme/rocket"}',
                payload=b'{"title": "Engine cold", "body": "Look."}',
            )

            await scene.order(connection, action)

            record = await scene.ended(action)
            assert record.state is ActionState.DONE
            assert len(hub.github.seen) > polls
            (held, *_) = [one for one in await turns.cursors() if one.reason is not None]
            assert held.reason is not None
            assert held.reason.startswith("the budget 'own' is used up; free at ")
            assert held.failures == 0


async def read_until_held_up(turns: Turns) -> None:
    """Poll at once, again and again, as much as may be."""
    for _ in range(20):
        cursors = await turns.cursors()
        if any(one.reason is not None for one in cursors):
            return
        for cursor in cursors:
            place = ("acme", cursor.connection_id, cursor.resource)
            await turns.scene.store.inner.set_cursor(*place, cursor.cursor, now=turns.clock.now())
        await turns.take()
    raise AssertionError("nothing holds it up")


async def test_what_the_provider_has_forgotten_is_told_of_and_it_goes_on_from_the_oldest(
    store_url,
):
    """A cursor that expired: a log entry, a count, and everything that there still is."""
    async with a_running_library(store_url, keeps=timedelta(days=2)) as library:
        forgotten = library.write(3)
        library.clock.advance(days=3)
        library.write(LIMIT)
        library.clock.advance(days=1)
        library.write(2)

        after = await library.turn()

        (told,) = library.scene.log.of("poll.gap")
        assert told["reason"] == "the book has forgotten so much"
        assert told["since"] == (library.clock.now() - timedelta(days=2)).isoformat()
        assert library.metric("errors", "poll_cursor_lost") == 1
        await library.scene.counted(library.connection, forwarded=LIMIT + 2)
        texts = {one["payload"]["text"] for one in library.scene.signals.accepted}
        assert texts == {one.text for one in library.book.entries[len(forgotten) :]}
        assert since(after.cursor) == library.book.entries[-1].at.isoformat()


@frozen(kw_only=True)
class Forgetful(LedgerbookAdapter):
    """It knows no cursor that was there before, and says another one each time."""

    def poll(self, resource: str, cursor: bytes | None, *, now: datetime) -> PollPlan:
        begun = yield from super().poll(resource, None, now=now)
        if cursor is None:
            return begun
        place = orjson.dumps({"n": orjson.loads(cursor).get("n", 0) + 1})
        return CursorLost(reason="what cursor?", cursor=place, since=now)


async def test_a_cursor_that_is_lost_time_after_time_is_asked_for_no_oftener_than_others(
    sqlite_url,
):
    async with a_running_library(sqlite_url, adapter=Forgetful()) as library:
        before = library.asked

        for _ in range(3):
            await library.turn()

        assert library.asked - before == 6
        assert library.metric("errors", "poll_cursor_lost") == 6


async def test_a_refused_login_fails_the_connection_and_after_the_next_it_goes_on_at_once(
    store_url,
):
    """FR-3: the connection waits for a person; then it goes on at its cursor, without waiting for a turn."""
    async with a_running_library(store_url) as library:
        begun = await library.cursor()
        library.write()
        library.book.plan(revoked())
        library.clock.at = begun.next_poll_at
        library.look()

        async def failed() -> bool:
            place = ("acme", library.connection.connection_id)
            found = await library.scene.store.inner.connection(*place)
            return found is not None and found.state is ConnectionState.ERROR

        await library.scene.watch.until(failed)
        held = await library.cursor()
        assert (held.cursor, held.reason) == (begun.cursor, "answered 401")
        library.book._stage.clear("revoked")
        await library.move(ConnectionState.ACTIVE)
        library.scene.wake.connection("acme", library.connection.connection_id)

        await library.rested()

        await library.all_told()
        assert library.clock.now() == begun.next_poll_at


async def test_what_is_refused_is_asked_for_again_as_seldom_as_may_be(sqlite_url):
    async with a_running_library(sqlite_url) as library:
        library.write()
        library.book.plan(failing(403))

        held = await library.turn()

        assert abs(held.next_poll_at - library.clock.now() - ENTRIES.slowest) <= (
            ENTRIES.slowest / 10
        )
        assert (held.failures, held.reason) == (1, "answered 403")
        assert library.metric("polls_total{", 'result="failed"') == 1
        await library.turn()
        await library.all_told()


@pytest.mark.parametrize(
    "fault",
    [failing(500, times=6), dropped_before(times=6), evolve(cut(9, method="GET"), times=6)],
    ids=["500", "dropped", "cut"],
)
async def test_failing_pages_are_backed_off_from_and_a_success_ends_that(sqlite_url, fault):
    calm = evolve(PACE, breaker=Breaker(failures=99))
    async with a_running_library(sqlite_url, pace=calm) as library:
        begun = await library.cursor()
        library.write()
        library.book.plan(fault)

        for number in range(1, 7):
            held = await library.turn()
            assert (held.failures, held.cursor) == (number, begun.cursor)
            assert held.next_poll_at - library.clock.now() <= PACE.retry.base * 2 ** (number - 1)
        after = await library.turn()

        assert (after.failures, after.reason) == (0, None)
        assert len(library.scene.log.of("poll.held_up")) == 6
        await library.all_told()
