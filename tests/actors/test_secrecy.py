"""P8 no-secret: no token in a log, a receipt, a repr, an error or a row, whatever goes wrong."""

from __future__ import annotations

import sqlite3

import httpx
import pytest
import trio
from attrs import evolve

from actors.connections import Connections
from actors.grants import Held
from actors.jobs import Job, Task
from actors.line import Ticket
from actors.orders import By, NewConnection, Rotation
from actors.platform.errors import PlatformUnavailableError
from actors.replies import Reply
from adapters.contract import Request, Secret
from adapters.credentials import StaticToken
from persistence.opening import sqlite_path
from runtime import Permit
from tests.actors.scene import EPOCH, TOKEN, a_scene
from tests.fakes.adapters import BASE_URL, ScriptedAdapter

HEADERS = {"x-echo": TOKEN.decode()}


def answering(trouble: str):
    async def answer(request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        given = request.headers["authorization"]
        match trouble:
            case "unreachable":
                raise httpx.ConnectError(f"{request.url} with {given}")
            case "dropped":
                raise httpx.ReadError(f"{request.url} with {given}")
            case "refused":
                return httpx.Response(403, text=f"you said {given}", headers=HEADERS)
            case "login":
                return httpx.Response(401, text=f"you said {given}", headers=HEADERS)
            case _:
                return httpx.Response(201, text="fine", headers=HEADERS)

    return answer


@pytest.mark.parametrize("trouble", ["none", "unreachable", "dropped", "refused", "login"])
async def test_the_token_is_nowhere_but_at_the_provider(sqlite_url, trouble):
    async with a_scene(sqlite_url, answer=answering(trouble)) as scene, scene.node():
        connection = await scene.connect()
        action = scene.action(connection)

        await scene.order(connection, action)
        if trouble == "unreachable":
            await scene.watch.until(lambda: scene.store.calls["postpone_action"] > 1)
        else:
            await scene.ended(action)
        verified = await Connections(ports=evolve(scene.ports, wake=scene.wake)).verify(
            "acme", connection.connection_id, By(subject="ada")
        )
        await scene.watch.until(lambda: scene.receipts.kept)

        said = repr((scene.log.entries, scene.receipts.sent, verified, scene.store.asked))
        assert TOKEN.decode() not in said
        assert TOKEN.decode() not in scene.ports.metrics.exposition(()).decode()
    assert TOKEN.decode() not in dump(sqlite_url)


async def test_a_key_service_that_is_away_is_told_without_the_secret(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()
        scene.secrets.down = PlatformUnavailableError("M33 gave no answer")

        await scene.order(connection, scene.action(connection))
        await scene.watch.until(lambda: scene.store.calls["postpone_action"])

        assert TOKEN.decode() not in repr(scene.store.asked)


def dump(store_url: str) -> str:
    """The whole database as text."""
    connection = sqlite3.connect(sqlite_path(store_url))
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


def test_no_repr_shows_a_token():
    token = Secret(value=TOKEN)
    authorised = ScriptedAdapter().authorise(Request(method="GET", url="/"), token=token)

    static = StaticToken(token=token)
    for holder in (
        token,
        Held(token=token, until=EPOCH, ends=EPOCH),
        Ticket(permit=Permit(era=0), token=token),
        Job(task=Task.PROBE, reply=Reply(), credentials=static),
        Rotation(credentials=static, webhook_secret=token),
        NewConnection(
            provider_id="scripted",
            display_name="door",
            base_url=BASE_URL,
            capabilities=(),
            credentials=static,
            webhook_secret=token,
        ),
    ):
        assert TOKEN.decode() not in f"{holder} {holder!r}"
    assert authorised.header("authorization") == f"Bearer {TOKEN.decode()}"
