"""A node as a process of its own, which can be started, asked, stopped and killed: for the demo and the tests."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import trio
from attrs import define, evolve, frozen

from http_edge.surroundings import Surroundings

_READY_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.05


class NodeDiedError(Exception):
    """The process ended before it was ready; the end of its log is the message."""


@frozen(kw_only=True)
class Program:
    """What to run: settings, where it listens, and the file its log is appended to."""

    environ: Mapping[str, str]
    url: str
    log: Path


@define
class Child:
    """A running node."""

    program: Program
    process: trio.Process

    async def kill(self) -> None:
        """End it as a power cut would: SIGKILL, no warning, no cleanup."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """Ask it to end (SIGTERM); returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()

    async def start_again(self, client: httpx.AsyncClient) -> None:
        """Start the program once more, after its end. Raises as ``start``."""
        self.process = (await start(self.program, client)).process


def free_url() -> str:
    """A URL on this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def among(
    around: Surroundings,
    *,
    url: str,
    database_url: str,
    log: Path,
    inherited: Mapping[str, str],
) -> Program:
    """A node among these neighbours; of the environment it inherits, no settings count."""
    environ = {
        **_without_settings(inherited),
        **around.environ(),
        "IA_BIND": url.removeprefix("http://"),
        "IA_PUBLIC_URL": url,
        "IA_DATABASE_URL": database_url,
        "IA_WEBHOOK_RATE_PER_S": "100000",
        "IA_WEBHOOK_BURST": "100000",
        "IA_UPKEEP_EVERY": "0.5",
    }
    return Program(environ=environ, url=url, log=log)


async def start(program: Program, client: httpx.AsyncClient) -> Child:
    """Start a node and wait until it is ready.

    Raises:
        NodeDiedError: it ended instead.
        trio.TooSlowError: it was not ready within 30 seconds; it is killed.
    """
    with program.log.open("ab") as log:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "http_edge", "serve"],
            env=dict(program.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    child = Child(program, process)
    ready = False
    try:
        with trio.fail_after(_READY_WITHIN_S):
            await _wait_ready(child, client)
        ready = True
    finally:
        if not ready:
            process.kill()
    return child


async def command(
    program: Program, *words: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run another command of the program with its settings to its end, whatever that is; its output is kept."""
    return await trio.run_process(
        [sys.executable, "-m", "http_edge", *words],
        env=dict(program.environ),
        stdin=stdin,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )


def without_settings(program: Program) -> Program:
    """The same program on a machine that knows nothing of the node."""
    return evolve(program, environ=_without_settings(program.environ))


def _without_settings(environ: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith("IA_")}


async def _wait_ready(child: Child, client: httpx.AsyncClient) -> None:
    while not await _is_ready(child.program.url, client):
        if child.process.poll() is not None:
            raise NodeDiedError(child.program.log.read_text(errors="replace")[-2000:])
        await trio.sleep(_LOOK_EVERY_S)


async def _is_ready(url: str, client: httpx.AsyncClient) -> bool:
    try:
        answer = await client.get(f"{url}/health/ready", timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == 200
