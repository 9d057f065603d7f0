"""The real program in a process of its own, among simulated neighbours that outlive it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
from attrs import evolve

from http_edge import child, surroundings
from http_edge.child import Child, Program
from http_edge.hubs import RENEWED_AHEAD, HastyGitHub, hub
from http_edge.node import new_id
from http_edge.simulators import serve_simulator
from http_edge.stage import Stage
from runtime import TrioClock


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as opened:
        yield opened


@pytest.fixture
async def stage(nursery: trio.Nursery, client: httpx.AsyncClient) -> Stage:
    clock = TrioClock(datetime.now(UTC))
    around = await surroundings.start(nursery, clock=clock, ids=new_id)
    return Stage(node_url=child.free_url(), around=around, client=client, clock=clock, ids=new_id)


@pytest.fixture
async def hasty(nursery: trio.Nursery, stage: Stage) -> Stage:
    """The same tenant, whose GitHub grants tokens so short that each start of a node renews them."""
    github = HastyGitHub(github=hub(now=stage.clock.now()), lives=RENEWED_AHEAD * 0.8)
    serve = partial(serve_simulator, github.handle, clock=stage.clock)
    return evolve(
        stage, around=evolve(stage.around, github_url=await nursery.start(serve)), sent=[]
    )


@pytest.fixture
def program(stage: Stage, store_url: str, tmp_path: Path) -> Program:
    return child.among(
        stage.around,
        url=stage.node_url,
        database_url=store_url,
        log=tmp_path / "node.log",
        inherited=os.environ,
    )


@pytest.fixture
async def node(program: Program, client: httpx.AsyncClient) -> AsyncIterator[Child]:
    started = await child.start(program, client)
    yield started
    started.process.kill()
    with trio.CancelScope(shield=True):
        await started.process.wait()
