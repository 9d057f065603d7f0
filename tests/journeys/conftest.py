"""The real program in a process of its own, among simulated neighbours that outlive it."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import trio

from http_edge import child, surroundings
from http_edge.child import Child, Program
from http_edge.node import new_id
from http_edge.stage import Stage
from runtime import TrioClock


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as opened:
        yield opened


@pytest.fixture
async def stage(nursery: trio.Nursery, client: httpx.AsyncClient) -> Stage:
    clock = TrioClock(datetime.now(UTC))
    around = await surroundings.start(nursery, clock=clock, ids=new_id)
    url = f"http://127.0.0.1:{free_port()}"
    return Stage(node_url=url, around=around, client=client, clock=clock, ids=new_id)


@pytest.fixture
def program(stage: Stage, store_url: str, tmp_path: Path) -> Program:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IA_")}
    return Program(
        environ={
            **inherited,
            **stage.around.environ(),
            "IA_BIND": stage.node_url.removeprefix("http://"),
            "IA_PUBLIC_URL": stage.node_url,
            "IA_DATABASE_URL": store_url,
            "IA_WEBHOOK_RATE_PER_S": "100000",
            "IA_WEBHOOK_BURST": "100000",
            "IA_UPKEEP_EVERY": "0.5",
        },
        url=stage.node_url,
        log=tmp_path / "node.log",
    )


@pytest.fixture
async def node(program: Program, client: httpx.AsyncClient) -> AsyncIterator[Child]:
    started = await child.start(program, client)
    yield started
    started.process.kill()
    with trio.CancelScope(shield=True):
        await started.process.wait()
