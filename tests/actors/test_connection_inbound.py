"""The connection's actor and what comes in: P2, P5, P9, P10, on the real tree and a real store."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

import pytest
import trio
import trio.testing
from attrs import evolve

from actors import codec
from actors.connection import Work, key_of
from adapters.envelope import signal_id
from adapters.github.samples import sample
from persistence.records import ConnectionState
from tests.actors.hub import a_hub
from tests.actors.scene import EPOCH, PACE, a_scene, envelope_for
from tests.fakes.adapters import PoisonError
from tests.persistence import samples

ONE, TWO, NONE = {"signals": 1}, {"signals": 2}, {"signals": 0}
MALFORMED, POISON = {"malformed": True}, {"poison": True}


async def test_signals_leave_in_order_without_gaps_with_parked_ones_in_between(store_url):
    """P5 ordered, P9 accounted (UT-IA-03)."""
    async with a_scene(store_url) as scene, scene.node():
        connection = await scene.connect()
        bodies = (ONE, MALFORMED, TWO, NONE, MALFORMED, ONE, TWO)

        await scene.deliver(connection, *scene.deliveries(connection, *bodies))

        entry = await scene.counted(connection, forwarded=5, parked=2, accepted=7)
        assert entry.pending == entry.settled == 0
        assert scene.signals.numbers == [1, 2, 3, 4, 5, 6]
        assert [signal["correlation_id"] for signal in scene.signals.accepted] == [
            f"event-{number}" for number in (1, 3, 3, 6, 7, 7)
        ]
        parked = await scene.store.inner.parked("acme", connection.connection_id, limit=9)
        assert [one.event_id for one in parked] == ["event-5", "event-2"]
        assert all("signals: is missing" in one.reason for one in parked)
        assert len(scene.log.of("delivery.parked")) == 2


async def test_signal_ids_are_a_function_of_connection_event_and_index(sqlite_url):
    """P2 once-in."""
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()

        await scene.deliver(connection, *scene.deliveries(connection, TWO, ONE))

        await scene.counted(connection, forwarded=2)
        assert scene.signals.ids == [
            signal_id(connection.connection_id, event, index)
            for event, index in (("event-1", 0), ("event-1", 1), ("event-2", 0))
        ]


async def test_a_delivery_that_comes_twice_makes_one_signal(store_url):
    """P2 once-in, P9: the second is counted as a duplicate."""
    async with a_scene(store_url) as scene, scene.node():
        connection = await scene.connect()

        first = await scene.deliver(connection, *scene.deliveries(connection, ONE))
        again = await scene.deliver(connection, *scene.deliveries(connection, ONE, ONE))

        await scene.counted(connection, accepted=2, duplicate=1, forwarded=2)
        assert (first, again) == ((True,), (False, True))
        assert scene.signals.numbers == [1, 2]


async def test_more_than_one_batch_is_settled_without_another_hint(sqlite_url):
    async with a_scene(sqlite_url, pace=evolve(PACE, deliveries_at_once=3)) as scene, scene.node():
        connection = await scene.connect()

        await scene.deliver(connection, *scene.deliveries(connection, *[ONE] * 10))

        await scene.counted(connection, forwarded=10)
        assert scene.signals.numbers == list(range(1, 11))
        assert scene.store.calls["settle"] == 4


async def test_the_numbers_go_on_after_a_restart(sqlite_url):
    """P5: no number twice, none left out, whoever gives them."""
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        first, second = scene.deliveries(connection, TWO, ONE)
        async with scene.node():
            await scene.deliver(connection, first)
            await scene.counted(connection, forwarded=1)
        async with scene.node():
            await scene.deliver(connection, second)
            await scene.counted(connection, forwarded=2)

        assert scene.signals.numbers == [1, 2, 3]


async def test_a_delivery_that_kills_its_actor_is_buried_after_three_deaths_and_harms_no_neighbour(
    sqlite_url,
):
    """P5: poison blocks nothing, and its neighbours keep their order."""
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()

        await scene.deliver(connection, *scene.deliveries(connection, ONE, ONE, POISON, ONE))

        await scene.counted(connection, forwarded=3, parked=1)
        (parked,) = await scene.store.inner.parked("acme", connection.connection_id, limit=9)
        assert scene.signals.numbers == [1, 2, 3]
        assert parked.event_id == "event-3"
        assert parked.reason == "its actor died 3 times on it"
        assert [type(error) for error in scene.recorder.crashes] == [PoisonError] * 3


async def test_another_connection_does_not_notice_the_poison_of_its_neighbour(sqlite_url):
    """P6 isolated."""
    async with a_scene(sqlite_url) as scene, scene.node():
        ill, well = await scene.connect(), await scene.connect("globex")
        await scene.deliver(ill, *scene.deliveries(ill, POISON))
        await scene.watch.until(lambda: scene.recorder.crashes)

        await scene.deliver(well, *scene.deliveries(well, ONE))

        await scene.counted(well, forwarded=1, parked=0)
        await scene.counted(ill, parked=1)


async def test_ready_made_envelopes_keep_their_place_among_the_others(sqlite_url):
    """P5; PRD 11.3: what a module hands us is numbered like everything else."""
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()
        first, last = scene.deliveries(connection, ONE, TWO)
        ready = codec.ready_made(
            envelope_for(connection, "made-elsewhere"),
            delivery_id=uuid4(),
            connection_id=connection.connection_id,
            now=EPOCH,
        )

        fresh = await scene.deliver(connection, first, ready, last)
        again = await scene.deliver(connection, evolve(ready, delivery_id=uuid4()))

        await scene.counted(connection, forwarded=3, duplicate=1)
        assert (fresh, again) == ((True, True, True), (False,))
        assert scene.signals.numbers == [1, 2, 3, 4]
        assert scene.signals.ids[1] == "made-elsewhere"
        assert scene.signals.accepted[1]["payload"] == {"ready": "made"}


async def test_a_fenced_actor_stops_and_commits_nothing(store_url):
    """P10 fenced."""
    async with a_scene(store_url) as scene, scene.node():
        connection = await scene.connect()
        key = ("acme", connection.connection_id)
        first, second = scene.deliveries(connection, ONE, ONE)
        await scene.deliver(connection, first)
        await scene.counted(connection, forwarded=1)

        async def taken_over() -> None:
            await scene.store.inner.claim_connection(*key, owner=uuid4())

        scene.store.on("settle", taken_over)
        await scene.deliver(connection, second)
        await scene.watch.until(lambda: scene.log.of("connection.fenced"))
        await scene.watch.until(lambda: scene.recorder.stopped_at)

        await scene.counted(connection, accepted=2, forwarded=1, pending=1)
        assert scene.signals.numbers == [1]
        assert scene.recorder.crashes == []

        scene.wake.connection(*key)  # as upkeep does, once the other owner is gone
        await scene.counted(connection, forwarded=2)
        assert scene.signals.numbers == [1, 2]


@pytest.mark.parametrize(
    "method",
    ["connection", "claim_connection", "claim_deliveries", "settle", "due_actions"],
)
async def test_a_store_that_is_away_for_a_while_costs_time_and_nothing_else(sqlite_url, method):
    """P7, P9: it comes back by itself, and nothing is parked for the store's failures."""
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()
        scene.store.fail(method, times=6)

        await scene.deliver(connection, *scene.deliveries(connection, ONE, ONE, ONE))

        await scene.counted(connection, forwarded=3, parked=0)
        await scene.watch.until(lambda: scene.store.calls[method] >= 7)
        assert scene.signals.numbers == [1, 2, 3]
        assert scene.recorder.crashes == []
        assert scene.log.of("connection.store_unavailable")


async def test_many_hints_while_the_store_is_away_set_one_timer(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node() as system:
        connection = await scene.connect()
        scene.store.fail("claim_connection", times=1000)
        directory = system.directory("connections")
        key = key_of("acme", connection.connection_id)

        for _ in range(200):
            directory.tell(key, Work())
            await trio.testing.wait_all_tasks_blocked(0.0005)

        told = len(scene.log.of("connection.store_unavailable"))
        assert 0 < told < scene.store.calls["claim_connection"]


async def test_a_settle_whose_answer_is_lost_makes_no_signal_twice(store_url):
    """P2, P9: the commit happened, the store's answer did not arrive."""
    async with a_scene(store_url) as scene, scene.node():
        connection = await scene.connect()
        scene.store.fail("settle", after=True)

        await scene.deliver(connection, *scene.deliveries(connection, TWO))
        await scene.watch.until(lambda: scene.log.of("connection.fenced"))
        last = evolve(scene.deliveries(connection, ONE)[0], event_id="event-2")
        await scene.deliver(connection, last)

        await scene.counted(connection, forwarded=2)
        assert scene.signals.numbers == [1, 2, 3]


async def test_a_settle_without_a_signal_whose_answer_is_lost_ends_each_delivery_once(store_url):
    """P9: nothing in the lease tells that it happened, but the deliveries do."""
    async with a_scene(store_url) as scene, scene.node():
        connection = await scene.connect()
        scene.store.fail("settle", after=True)

        await scene.deliver(connection, *scene.deliveries(connection, MALFORMED, NONE))

        await scene.counted(connection, forwarded=1, parked=1)
        await scene.watch.until(lambda: scene.store.calls["settle"] == 2)
        assert scene.recorder.crashes == []


async def test_a_signal_id_that_was_used_before_is_no_new_signal_and_blocks_nothing(sqlite_url):
    """P2 once-in: two events that a module gave one signal id are one signal, as at PM-3."""
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()
        first, last = scene.deliveries(connection, ONE, ONE)
        twin = codec.ready_made(
            envelope_for(connection, signal_id(connection.connection_id, "event-1", 0)),
            delivery_id=uuid4(),
            connection_id=connection.connection_id,
            now=EPOCH,
        )

        await scene.deliver(connection, first)
        await scene.counted(connection, forwarded=1)
        await scene.deliver(connection, twin)
        await scene.deliver(connection, last)

        await scene.counted(connection, forwarded=3)
        assert scene.recorder.crashes == []
        assert scene.signals.numbers == [1, 2]


@pytest.mark.parametrize(
    "state", [ConnectionState.PENDING_VERIFICATION, ConnectionState.SUSPENDED]
)
async def test_what_a_connection_that_is_not_active_is_sent_waits_until_it_is(store_url, state):
    """FR-2: verified and kept, and released with the first hint; its actor has been there all the time."""
    async with a_scene(store_url) as scene, scene.node():
        connection = await scene.connect(state=state)
        await scene.deliver(connection, *scene.deliveries(connection, ONE, ONE))
        await scene.watch.until(lambda: scene.store.calls["next_action_at"])
        await scene.counted(connection, accepted=2, pending=2)
        assert scene.store.calls["claim_deliveries"] == 0

        await samples.move(
            scene.store.inner, connection, ConnectionState.ACTIVE, now=scene.clock.now()
        )
        scene.wake.connection("acme", connection.connection_id)

        await scene.counted(connection, forwarded=2)
        assert scene.store.calls["claim_connection"] == 1
        assert scene.recorder.crashes == []


async def test_a_hint_for_a_connection_that_does_not_exist_ends_its_actor(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        scene.wake.connection("acme", uuid4())

        await scene.watch.until(lambda: scene.recorder.stopped_at)

        assert scene.recorder.crashes == []


async def test_a_stop_leaves_what_is_not_begun_in_the_store(sqlite_url):
    """P11 graceful: what waits is found by the next incarnation."""
    async with a_scene(sqlite_url, pace=evolve(PACE, deliveries_at_once=1)) as scene:
        connection = await scene.connect()
        async with scene.node() as system, trio.open_nursery() as nursery:

            async def stop_now() -> None:
                nursery.start_soon(partial(system.stop, drain=PACE.token_kept))
                await trio.testing.wait_all_tasks_blocked()
                assert system.stopping

            scene.store.on("settle", stop_now, after=True)
            await scene.deliver(connection, *scene.deliveries(connection, *[ONE] * 5))
            await scene.watch.until(lambda: scene.store.calls["settle"])

        entry = await scene.ledger(connection)
        assert entry.pending == 4

        async with scene.node():
            scene.wake.connection("acme", connection.connection_id)
            await scene.counted(connection, forwarded=5)
        assert scene.signals.numbers == [1, 2, 3, 4, 5]


async def test_an_event_told_of_under_two_ids_makes_one_signal(store_url):
    """P2 once-in: the second delivery is accounted for, and its neighbours have their numbers (P5, P9)."""
    async with a_hub(store_url) as hub:
        connection = await hub.active()
        comment, other = (sample("issue_comment.created", number, at=EPOCH) for number in (1, 2))

        for body in (comment, comment, other):
            await hub.scene.deliver(
                connection,
                evolve(
                    samples.delivery(connection, body=body), event_kind="issue_comment.created"
                ),
            )

        await hub.scene.counted(connection, forwarded=3)
        assert hub.scene.recorder.crashes == []
        assert hub.scene.signals.numbers == [1, 2]
