"""P9 accounted: through any run of good, bad, repeated and refused, and any outage, the ledger adds up."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve

from actors.platform.errors import PlatformUnavailableError
from tests.actors.scene import PACE, a_scene

KINDS = ({"signals": 1}, {"signals": 3}, {"signals": 0}, {"malformed": True})
FLAKY = ("claim_deliveries", "settle", "next_signals", "settle_signals", "connection")


@pytest.mark.parametrize("seed", range(6))
async def test_the_ledger_adds_up_whatever_happens(sqlite_url, seed):
    chance = Random(seed)  # noqa: S311 - to be repeatable
    pace = evolve(PACE, deliveries_at_once=4, signals_at_once=3)
    async with a_scene(sqlite_url, pace=pace) as scene, scene.node():
        connection, other = await scene.connect(), await scene.connect("globex")
        bodies = [chance.choice(KINDS) for _ in range(25)]
        deliveries = scene.deliveries(connection, *bodies)
        malformed = sum("malformed" in body for body in bodies)
        twice = 0

        for number, delivery in enumerate(deliveries):
            if chance.random() < 0.3:
                scene.store.fail(chance.choice(FLAKY), after=chance.random() < 0.5)
            if chance.random() < 0.2:
                away = PlatformUnavailableError("away")
                scene.signals.down = None if scene.signals.down else away
            again = deliveries[chance.randrange(number)] if number else None
            if again is not None and chance.random() < 0.3:
                assert await scene.deliver(connection, again) == (False,)
                twice += 1
            await scene.deliver(connection, delivery)
            await scene.ledger(connection)  # adds up at any time
        scene.signals.down = None
        await scene.deliver(other, *scene.deliveries(other, *KINDS))

        # A lost answer of the store ends an actor as fenced; upkeep's next hint is ours to give here.
        async def drained() -> bool:
            for one in (connection, other):
                scene.wake.connection(one.tenant_id, one.connection_id)
                scene.wake.signals(one.tenant_id)
            entry = await scene.ledger(connection)
            return entry.pending == 0 and entry.settled == 0

        await scene.watch.until(drained)

        entry = await scene.counted(connection, accepted=25, duplicate=twice, parked=malformed)
        assert entry.forwarded == 25 - malformed
        await scene.counted(other, accepted=4, forwarded=3, parked=1)
        mine = [
            signal["sequence_no"]
            for signal in scene.signals.accepted
            if signal["tenant_id"] == "acme"
        ]
        assert mine == list(range(1, sum(body.get("signals", 0) for body in bodies) + 1))
        assert scene.recorder.crashes == []

        exposed = scene.ports.metrics.exposition(await scene.store.inner.accounting()).decode()
        assert "integration_adapters_accounting_difference 0.0" in exposed


async def test_the_ledger_is_shown_by_connection_and_state(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        await scene.store.accept(scene.deliveries(connection, *KINDS))
        entry = await scene.ledger(connection)

        exposed = scene.ports.metrics.exposition([evolve(entry, accepted=7)]).decode()

        labels = f'connection="{connection.connection_id}",provider="scripted"'
        assert f'deliveries{{{labels},state="pending",tenant="acme"}} 4.0' in exposed
        assert "integration_adapters_accounting_difference 3.0" in exposed
        assert str(connection.connection_id) not in scene.ports.metrics.exposition(()).decode()
