"""Backfills: all of the past, each event once, page by page, whatever breaks; behind all else (FR-5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import trio
from attrs import evolve

from actors.backfilling import Backfiller
from actors.reading import BEGUN_FOR
from adapters.faults import Fault, dropped_before, failing, rate_limited, revoked
from adapters.polling import CursorLost
from persistence.polls import BackfillRecord, BackfillState
from persistence.records import ConnectionState
from tests.actors.reading_room import (
    DAY,
    MINUTE,
    OTHER,
    ReadingRoom,
    a_reading_room,
    held,
)
from tests.actors.scene import NEVER
from tests.fakes.adapters import ScriptedAdapter
from tests.fakes.herald import HeraldAdapter
from tests.fakes.ledgerbook import LIMIT
from tests.fakes.mortality import cut_short, points
from tests.persistence import samples

OFTEN = evolve(NEVER, every=timedelta(milliseconds=5))


async def test_the_past_is_read_page_by_page_to_its_end_and_counted(store_url):
    async with a_reading_room(store_url, OTHER) as room, room.scene.node():
        entries = room.written(2 * LIMIT + 2)
        backfill = await room.begun()

        ended = await room.lived(backfill)

        assert ended.state is BackfillState.DONE
        assert (ended.found, ended.fresh) == (12, 12)
        assert (ended.done, ended.total) == (12, 12)
        assert ended.reason is None
        assert ended.ended_at is not None
        signals = await room.arrived(12)
        assert [datetime.fromisoformat(one["occurred_at"]) for one in signals] == [
            entry.at for entry in entries
        ]
        assert all(marked(one) is True for one in signals)
        assert room.counted("events_found", origin="backfill") == 12
        (told,) = room.scene.log.of("backfill.done")
        assert (told["found"], told["fresh"], told["audit"]) == (12, 12, True)


async def test_what_was_known_already_makes_no_second_signal(sqlite_url):
    """P2: what came by webhook before, and what comes by one after, is the same event."""
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        first, second, *_ = room.written(3)
        await room.told(first)
        await room.arrived(1)

        ended = await room.lived(await room.begun())
        await room.arrived(3)
        await room.told(second)
        await room.scene.counted(room.connection, accepted=5, forwarded=5)
        again = await room.lived(await room.begun())

        assert (ended.found, ended.fresh) == (3, 3)
        assert (again.found, again.fresh) == (3, 0)
        assert len(room.signals) == 3
        assert [marked(one) for one in room.signals] == [None, True, True]


def marked(signal: dict[str, Any]) -> object:
    """What a signal says of being backfilled."""
    return signal["payload"]["provider_metadata"].get("backfilled")


async def test_a_backfill_of_nothing_is_done(sqlite_url):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        ended = await room.lived(await room.begun())

        assert ended.state is BackfillState.DONE
        assert (ended.found, ended.done, ended.total) == (0, 0, 0)


STEPS = ("due_backfills", "postpone_backfill", "ledger", "keep_backfill_page")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_store_that_is_away_at_any_step_loses_nothing_and_doubles_nothing(
    sqlite_url, step, after
):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        room.written(LIMIT + 1)
        backfill = await room.begun()
        room.scene.store.fail(step, after=after)

        ended = await room.lived(backfill, patient=False)

        assert ended.state is BackfillState.DONE
        assert ended.done == ended.total == LIMIT + 1
        assert len(await room.arrived(LIMIT + 1)) == LIMIT + 1
        assert room.scene.recorder.crashes == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_an_actor_that_crashes_at_any_step_is_followed_by_one_that_goes_on(
    sqlite_url, step, after
):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node(OFTEN):
        room.written(LIMIT + 1)
        backfill = await room.begun()
        room.scene.store.on(step, bug, after=after)

        ended = await room.lived(backfill, patient=False)

        assert ended.state is BackfillState.DONE
        assert len(await room.arrived(LIMIT + 1)) == LIMIT + 1
        assert len(room.scene.recorder.crashes) == 1


async def bug() -> None:
    await trio.lowlevel.checkpoint()
    raise RuntimeError("a bug")


async def a_life(room: ReadingRoom, backfill: BackfillRecord) -> BackfillState:
    """An actor without its mailbox: it reads until there is nothing more to read."""
    holding, hand = await held(room.scene, room.connection)
    backfiller = Backfiller(holding)
    backfiller.look()
    await backfiller.start()
    while hand.spawned:
        await hand.spawned.pop()()
        backfiller.ended(backfill.backfill_id)
        await backfiller.start()
    return (await room.read(backfill)).state


async def test_killed_at_any_await_the_next_life_goes_on_where_it_was(sqlite_url):
    """P1, P2: enumerated, not sampled: no page is lost, no event counts twice."""
    async with a_reading_room(sqlite_url) as room:
        room.written(LIMIT + 1)
        for point in points():
            await room.another(OTHER)
            backfill = await room.begun()

            state = await cut_short(point, partial(a_life, room, backfill))
            if state is None:
                room.clock.at += BEGUN_FOR
                assert await a_life(room, backfill) is BackfillState.DONE

            ended = await room.read(backfill)
            assert (ended.done, ended.total, ended.fresh) == (6, 6, 6), point
            assert (await room.scene.ledger(room.connection)).accepted == 6
            if state is not None:
                break
        assert point > 20


async def test_another_node_takes_over_in_the_middle(store_url):
    async with a_reading_room(store_url, OTHER) as room:
        room.written(3 * LIMIT)
        backfill = await room.begun()
        async with room.scene.node():
            halfway = await room.lived(backfill, pages=3)
            assert halfway.state is BackfillState.RUNNING
            assert halfway.cursor is not None

        async with room.scene.node():
            ended = await room.lived(backfill)

            assert ended.state is BackfillState.DONE
            assert ended.found == 3 * LIMIT
            assert len(await room.arrived(3 * LIMIT)) == 3 * LIMIT


async def test_p10_of_two_nodes_only_the_owner_keeps_a_page(store_url):
    """P10: the one that lost its lease in the middle of a page keeps nothing of it."""
    async with a_reading_room(store_url, OTHER) as room:
        room.written(2)
        backfill = await room.begun()
        holding, hand = await held(room.scene, room.connection)
        backfiller = Backfiller(holding)
        backfiller.look()
        await backfiller.start()
        await held(room.scene, room.connection)

        await hand.spawned.pop()()

        (ended,) = hand.told
        assert ended.error is not None  # type: ignore[attr-defined]
        assert (await room.read(backfill)).found == 0
        assert (await room.scene.ledger(room.connection)).accepted == 0


async def test_what_the_provider_refuses_fails_with_its_reason(sqlite_url):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        room.book.plan(failing(403))

        ended = await room.lived(await room.begun())

        assert ended.state is BackfillState.FAILED
        assert ended.reason == "answered 403"
        (told,) = room.scene.log.of("backfill.failed")
        assert told["audit"] is True


async def test_a_429_is_waited_for_in_full_and_says_so(sqlite_url):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        room.written(LIMIT + 1)
        room.book.token_lives = DAY
        backfill = await room.begun()
        await room.lived(backfill, pages=2)
        begun, asked = room.clock.now(), len(room.book.seen)
        wish = timedelta(minutes=40)
        room.book.plan(rate_limited(wish))

        waiting = await room.lived(backfill, most=MINUTE)

        assert waiting.reason == "answered 429"

        assert waiting.next_at >= begun + wish
        assert (waiting.state, waiting.found) == (BackfillState.RUNNING, LIMIT)
        assert len(room.book.seen) == asked + 1
        ended = await room.lived(backfill)
        assert (ended.state, ended.found) == (BackfillState.DONE, LIMIT + 1)
        assert ended.reason is None


@pytest.mark.parametrize(
    "fault", [failing(500), dropped_before(method="GET")], ids=["500", "no answer"]
)
async def test_what_fails_for_once_is_asked_again_soon(sqlite_url, fault: Fault):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        room.written(1)
        backfill, begun = await room.begun(), room.clock.now()
        room.book.plan(fault)

        ended = await room.lived(backfill)

        assert (ended.state, ended.found) == (BackfillState.DONE, 1)
        assert len(room.book.seen) == 2
        assert room.clock.now() - begun < timedelta(minutes=2)


async def test_a_login_that_is_refused_fails_the_connection_and_the_backfill_goes_on_after_a_new_one(
    sqlite_url,
):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        room.written(LIMIT + 1)
        backfill = await room.begun()
        await room.lived(backfill, pages=2)
        room.book.plan(revoked())

        waiting = await room.lived(backfill, pages=2)
        await in_state(room, ConnectionState.ERROR)
        assert waiting.state is BackfillState.RUNNING
        assert waiting.reason == "answered 401"
        room.book._stage.clear("revoked")
        await samples.move(room.scene.store.inner, room.connection, ConnectionState.ACTIVE)

        ended = await room.lived(backfill)
        assert (ended.state, ended.found) == (BackfillState.DONE, LIMIT + 1)


async def in_state(room: ReadingRoom, state: ConnectionState) -> None:
    async def look() -> bool:
        found = await room.scene.store.inner.connection(*room.place)
        return found is not None and found.state is state

    await room.scene.watch.until(look)


class Forgetful(HeraldAdapter):
    """It knows no cursor, not even the one it has just given."""

    def backfill(self, resource, span, cursor):
        """See ``Polls.backfill``."""
        yield from ()
        return CursorLost(reason="forgotten", cursor=b'{"from":"here"}', since=span.since)


async def test_p7_a_provider_that_forgets_each_cursor_is_not_asked_for_ever(
    sqlite_url,
):
    """P7: else it would be a loop without a pause."""
    async with (
        a_reading_room(sqlite_url, OTHER, adapters=(Forgetful(),)) as room,
        room.scene.node(),
    ):
        ended = await room.lived(await room.begun())

        assert (ended.state, ended.reason) == (BackfillState.FAILED, "forgotten")


async def test_a_provider_that_can_not_be_polled_any_more_fails_it(sqlite_url):
    """A version of the adapter may lose the capability."""
    mute = ScriptedAdapter(manifest=evolve(ScriptedAdapter().manifest, provider_id="herald"))
    async with (
        a_reading_room(sqlite_url, OTHER, adapters=(mute,)) as room,
        room.scene.node(),
    ):
        ended = await room.lived(await room.begun())

        assert ended.state is BackfillState.FAILED
        assert ended.reason == "the provider can not be polled"
