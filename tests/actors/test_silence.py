"""Webhooks that stopped though there is news: told once, repaired where we may, over with the first that comes (FR-5)."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
import trio
from attrs import evolve

from actors import codec
from actors.incidents import WEBHOOKS_SILENT
from actors.jobs import Job, Task
from actors.orders import Edits
from actors.silence import SILENT_AFTER, Silence, silent_since
from persistence.polls import CursorRecord
from tests.actors.hub import ME
from tests.actors.reading_room import MINUTE, ReadingRoom, a_reading_room, held, rested
from tests.actors.scene import EPOCH, envelope_for
from tests.actors.ward import READ, Ward, a_ward
from tests.fakes.herald import webhook_of
from tests.fakes.mortality import KilledError

BOTH = ("webhook", "polling")


# --- at GitHub, from end to end


async def silent(ward: Ward) -> None:
    """Issues are opened that no webhook tells of, for so long that it is noticed; the watch over the record is not due."""
    await ward.opens()
    await ward.later(minutes=9)
    ward.hub.clock.at += SILENT_AFTER
    await ward.opens()
    await ward.later(seconds=1)
    await ward.hub.scene.watch.until(lambda: ward.hub.scene.incidents.kept)


async def seen_to(ward: Ward) -> None:
    """The webhook is what it should be, as of now."""

    async def look() -> bool:
        return (await ward.hub.registration(ward.connection)).checked_at == ward.hub.clock.now()

    await ward.hub.scene.watch.until(look)


async def heard_again(ward: Ward) -> None:
    """The webhook is repaired, and the next one that comes ends it."""
    await seen_to(ward)
    await ward.opens()
    await ward.hub.scene.watch.until(lambda: not ward.hub.scene.incidents.open)


async def test_a_webhook_that_was_deleted_at_github_is_noticed_told_and_made_anew(store_url):
    """Issue 6: one incident by EPC-4 and EPC-5, one repair, closed by the first webhook that comes."""
    async with a_ward(store_url, READ) as ward:
        scene, shelf = ward.hub.scene, ward.hub.github.hook_shelf
        await ward.opens()
        await ward.arrived(1)
        shelf.hooks.clear()

        await silent(ward)

        (incident,) = await ward.incidents(WEBHOOKS_SILENT)
        assert "likely removed or turned off" in incident.summary
        assert incident.opened_at == ward.hub.clock.now()
        (told,) = scene.incidents.open
        assert (told.kind, told.severity) == (WEBHOOKS_SILENT, "P2")

        await heard_again(ward)

        assert len(shelf.hooks) == 1
        signals = await ward.arrived(4)
        assert len({one["signal_id"] for one in signals}) == len(signals) == 4
        assert [one.resolved_at is not None for one in scene.incidents.told] == [False, True]
        assert [one.error_rate for one in scene.health.reports] == [1.0, 0.0]
        assert scene.recorder.crashes == []


async def test_a_secret_that_was_changed_at_github_is_noticed_told_and_renewed(sqlite_url):
    async with a_ward(sqlite_url, READ) as ward:
        (hook,) = ward.hub.github.hook_shelf.hooks.values()
        hook.config = {**hook.config, "secret": "another"}

        await silent(ward)

        (incident,) = await ward.incidents(WEBHOOKS_SILENT)
        assert "the signing secret is likely another than ours" in incident.summary

        await heard_again(ward)

        assert ward.received
        # What was refused meanwhile GitHub may be asked for once more, though polling had found it.
        signals = await ward.arrived(3)
        assert len({one["signal_id"] for one in signals}) == len(signals) == 3


async def test_while_it_stays_silent_it_is_told_and_repaired_once(sqlite_url):
    async with a_ward(sqlite_url, READ) as ward:
        (hook,) = ward.hub.github.hook_shelf.hooks.values()
        url, seen = hook.config["url"], []
        hook.active = False
        await silent(ward)
        await seen_to(ward)

        for _ in range(3):
            # Somebody in between swallows them: it looks well at GitHub.
            ward.answers = 202
            await ward.opens()
            await ward.later(hours=1)
            seen.append(len(await ward.incidents(WEBHOOKS_SILENT)))

        assert seen == [1, 1, 1]
        patched = [
            one
            for one in ward.hub.github.seen
            if one.request.method == "PATCH" and "/hooks/" in one.request.url
        ]
        assert len(patched) == 1
        assert ward.hub.hook_urls() == [url]


async def test_a_connection_that_is_not_for_webhooks_any_more_is_not_silent(sqlite_url):
    async with a_ward(sqlite_url, READ) as ward:
        ward.hub.github.hook_shelf.hooks.clear()
        ward.hub.github.world.tokens[0] = evolve(
            ward.hub.github.world.tokens[0], scopes=("public_repo",)
        )
        await silent(ward)

        await ward.hub.connections.change(
            *ward.place, Edits(capabilities=("outbound_actions", "polling")), ME
        )
        ward.connection = await ward.hub.read(ward.connection)
        await ward.later(hours=1)

        async def closed() -> bool:
            return [one.resolved_at is None for one in await ward.incidents(WEBHOOKS_SILENT)] == [
                False
            ]

        await ward.hub.scene.watch.until(closed)


# --- step by step, at a provider that lists and tells


async def looked(room: ReadingRoom, *, then: timedelta = timedelta()) -> None:
    """Read what is due; then time passes, and it is read once more."""
    await rested(room.scene, room.connection)
    if then:
        room.clock.at += then
        await rested(room.scene, room.connection)


async def silences(room: ReadingRoom) -> list[bool]:
    """Of each incident about silence, oldest first: whether it is over."""
    known = await room.scene.store.inner.incidents(*room.place, limit=20)
    return [one.resolved_at is not None for one in known if one.kind == WEBHOOKS_SILENT][::-1]


async def until(room: ReadingRoom, *wanted: bool) -> None:
    """Wait until the incidents about silence are these."""

    async def look() -> bool:
        return await silences(room) == [*wanted]

    await room.scene.watch.until(look)


async def missed(
    room: ReadingRoom, number: int = 1, *, after: timedelta = 2 * SILENT_AFTER
) -> None:
    """Polling finds what no webhook brought."""
    before = len(room.signals)
    await looked(room)
    room.clock.at += after
    room.written(number, ago=number * MINUTE)
    await looked(room)
    await room.arrived(before + number)


async def test_a_poll_that_was_a_second_faster_than_the_webhook_is_no_silence(sqlite_url):
    async with a_reading_room(sqlite_url, *BOTH) as room, room.scene.node():
        await looked(room)
        room.clock.advance(minutes=10)
        (entry,) = room.written(1, ago=MINUTE)
        await looked(room)
        await room.arrived(1)
        room.clock.advance(seconds=1)
        await room.told(entry)
        await room.scene.counted(room.connection, accepted=2, forwarded=2)

        await looked(room, then=timedelta(hours=2))

        assert await silences(room) == []


async def test_a_webhook_that_was_on_its_way_when_the_poll_found_the_same_is_no_silence(
    sqlite_url,
):
    """It was received before, and came to the inbox after: both are settled in one batch."""
    async with a_reading_room(sqlite_url, *BOTH) as room, room.scene.node():
        await looked(room)
        room.clock.advance(minutes=10)
        (entry,) = room.written(1, ago=MINUTE)

        async def comes() -> None:
            webhook = webhook_of(entry, room.connection, uuid4())
            just_before = room.clock.now() - timedelta(seconds=1)
            await room.scene.store.inner.accept([evolve(webhook, received_at=just_before)])

        room.scene.store.on("keep_page", comes, after=True)
        await looked(room)
        await room.scene.counted(room.connection, accepted=2, forwarded=2)

        await looked(room, then=timedelta(hours=2))

        assert await silences(room) == []
        assert len(room.signals) == 1


async def test_a_quiet_connection_is_not_silent(sqlite_url):
    async with a_reading_room(sqlite_url, *BOTH) as room, room.scene.node():
        await looked(room, then=timedelta(hours=5))
        calls = dict(room.scene.store.calls)
        await looked(room, then=timedelta(hours=5))

        assert await silences(room) == []
        for call in ("last_webhook_at", "close_incident"):
            assert room.scene.store.calls[call] == calls.get(call, 0)


async def test_that_webhooks_stay_silent_is_told_after_so_long_and_not_before(store_url):
    async with a_reading_room(store_url, *BOTH) as room, room.scene.node():
        await missed(room)
        await missed(room, after=SILENT_AFTER)
        await looked(room, then=MINUTE)
        assert await silences(room) == []

        await missed(room, after=2 * MINUTE)

        await until(room, False)
        # The provider has no API by which it could be repaired.
        assert room.scene.log.of("webhook.checked") == []


async def test_what_was_missed_once_before_all_is_quiet_is_no_silence(sqlite_url):
    """It may be of before the webhook was, or of an outage of ours."""
    async with a_reading_room(sqlite_url, *BOTH) as room, room.scene.node():
        await missed(room, 7)

        await looked(room, then=timedelta(hours=3))

        assert await silences(room) == []


async def test_what_happened_while_we_were_away_is_no_silence_however_long_it_takes_to_read(
    sqlite_url,
):
    async with a_reading_room(sqlite_url, *BOTH) as room:
        async with room.scene.node():
            await missed(room)
        room.clock.advance(hours=5)
        room.written(2, ago=timedelta(hours=5))

        async with room.scene.node():
            await looked(room, then=timedelta(hours=2))
            await room.arrived(3)

            assert await silences(room) == []


async def test_a_restart_neither_doubles_nor_forgets(store_url):
    async with a_reading_room(store_url, *BOTH) as room:
        for told in ([], [False], [False]):
            async with room.scene.node():
                await missed(room)
                await until(room, *told)

        async with room.scene.node():
            (entry,) = room.written(1, ago=timedelta())
            await room.told(entry)
            await until(room, True)
            await room.scene.watch.until(lambda: not room.scene.incidents.open)
            assert len(room.scene.incidents.told) == 2


async def test_webhooks_that_fall_silent_again_are_told_of_again(sqlite_url):
    async with a_reading_room(sqlite_url, *BOTH) as room, room.scene.node():
        for before in ((), (True,)):
            await missed(room)
            await missed(room)
            await until(room, *before, False)
            (entry,) = room.written(1, ago=timedelta())
            await room.told(entry)
            await until(room, *before, True)


async def test_what_modules_hand_us_does_not_count_as_a_webhook(sqlite_url):
    """Origin ``module``: it says nothing of the provider's webhooks."""
    async with a_reading_room(sqlite_url, *BOTH) as room, room.scene.node():
        await missed(room)
        room.clock.advance(seconds=30)
        ready = codec.ready_made(
            envelope_for(room.connection, "from-a-module"),
            delivery_id=uuid4(),
            connection_id=room.connection.connection_id,
            now=room.clock.now(),
        )
        await room.scene.deliver(room.connection, ready)
        await room.arrived(2)

        assert await room.scene.store.inner.last_webhook_at(*room.place) is None
        await missed(room)
        await until(room, False)


# --- by hand: what an actor asks for, and where it may die


def cursor(*, news: int | None, polled: bool = True) -> CursorRecord:
    """A cursor that saw news so many minutes after the beginning."""
    return CursorRecord(
        tenant_id="acme",
        connection_id=uuid4(),
        resource="entries",
        cursor=None,
        next_poll_at=EPOCH,
        every=MINUTE,
        failures=0,
        reason=None,
        last_polled_at=EPOCH if polled else None,
        last_news_at=None if news is None else EPOCH + news * MINUTE,
    )


@pytest.mark.parametrize(
    ("news", "webhook", "since"),
    [
        ((), None, None),
        ((None,), None, None),
        ((3,), None, 3),
        ((3,), 2, 3),
        ((3,), 3, None),
        ((3,), 4, None),
        ((5, 3, None, 1), 2, 3),
    ],
)
def test_it_is_silent_since_the_first_news_after_the_last_webhook(news, webhook, since):
    last = None if webhook is None else EPOCH + webhook * MINUTE

    found = silent_since([cursor(news=one) for one in news], last)

    assert found == (None if since is None else EPOCH + since * MINUTE)


async def judged(ward: Ward) -> list[Job]:
    """A new actor of the connection, that has found more news, judges; the jobs that it asks for."""
    scene = ward.hub.scene
    scene.hints.jobs.clear()
    holding, _ = await held(scene, ward.connection)
    holding.unheard_at = ward.hub.clock.now() + SILENT_AFTER
    await Silence(holding).judge(await ward.cursors())
    return [job for job in scene.hints.jobs if isinstance(job, Job)]


async def test_killed_between_telling_and_repairing_the_next_actor_repairs(store_url):
    """One incident; and what was tried since is not tried once more by each actor that comes."""
    async with a_ward(store_url, READ) as ward:
        await ward.opens()
        ward.hub.github.hook_shelf.hooks.clear()
        await ward.opens()
        await ward.later(minutes=9)
        await ward.arrived(2)
        ward.hub.clock.at += 2 * SILENT_AFTER
        ward.hub.scene.store.on("open_incident", killed, after=True)

        with pytest.raises(KilledError):
            await judged(ward)
        (job,) = await judged(ward)
        assert (job.task, job.renewed, job.insist) == (Task.SUBSCRIBE, True, True)

        known = await ward.hub.registration(ward.connection)
        await ward.hub.scene.store.inner.keep_hooks(
            "acme", known.registration_id, hooks=known.hooks or b"{}", now=ward.hub.clock.now()
        )
        assert await judged(ward) == []
        assert len(await ward.incidents(WEBHOOKS_SILENT)) == 1


async def killed() -> None:
    await trio.lowlevel.checkpoint()
    raise KilledError


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "step", ["last_webhook_at", "ledger", "open_incident", "registrations", "cursors"]
)
async def test_a_store_that_is_away_while_it_is_judged_costs_only_time(sqlite_url, step, after):
    async with a_reading_room(sqlite_url, *BOTH) as room, room.scene.node():
        await missed(room)
        room.scene.store.fail(step, after=after)

        await missed(room)

        await until(room, False)
        await room.scene.watch.until(lambda: room.scene.incidents.kept)
        assert room.scene.recorder.crashes == []


async def test_news_that_went_with_its_cursor_leaves_no_incident_open(sqlite_url):
    """Other resources are polled from now on: of those nothing is known."""
    async with a_reading_room(sqlite_url, *BOTH) as room, room.scene.node():
        await missed(room)
        await missed(room)
        await until(room, False)
        lease = await room.scene.store.inner.claim_connection(*room.place, owner=uuid4())
        await room.scene.store.inner.plan_polls(lease, (), now=room.clock.now())

        room.scene.wake.polls(*room.place)  # the actor that lost its lease ends
        await room.scene.watch.until(lambda: room.scene.log.of("connection.fenced"))
        await looked(room)

        await until(room, True)
        assert room.scene.log.of("webhooks.heard")
