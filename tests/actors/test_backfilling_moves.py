"""Backfills that are paused, cancelled, changed or forgotten in the middle of a page (FR-5)."""

from __future__ import annotations

from adapters.faults import failing
from persistence.polls import BackfillRecord, BackfillState
from persistence.records import ConnectionState
from tests.actors.reading_room import OTHER, ReadingRoom, a_reading_room
from tests.fakes.ledgerbook import LIMIT
from tests.persistence import samples


async def in_the_middle(room: ReadingRoom, backfill: BackfillRecord, *states: BackfillState):
    """Let the state be changed, by whoever may, while a page is at the provider."""

    async def moves() -> None:
        for state in states:
            await room.scene.store.inner.move_backfill(
                "acme",
                backfill.backfill_id,
                expected=tuple(BackfillState),
                state=state,
                reason=None,
                now=room.clock.now(),
            )

    room.scene.store.on("ledger", moves, after=True)


async def test_paused_in_the_middle_of_a_page_its_result_is_dropped_and_found_again(store_url):
    async with a_reading_room(store_url, OTHER) as room, room.scene.node():
        room.written(LIMIT + 1)
        backfill = await room.begun()
        await in_the_middle(room, backfill, BackfillState.PAUSED)

        paused = await room.lived(backfill)
        await room.scene.watch.until(lambda: room.scene.log.of("read.superseded"))

        assert paused.state is BackfillState.PAUSED
        assert (await room.read(backfill)).found == 0
        assert (await room.scene.ledger(room.connection)).accepted == 0
        asked = len(room.book.seen)
        room.clock.advance(days=1)
        room.scene.wake.polls(*room.place)
        await moved(room, backfill, BackfillState.RUNNING)
        ended = await room.lived(backfill)

        assert len(room.book.seen) == asked + 2
        assert ended.state is BackfillState.DONE
        assert (ended.found, ended.fresh) == (6, 6)


async def moved(room: ReadingRoom, backfill: BackfillRecord, state: BackfillState) -> None:
    """Pause, resume or cancel it."""
    await room.scene.store.inner.move_backfill(
        "acme",
        backfill.backfill_id,
        expected=(BackfillState.RUNNING, BackfillState.PAUSED),
        state=state,
        reason=None,
        now=room.clock.now(),
    )


async def test_paused_and_resumed_in_the_middle_of_a_page_its_result_is_as_good(sqlite_url):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        room.written(2)
        backfill = await room.begun()
        await in_the_middle(room, backfill, BackfillState.PAUSED, BackfillState.RUNNING)

        ended = await room.lived(backfill)

        assert (ended.state, ended.found, ended.fresh) == (BackfillState.DONE, 2, 2)


async def test_cancelled_in_the_middle_of_a_page_nothing_of_it_is_kept(store_url):
    async with a_reading_room(store_url, OTHER) as room, room.scene.node():
        room.written(2)
        backfill = await room.begun()
        await in_the_middle(room, backfill, BackfillState.CANCELLED)

        await room.lived(backfill)
        await room.scene.watch.until(lambda: room.scene.log.of("read.superseded"))

        ended = await room.read(backfill)
        assert (ended.state, ended.found) == (BackfillState.CANCELLED, 0)
        assert room.scene.recorder.crashes == []


async def test_cancelled_while_its_page_is_refused_it_stays_cancelled(sqlite_url):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        backfill = await room.begun()
        room.book.plan(failing(403))
        await in_the_middle(room, backfill, BackfillState.CANCELLED)

        await room.lived(backfill)
        await room.scene.watch.until(lambda: room.scene.log.of("read.superseded"))

        assert (await room.read(backfill)).state is BackfillState.CANCELLED
        assert room.scene.log.of("backfill.failed") == []


async def test_a_page_that_is_forgotten_in_the_middle_is_read_anew(sqlite_url):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        room.written(LIMIT + 1)
        backfill = await room.begun()
        await room.lived(backfill, pages=2)
        await moved(room, backfill, BackfillState.PAUSED)
        room.clock.at += 2 * room.book.token_lives
        await moved(room, backfill, BackfillState.RUNNING)

        ended = await room.lived(backfill)

        assert (ended.state, ended.done) == (BackfillState.DONE, LIMIT + 1)
        assert ended.fresh == LIMIT + 1
        assert len(await room.arrived(LIMIT + 1)) == LIMIT + 1
        (told,) = room.scene.log.of("backfill.gap")
        assert told["reason"] == "the page is forgotten"


async def test_changed_in_the_middle_the_backfill_goes_on(sqlite_url):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        room.written(LIMIT + 1)
        backfill = await room.begun()
        room.scene.store.on("ledger", lambda: change(room), after=True)

        ended = await room.lived(backfill, patient=False)

        assert (ended.state, ended.fresh) == (BackfillState.DONE, LIMIT + 1)
        assert len(await room.arrived(LIMIT + 1)) == LIMIT + 1


async def change(room: ReadingRoom) -> None:
    found = await room.scene.store.inner.connection(*room.place)
    assert found is not None
    await samples.move(room.scene.store.inner, room.connection, found.state)


async def test_suspended_in_the_middle_it_waits_and_goes_on_when_resumed(sqlite_url):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        room.written(LIMIT + 1)
        backfill = await room.begun()
        room.scene.store.on("ledger", lambda: move(room, ConnectionState.SUSPENDED), after=True)
        begun = await room.lived(backfill, pages=1)
        await room.scene.watch.until(lambda: room.scene.log.of("connection.read_again"))
        asked = len(room.book.seen)

        room.clock.advance(days=1)
        calls = room.scene.store.calls["connection"]
        room.scene.wake.polls(*room.place)
        await room.scene.watch.until(lambda: room.scene.store.calls["connection"] > calls)
        assert (await room.read(backfill)).found == 0
        assert len(room.book.seen) == asked
        assert begun.state is BackfillState.RUNNING

        await move(room, ConnectionState.ACTIVE)
        ended = await room.lived(backfill, patient=False)
        assert (ended.state, ended.found) == (BackfillState.DONE, LIMIT + 1)


async def move(room: ReadingRoom, state: ConnectionState) -> None:
    await samples.move(room.scene.store.inner, room.connection, state, now=room.clock.now())


async def test_deleted_in_the_middle_it_is_cancelled(sqlite_url):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        room.written(2)
        backfill = await room.begun()
        room.scene.store.on("ledger", lambda: move(room, ConnectionState.DELETED), after=True)

        await room.lived(backfill)

        ended = await room.read(backfill)
        assert (ended.state, ended.found) == (BackfillState.CANCELLED, 0)
        assert room.scene.recorder.crashes == []
