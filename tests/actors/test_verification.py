"""Verification: a connection becomes active only when its provider and PM-3 said yes (FR-2, UT-IA-01)."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
import trio
from attrs import evolve

from actors.platform.errors import PlatformRefusedError, PlatformUnavailableError, SecretLostError
from actors.verification import VERIFIABLE, verify
from adapters.contract import NeedsLogin, Plan, Refused, Unsure
from adapters.errors import UnknownProviderError
from persistence.errors import ConflictError
from persistence.records import ConnectionState
from tests.actors.scene import TOKEN, Scene, a_scene
from tests.fakes.adapters import ScriptedAdapter

PENDING, ACTIVE = ConnectionState.PENDING_VERIFICATION, ConnectionState.ACTIVE
AWAY = PlatformUnavailableError("no answer")


def saying(status: int, text: str = '{"login":"octo"}'):
    asked: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        await trio.lowlevel.checkpoint()
        return httpx.Response(status, text=text)

    return answer, asked


async def unchanged(scene: Scene, connection) -> bool:
    """Nothing in the store, at PM-3 or in a hint says that it was verified."""
    stored = await scene.store.inner.connection("acme", connection.connection_id)
    assert stored is not None
    assert (stored.state, stored.reason, stored.verified_at) == (connection.state, None, None)
    assert stored.updated_at == connection.updated_at
    assert scene.hints.connections == []
    assert await said(scene) == []
    return not scene.signals.producers


async def said(scene: Scene) -> list[dict[str, Any]]:
    """The receipts about a verification."""
    batch = await scene.store.inner.receipt_batch(
        "acme", batch_id=scene.ports.ids(), limit=50, now=scene.clock.now()
    )
    bodies: list[dict[str, Any]] = (
        [orjson.loads(one.body) for one in batch.receipts] if batch else []
    )
    return [body for body in bodies if "inputs" in body]


@pytest.mark.parametrize("state", VERIFIABLE)
async def test_a_connection_that_passes_becomes_active_with_a_receipt_and_a_producer(
    store_url, state
):
    answer, asked = saying(200)
    async with a_scene(store_url, answer=answer) as scene:
        connection = await scene.connect(state=state)

        verified = await verify(scene.ports, connection)

        assert verified.passed
        assert verified.details == b'{"login":"octo"}'
        stored = await scene.store.inner.connection("acme", connection.connection_id)
        assert verified.connection == stored
        assert stored is not None
        assert stored.state is ACTIVE
        assert stored.verified_at is not None
        assert list(scene.signals.producers) == [str(connection.connection_id)]
        assert scene.hints.connections == [("acme", connection.connection_id)]
        assert scene.hints.receipts == ["acme"]
        (receipt,) = await said(scene)
        assert receipt["inputs"]["operation"] == "integration.connection.scripted.verify"
        assert receipt["result"] == {"state": "active", "succeeded": True}
        assert asked[0].headers["authorization"] == f"Bearer {TOKEN.decode()}"


async def test_a_connection_that_only_receives_asks_nobody(sqlite_url):
    answer, asked = saying(500)
    async with a_scene(sqlite_url, answer=answer) as scene:
        connection = await scene.connect(state=PENDING, token=None)

        assert (await verify(scene.ports, connection)).passed
        assert asked == []


@pytest.mark.parametrize(
    ("status", "again"), [(401, False), (403, False), (404, False), (429, True), (503, True)]
)
async def test_a_provider_that_says_no_changes_nothing(sqlite_url, status, again):
    answer, _ = saying(status)
    async with a_scene(sqlite_url, answer=answer) as scene:
        connection = await scene.connect(state=PENDING)

        verified = await verify(scene.ports, connection)

        assert not verified.passed
        assert verified.again is again
        assert verified.reason == f"answered {status}"
        assert verified.connection == connection
        assert await unchanged(scene, connection)


class Ending(ScriptedAdapter):
    """Its probe ends as it is told."""

    outcome = Unsure(reason="who knows")

    def probe(self) -> Plan:
        yield from ()
        return self.outcome


@pytest.mark.parametrize(
    "outcome", [Unsure(reason="because"), Refused(reason="because"), NeedsLogin(reason="because")]
)
async def test_any_other_ending_of_a_probe_changes_nothing(sqlite_url, outcome, monkeypatch):
    monkeypatch.setattr(Ending, "outcome", outcome)
    async with a_scene(sqlite_url, adapters=(Ending(),)) as scene:
        connection = await scene.connect(state=PENDING)

        verified = await verify(scene.ports, connection)

        assert (verified.passed, verified.reason, verified.again) == (False, "because", False)
        assert await unchanged(scene, connection)


async def test_a_provider_that_does_not_answer_may_be_tried_again(sqlite_url):
    async def answer(request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        raise httpx.ConnectError("refused")

    async with a_scene(sqlite_url, answer=answer) as scene:
        connection = await scene.connect(state=PENDING)

        verified = await verify(scene.ports, connection)

        assert (verified.passed, verified.again) == (False, True)
        assert await unchanged(scene, connection)


@pytest.mark.parametrize("error", [AWAY, SecretLostError("there is no secret")])
async def test_credentials_that_can_not_be_read_change_nothing(sqlite_url, error):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect(state=PENDING)
        scene.secrets.down = error

        with pytest.raises(type(error)):
            await verify(scene.ports, connection)
        assert await unchanged(scene, connection)


@pytest.mark.parametrize("error", [AWAY, PlatformRefusedError("PM-3", "CONTRACT_NOT_FOUND")])
async def test_a_producer_that_pm3_does_not_take_leaves_the_connection_as_it_is(sqlite_url, error):
    answer, _ = saying(200)
    async with a_scene(sqlite_url, answer=answer) as scene:
        connection = await scene.connect(state=PENDING)
        scene.signals.refuses_producers = error

        with pytest.raises(type(error)):
            await verify(scene.ports, connection)
        assert await unchanged(scene, connection)


async def test_a_connection_that_was_suspended_meanwhile_is_not_activated(store_url):
    answer, _ = saying(200)
    async with a_scene(store_url, answer=answer) as scene:
        connection = await scene.connect(state=PENDING)
        await scene.store.inner.change_state(
            "acme",
            connection.connection_id,
            expected=(PENDING,),
            state=ConnectionState.SUSPENDED,
            reason="an operator said so",
            now=scene.clock.now(),
            receipt=None,
        )

        with pytest.raises(ConflictError):
            await verify(scene.ports, connection)

        stored = await scene.store.inner.connection("acme", connection.connection_id)
        assert stored is not None
        assert stored.state is ConnectionState.SUSPENDED
        assert await said(scene) == []


async def test_a_provider_without_an_adapter_is_an_error(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect(state=PENDING, provider_id="retired")

        with pytest.raises(UnknownProviderError):
            await verify(scene.ports, connection)


async def test_a_vanished_connection_registers_no_producer(sqlite_url):
    answer, _ = saying(200)
    async with a_scene(sqlite_url, answer=answer) as scene:
        connection = await scene.connect(state=PENDING)
        other = evolve(connection, connection_id=scene.ports.ids())

        with pytest.raises(Exception, match="no such connection"):
            await verify(scene.ports, other)
        assert scene.signals.producers == {}


async def test_what_was_delivered_before_is_forwarded_once_it_is_active(sqlite_url):
    answer, _ = saying(200)
    async with a_scene(sqlite_url, answer=answer) as scene, scene.node():
        connection = await scene.connect(state=PENDING)
        await scene.deliver(connection, *scene.deliveries(connection, {"signals": 2}))
        await scene.watch.until(lambda: scene.recorder.stopped_at)

        await verify(evolve(scene.ports, wake=scene.wake), connection)

        await scene.counted(connection, forwarded=1)
