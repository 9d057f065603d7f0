"""Gaps in what webhooks brought are healed: by GitHub's record, or by its lists; each event makes one signal (FR-5)."""

from __future__ import annotations

from datetime import datetime

import pytest

from actors.healing import Healer
from adapters.contract import Refused
from adapters.faults import failing
from tests.actors.hub import ME
from tests.actors.reading_room import MINUTE, a_reading_room, held, rested
from tests.actors.ward import a_ward
from tests.fakes.ledgerbook import ENTRIES


@pytest.mark.parametrize("answers", [503, 0], ids=["answered 503", "not there"])
async def test_what_failed_while_we_were_away_is_sent_once_more_and_makes_one_signal(
    sqlite_url, answers
):
    """Issue 6: exactly what failed is asked for; it comes to the edge as a webhook."""
    async with a_ward(sqlite_url) as ward:
        await ward.opens(2)
        ward.answers = answers
        await ward.opens(3)
        ward.answers = None
        await ward.opens(1)
        await ward.arrived(3)

        await ward.later(hours=1)
        await ward.posts()

        signals = await ward.arrived(6)
        assert ward.asked("/attempts") == 3
        assert len(ward.received) == len(set(ward.received)) == 6
        assert len({one["signal_id"] for one in signals}) == len(signals) == 6
        assert ward.healed("redelivery") == 3
        (told,) = ward.hub.scene.log.of("webhooks.healed")
        assert (told["failed"], told["asked_again"], told["unreachable"]) == (3, 3, ())


async def test_it_looks_again_and_again_and_asks_for_nothing_twice(sqlite_url):
    async with a_ward(sqlite_url) as ward:
        looked = ward.asked("/deliveries?")
        for number in (1, 2):
            ward.answers = 503
            await ward.opens()
            ward.answers = None

            await ward.later(hours=1, minutes=10)
            await ward.posts()
            await ward.later(hours=1, minutes=10)

            await ward.arrived(number)
            assert ward.asked("/attempts") == number
        assert ward.asked("/deliveries?") == looked + 4
        assert ward.healed("redelivery") == 2


async def test_after_a_suspended_time_what_failed_in_it_is_asked_for(store_url):
    async with a_ward(store_url) as ward:
        connections, place = ward.hub.connections, ward.place
        await connections.suspend(*place, ME, reason="a pause")
        ward.answers = 503
        await ward.opens(2)
        ward.answers = None
        ward.hub.clock.advance(hours=5)
        asked = ward.asked("/deliveries?")
        ward.hub.scene.wake.polls(*place)
        await ward.hub.scene.counted(ward.connection, accepted=0)
        assert ward.asked("/deliveries?") == asked

        await connections.resume(*place, ME)
        await ward.later(seconds=1)
        await ward.posts()

        await ward.arrived(2)
        assert ward.asked("/attempts") == 2


async def test_while_no_webhook_of_ours_is_there_nothing_is_asked(sqlite_url):
    async with a_ward(sqlite_url) as ward:
        (known,) = await ward.hub.scene.store.inner.registrations(
            *ward.place, now=ward.hub.clock.now()
        )
        await ward.hub.scene.store.inner.keep_hooks(
            "acme",
            known.registration_id,
            hooks=b'{"error": "answered 403", "settings": []}',
            now=ward.hub.clock.now(),
        )
        asked = len(ward.hub.github.seen)

        await ward.later(hours=1, minutes=10)

        assert len(ward.hub.github.seen) == asked
        (cursor,) = await ward.cursors()
        assert cursor.failures == 0


async def test_a_webhook_that_is_there_no_more_is_told_and_made_anew(sqlite_url):
    async with a_ward(sqlite_url) as ward:
        ward.hub.github.hook_shelf.hooks.clear()
        await ward.opens()

        await ward.later(hours=1)
        await ward.hub.scene.watch.until(ward.hub.hook_urls)
        await ward.hub.hooked(ward.connection, lambda known: known["hooks"][0]["was"] == "created")
        await ward.opens()

        await ward.arrived(1)
        (told,) = ward.hub.scene.log.of("webhooks.healed")
        assert (told["failed"], told["asked_again"]) == (0, 0)
        assert "acme/rocket" in told["unreachable"][0]
        assert ward.healed("redelivery") == 0
        asked = ward.asked("/deliveries?")
        await ward.later(hours=1, minutes=10)
        assert ward.asked("/deliveries?") == asked + 1
        assert len(ward.hub.scene.log.of("webhooks.healed")) == 1


async def test_a_record_that_is_not_shown_for_now_is_asked_for_again(sqlite_url):
    async with a_ward(sqlite_url) as ward:
        ward.answers = 503
        await ward.opens()
        ward.answers = None
        ward.hub.github.plan(failing(500))

        await ward.later(hours=1)
        await ward.later(hours=1)
        await ward.posts()

        await ward.arrived(1)
        assert ward.healed("redelivery") == 1


async def test_a_provider_that_shows_no_record_any_more_is_refused(sqlite_url):
    """A version of the adapter may lose the capability."""
    async with a_reading_room(sqlite_url, "webhook") as room:
        holding, _ = await held(room.scene, room.connection)
        async with room.scene.node():
            await rested(room.scene, room.connection)
        (cursor,) = await room.scene.store.inner.cursors(*room.place)

        found = await Healer(holding).page(cursor)

        assert found == Refused(reason="the provider shows no record of its webhooks")


# --- where the provider keeps no record


async def test_what_webhooks_missed_is_found_in_the_lists_and_nothing_else(store_url):
    """Issue 6: compared with the polled stream, only what is missing is emitted."""
    async with a_reading_room(store_url, "webhook") as room, room.scene.node():
        await rested(room.scene, room.connection)
        room.clock.advance(minutes=1)
        told_of, missed = room.written(2, ago=MINUTE)
        await room.told(told_of)
        await room.arrived(1)

        room.clock.advance(hours=1, minutes=10)
        await rested(room.scene, room.connection)

        signals = await room.arrived(2)
        assert datetime.fromisoformat(signals[1]["occurred_at"]) == missed.at
        assert room.counted("events_healed", by="polling") == 1
        (told,) = room.scene.log.of("signals.healed")
        assert told["number"] == 1
        (cursor,) = await room.scene.store.inner.cursors(*room.place)
        assert cursor.every == ENTRIES.slowest


async def test_what_a_webhook_may_still_bring_is_not_taken_for_missed(sqlite_url):
    async with a_reading_room(sqlite_url, "webhook") as room, room.scene.node():
        await rested(room.scene, room.connection)
        room.clock.advance(hours=1, minutes=10)
        (fresh,) = room.written(1, ago=MINUTE)

        await rested(room.scene, room.connection)
        await room.arrived(1)
        await room.told(fresh)
        await room.scene.counted(room.connection, accepted=2, forwarded=2)

        assert len(room.signals) == 1
        assert room.counted("events_healed", by="polling") == 0
        assert room.scene.log.of("signals.healed") == []


async def test_what_a_connection_without_webhooks_reads_is_not_healed(sqlite_url):
    async with a_reading_room(sqlite_url, "polling") as room, room.scene.node():
        await rested(room.scene, room.connection)
        room.written(1, ago=-MINUTE)
        room.clock.advance(hours=1)

        await rested(room.scene, room.connection)
        await room.arrived(1)

        assert room.counted("events_healed", by="polling") == 0
        (cursor,) = await room.scene.store.inner.cursors(*room.place)
        assert cursor.last_news_at is None
