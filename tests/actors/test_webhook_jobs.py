"""The provider's webhook: exactly one, repaired, told of when it is lost, removed; jobs one after the other (FR-2)."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest
import trio
from attrs import evolve

from actors import asking, hooks, incidents, jobs
from actors.errors import IncapableError
from actors.jobs import Task
from actors.orders import Edits, Rotation
from actors.platform.errors import PlatformUnavailableError
from actors.ports import Ports
from adapters.contract import Done, Later, Refused, Secret
from adapters.faults import Fault, dropped_after, failing, failing_after
from adapters.github.simulator_hooks import Hook
from persistence.records import ConnectionRecord, ConnectionState
from tests.actors.hub import ME, Hub, a_hub
from tests.actors.life import REPOSITORY
from tests.actors.scene import Scene, a_scene

HOOKS = "/hooks"


async def subscribe(hub: Hub, connection: ConnectionRecord):
    return await hub.connections.subscribe("acme", connection.connection_id, ME)


def owner(hub: Hub) -> str:
    (hook,) = hub.github.hook_shelf.hooks.values()
    return hook.owner


async def lost(hub: Hub, connection: ConnectionRecord) -> list[bool]:
    """Of each incident about a lost webhook: whether it is over."""
    known = await hub.scene.store.inner.incidents("acme", connection.connection_id, limit=9)
    return [one.resolved_at is not None for one in known if one.kind == incidents.WEBHOOK_LOST]


async def test_a_verified_connection_has_exactly_one_webhook_however_often_it_is_checked(
    store_url,
):
    async with a_hub(store_url) as hub:
        connection = await hub.active()
        assert connection.state is ConnectionState.ACTIVE

        again = await subscribe(hub, connection)
        await hub.connections.verify("acme", connection.connection_id, ME)
        await hub.hooked(connection, lambda known: known["hooks"][0]["was"] == "kept")

        assert again.passed
        assert len(hub.hook_urls()) == 1


async def test_two_that_check_at_once_make_one(sqlite_url):
    """One job after the other: both would list, find none, and create."""
    async with a_hub(sqlite_url) as hub:
        connection = (await hub.create()).connection
        ports = hub.connections.ports

        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(asking.ask, ports, connection, Task.SUBSCRIBE)

        assert len(hub.hook_urls()) == 1


async def test_a_webhook_that_somebody_removed_or_changed_is_repaired(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        (hook,) = hub.github.hook_shelf.hooks.values()
        hook.active, hook.events = False, ("push",)
        (known,) = orjson.loads((await subscribe(hub, connection)).details)["hooks"]
        assert known["was"] == "repaired"

        hub.github.hook_shelf.hooks.clear()
        (known,) = orjson.loads((await subscribe(hub, connection)).details)["hooks"]
        assert known["was"] == "created"


async def test_twins_of_the_webhook_are_removed(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        (hook,) = hub.github.hook_shelf.hooks.values()
        hub.github.hook_shelf.hooks[77] = Hook(
            id=77,
            owner=hook.owner,
            config=dict(hook.config),
            events=hook.events,
            active=True,
            updated_at=hook.updated_at,
        )

        verified = await subscribe(hub, connection)

        assert orjson.loads(verified.details)["removed"] == 1
        assert len(hub.hook_urls()) == 1


async def test_an_answer_that_was_lost_is_waited_out_before_it_is_tried_again(sqlite_url):
    """Never two of the same: its effect may be late."""
    async with a_hub(sqlite_url) as hub:
        connection = (await hub.create()).connection
        hub.github.plan(dropped_after(method="POST"))

        first = await asking.ask(hub.connections.ports, connection, Task.SUBSCRIBE)
        asked = len(hub.github.seen)
        second = await asking.ask(hub.connections.ports, connection, Task.SUBSCRIBE)

        assert isinstance(first, Later)
        assert first.maybe_sent
        assert second == Later(
            reason="an earlier try may still take effect", retry_after=timedelta(seconds=60)
        )
        assert len(hub.github.seen) == asked
        hub.clock.advance(seconds=60)
        third = await asking.ask(hub.connections.ports, connection, Task.SUBSCRIBE)
        assert isinstance(third, Done)
        assert len(hub.hook_urls()) == 1


async def test_what_fails_for_a_while_is_tried_again_by_itself(sqlite_url):
    """Nobody has to ask again for a webhook that could not be made at once."""
    async with a_hub(sqlite_url) as hub:
        connection = await gone_missing(hub, failing(500, times=3, path=HOOKS))

        asking.insist(hub.connections.ports, connection, Task.SUBSCRIBE)

        await hub.scene.watch.until(lambda: len(hub.hook_urls()) == 1)
        assert await lost(hub, connection) == []
        told = [entry["reason"] for entry in hub.scene.log.of("webhook.checked")]
        assert told[1:4] == ["answered 500"] * 3


async def gone_missing(hub: Hub, *faults: Fault) -> ConnectionRecord:
    """A connection whose webhook somebody removed at a provider that fails now."""
    connection = await hub.active()
    hub.github.hook_shelf.hooks.clear()
    hub.github.plan(*faults)
    return connection


async def test_a_webhook_that_can_not_be_made_is_told_once_and_once_when_it_is_there(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        hub.github.plan(failing(403, times=1, path=HOOKS, method="POST"))
        connection = (await hub.create()).connection
        await hub.connections.verify("acme", connection.connection_id, ME)
        await hub.hooked(connection, lambda known: "error" in known)
        await hub.scene.watch.until(lambda: hub.scene.incidents.kept)
        assert await lost(hub, connection) == [False]
        hub.github.plan(failing(403, times=1, path=HOOKS, method="POST"))
        assert not (await subscribe(hub, connection)).passed

        assert (await subscribe(hub, connection)).passed

        assert await lost(hub, connection) == [True]
        await hub.scene.watch.until(lambda: not hub.scene.incidents.open)
        assert len(hub.scene.incidents.told) == 2


async def test_a_provider_that_is_away_for_long_is_told_of_after_so_many_tries(
    sqlite_url, monkeypatch
):
    """P7: insisting ends."""
    monkeypatch.setattr(jobs, "MOST_TRIES", 3)
    async with a_hub(sqlite_url) as hub:
        connection = await gone_missing(hub, failing(500, times=99, path=HOOKS))

        asking.insist(hub.connections.ports, connection, Task.SUBSCRIBE)
        await hub.scene.watch.until(lambda: hub.scene.incidents.kept)

        assert await lost(hub, connection) == [False]
        assert len(hub.scene.log.of("webhook.checked")) == 4


async def test_a_key_service_that_is_away_is_waited_for_too(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        hub.github.hook_shelf.hooks.clear()
        hub.secrets.down = PlatformUnavailableError("M33 gave no answer")

        asking.insist(hub.connections.ports, connection, Task.SUBSCRIBE)
        await hub.scene.watch.until(lambda: hub.scene.store.calls["registrations"] > 4)
        hub.secrets.down = None

        await hub.scene.watch.until(lambda: len(hub.hook_urls()) == 1)


async def test_a_store_that_is_away_while_a_webhook_is_made_costs_only_time(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        hub.scene.store.fail("keep_hooks", times=2)

        connection = await hub.active()

        assert len(hub.hook_urls()) == 1
        assert hub.scene.recorder.crashes == []
        assert connection.state is ConnectionState.ACTIVE


async def test_webhooks_of_settings_that_hold_no_more_are_removed(store_url):
    """Never an orphan: what was registered before is remembered until it is gone."""
    async with a_hub(store_url) as hub:
        github, connection = hub.github, await hub.active()
        for name in ("acme/shuttle", "acme/lander"):
            github.world.add_repository(name)
        place = ("acme", connection.connection_id)

        await hub.connections.change(*place, settings_of("acme/shuttle"), ME)
        github.plan(failing(403, path="acme/shuttle/hooks", method="POST"))
        await hub.connections.verify(*place, ME)
        await hub.hooked(connection, lambda known: "error" in known)
        await hub.connections.change(*place, settings_of("acme/lander"), ME)
        await hub.connections.verify(*place, ME)
        known = await hub.hooked(connection, lambda known: "error" not in known)

        assert known["settings"] == [{"repositories": ["acme/lander"]}]
        lander = github.world.named("acme/lander")
        assert lander is not None
        assert [hook.owner for hook in github.hook_shelf.hooks.values()] == [
            f"repositories/{lander.id}"
        ]


def settings_of(repository: str) -> Edits:
    return Edits(settings=orjson.dumps({"repositories": [repository]}))


async def test_a_signing_secret_that_the_provider_may_not_know_is_told_again(sqlite_url):
    """A try that was lost with its actor is made up for by the next check, whoever asks for it."""
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        hub.github.plan(failing(403, path=HOOKS))
        secret = hub.connections.ports.entropy(24).hex().encode()

        await hub.connections.rotate(
            "acme", connection.connection_id, Rotation(webhook_secret=Secret(value=secret)), ME
        )
        await hub.hooked(connection, lambda known: "error" in known)

        await hub.connections.verify("acme", connection.connection_id, ME)
        await hub.hooked(connection, lambda known: "error" not in known)

        (hook,) = hub.github.hook_shelf.hooks.values()
        assert hook.config["secret"].encode() == secret


async def test_a_disabled_connection_is_not_given_a_webhook(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        await hub.connections.disable("acme", connection.connection_id, ME)
        await hub.scene.watch.until(lambda: not hub.hook_urls())

        verified = await subscribe(hub, connection)

        assert (verified.passed, verified.again) == (False, False)
        assert hub.hook_urls() == []


async def test_where_the_provider_has_no_api_for_it_nothing_is_registered(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()

        for task in (Task.SUBSCRIBE, Task.UNSUBSCRIBE):
            outcome = await asking.ask(asks(scene), connection, task)
            assert isinstance(outcome, Refused)


async def test_a_connection_without_credentials_makes_its_webhook_by_hand(sqlite_url):
    """And its being verified asks for none, so that no login is taken for refused."""
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active(credentials=None)

        with pytest.raises(IncapableError):
            await subscribe(hub, connection)

        outcome = await asking.ask(hub.connections.ports, connection, Task.SUBSCRIBE)
        assert isinstance(outcome, Refused)
        assert (await hub.read(connection)).state is ConnectionState.ACTIVE
        assert hub.github.seen == ()


async def test_a_connection_from_before_urls_were_sealed_can_not_be_registered(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.scene.connect(provider_id="github")

        outcome = await asking.ask(hub.connections.ports, connection, Task.SUBSCRIBE)

        assert outcome == Refused(
            reason="the connection's webhook URL or signing secret is not known"
        )


async def test_a_connection_whose_urls_have_all_ended_is_given_no_webhook(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()

        async def ended(*_: object, **__: object) -> tuple[()]:
            await trio.lowlevel.checkpoint()
            return ()

        hub.scene.store.registrations = ended  # type: ignore[attr-defined]
        for task in (Task.SUBSCRIBE, Task.UNSUBSCRIBE):
            outcome = await asking.ask(hub.connections.ports, connection, task)
            assert outcome == Refused(reason="the connection has no webhook URL")


async def test_a_502_after_the_effect_leaves_one_webhook(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = (await hub.create()).connection
        hub.github.plan(failing_after(502, method="POST"))
        assert isinstance(
            await asking.ask(hub.connections.ports, connection, Task.SUBSCRIBE), Later
        )
        hub.clock.advance(seconds=61)

        assert isinstance(
            await asking.ask(hub.connections.ports, connection, Task.SUBSCRIBE), Done
        )
        assert len(hub.hook_urls()) == 1


async def test_only_so_many_former_settings_are_remembered(sqlite_url, monkeypatch):
    """P7 bounded."""
    monkeypatch.setattr(hooks, "_MOST_FORMER", 2)
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        hub.github.plan(failing(403, times=99, path=HOOKS, method="POST"))
        for number in range(5):
            name = f"acme/r{number}"
            hub.github.world.add_repository(name)
            await hub.connections.change("acme", connection.connection_id, settings_of(name), ME)
            await asking.ask(hub.connections.ports, connection, Task.SUBSCRIBE)

        known = await hub.hooked(connection)
        assert known["settings"] == [{"repositories": [f"acme/r{n}"]} for n in (2, 3, 4)]
        assert REPOSITORY not in str(known["settings"])


async def test_a_try_that_fails_forgets_none_of_the_webhooks_that_there_are(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        await asking.ask(hub.connections.ports, connection, Task.SUBSCRIBE)
        before = await hub.hooked(connection)
        hub.github.plan(failing(403, times=9, path=HOOKS))

        await asking.ask(hub.connections.ports, connection, Task.SUBSCRIBE)

        known = await hub.hooked(connection, lambda known: "error" in known)
        assert known["hooks"] == before["hooks"] != []


def asks(scene: Scene) -> Ports:
    """The ports of whoever asks the running tree."""
    return evolve(scene.ports, wake=scene.wake)
