"""What comes by two ways makes one signal; what polling brought alone is remembered as unheard, and told (FR-5)."""

from __future__ import annotations

from uuid import uuid4

import pytest
from attrs import evolve

from actors.settling import Settler
from persistence.errors import ConflictError, StoreUnavailableError
from persistence.polls import CursorRecord
from persistence.records import NewDelivery
from tests.actors.reading_room import MINUTE, ReadingRoom, a_reading_room, held, rested
from tests.fakes.herald import webhook_of
from tests.fakes.ledgerbook import Entry


def delivery(room: ReadingRoom, entry: Entry, origin: str) -> NewDelivery:
    """The entry as it comes by that way, now."""
    made = webhook_of(entry, room.connection, uuid4())
    return evolve(made, origin=origin, received_at=room.clock.now())


async def settled(room: ReadingRoom, *came: NewDelivery) -> CursorRecord:
    """Settle what came in one batch; the cursor afterwards."""
    async with room.scene.node():
        await rested(room.scene, room.connection)  # so that there is one
    await room.scene.store.inner.accept(came)
    holding, _ = await held(room.scene, room.connection)
    settler = Settler(holding)
    assert await settler.settle()
    assert not await settler.settle()
    (cursor,) = await room.scene.store.inner.cursors(*room.place)
    return cursor


@pytest.mark.parametrize("first", ["webhook", "poll", "backfill"])
async def test_an_event_that_comes_by_every_way_is_one_signal(store_url, first):
    """P2: in one batch, whichever is first; only what polling made counts as unheard."""
    async with a_reading_room(store_url, "webhook") as room:
        (entry,) = room.written(1)
        ways = sorted(["webhook", "poll", "backfill"], key=lambda way: way != first)

        cursor = await settled(room, *(delivery(room, entry, way) for way in ways))

        signals = await room.scene.store.inner.tenants_with_signals(limit=9)
        assert signals == ("acme",)
        assert (await room.scene.ledger(room.connection)).settled == 1
        assert (cursor.last_news_at is not None) is (first == "poll")
        assert room.counted("events_healed", by="polling") == (1 if first == "poll" else 0)


async def test_only_what_is_older_than_five_minutes_was_missed(sqlite_url):
    async with a_reading_room(sqlite_url, "webhook") as room:
        # The last of them is written when five minutes are just not over.
        entries = room.written(4, ago=8 * MINUTE)

        await settled(room, *(delivery(room, entry, "poll") for entry in entries))

        assert room.counted("events_healed", by="polling") == 3
        (told,) = room.scene.log.of("signals.healed")
        assert told["number"] == 3


async def test_news_that_could_not_be_remembered_is_no_crash_and_no_second_signal(sqlite_url):
    async with a_reading_room(sqlite_url, "webhook") as room:
        (entry,) = room.written(1)
        await room.scene.store.inner.accept([delivery(room, entry, "poll")])
        holding, _ = await held(room.scene, room.connection)
        settler = Settler(holding)
        room.scene.store.fail("seen_news")

        with pytest.raises(StoreUnavailableError):
            await settler.settle()

        assert not await settler.settle()
        assert (await room.scene.ledger(room.connection)).settled == 1


async def test_a_webhook_makes_a_silence_be_looked_at_at_once_and_nothing_else_does(sqlite_url):
    async with a_reading_room(sqlite_url, "webhook") as room:
        holding, _ = await held(room.scene, room.connection)
        settler = Settler(holding)
        hinted = []
        for unheard, way in ((False, "webhook"), (True, "module"), (True, "webhook")):
            holding.unheard = unheard
            (entry,) = room.written(1)
            await room.scene.store.inner.accept([delivery(room, entry, way)])
            assert await settler.settle()
            hinted.append(len(room.scene.hints.polls))

        assert hinted == [0, 0, 1]


async def test_a_conflict_that_is_no_signal_s_is_not_taken_for_one(sqlite_url):
    """A delivery that is not pending: nothing is known twice, so it is a bug, and told."""
    async with a_reading_room(sqlite_url, "webhook") as room:
        (entry,) = room.written(1)
        await room.scene.store.inner.accept([delivery(room, entry, "webhook")])
        holding, _ = await held(room.scene, room.connection)
        room.scene.store.on("settle", conflict)

        with pytest.raises(ConflictError):
            await Settler(holding).settle()


async def conflict() -> None:
    raise ConflictError("a delivery is not pending")


async def test_a_settled_batch_whose_answer_was_lost_is_not_settled_twice(sqlite_url):
    """P1, P2."""
    async with a_reading_room(sqlite_url, "webhook") as room:
        (entry,) = room.written(1)
        await room.scene.store.inner.accept(
            [delivery(room, entry, "poll"), delivery(room, entry, "webhook")]
        )
        async with room.scene.node():
            await rested(room.scene, room.connection)
            room.scene.store.fail("settle", after=True)
            await room.scene.counted(room.connection, forwarded=2)

        assert len(room.signals) == 1
