"""Receipts on their way to ERIS: each arrives, under the id and the stamps of its first try (FR-13)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from actors.platform.errors import PlatformUnavailableError
from tests.actors.scene import PACE, Scene, a_scene
from tests.persistence import samples

AWAY = PlatformUnavailableError("ERIS gave no answer")


async def receipts(scene: Scene, number: int, tenant_id: str = "acme") -> None:
    """Connections leave one receipt each."""
    for _ in range(number):
        made = samples.connection(tenant_id)
        receipt = samples.receipt(tenant_id)
        await scene.store.create_connection(made, samples.endpoint(made), (), receipt)


async def all_sent(scene: Scene) -> None:
    async def look() -> bool:
        return not await scene.store.inner.tenants_with_receipts(limit=9)

    await scene.watch.until(look)


async def test_every_receipt_arrives_once_in_batches(sqlite_url):
    pace = evolve(PACE, receipts_at_once=3)
    async with a_scene(sqlite_url, pace=pace) as scene:
        await receipts(scene, 7)

        async with scene.node():
            await all_sent(scene)

        assert [len(batch.receipts) for batch in scene.receipts.sent] == [3, 3, 1]
        assert len({one.receipt_id for b in scene.receipts.sent for one in b.receipts}) == 7
        stamps = [one.stamped_at for b in scene.receipts.sent for one in b.receipts]
        assert stamps == sorted(set(stamps))


async def test_receipts_that_come_one_by_one_go_together(sqlite_url):
    """ERIS has ten calls a second for all tenants: the first goes at once, the rest share the next."""
    pace = evolve(PACE, receipts_every=timedelta(seconds=0.3))
    async with a_scene(sqlite_url, pace=pace) as scene, scene.node():
        await receipts(scene, 1)
        scene.wake.receipts("acme")
        await scene.watch.until(lambda: len(scene.receipts.kept) == 1)
        for _ in range(5):
            await receipts(scene, 1)
            scene.wake.receipts("acme")

        await all_sent(scene)

        assert [len(batch.receipts) for batch in scene.receipts.sent] == [1, 5]


@pytest.mark.parametrize("lost", [False, True])
async def test_a_batch_keeps_its_id_and_its_stamps_across_tries(store_url, lost):
    async with a_scene(store_url) as scene:
        await receipts(scene, 2)
        scene.receipts.down, scene.receipts.lost = (None, 3) if lost else (AWAY, 0)
        async with scene.node():
            await scene.watch.until(lambda: len(scene.receipts.sent) > 2)
            await receipts(scene, 1)  # what comes meanwhile waits for the next batch

            scene.receipts.down = None
            scene.wake.receipts("acme")
            await all_sent(scene)

        first, *_, last = scene.receipts.sent
        assert all(batch == first for batch in scene.receipts.sent[:-1])
        assert len(last.receipts) == 1
        assert len(scene.receipts.kept) == 2


async def test_the_outage_of_eris_is_told_once_and_its_end_once(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        await receipts(scene, 1)
        scene.receipts.down = AWAY
        scene.wake.receipts("acme")
        await scene.watch.until(lambda: len(scene.receipts.sent) > 3)

        scene.receipts.down = None
        await scene.watch.until(lambda: scene.log.of("courier.recovered"))

        (waiting,) = scene.log.of("courier.waiting")
        assert (waiting["courier"], waiting["reason"]) == ("receipts", "ERIS gave no answer")
        assert len(scene.log.of("courier.recovered")) == 1


async def test_eris_being_away_does_not_hold_back_pm3(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        scene.receipts.down = AWAY
        connection = await scene.connect()
        scene.wake.receipts("acme")

        await scene.deliver(connection, *scene.deliveries(connection, {"signals": 1}))

        await scene.counted(connection, forwarded=1)


@pytest.mark.parametrize("method", ["receipt_batch", "settle_receipts"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_store_that_is_away_costs_no_receipt(sqlite_url, method, after):
    async with a_scene(sqlite_url) as scene:
        await receipts(scene, 2)
        scene.store.fail(method, times=3, after=after)

        async with scene.node():
            await all_sent(scene)

        assert len(scene.receipts.kept) == 1
        assert len(scene.receipts.documents) == 2


async def test_a_tenant_s_receipts_go_under_its_own_name(sqlite_url):
    """P6 isolated."""
    async with a_scene(sqlite_url) as scene:
        await receipts(scene, 1)
        await receipts(scene, 2, "globex")

        async with scene.node():
            await all_sent(scene)

        sizes = {batch.tenant_id: len(batch.receipts) for batch in scene.receipts.kept.values()}
        assert sizes == {"acme": 1, "globex": 2}
