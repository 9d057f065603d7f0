"""The relay to PM-3: nothing lost, in order, one batch in memory, every verdict acted upon (UT-IA-08)."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import httpx
import orjson
import pytest
from attrs import evolve

from actors.platform.embedded.signals import SignalIngestion
from actors.platform.errors import (
    PlatformMisconfiguredError,
    PlatformRefusedError,
    PlatformUnavailableError,
)
from actors.platform.sibling import Sibling
from actors.platform.signals import Pm3Signals
from actors.relay import producer_of
from adapters.contract import Secret
from adapters.signals import SIGNAL_TYPES
from tests.actors.scene import PACE, Scene, a_scene
from tests.fakes.provider import Simulated

ONE = {"signals": 1}
PAIR = evolve(PACE, signals_at_once=2)


async def settled(scene: Scene, number: int, *bodies: object):
    """A connection whose deliveries wait in the outbox, PM-3 being away."""
    scene.signals.down = PlatformUnavailableError("PM-3 gave no answer")
    connection = await scene.connect()
    await scene.deliver(connection, *scene.deliveries(connection, *(bodies or [ONE] * number)))
    await scene.counted(connection, settled=number)
    return connection


async def test_pm3_down_and_up_again_loses_nothing_and_keeps_the_order(store_url):
    """P5, P7, P9: never more than one batch in memory, however much waits."""
    async with a_scene(store_url, pace=evolve(PACE, signals_at_once=7)) as scene, scene.node():
        connection = await settled(scene, 30)
        await scene.watch.until(lambda: len(scene.signals.batches) > 3)
        assert len(set(scene.signals.batches)) == 1

        scene.signals.down = None

        await scene.counted(connection, forwarded=30)
        assert scene.signals.numbers == list(range(1, 31))
        assert max(len(batch) for batch in scene.signals.batches) == 7


async def test_an_outage_is_told_once_and_its_end_once(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await settled(scene, 1)
        await scene.watch.until(lambda: len(scene.signals.batches) > 4)

        scene.signals.down = None

        await scene.counted(connection, forwarded=1)
        (waiting,) = scene.log.of("courier.waiting")
        (recovered,) = await scene.watch.until(lambda: scene.log.of("courier.recovered"))
        assert waiting["level"] == "warning"
        assert recovered["tries"] == len(scene.signals.batches) - 1
        assert (waiting["tenant"], waiting["courier"]) == ("acme", "signals")


async def test_what_pm3_took_before_its_answer_was_lost_is_a_duplicate_and_thus_forwarded(
    store_url,
):
    """P1, P2: sent again under the same id and number."""
    async with a_scene(store_url) as scene, scene.node():
        scene.signals.lost = 2
        connection = await scene.connect()

        await scene.deliver(connection, *scene.deliveries(connection, *[ONE] * 5))

        await scene.counted(connection, forwarded=5, parked=0)
        assert scene.signals.numbers == [1, 2, 3, 4, 5]
        assert scene.signals.batches[0] == scene.signals.batches[1]


async def test_a_refused_signal_is_parked_with_its_code_and_stops_nothing(store_url):
    """P9: forwarded, duplicate or parked, each delivery exactly once."""
    async with a_scene(store_url) as scene:
        async with scene.node():
            connection = await settled(scene, 4)
            waiting = [
                *await scene.store.inner.next_signals("acme", limit=9),
            ]
            scene.signals.refused[waiting[1].signal_id] = "SCHEMA_VIOLATION"
            scene.signals.down = None
            scene.wake.signals("acme")

            await scene.counted(connection, forwarded=3, parked=1)

        assert scene.signals.numbers == [1, 3, 4]
        (parked,) = await scene.store.inner.parked("acme", connection.connection_id, limit=9)
        assert parked.event_id == "event-2"
        assert parked.reason == "PM-3 refused it: SCHEMA_VIOLATION: not like this"
        (told,) = scene.log.of("signal.parked")
        assert told["signal_id"] == waiting[1].signal_id
        assert told["connection"] == str(connection.connection_id)
        assert told["code"] == "SCHEMA_VIOLATION"
        assert "not like this" not in str(told)
        exposed = scene.ports.metrics.exposition(()).decode()
        assert 'signals_forwarded_total{status="parked",tenant="acme"} 1.0' in exposed
        assert 'signals_forwarded_total{status="forwarded",tenant="acme"} 3.0' in exposed


async def test_a_delivery_of_several_signals_is_parked_if_one_of_them_is_refused(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await settled(scene, 1, {"signals": 3})
        waiting = await scene.store.inner.next_signals("acme", limit=9)
        scene.signals.refused[waiting[1].signal_id] = "NO"
        scene.signals.down = None

        await scene.counted(connection, forwarded=0, parked=1, settled=0)
        assert scene.signals.numbers == [1, 3]


@pytest.mark.parametrize("culprits", [{0}, {3}, {6}, {0, 6}, {1, 2, 5}, set(range(7))])
async def test_a_malformed_envelope_costs_nobody_else_its_batch(sqlite_url, culprits):
    """PM-3 answers 422 for the whole batch; the culprits are found by halving."""
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await settled(scene, 7)
        waiting = await scene.store.inner.next_signals("acme", limit=9)
        scene.signals.malformed = {waiting[index].signal_id for index in culprits}
        scene.signals.down = None

        await scene.counted(connection, forwarded=7 - len(culprits), parked=len(culprits))

        assert scene.signals.numbers == [at + 1 for at in range(7) if at not in culprits]
        parked = await scene.store.inner.parked("acme", connection.connection_id, limit=9)
        assert all("MALFORMED" in one.reason for one in parked)


async def test_an_outage_in_the_middle_of_the_halving_settles_nothing_by_mistake(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await settled(scene, 8)
        waiting = await scene.store.inner.next_signals("acme", limit=9)
        scene.signals.malformed = {waiting[6].signal_id}
        scene.signals.lost = 1  # the first half arrives, and the answer does not
        scene.signals.down = None

        await scene.counted(connection, forwarded=7, parked=1)
        assert scene.signals.numbers == [1, 2, 3, 4, 5, 6, 8]


async def test_a_producer_that_pm3_forgot_is_registered_again_and_its_signals_sent_once_more(
    store_url,
):
    async with a_scene(store_url) as scene, scene.node():
        scene.signals.strict = True
        first, second = await scene.connect(), await scene.connect()

        await scene.deliver(first, *scene.deliveries(first, ONE, ONE))
        await scene.deliver(second, *scene.deliveries(second, ONE))

        await scene.counted(first, forwarded=2, parked=0)
        await scene.counted(second, forwarded=1, parked=0)
        assert set(scene.signals.producers) == {str(one.connection_id) for one in (first, second)}
        producer = scene.signals.producers[str(first.connection_id)]
        assert producer.name == first.display_name
        assert producer.signal_types
        assert {tenant for tenant, _ in scene.signals.registrations} == {"acme"}


async def test_only_the_signals_of_an_unknown_producer_are_sent_once_more(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        known = await settled(scene, 1)
        unknown = await scene.connect()
        await scene.deliver(unknown, *scene.deliveries(unknown, ONE))
        await scene.counted(unknown, settled=1)
        scene.signals.strict = True
        producer = await producer_of(scene.ports, "acme", known.connection_id)
        assert producer is not None
        scene.signals.producers[producer.producer_id] = producer
        scene.signals.batches.clear()
        scene.signals.down = None

        await scene.counted(unknown, forwarded=1)

        assert [len(batch) for batch in scene.signals.batches if batch][-2:] == [2, 1]


async def test_a_producer_that_pm3_refuses_parks_its_signals_and_says_why(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        scene.signals.strict = True
        scene.signals.refuses_producers = PlatformRefusedError("PM-3", "CONTRACT_NOT_FOUND")
        connection = await scene.connect()

        await scene.deliver(connection, *scene.deliveries(connection, ONE))

        await scene.counted(connection, parked=1)
        (refused,) = scene.log.of("producer.refused")
        assert refused["reason"] == "PM-3 refused: CONTRACT_NOT_FOUND"
        assert len(scene.signals.batches) == 1


async def test_an_outage_while_a_producer_is_registered_is_waited_for(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        scene.signals.strict = True
        scene.signals.refuses_producers = PlatformUnavailableError("PM-3 gave no answer")
        connection = await scene.connect()
        await scene.deliver(connection, *scene.deliveries(connection, ONE))
        await scene.watch.until(lambda: len(scene.signals.registrations) > 2)

        scene.signals.refuses_producers = None

        await scene.counted(connection, forwarded=1, parked=0)


async def test_a_connection_without_an_adapter_or_without_a_row_is_no_producer(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        foreign = await scene.connect(provider_id="retired")

        assert await producer_of(scene.ports, "acme", foreign.connection_id) is None
        assert await producer_of(scene.ports, "acme", uuid4()) is None


async def test_signals_of_a_producer_that_nobody_can_describe_are_parked(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        async with scene.node():
            scene.signals.strict = True
            scene.signals.down = PlatformUnavailableError("away")
            await scene.deliver(connection, *scene.deliveries(connection, ONE))
            await scene.counted(connection, settled=1)
        scene.ports = evolve(scene.ports, registry=type(scene.ports.registry)({}))
        scene.signals.down = None
        async with scene.node():
            scene.wake.signals("acme")
            await scene.counted(connection, parked=1)
        assert scene.signals.registrations == []


@pytest.mark.parametrize("method", ["next_signals", "settle_signals"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_store_that_is_away_costs_no_signal(sqlite_url, method, after):
    async with a_scene(sqlite_url) as scene, scene.node():
        scene.store.fail(method, times=3, after=after)
        connection = await scene.connect()

        await scene.deliver(connection, *scene.deliveries(connection, ONE, ONE))

        await scene.counted(connection, forwarded=2)
        assert scene.signals.numbers == [1, 2]


async def test_a_wish_to_wait_is_honoured(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        wish = timedelta(milliseconds=300)
        scene.signals.down = PlatformUnavailableError("busy", retry_after=wish)
        connection = await scene.connect()
        await scene.deliver(connection, *scene.deliveries(connection, ONE))
        await scene.watch.until(lambda: scene.log.of("courier.waiting"))
        refused_at = scene.clock.now()
        scene.signals.down = None
        scene.wake.signals("acme")  # a hint does not cut the wait short

        await scene.counted(connection, forwarded=1)

        assert scene.clock.now() - refused_at >= wish * 0.9
        assert len(scene.signals.batches) == 2


async def test_an_operator_s_mistake_is_waited_for_like_an_outage(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        scene.signals.down = PlatformMisconfiguredError("PM-3 does not know the credentials")
        connection = await scene.connect()
        await scene.deliver(connection, *scene.deliveries(connection, ONE))
        await scene.watch.until(lambda: len(scene.signals.batches) > 2)

        scene.signals.down = None

        await scene.counted(connection, forwarded=1)
        exposed = scene.ports.metrics.exposition(()).decode()
        assert 'error_type="signals_PlatformMisconfiguredError"' in exposed


async def test_one_tenant_s_outage_is_not_another_s(sqlite_url):
    """P6 isolated: each tenant has a relay of its own."""
    async with a_scene(sqlite_url) as scene, scene.node():
        acme, globex = await scene.connect(), await scene.connect("globex")
        await scene.deliver(acme, *scene.deliveries(acme, ONE))
        await scene.deliver(globex, *scene.deliveries(globex, ONE))

        await scene.counted(acme, forwarded=1)
        await scene.counted(globex, forwarded=1)

        assert {signal["tenant_id"] for signal in scene.signals.accepted} == {"acme", "globex"}
        assert all(len(batch) == 1 for batch in scene.signals.batches)


class Tokens:
    """PM-3's development tokens."""

    def token(self, tenant_id: str) -> Secret:
        return Secret(value=f"valid_token_{tenant_id}".encode())


async def test_the_real_contract_of_pm3_is_spoken_from_inbox_to_outbox(sqlite_url):
    """It forgets its producers when it restarts; nobody notices."""
    async with a_scene(sqlite_url, pace=PAIR) as scene:
        pm3 = SignalIngestion(SIGNAL_TYPES, ids=uuid4)
        simulated = Simulated(pm3.handle, scene.clock, noticed=scene.watch.notify)
        async with httpx.AsyncClient(transport=simulated) as client:
            sibling = Sibling("PM-3", "http://pm3.test", client)
            scene.ports = evolve(scene.ports, signals=Pm3Signals(sibling, Tokens()))
            async with scene.node():
                connection = await scene.connect()
                first, second = scene.deliveries(connection, {"signals": 3}, ONE)
                await scene.deliver(connection, first)
                await scene.counted(connection, forwarded=1)
                await client.post("http://pm3.test/_sim/forget", content=b"{}")

                await scene.deliver(connection, second)

                await scene.counted(connection, forwarded=2, parked=0)

        assert [signal["sequence_no"] for signal in pm3.accepted] == [1, 2, 3, 4]
        assert orjson.dumps(pm3.accepted[0]["payload"])
