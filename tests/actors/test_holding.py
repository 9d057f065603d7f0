"""A connection that is held, changed under its actor, or gone; and what is remembered of how it does."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from uuid import uuid4

import pytest
import trio
from attrs import evolve

from actors import asking, life
from actors.conditions import Condition, Conditions
from actors.connections import Connections
from actors.errors import LoginError, NotSentError
from actors.holding import Holding
from actors.jobs import Task
from actors.lifecycle import Move
from actors.orders import NewConnection
from actors.platform.budgets import Withheld
from adapters.contract import Later, Refused
from persistence.errors import FencedError, StaleError
from persistence.records import ConnectionState
from tests.actors.hub import ME, a_hub
from tests.actors.scene import Scene, a_scene
from tests.fakes.adapters import BASE_URL


class StandIn:
    """The little of a context that a holding needs."""

    random = Random(1)  # noqa: S311


def a_holding(scene: Scene, tenant_id: str, connection_id) -> Holding:
    return Holding(tenant_id, connection_id, scene.ports, StandIn())  # type: ignore[arg-type]


async def test_until_it_is_taken_over_everything_is_fenced(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        holding = a_holding(scene, "acme", connection.connection_id)

        assert holding.taken is False
        holding.forget_token()
        for name in ("lease", "connection", "line", "adapter"):
            with pytest.raises(FencedError):
                getattr(holding, name)

        assert await holding.take_over()
        assert holding.connection.connection_id == connection.connection_id


async def test_what_goes_while_it_is_taken_over_is_not_held(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        holding = a_holding(scene, "acme", connection.connection_id)
        assert not await a_holding(scene, "acme", uuid4()).take_over()

        async def gone(*_: object) -> None:
            await trio.lowlevel.checkpoint()

        scene.store.connection = gone  # type: ignore[attr-defined]
        assert not await holding.take_over()
        assert not holding.taken


async def test_reading_again_without_a_change_keeps_the_line_and_the_token(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        holding = a_holding(scene, "acme", connection.connection_id)
        await holding.take_over()
        line = holding.line

        await holding.read_again()

        assert holding.line is line


async def test_an_actor_whose_connection_is_forgotten_ends(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()
        await scene.deliver(connection, *scene.deliveries(connection, {"signals": 1}))
        await scene.counted(connection, forwarded=1)

        async def gone(*_: object) -> None:
            await trio.lowlevel.checkpoint()

        scene.store.connection = gone  # type: ignore[attr-defined]
        change = life.to(connection, Move.CHANGE)
        await scene.store.inner.change_connection(
            "acme",
            connection.connection_id,
            change,
            version=1,
            receipt=None,
            now=scene.clock.now(),
        )
        scene.wake.connection("acme", connection.connection_id)

        await scene.watch.until(
            lambda: [one for one in scene.recorder.stopped_at if "connections/" in one[0]]
        )
        assert scene.recorder.crashes == []


async def test_a_store_that_is_away_while_a_change_is_read_costs_only_time(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()
        first, second = scene.deliveries(connection, {"signals": 1}, {"signals": 1})
        await scene.deliver(connection, first)
        await scene.counted(connection, forwarded=1)
        scene.store.fail("connection", times=2)
        await scene.store.inner.change_connection(
            "acme",
            connection.connection_id,
            life.to(connection, Move.CHANGE),
            version=1,
            receipt=None,
            now=scene.clock.now(),
        )

        await scene.deliver(connection, second)

        await scene.counted(connection, forwarded=2)
        assert scene.log.of("connection.store_unavailable")
        assert scene.recorder.crashes == []


async def test_a_job_that_has_to_wait_says_for_how_long(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        hub.scene.budgets.withheld.append(withheld(minutes=20))

        outcome = await asking.ask(hub.connections.ports, connection, Task.PROBE)

        # The block that is paid for already lasts for its ten seconds.
        assert not isinstance(outcome, Later)
        hub.clock.advance(seconds=10)
        outcome = await asking.ask(hub.connections.ports, connection, Task.PROBE)
        assert isinstance(outcome, Later)
        assert outcome.reason == "rate limit; free at 12:20:10 UTC"
        assert outcome.retry_after is not None
        assert outcome.retry_after.total_seconds() == pytest.approx(1200)


def withheld(*, minutes: int):
    return Withheld(retry_after=timedelta(minutes=minutes), reason="rate limit")


async def test_an_incident_that_was_open_before_stays_open_when_a_failure_is_stale(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        await life.fail(scene.ports, connection, "revoked")

        with pytest.raises(StaleError):
            await life.fail(scene.ports, connection, "revoked")

        known = await scene.store.inner.incidents("acme", connection.connection_id, limit=9)
        assert [one.resolved_at for one in known] == [None]


async def test_a_connection_whose_provider_has_no_api_for_it_gets_no_signing_secret(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():

        async def nothing(created: object) -> None:
            await trio.lowlevel.checkpoint()

        connections = Connections(ports=evolve(scene.ports, wake=scene.wake))
        created = await connections.create(
            "acme",
            NewConnection(
                provider_id="scripted",
                display_name="door",
                base_url=BASE_URL,
                capabilities=("outbound_actions",),
            ),
            ME,
            answered=nothing,
        )

        assert created.webhook_secret_ref is None
        assert created.connection.auth_ref is None
        disabled = await connections.disable("acme", created.connection.connection_id, ME)
        assert disabled.state is ConnectionState.SUSPENDED
        outcome = await asking.ask(connections.ports, disabled, Task.UNSUBSCRIBE)
        assert isinstance(outcome, Refused)


async def test_a_client_that_is_gone_when_the_person_comes_back_is_told(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        scene = hub.scene
        scene.ports = evolve(scene.ports, oauth_clients={"github": hub.client()})
        connection = (await hub.create(credentials=None)).connection
        started = await hub.logins.start("acme", connection.connection_id, by=ME)
        brought = hub.consent(started.authorization_url)
        scene.ports = evolve(scene.ports, oauth_clients={})

        with pytest.raises(LoginError, match="was not asked") as told:
            await hub.logins.finish(state=brought["state"], code=brought["code"])
        assert isinstance(told.value.__cause__, NotSentError)


def test_only_so_many_conditions_are_remembered():
    """P7 bounded: the longest unseen are forgotten."""
    known, ids = Conditions(most=2), [uuid4() for _ in range(3)]
    known.put("acme", ids[0], Condition(running=0))
    known.put("acme", ids[1], Condition(running=1))
    known.put("acme", ids[0], Condition(running=2))
    known.put("acme", ids[2], Condition(running=3))

    assert known.of("acme", ids[1]) is None
    assert known.of("globex", ids[0]) is None
    assert known.of("acme", ids[0]) == Condition(running=2)
