"""The command line: what an operator can mend is told in a line, and the exit code says how it went."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import orjson
import pytest
import trio

from adapters.contract import Request, Secret
from adapters.github import ADAPTER
from http_edge import demo, dev
from http_edge.commands.running import leaves
from http_edge.routes import contract
from http_edge.settings import describe
from http_edge.surroundings import Ports
from tests.actors.platform.world import EPOCH
from tests.http_edge.command import NOTHING, call
from tests.http_edge.test_settings import LEAST


def test_help_names_every_command_and_every_setting() -> None:
    result = call("--help")

    assert result.exit_code == 0
    for command in (
        *("serve", "dev", "migrate", "demo", "send", "openapi"),
        *("providers", "connections", "actions", "receipts"),
    ):
        assert f"\n  {command} " in result.output
    for name, _, _ in describe():
        assert name in result.output


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_wrong_settings_are_told_line_by_line_and_exit_2(command: str) -> None:
    result = call(command, IA_COLOUR="red", IA_IAM_SECRET="s3cret")

    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert any(line.startswith("IA_PM3_URL is missing") for line in lines)
    assert "IA_COLOUR is no setting" in lines
    assert "s3cret" not in result.output
    assert "Traceback" not in result.output


def test_dev_with_a_wrong_setting_is_told_and_exits_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "_PORTS", Ports())
    monkeypatch.chdir(tmp_path)

    result = call("dev", IA_DRAIN="soon")

    assert result.exit_code == 2
    assert "IA_DRAIN must be a number of seconds above 0" in result.stderr


def test_migrate_brings_a_database_to_the_schema_and_says_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"

    first = call("migrate", **LEAST, IA_DATABASE_URL=url)
    again = call("migrate", **LEAST, IA_DATABASE_URL=url)

    assert first.exit_code == again.exit_code == 0
    assert first.output == again.output
    assert first.output.startswith("at revision ")


@pytest.mark.parametrize("command", ["migrate", "serve"])
def test_a_database_that_is_none_is_told_in_a_line_and_exits_1(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)

    result = call(command, **LEAST, IA_DATABASE_URL=f"sqlite:///{tmp_path}/broken.db")

    assert result.exit_code == 1
    assert result.stderr.startswith("StoreUnavailableError: can not migrate")
    assert len(result.stderr.splitlines()) == 1


def serving(tmp_path: Path, bind: str) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if name not in NOTHING}
    database = f"sqlite:///{tmp_path}/x.db"
    return subprocess.Popen(
        [sys.executable, "-m", "http_edge", "serve"],
        env={**environ, **LEAST, "IA_DATABASE_URL": database, "IA_BIND": bind},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.thorough
def test_serve_on_a_port_that_is_taken_is_told_and_exits_1(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        serving(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}") as process,
    ):
        _, told = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "OSError: " in told
    assert "Traceback" not in told


def test_p11_serve_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    """P11: the process, as its manager sees it."""
    with serving(tmp_path, "127.0.0.1:0") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "node.listening" in line:
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(timeout=30) == 0

    assert "node.stopped" in rest
    assert "Traceback" not in rest


class Hook:
    """A webhook endpoint that remembers what it got."""

    def __init__(self, status: int) -> None:
        self.requests: list[Request] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = tuple((name.lower(), value) for name, value in self.headers.items())
                hook.requests.append(
                    Request(method="POST", url=self.path, headers=headers, body=body)
                )
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"understood")

            def log_message(self, *arguments: object) -> None:
                """Stay silent."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture(params=[202])
def hook(request: pytest.FixtureRequest) -> Iterator[Hook]:
    hook = Hook(request.param)
    thread = threading.Thread(target=hook.server.serve_forever, args=(0.01,))
    thread.start()
    yield hook
    hook.server.shutdown()
    thread.join()
    hook.server.server_close()


def test_send_signs_a_made_payload_as_the_provider_would(hook: Hook) -> None:
    result = call("send", hook.url, IA_SEND_SECRET="a good secret")

    assert result.exit_code == 0
    assert result.output == "202 understood\n"
    secrets = (Secret(value=b"a good secret"),)
    delivery = ADAPTER.receive(hook.requests[0], secrets=secrets, now=EPOCH)
    assert delivery.event_kind == "pull_request.opened"
    assert len(delivery.event_id) == 36


def test_send_takes_a_payload_an_event_and_an_id(hook: Hook, tmp_path: Path) -> None:
    payload = tmp_path / "payload.json"
    payload.write_bytes(b'{"zen": "Keep it logically awesome."}')

    arguments = (
        "--payload",
        str(payload),
        "--event",
        "ping",
        "--id",
        "guid-1",
        "--secret",
        "hush",
    )
    result = call("send", hook.url, *arguments)

    assert result.exit_code == 0
    delivery = ADAPTER.receive(hook.requests[0], secrets=(Secret(value=b"hush"),), now=EPOCH)
    assert (delivery.event_kind, delivery.event_id) == ("ping", "guid-1")
    assert delivery.body == payload.read_bytes()


@pytest.mark.parametrize("hook", [401], indirect=True)
def test_send_exits_1_when_the_node_refuses(hook: Hook) -> None:
    result = call("send", hook.url, "--secret", "wrong")

    assert result.exit_code == 1
    assert result.output == "401 understood\n"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/hook", "no-url", "http://\x00"])
def test_send_to_nobody_is_told_in_a_line(url: str) -> None:
    result = call("send", url, "--secret", "hush")

    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "hush" not in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--event", "pull_request.exploded", "--secret", "x"), "no sample"),
        (("--provider", "gopher", "--secret", "x"), "gopher"),
        ((), "--secret"),
    ],
)
def test_a_wrong_send_is_explained_and_exits_2(arguments: tuple[str, ...], said: str) -> None:
    result = call("send", "http://127.0.0.1:1", *arguments)

    assert result.exit_code == 2
    assert said in result.output


def test_demo_exits_with_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> int:
        await trio.lowlevel.checkpoint()
        return 1

    monkeypatch.setattr(demo, "main", broken)

    assert call("demo").exit_code == 1


def test_openapi_prints_the_document_that_is_served() -> None:
    result = call("openapi")

    assert result.exit_code == 0
    assert result.stdout_bytes == contract()
    assert orjson.loads(result.stdout)["openapi"].startswith("3.1")


def test_what_the_command_line_is_told_does_not_stop_a_node(tmp_path: Path) -> None:
    told = {"IA_API_URL": "http://x", "IA_API_TOKEN": "x", "IA_API_TOKEN_FILE": "x"}

    result = call("migrate", **LEAST, **told, IA_DATABASE_URL=f"sqlite:///{tmp_path}/new.db")

    assert result.exit_code == 0, result.output


def test_the_errors_in_a_group_of_groups_are_all_found() -> None:
    first, second, third = ValueError("1"), OSError("2"), KeyError("3")

    group = BaseExceptionGroup("", [first, BaseExceptionGroup("", [second, third])])

    assert list(leaves(group)) == [first, second, third]
