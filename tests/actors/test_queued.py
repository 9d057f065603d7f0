"""An action that is handed to its connection's actor as it is stored: begun without a look, and never twice (P4, P10)."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
import trio
from attrs import evolve

from actors.connection import Work, key_of
from actors.platform.policy import TenantPolicy
from persistence.records import ActionRecord, ConnectionRecord, ConnectionState, Lease
from tests.actors.scene import Scene, a_scene
from tests.actors.test_connection_actions import DONE, UNSURE, Provider, begun
from tests.persistence import samples

_CALLS = ("enqueue", "intend", "settle_action")
_LOOKS = ("claim_deliveries", "due_actions", "next_action_at", "exchanges")


async def ready(scene: Scene) -> ConnectionRecord:
    """A connection with an actor that has carried out one action and rests."""
    await scene.watch.until(
        lambda: scene.store.calls["connections_to_poll"]
    )  # upkeep's first round
    connection = await scene.connect()
    first = scene.action(connection, "first")
    await scene.order(connection, first)
    await scene.ended(first)
    for _ in range(
        2
    ):  # the first has seen the action report back, the second all looks that came of it
        await rested(scene, connection)
    return connection


async def rested(scene: Scene, connection: ConnectionRecord) -> None:
    """Return when the actor has handled all that was told before."""
    if scene.system is None:
        raise RuntimeError("no tree runs")
    key = key_of(connection.tenant_id, connection.connection_id)
    await scene.system.directory("connections").ask(key, Work(), deadline=timedelta(seconds=10))


async def stored(scene: Scene, at: ConnectionRecord, name: str = "door") -> ActionRecord:
    """An action in the queue that nobody was told of."""
    record, _ = await scene.store.as_store.enqueue(scene.action(at, name), version=at.version)
    return record


def hint(scene: Scene, *records: ActionRecord, of: ConnectionRecord) -> None:
    for record in records:
        scene.wake.action(record, of.version)


async def test_an_action_that_is_handed_over_costs_three_calls_of_the_store(store_url):
    async with a_scene(store_url) as scene, scene.node():
        pair = [await ready(scene), await ready(scene)]
        costs = []
        for number in range(10):  # in turns: when one is asked again, it has done with the last
            connection = pair[number % 2]
            scene.store.calls.clear()
            record = await stored(scene, connection, f"door-{number}")
            hint(scene, record, of=connection)
            assert (await scene.ended(record)).state is DONE
            costs.append([scene.store.calls[name] for name in (*_CALLS, *_LOOKS)])

        assert costs[-1] == [1, 1, 1, 0, 0, 0, 0]


async def test_what_is_handed_over_twice_is_done_once(sqlite_url):
    """P4: while it runs, and when it has ended."""
    provider = Provider()
    gate = provider.hold("door")
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await ready(scene)
        record = await stored(scene, connection)

        hint(scene, record, record, of=connection)
        await begun(scene, provider, 2)
        gate.set()
        await scene.ended(record)
        hint(scene, record, of=connection)
        after = await stored(scene, connection)
        hint(scene, after, of=connection)

        assert (await scene.ended(after)).state is DONE
        await scene.watch.until(lambda: scene.log.of("action.gone"))
        assert provider.begun == ["/do/first", "/do/door", "/do/door"]
        assert scene.recorder.crashes == []


@pytest.mark.parametrize("lost", [True, False])
async def test_a_hint_that_comes_after_a_doubt_sends_nothing_again(sqlite_url, lost):
    """P4, P10: the hint knows of no journal, the store does; whoever wrote it, this incarnation or an earlier one."""
    provider = Provider()
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await ready(scene)
        place = ("acme", connection.connection_id)
        lease = Lease(
            tenant_id=place[0],
            connection_id=place[1],
            owner=scene.ports.incarnation,
            epoch=1,
            sequence_no=0,
            version=connection.version,
        )
        if lost:
            lease = await scene.store.inner.claim_connection(*place, owner=uuid4())
        record = await stored(scene, connection)
        await scene.store.inner.intend(lease, samples.exchange(lease, record.action_id))

        hint(scene, record, of=connection)

        said = "connection.fenced" if lost else "action.gone"
        await scene.watch.until(lambda: scene.log.of(said))
        scene.wake.connection(*place)
        assert (await scene.ended(record)).state is UNSURE
        assert provider.begun == ["/do/first"]
        assert len(await scene.store.inner.exchanges("acme", record.action_id)) == 1


async def test_of_two_that_came_together_for_one_target_one_waits(sqlite_url):
    """Neither saw the other when it was stored."""
    provider = Provider()
    gate = provider.hold("door")
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await ready(scene)
        first, second = await stored(scene, connection), await stored(scene, connection)

        hint(scene, first, evolve(second, head=True), of=connection)
        await begun(scene, provider, 2)
        other = await stored(scene, connection, "window")
        hint(scene, other, of=connection)
        await scene.ended(other)

        assert provider.begun == ["/do/first", "/do/door", "/do/window"]
        gate.set()
        ends = [(await scene.ended(record)).ended_at for record in (first, second)]
        assert ends == sorted(ends, key=str)


async def test_what_is_not_the_head_of_its_target_waits_for_its_turn(sqlite_url):
    """Order per target: a hint that was lost does not let a later action pass."""
    provider = Provider()
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await ready(scene)
        first, second = await stored(scene, connection), await stored(scene, connection)

        hint(scene, second, of=connection)

        ends = [(await scene.ended(record)).ended_at for record in (first, second)]
        assert ends == sorted(ends, key=str)


async def test_without_room_it_waits(sqlite_url):
    """P7 bounded."""
    provider = Provider()
    gate = provider.hold("door")
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        scene.policy.default = TenantPolicy(actions_at_once=1)
        connection = await ready(scene)
        first, second = await stored(scene, connection), await stored(scene, connection, "window")

        hint(scene, first, second, of=connection)
        await begun(scene, provider, 2)
        for _ in range(3):
            await rested(scene, connection)
        gate.set()

        assert (await scene.ended(second)).state is DONE
        assert provider.peak == 1


async def test_an_action_for_a_connection_that_has_changed_since_is_carried_out_as_it_is_now(
    sqlite_url,
):
    """Its hint may overtake the one of the change; with none of its own, the version tells."""
    provider = Provider()
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await ready(scene)
        suspended = await samples.move(scene.store.inner, connection, ConnectionState.SUSPENDED)
        active = await samples.move(scene.store.inner, suspended, ConnectionState.ACTIVE)
        record = await stored(scene, active)

        hint(scene, record, of=active)

        assert (await scene.ended(record)).state is DONE
        assert scene.log.of("connection.read_again")


async def test_a_delivery_whose_hint_found_the_mailbox_full_of_actions_is_forwarded(sqlite_url):
    """P1: a full mailbox is the hint."""
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await ready(scene)
        records = [await stored(scene, connection, f"door-{n}") for n in range(40)]
        await scene.store.accept(scene.deliveries(connection, {"signals": 1}))

        hint(scene, *records, of=connection)
        scene.wake.connection("acme", connection.connection_id)

        await scene.counted(connection, forwarded=1)
        for record in records:
            assert (await scene.ended(record)).state is DONE


async def test_a_hint_without_an_actor_starts_one(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()
        record = await stored(scene, connection)

        hint(scene, record, of=connection)

        assert (await scene.ended(record)).state is DONE
        await trio.lowlevel.checkpoint()
        assert scene.recorder.crashes == []
