"""The development node: what a newcomer is told works when pasted, and a restart finds its state."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from adapters.contract import Secret
from http_edge import dev
from http_edge.sending import made_payload, send, signed
from http_edge.surroundings import Ports
from tests.actors.platform.world import EPOCH
from tests.http_edge.scene import CONNECTIONS, EXECUTE, PATIENCE_S


def free_bind() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, and neighbours on free ports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dev, "_PORTS", Ports())
    return tmp_path


@asynccontextmanager
async def developing(monkeypatch: pytest.MonkeyPatch, bind: str) -> AsyncIterator[str]:
    """Run the development node until the block ends; gives what it told its user."""
    telling, told = trio.open_memory_channel[str](1)
    monkeypatch.setattr("http_edge.dev.click.echo", telling.send_nowait)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dev.main, {"IA_BIND": bind, "IA_LOG_LEVEL": "error"})
        with trio.fail_after(PATIENCE_S):
            yield await told.receive()
        os.kill(os.getpid(), signal.SIGTERM)


def said(hello: str, what: str) -> str:
    found = re.search(what, hello)
    assert found is not None, hello
    return found[1]


async def test_what_a_newcomer_is_told_works(
    somewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Create, verify, send, see it at PM-3, comment: as printed."""
    bind = free_bind()
    async with (
        developing(monkeypatch, bind) as hello,
        httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client,
    ):
        admin = {"authorization": f"Bearer {said(hello, 'ADMIN=(.+)')}"}
        module = {"authorization": f"Bearer {said(hello, 'MODULE=(.+)')}", "prefer": "wait=10"}
        bodies = re.findall(r"-d '(\{.*?\})'", hello, re.DOTALL)
        made = await client.post(
            f"http://{bind}{CONNECTIONS}", headers=admin, content=bodies[0].encode()
        )
        connection = made.json()["connection_id"]
        verified = await client.post(
            f"http://{bind}{CONNECTIONS}/{connection}/verify", headers=admin
        )
        sent = await send(client, made.json()["webhook"]["url"], pull_request())
        action = bodies[1].replace("CONNECTION_ID", connection).encode()
        commented = await client.post(f"http://{bind}{EXECUTE}", headers=module, content=action)

        assert said(hello, "listens on (http://[^;]+);") == f"http://{bind}"
        assert verified.json()["status"] == "active"
        assert sent.status == 202
        assert commented.json()["status"] == "done"


def pull_request():
    body = made_payload("pull_request.opened", 1, at=EPOCH)
    secret = Secret(value=b"webhook-secret")
    return signed("github", "pull_request", body, secret=secret, event_id="guid-1")


async def test_a_restart_finds_its_connections_and_can_read_their_secrets(
    somewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulated M33 keeps its keys beside the database."""
    bind = free_bind()
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
        async with developing(monkeypatch, bind) as hello:
            admin = {"authorization": f"Bearer {said(hello, 'ADMIN=(.+)')}"}
            body = re.findall(r"-d '(\{.*?\})'", hello, re.DOTALL)[0].encode()
            made = await client.post(f"http://{bind}{CONNECTIONS}", headers=admin, content=body)
        async with developing(monkeypatch, bind):
            sent = await send(client, made.json()["webhook"]["url"], pull_request())

    assert made.status_code == 201
    assert sent.status == 202
    assert {path.name for path in (somewhere / "var").iterdir()} >= {
        "dev-kms.json",
        "dev.sqlite3",
    }
