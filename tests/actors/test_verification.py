"""Verification: a connection becomes active only when its provider and PM-3 said yes, exactly as it was tried (FR-2)."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
import trio
from attrs import evolve

from actors import incidents
from actors.connections import Connections
from actors.errors import BusyError, WrongStateError
from actors.orders import By, Edits
from actors.platform.errors import PlatformRefusedError, PlatformUnavailableError, SecretLostError
from adapters.contract import NeedsLogin, Plan, Refused, Request, Secret, Unsure
from adapters.credentials import AppKey, OAuthTokens, sealed_form
from adapters.errors import UnknownProviderError
from persistence.errors import MissingError, StaleError
from persistence.records import ConnectionRecord, ConnectionState
from tests.actors.hub import ME, Hub, a_hub
from tests.actors.scene import PACE, TOKEN, Scene, a_scene
from tests.fakes.adapters import ScriptedAdapter
from tests.persistence import samples

PENDING, ACTIVE = ConnectionState.PENDING_VERIFICATION, ConnectionState.ACTIVE
ERROR, SUSPENDED = ConnectionState.ERROR, ConnectionState.SUSPENDED
AWAY = PlatformUnavailableError("no answer")


def saying(status: int, text: str = '{"login":"octo"}'):
    asked: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        await trio.lowlevel.checkpoint()
        return httpx.Response(status, text=text)

    return answer, asked


def connections(scene: Scene) -> Connections:
    return Connections(ports=evolve(scene.ports, wake=scene.wake))


async def verify(scene: Scene, connection: ConnectionRecord, by: By = ME):
    return await connections(scene).verify(connection.tenant_id, connection.connection_id, by)


async def unchanged(scene: Scene, connection: ConnectionRecord) -> bool:
    """Nothing in the store or at PM-3 says that it was verified."""
    stored = await scene.store.inner.connection("acme", connection.connection_id)
    assert stored is not None
    assert (stored.state, stored.reason, stored.verified_at) == (connection.state, None, None)
    assert (stored.updated_at, stored.version) == (connection.updated_at, 1)
    assert not scene.log.of("connection.changed")
    return not scene.signals.producers


@pytest.mark.parametrize("state", [PENDING, ACTIVE, ERROR])
async def test_a_connection_that_passes_becomes_active_with_a_receipt_and_a_producer(
    store_url, state
):
    """UT-IA-01."""
    answer, asked = saying(200)
    async with a_scene(store_url, answer=answer) as scene, scene.node():
        connection = await scene.connect(state=state)

        verified = await verify(scene, connection)

        assert verified.passed
        assert verified.details == b'{"login":"octo"}'
        stored = await scene.store.inner.connection("acme", connection.connection_id)
        assert verified.connection == stored
        assert stored is not None
        assert stored.state is ACTIVE
        assert list(scene.signals.producers) == [str(connection.connection_id)]
        assert asked[0].headers["authorization"] == f"Bearer {TOKEN.decode()}"
        (line,) = scene.log.of("connection.changed")
        assert (line["move"], line["before"], line["after"]) == ("verify", state, ACTIVE)
        await scene.watch.until(lambda: said(scene))
        (receipt,) = said(scene)
        assert receipt["inputs"]["operation"] == "integration.connection.scripted.verify"
        assert receipt["result"] == {"state": "active", "succeeded": True}


def said(scene: Scene) -> list[dict[str, Any]]:
    """The receipts about a verification."""
    return [one for one in scene.receipts.documents if "inputs" in one]


async def test_a_connection_that_only_receives_asks_nobody(sqlite_url):
    answer, asked = saying(500)
    async with a_scene(sqlite_url, answer=answer) as scene, scene.node():
        connection = await scene.connect(state=PENDING, token=None)
        silent = await verify(scene, connection)
        await scene.deliver(connection, *scene.deliveries(connection, {"signals": 1}))

        verified = await verify(scene, connection)

        assert (silent.passed, silent.again) == (False, True)
        assert verified.passed
        assert orjson.loads(verified.details) == {"kind": "webhook_only"}
        assert asked == []


@pytest.mark.parametrize(
    ("status", "again"), [(401, False), (403, False), (404, False), (429, True), (503, True)]
)
async def test_a_provider_that_says_no_changes_nothing(sqlite_url, status, again):
    answer, _ = saying(status)
    async with a_scene(sqlite_url, answer=answer) as scene, scene.node():
        connection = await scene.connect(state=PENDING)

        verified = await verify(scene, connection)

        assert (verified.passed, verified.again) == (False, again)
        assert verified.reason == f"answered {status}"
        assert verified.connection.state is PENDING
        assert await unchanged(scene, connection)


class Ending(ScriptedAdapter):
    """Its probe ends as it is told."""

    outcome = Unsure(reason="who knows")

    def probe(self, settings: bytes = b"{}", *, granted: tuple[str, ...] = ()) -> Plan:
        yield from ()
        return self.outcome


@pytest.mark.parametrize(
    "outcome", [Unsure(reason="because"), Refused(reason="because"), NeedsLogin(reason="because")]
)
async def test_any_other_ending_of_a_probe_changes_nothing(sqlite_url, outcome, monkeypatch):
    monkeypatch.setattr(Ending, "outcome", outcome)
    async with a_scene(sqlite_url, adapters=(Ending(),)) as scene, scene.node():
        connection = await scene.connect(state=PENDING)

        verified = await verify(scene, connection)

        assert (verified.passed, verified.reason, verified.again) == (False, "because", False)
        assert await unchanged(scene, connection)


async def test_a_provider_that_does_not_answer_may_be_tried_again(sqlite_url):
    async def answer(request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        raise httpx.ConnectError("refused")

    async with a_scene(sqlite_url, answer=answer) as scene, scene.node():
        connection = await scene.connect(state=PENDING)

        verified = await verify(scene, connection)

        assert (verified.passed, verified.again) == (False, True)
        assert await unchanged(scene, connection)


@pytest.mark.parametrize(
    ("error", "again"), [(AWAY, True), (SecretLostError("there is no secret"), False)]
)
async def test_credentials_that_can_not_be_read_change_nothing(sqlite_url, error, again):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect(state=PENDING)
        scene.secrets.down = error

        verified = await verify(scene, connection)

        assert (verified.passed, verified.again) == (False, again)
        assert str(error) in str(verified.reason)
        assert await unchanged(scene, connection)


@pytest.mark.parametrize("error", [AWAY, PlatformRefusedError("PM-3", "CONTRACT_NOT_FOUND")])
async def test_a_producer_that_pm3_does_not_take_leaves_the_connection_as_it_is(sqlite_url, error):
    answer, _ = saying(200)
    async with a_scene(sqlite_url, answer=answer) as scene, scene.node():
        connection = await scene.connect(state=PENDING)
        scene.signals.refuses_producers = error

        with pytest.raises(type(error)):
            await verify(scene, connection)
        assert await unchanged(scene, connection)


async def test_a_connection_that_was_suspended_meanwhile_is_not_activated(store_url):
    scene: Scene

    async def answer(request: httpx.Request) -> httpx.Response:
        await samples.move(scene.store.inner, connection, SUSPENDED, now=scene.clock.now())
        return httpx.Response(200, text="{}")

    async with a_scene(store_url, answer=answer) as scene, scene.node():
        connection = await scene.connect(state=PENDING)

        with pytest.raises(WrongStateError):
            await verify(scene, connection)

        stored = await scene.store.inner.connection("acme", connection.connection_id)
        assert stored is not None
        assert stored.state is SUSPENDED


async def test_what_it_was_changed_to_while_it_was_tried_is_not_active_untried(store_url):
    """Active only when it passed: the change is to the version that was tried."""
    async with a_hub(store_url) as hub:
        connection = (await hub.create()).connection
        moved = Edits(settings=b'{"repositories": ["acme/nowhere"]}')
        place = (connection.tenant_id, connection.connection_id)
        version = connection.version

        async def changed() -> None:
            await hub.connections.change(*place, moved, ME)

        calls = hub.scene.store.calls["change_connection"]
        hub.scene.store.on("change_connection", changed)
        verified = await hub.connections.verify(*place, ME)

        assert verified.passed
        assert [seen.request.url for seen in hub.github.seen].count("/user") == 2  # tried again
        assert hub.scene.store.calls["change_connection"] == calls + 3
        assert (await hub.read(connection)).version == version + 2


async def test_who_has_a_version_in_mind_is_told_that_it_changed_meanwhile(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = (await hub.create()).connection
        place = (connection.tenant_id, connection.connection_id)

        async def renamed() -> None:
            await hub.connections.change(*place, Edits(display_name="renamed"), ME)

        hub.scene.store.on("change_connection", renamed)
        with pytest.raises(StaleError):
            await hub.connections.verify(*place, By(subject="ada", version=1))

        assert (await hub.read(connection)).state is PENDING


async def test_a_provider_without_an_adapter_is_an_error(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect(state=ACTIVE, provider_id="retired")

        with pytest.raises(UnknownProviderError):
            await connections(scene).subscribe("acme", connection.connection_id, ME)


async def test_a_connection_that_is_not_there_registers_no_producer(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect(state=PENDING)

        with pytest.raises(MissingError):
            await verify(scene, evolve(connection, connection_id=scene.ports.ids()))
        assert scene.signals.producers == {}


async def test_what_was_delivered_before_is_forwarded_once_it_is_active(sqlite_url):
    answer, _ = saying(200)
    async with a_scene(sqlite_url, answer=answer) as scene, scene.node():
        connection = await scene.connect(state=PENDING)
        await scene.deliver(connection, *scene.deliveries(connection, {"signals": 2}))
        await scene.counted(connection, pending=1)

        await verify(scene, connection)

        await scene.counted(connection, forwarded=1)


async def test_a_verification_ends_the_trouble_with_the_login(sqlite_url):
    answer, _ = saying(200)
    async with a_scene(sqlite_url, answer=answer) as scene, scene.node():
        connection = await scene.connect(state=ERROR)
        await incidents.opened(scene.ports, connection, incidents.NEEDS_LOGIN, "revoked")

        await verify(scene, connection)

        known = await scene.store.inner.incidents("acme", connection.connection_id, limit=9)
        assert [incident.resolved_at is not None for incident in known] == [True]


async def test_who_asks_an_actor_that_does_not_answer_in_time_is_told_to_come_back(sqlite_url):
    """P7: every wait has a deadline."""
    held = trio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        await held.wait()
        return httpx.Response(200, text="{}")

    pace = evolve(PACE, answer_within=PACE.neighbour.cap)
    async with a_scene(sqlite_url, answer=answer, pace=pace) as scene, scene.node():
        connection = await scene.connect(state=PENDING)

        with pytest.raises(BusyError) as busy:
            await verify(scene, connection)

        assert busy.value.retry_after.total_seconds() > 0
        held.set()


class Asks(ScriptedAdapter):
    """Its probe tells what it was given."""

    def probe(self, settings: bytes = b"{}", *, granted: tuple[str, ...] = ()) -> Plan:
        yield Request(method="GET", url="/me")
        return Refused(reason=",".join(granted))


async def test_a_probe_is_told_what_the_grant_said_of_itself(sqlite_url):
    """FR-2: of some tokens only their grant says what they may do."""
    answer, _ = saying(200)
    async with a_scene(sqlite_url, adapters=(Asks(),), answer=answer) as scene, scene.node():
        tokens = OAuthTokens(
            access_token=Secret(value=b"t"),
            refresh_token=None,
            expires_at=None,
            scopes=("repo", "admin:repo_hook"),
        )
        connection = await scene.connect(state=PENDING, token=sealed_form(tokens).value)

        assert (await verify(scene, connection)).reason == "repo,admin:repo_hook"


async def test_each_permission_of_a_real_probe_is_reported(sqlite_url):
    """FR-2: granted, missing or unknown, of the real API's shape."""
    async with a_hub(sqlite_url) as hub:
        verified = await tried(hub)

        permissions = orjson.loads(verified.details)["permissions"]
        assert set(permissions.values()) <= {"granted", "missing", "unknown"}
        assert permissions


async def tried(hub: Hub):
    connection = (await hub.create()).connection
    return await hub.connections.verify("acme", connection.connection_id, ME)


async def test_a_key_that_can_not_sign_is_for_a_person_and_harms_no_actor(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        key = AppKey(app_id="7", installation_id="11", private_key=Secret(value=b"no key"))
        connection = (await hub.create(credentials=key)).connection

        verified = await hub.connections.verify("acme", connection.connection_id, ME)

        assert (verified.passed, verified.again) == (False, False)
        assert "private key" in str(verified.reason)
        assert hub.scene.recorder.crashes == []
