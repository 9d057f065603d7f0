"""How a provider does: one incident a turn, whatever crashes in between; half-open; what a healthy one costs (FR-8)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import orjson
import pytest
import trio
from attrs import evolve

from actors import incidents
from actors.orders import Edits
from adapters.faults import Effect, Fault, plain
from persistence.records import ActionState, ConnectionRecord, ConnectionState
from runtime import Backoff, Breaker
from tests.actors.hub import ME, PACE, Hub, a_hub
from tests.actors.life import REPOSITORY
from tests.actors.scene import Scene, a_scene

DOWN = Fault(effect=Effect.NONE, response=plain(500), lasting=True, name="down")
QUICK = evolve(
    PACE,
    breaker=Breaker(
        failures=2, probes=1, pause=Backoff(base=timedelta(minutes=1), cap=timedelta(minutes=1))
    ),
)


def issue(hub: Hub, connection: ConnectionRecord, name: str):
    """Something that is only asked once: where it is lost, it is looked for."""
    return evolve(
        hub.scene.action(connection, name),
        canonical_type="comment_on_pr",
        target=b'{"repository": "acme/rocket", "pr_number": 1}',
        payload=b'{"body": "Checks passed."}',
    )


async def opened(hub: Hub, connection: ConnectionRecord) -> None:
    """Fail until the breaker is open and kept."""
    hub.github.plan(DOWN)
    await hub.scene.order(connection, issue(hub, connection, "one"), issue(hub, connection, "two"))
    await kept_as(hub, connection, "open")


async def kept_as(hub: Hub, connection: ConnectionRecord, circuit: str) -> None:
    """Wait until the row says so of the breaker."""

    async def look() -> bool:
        kept = orjson.loads((await hub.read(connection)).pressure)
        return bool(kept.get("circuit") == circuit)

    await hub.scene.watch.until(look)


async def circuit(hub: Hub, connection: ConnectionRecord) -> list[bool]:
    """Of each incident of an open breaker, oldest last: whether it is over."""
    known = await hub.scene.store.inner.incidents("acme", connection.connection_id, limit=9)
    return [one.resolved_at is not None for one in known if one.kind == incidents.CIRCUIT_OPEN]


async def recovered(hub: Hub, connection: ConnectionRecord) -> None:
    """Let the provider be well, and its breaker find out."""
    hub.github._stage.clear("down")
    hub.clock.advance(minutes=2)
    hub.scene.wake.connection("acme", connection.connection_id)
    await kept_as(hub, connection, "closed")


async def test_a_breaker_that_opens_and_closes_is_kept_and_told_once_each(store_url):
    async with a_hub(store_url, pace=QUICK) as hub:
        connection = await hub.active()

        await opened(hub, connection)
        await hub.scene.watch.until(lambda: hub.scene.incidents.kept)
        assert await circuit(hub, connection) == [False]
        for _ in range(9):
            hub.scene.wake.connection("acme", connection.connection_id)
        await recovered(hub, connection)

        await hub.scene.watch.until(lambda: not hub.scene.incidents.open)
        assert await circuit(hub, connection) == [True]
        assert len(hub.scene.incidents.told) == 2
        condition = hub.scene.ports.conditions.of("acme", connection.connection_id)
        assert condition is not None
        assert condition.circuit == "closed"


@pytest.mark.parametrize("method", ["keep_pressure", "open_incident"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_store_that_is_away_while_it_is_told_costs_no_incident_and_makes_no_second(
    sqlite_url, method, after
):
    async with a_hub(sqlite_url, pace=QUICK) as hub:
        connection = await hub.active()
        hub.scene.store.fail(method, after=after)

        await opened(hub, connection)
        hub.clock.advance(seconds=20)
        hub.scene.wake.connection("acme", connection.connection_id)

        await hub.scene.watch.until(lambda: hub.scene.incidents.kept)
        assert await circuit(hub, connection) == [False]


async def test_killed_between_keeping_and_telling_the_next_incarnation_tells(sqlite_url):
    """Crash between keep and open."""
    async with a_hub(sqlite_url, pace=QUICK, node=False) as hub:
        async with hub.scene.node():
            connection = await hub.active()
            hub.scene.store.fail("open_incident", times=99)
            await opened(hub, connection)
            await hub.scene.watch.until(lambda: hub.scene.store.calls["open_incident"])
        assert await circuit(hub, connection) == []
        hub.scene.store = type(hub.scene.store)(hub.scene.store.inner, hub.scene.watch)
        hub.scene.ports = evolve(hub.scene.ports, store=hub.scene.store.as_store)

        async with hub.scene.node():
            hub.scene.wake.connection("acme", connection.connection_id)
            await hub.scene.watch.until(lambda: hub.scene.incidents.kept)

        assert await circuit(hub, connection) == [False]


async def test_killed_between_closing_and_keeping_nothing_is_told_again(sqlite_url):
    """Crash between close and keep: the next incarnation finds it open, tries, and keeps that it is well."""
    async with a_hub(sqlite_url, pace=QUICK, node=False) as hub:
        async with hub.scene.node():
            connection = await hub.active()
            await opened(hub, connection)
            await hub.scene.watch.until(lambda: hub.scene.incidents.kept)
        await incidents.closed(hub.scene.ports, connection, incidents.CIRCUIT_OPEN)
        hub.clock.advance(minutes=2)
        hub.github._stage.clear("down")

        async with hub.scene.node():
            hub.scene.wake.connection("acme", connection.connection_id)
            await kept_as(hub, connection, "closed")

        assert await circuit(hub, connection) == [True]
        assert len(hub.scene.incidents.kept) == 1


async def test_a_restart_in_the_middle_of_the_trouble_is_one_trouble(sqlite_url):
    async with a_hub(sqlite_url, pace=QUICK, node=False) as hub:
        async with hub.scene.node():
            connection = await hub.active()
            await opened(hub, connection)
            await hub.scene.watch.until(lambda: hub.scene.incidents.kept)
        asked = len(hub.github.seen)

        async with hub.scene.node():
            hub.scene.wake.connection("acme", connection.connection_id)
            await hub.scene.watch.until(lambda: hub.scene.store.calls["open_incident"] > 1)
            assert len(hub.github.seen) == asked
            await recovered(hub, connection)
            await hub.scene.watch.until(lambda: not hub.scene.incidents.open)

        assert len(hub.scene.incidents.told) == 2


async def test_after_its_pause_one_is_let_through_and_the_others_wait_for_it(sqlite_url):
    """Half-open lets ``probes`` through."""
    async with a_hub(sqlite_url, pace=QUICK) as hub:
        connection = await hub.active()
        await opened(hub, connection)
        hub.clock.advance(minutes=2)
        before = len(hub.github.seen)
        more = [issue(hub, connection, f"more {number}") for number in range(3)]

        await hub.scene.order(connection, *more)
        await hub.scene.watch.until(lambda: len(hub.github.seen) > before)
        await hub.scene.watch.until(lambda: hub.scene.store.calls["keep_pressure"] > 1)

        assert len(hub.github.seen) == before + 1  # it failed, and none of the others was sent
        await recovered(hub, connection)
        for action in more:
            assert (await hub.scene.ended(action)).state is ActionState.DONE


async def test_an_idle_healthy_connection_writes_nothing_of_its_wellbeing(sqlite_url):
    """What a connection costs the store while nothing is wrong."""
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()
        await scene.order(connection, scene.action(connection))
        await scene.watch.until(lambda: scene.ports.metrics.actions._metrics)
        for _ in range(30):
            scene.wake.connection("acme", connection.connection_id)
            await trio.lowlevel.checkpoint()
        await scene.deliver(connection, *scene.deliveries(connection, {"signals": 1}))
        await scene.counted(connection, forwarded=1)

        assert scene.store.calls["keep_pressure"] == 0
        assert scene.store.calls["open_incident"] == 0
        assert scene.store.calls["close_incident"] == 0
        assert scene.store.calls["connection"] == 1


async def looked(scene: Scene, begun: Counter[str], times: int) -> None:
    """Wait until the actor has done all there was so often: it looks for later actions last."""
    await scene.watch.until(
        lambda: scene.store.calls["next_action_at"] == begun["next_action_at"] + times
    )


async def test_a_batch_of_deliveries_and_an_action_cost_the_store_no_more_calls_than_they_need(
    sqlite_url,
):
    """The hot paths, call by call."""
    async with a_scene(sqlite_url) as scene, scene.node():
        # Upkeep's first round would wake the connection too.
        await scene.watch.until(lambda: scene.store.calls["connections_to_poll"])
        connection = await scene.connect()
        scene.wake.connection("acme", connection.connection_id)
        await looked(scene, Counter(), 2)  # by itself when it starts, and for the hint
        begun = scene.store.calls.copy()

        await scene.deliver(connection, *scene.deliveries(connection, *[{"signals": 1}] * 20))
        await scene.counted(connection, forwarded=20)
        await looked(scene, begun, 2)

        spent = scene.store.calls - begun
        assert spent["claim_deliveries"] == 2  # the batch, and that there is no more
        assert spent["settle"] == 1
        assert spent["due_actions"] == spent["next_action_at"] == 2
        assert spent["connection"] == spent["claim_connection"] == 0

        begun = scene.store.calls.copy()
        action = scene.action(connection)
        await scene.order(connection, action)
        await scene.ended(action)
        await scene.watch.until(lambda: running(scene, connection) == 0)

        spent = scene.store.calls - begun
        assert spent["intend"] == spent["settle_action"] == 1
        assert spent["exchanges"] == 0  # it was not begun
        assert spent["resolve_exchange"] == spent["postpone_action"] == 0
        assert spent["claim_deliveries"] == 1
        assert spent["due_actions"] == 1
        assert spent["next_action_at"] == 0  # when it ended, nothing else was queued
        assert spent["connection"] == spent["claim_connection"] == 0


def running(scene: Scene, connection: ConnectionRecord) -> int | None:
    """How many actions run, as the actor last said."""
    known = scene.ports.conditions.of("acme", connection.connection_id)
    return None if known is None else known.running


async def test_a_login_that_is_refused_fails_the_connection_once(store_url):
    """FR-3: error with needs_login, one incident though several actions met it; nothing more is sent."""
    async with a_hub(store_url) as hub:
        connection = await hub.active()
        hub.github.world.tokens.clear()
        actions = [issue(hub, connection, f"target {number}") for number in range(4)]

        await hub.scene.order(connection, *actions)
        await hub.scene.watch.until(lambda: "fail" in hub.audited())
        await hub.scene.watch.until(lambda: hub.scene.incidents.kept)
        await hub.scene.watch.until(lambda: running(hub.scene, connection) == 0)

        failed = await hub.read(connection)
        assert (failed.state, failed.reason) == (
            ConnectionState.ERROR,
            "needs_login: 401: Bad credentials",
        )
        (incident,) = hub.scene.incidents.kept.values()
        assert (incident.kind, incident.severity) == (incidents.NEEDS_LOGIN, "P1")
        assert hub.audited().count("fail") == 1
        ends = [await hub.scene.store.inner.action("acme", one.action_id) for one in actions]
        assert all(
            one is not None and one.state in {ActionState.NEEDS_LOGIN, ActionState.QUEUED}
            for one in ends
        )


async def test_a_login_refused_to_an_action_in_doubt_fails_the_connection_too(sqlite_url):
    """It waits itself, to be looked for when a person has come."""
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        action = issue(hub, connection, "target")
        lost = Fault(effect=Effect.NOW, dropped=True, method="POST")
        hub.github.plan(lost, Fault(effect=Effect.NONE, response=plain(401), times=9))

        await hub.scene.order(connection, action)
        await hub.scene.watch.until(lambda: hub.scene.store.calls["postpone_action"])
        hub.clock.advance(seconds=1)
        hub.scene.wake.connection("acme", connection.connection_id)
        await hub.scene.watch.until(lambda: "fail" in hub.audited())

        left = await hub.scene.store.inner.action("acme", action.action_id)
        assert left is not None
        assert left.state is ActionState.QUEUED
        hub.github._stage.clear()
        hub.clock.advance(minutes=2)
        await hub.connections.verify("acme", connection.connection_id, ME)
        assert (await hub.scene.ended(action)).state is ActionState.DONE
        assert len(hub.github.comments(REPOSITORY, 1, now=hub.clock.now())) == 1


async def test_who_changes_the_connection_while_it_fails_is_right(sqlite_url):
    """The next request tells whether the login is refused still; an incident that was opened for nothing is closed."""
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        token = hub.github.world.tokens.pop()

        async def renamed() -> None:
            await hub.connections.change(
                "acme", connection.connection_id, Edits(display_name="renamed"), ME
            )
            hub.github.world.tokens.append(token)

        hub.scene.store.on("change_connection", renamed)
        action = issue(hub, connection, "target")
        await hub.scene.order(connection, action)
        await hub.scene.ended(action)
        await hub.scene.watch.until(lambda: hub.scene.log.of("connection.read_again"))

        found = await hub.read(connection)
        assert (found.state, found.display_name) == (ConnectionState.ACTIVE, "renamed")
        known = await hub.scene.store.inner.incidents("acme", connection.connection_id, limit=9)
        assert all(one.resolved_at is not None for one in known)
