"""The program as its operator calls it, in a process of its own making or beside a node of a test."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import orjson
import trio
from click.testing import CliRunner, Result

from http_edge.__main__ import main
from tests.http_edge.scene import Scene

NOTHING = {name: None for name in os.environ if name.startswith("IA_")}


def call(*arguments: str, typed: str | bytes = "", **environ: str) -> Result:
    """Call the program with ``typed`` on its standard input and no setting but ``environ``."""
    return CliRunner().invoke(main, list(arguments), input=typed, env={**NOTHING, **environ})


async def cli(
    scene: Scene,
    *arguments: str,
    role: str = "tenant_admin",
    tenant: str = "acme",
    typed: str | bytes = "",
    **environ: str,
) -> Result:
    """Call the program against the scene's node, as a caller that it knows."""
    asked = {"IA_API_URL": scene.url, "IA_API_TOKEN": scene.token(role, tenant), **environ}
    return await trio.to_thread.run_sync(partial(call, *arguments, typed=typed, **asked))


def done(result: Result) -> dict[str, Any]:
    """The one JSON document that a call which succeeded printed, and nothing else."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    (line,) = result.stdout.splitlines()
    document: dict[str, Any] = orjson.loads(line)
    return document
