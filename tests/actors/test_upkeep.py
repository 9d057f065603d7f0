"""Upkeep: lost wake-ups are found, refusals counted for good, what is old is forgotten (P1, P9, P11)."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from attrs import evolve

from actors import inbound, upkeep
from actors.upkeep import RefusalCount, Timetable
from persistence.opening import open_store
from persistence.records import Accounting, DeliveryRecord
from tests.actors.book import Turns, a_library
from tests.actors.hub import a_hub
from tests.actors.scene import NEVER, Scene, a_scene

ONE = {"signals": 1}
OFTEN = evolve(NEVER, every=timedelta(milliseconds=5))
SWEEPS = Timetable(
    every=timedelta(hours=1),
    sweep_every=timedelta(milliseconds=5),
    replay_window=timedelta(hours=3),
    retention=timedelta(days=30),
)


async def test_work_from_before_a_restart_is_found_at_once_without_a_hint(store_url):
    """P1 durable-ack: accepted, then killed before anyone was woken."""
    async with a_scene(store_url) as scene:
        connection = await scene.connect()
        action = scene.action(connection)
        await scene.store.accept(scene.deliveries(connection, ONE, ONE))
        await scene.store.enqueue(action)

        async with scene.node():
            await scene.counted(connection, forwarded=2)
            await scene.ended(action)


async def test_a_hint_that_was_lost_is_found_within_a_round(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node(OFTEN):
        connection = await scene.connect()
        await scene.watch.until(lambda: scene.store.calls["connections_with_work"] > 1)

        await scene.store.accept(scene.deliveries(connection, ONE))

        await scene.counted(connection, forwarded=1)


async def test_signals_and_receipts_that_wait_are_found_too(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        lease = await scene.store.claim_connection("acme", connection.connection_id, owner=uuid4())
        (delivery,) = scene.deliveries(connection, ONE)
        await scene.store.accept([delivery])
        await scene.store.claim_deliveries(lease, limit=1)
        settled = upkeep_settled(scene, connection, delivery)
        await scene.store.settle(lease, settled, now=scene.clock.now())

        async with scene.node():
            await scene.counted(connection, forwarded=1)
            await scene.watch.until(lambda: scene.receipts.kept)


def upkeep_settled(scene: Scene, connection, delivery):
    record = DeliveryRecord(
        delivery_id=delivery.delivery_id,
        tenant_id=delivery.tenant_id,
        connection_id=delivery.connection_id,
        event_kind=delivery.event_kind,
        event_id=delivery.event_id,
        received_at=delivery.received_at,
        attempts=1,
        body=delivery.body,
    )
    source = inbound.Source(
        adapter=scene.ports.registry.get(connection.provider_id),
        provider_id=connection.provider_id,
        environment="dev",
    )
    return inbound.settle([record], source=source, sequence_no=0)


async def test_more_connections_than_a_page_holds_are_all_woken(sqlite_url, monkeypatch):
    monkeypatch.setattr(upkeep, "_ROWS_AT_ONCE", 2)
    async with a_scene(sqlite_url) as scene:
        connections = [await scene.connect() for _ in range(5)]
        for connection in connections:
            await scene.store.accept(scene.deliveries(connection, ONE))

        async with scene.node(OFTEN):
            for connection in connections:
                await scene.counted(connection, forwarded=1)


async def refused(scene: Scene, connection, number: int) -> Accounting:
    return await scene.counted(connection, rejected=number)


async def test_refusals_are_counted_durably_every_round(store_url):
    async with a_scene(store_url) as scene, scene.node(OFTEN):
        connection = await scene.connect()

        scene.refusals.add("acme", connection.connection_id)
        scene.refusals.add("acme", connection.connection_id, 2)

        await refused(scene, connection, 3)
        scene.refusals.add("acme", connection.connection_id)
        await refused(scene, connection, 4)


async def test_refusals_are_counted_on_an_orderly_stop(sqlite_url):
    """P11 graceful."""
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        async with scene.node():
            await scene.watch.until(lambda: scene.store.calls["tenants_with_receipts"])
            scene.refusals.add("acme", connection.connection_id, 5)

        assert (await scene.ledger(connection)).rejected == 5
        assert scene.recorder.crashes == []


async def test_refusals_are_kept_while_the_store_is_away(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node(OFTEN):
        connection = await scene.connect()
        scene.store.fail("count_rejected", times=3)

        scene.refusals.add("acme", connection.connection_id, 2)
        await scene.watch.until(lambda: scene.store.calls["count_rejected"] > 1)
        scene.refusals.add("acme", connection.connection_id, 1)

        await refused(scene, connection, 3)
        assert len(scene.log.of("upkeep.store_unavailable")) == 3
        assert scene.recorder.crashes == []


async def test_a_store_that_is_away_at_the_stop_is_told_of(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        async with scene.node():
            await scene.watch.until(lambda: scene.store.calls["tenants_with_receipts"])
            scene.refusals.add("acme", connection.connection_id, 5)
            scene.store.fail("count_rejected", times=9)

        assert scene.refusals.take() == {("acme", connection.connection_id): 5}
        (told,) = scene.log.of("upkeep.refusals_uncounted")
        assert told["number"] == 5
        assert scene.recorder.crashes == []


@pytest.mark.parametrize("method", ["connections_with_work", "tenants_with_signals", "sweep"])
async def test_a_round_that_failed_is_repeated(sqlite_url, method):
    async with a_scene(sqlite_url) as scene:
        scene.store.fail(method, times=2)

        async with scene.node(evolve(SWEEPS, every=timedelta(milliseconds=5))):
            await scene.watch.until(lambda: scene.store.calls[method] >= 4)

        assert len(scene.log.of("upkeep.store_unavailable")) == 2
        assert scene.recorder.crashes == []


async def test_what_is_old_is_swept_by_the_windows_of_the_timetable(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        before = scene.clock.now()
        async with scene.node(SWEEPS):
            await scene.watch.until(lambda: scene.store.calls["sweep"] >= 3)
        after = scene.clock.now()

        for name, asked in scene.store.asked:
            if name == "sweep":
                assert before <= asked["replay_before"] + timedelta(hours=3) <= after
                assert before <= asked["forget_before"] + timedelta(days=30) <= after


async def test_a_forwarded_delivery_is_forgotten_and_still_counted(sqlite_url):
    """P9: the ledger outlives the rows."""
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        async with scene.node(evolve(SWEEPS, retention=timedelta(0))):
            await scene.deliver(connection, *scene.deliveries(connection, ONE))
            await scene.counted(connection, forwarded=1)
            swept = scene.store.calls["sweep"]
            await scene.watch.until(lambda: scene.store.calls["sweep"] > swept + 1)

        assert (await scene.ledger(connection)).forwarded == 1


def test_refusals_are_handed_out_once():
    refusals, key = RefusalCount(), ("acme", uuid4())
    refusals.add(*key, 3)

    assert refusals.take() == {key: 3}
    assert refusals.take() == {}


async def test_a_webhook_looked_at_long_ago_is_looked_at_again_and_repaired(sqlite_url):
    """FR-2: what somebody removed at the provider is made again, though nobody asks."""
    async with a_hub(sqlite_url, timetable=SWEEPS) as hub:
        connection = await hub.active()
        (url,) = hub.hook_urls()
        hub.github.hook_shelf.hooks.clear()
        hub.clock.advance(days=2)

        await hub.scene.watch.until(lambda: hub.hook_urls() == [url])

        assert (await hub.registration(connection)).checked_at is not None


async def test_connections_whose_polls_are_due_are_told_page_after_page_and_no_others(
    sqlite_url, monkeypatch
):
    """FR-5: by what stands in the store; nobody keeps them in mind."""
    monkeypatch.setattr(upkeep, "_ROWS_AT_ONCE", 2)
    async with open_store(sqlite_url) as store:
        library, due = a_library(store), []
        async with library.scene.node():
            for _ in range(5):
                await library.begun()
                due.append(library.connection)
        hour = timedelta(hours=1)
        library.clock.at += hour
        async with library.scene.node():
            await library.begun()
        rests = (library.connection, await library.cursor())

        async with library.scene.node(OFTEN):
            for connection in due:
                await Turns(library.scene, library.clock, connection).rested()
            calls = library.scene.store.calls
            rounds = calls["connections_to_poll"] + 4
            await library.scene.watch.until(lambda: calls["connections_to_poll"] >= rounds)

        assert calls["keep_page"] == 6 + len(due)
        assert await library.cursor() == rests[1]


async def test_what_became_active_just_before_a_crash_is_polled_after_the_restart(
    sqlite_url, monkeypatch
):
    """FR-5: nothing was planned for them yet, so nothing of them is due."""
    monkeypatch.setattr(upkeep, "_ROWS_AT_ONCE", 2)
    async with open_store(sqlite_url) as store:
        library = a_library(store)
        connections = [await library.connect() for _ in range(3)]

        async with library.scene.node(OFTEN):
            for connection in connections:
                await Turns(library.scene, library.clock, connection).rested()
            calls = library.scene.store.calls
            rounds = calls["connections_to_poll"] + 3
            await library.scene.watch.until(lambda: calls["connections_to_poll"] >= rounds)

        # Once after a start: two and one, and then no more.
        assert calls["connections_without_cursors"] == 2


async def test_polls_that_are_due_are_told_of_in_the_next_round_if_the_store_is_away(sqlite_url):
    async with open_store(sqlite_url) as store:
        library = a_library(store)
        async with library.scene.node():
            await library.begun()
        library.clock.at += timedelta(hours=1)
        library.write()
        library.scene.store.fail("connections_to_poll", times=2)

        async with library.scene.node(OFTEN):
            await library.all_told()

        assert len(library.scene.log.of("upkeep.store_unavailable")) == 2
        assert library.scene.recorder.crashes == []
