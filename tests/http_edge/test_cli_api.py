"""How the command line asks: who, how long, what is told of a refusal, and what becomes of an answer that is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest
import trio
from click.testing import Result

from adapters.contract import Request, Response
from adapters.simulation import Reply, as_json
from http_edge.simulators import serve_simulator
from runtime import TrioClock
from tests.actors.platform.world import EPOCH
from tests.fakes.certificates import Authority
from tests.http_edge.command import call, cli, done
from tests.http_edge.scene import CONNECTIONS, Scene
from tests.http_edge.test_cli_connections import token_file

pytestmark = pytest.mark.thorough

CREATE = ("connections", "create", "--json", "--provider", "github", "--name", "rocket")
SOMEBODY = "t0ken-of-somebody"


class Node:
    """Something that answers as it is told, and remembers what it was asked."""

    def __init__(self, *answers: Response | None) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    def handle(self, request: Request, *, now: object) -> Reply:
        self.asked.append(request)
        return Reply(response=self.answers.pop(0))


@asynccontextmanager
async def answering(
    *answers: Response | None,
) -> AsyncIterator[tuple[Node, Callable[..., Awaitable[Result]]]]:
    """A node of that sort, and how to call the program against it."""
    node = Node(*answers)
    async with trio.open_nursery() as nursery:
        serve = partial(serve_simulator, node.handle, clock=TrioClock(EPOCH))
        url = await nursery.start(serve)

        async def asking(*arguments: str, **environ: str):
            asked = {"IA_API_URL": url, "IA_API_TOKEN": SOMEBODY, **environ}
            return await trio.to_thread.run_sync(partial(call, *arguments, **asked))

        yield node, asking
        nursery.cancel_scope.cancel()


def error(status: int, *, message: str = "no", code: str = "NO", **details: str) -> Response:
    document = {"error": {"code": code, "message": message, "details": details, "timestamp": ""}}
    return as_json(status, document)


@pytest.mark.parametrize(
    ("answer", "exit_code", "said"),
    [
        (error(404, message="no such connection", correlation_id="c-1"), 1, "no such connection (404 NO, correlation id c-1)"),
        (error(422, message="a\n\x1b[2Jb"), 1, "a\\n\\x1b[2Jb (422 NO)"),
        (error(500), 3, "no (500 NO)"),
        (
            Response(
                status=503,
                headers=(("retry-after", "7"),),
                body=error(503, code="BUSY").body,
            ),
            3,
            "no (503 BUSY, try again in 7 s)",
        ),
        (Response(status=502, body=b"<html>"), 3, "502 Bad Gateway"),
        (Response(status=404, body=b'["no"]'), 1, "404 Not Found"),
        (as_json(418, {"error": "tea"}), 1, "418 I'm a teapot"),
        (Response(status=200, body=b"<html>"), 3, "did not answer as the API does (200)"),
        (Response(status=302, headers=(("location", "/"),)), 3, "did not answer as the API does (302)"),
        (Response(status=499), 1, "499"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_in_one_line(
    answer: Response, exit_code: int, said: str
) -> None:
    async with answering(answer) as (_, asking):
        result = await asking("connections", "list", "--json")

    assert result.exit_code == exit_code
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.rstrip().endswith(said)
    assert SOMEBODY not in result.stderr


async def test_a_page_that_is_empty_ends_the_list_whatever_it_promises() -> None:
    page = as_json(200, {"connections": [], "next_cursor": "00000000-0000-0000-0000-000000000001"})
    async with answering(page) as (node, asking):
        result = await asking("connections", "list", "--json")

    assert result.exit_code == 0
    assert len(node.asked) == 1


async def test_a_long_list_is_asked_for_in_pages_that_the_api_gives() -> None:
    def page(count: int, after: str | None) -> Response:
        return as_json(200, {"actions": [{}] * count, "next_cursor": after})

    cursor = "00000000-0000-0000-0000-000000000001"
    async with answering(page(200, cursor), page(50, cursor)) as (node, asking):
        result = await asking("actions", "list", "--json", "--limit", "250")

    assert [orjson.loads(line)["next_cursor"] for line in result.stdout.splitlines()] == [
        cursor,
        cursor,
    ]
    assert ["limit=200" in node.asked[0].url, "cursor" in node.asked[0].url] == [True, False]
    assert f"limit=50&cursor={cursor}" in node.asked[1].url


async def test_a_call_has_a_deadline() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")  # nobody answers there
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        ask = partial(call, "providers", IA_API_URL=url, IA_API_TOKEN="x")
        result = await trio.to_thread.run_sync(partial(ask, "--deadline", "0.2"))
        for listener in listeners:
            await listener.aclose()
        nursery.cancel_scope.cancel()

    assert result.exit_code == 3
    assert result.stderr == f"Error: {url}: no answer in time\n"


def test_nobody_there_is_told_in_a_line() -> None:
    result = call(*CREATE, IA_API_URL="http://127.0.0.1:1", IA_API_TOKEN="x")

    assert result.exit_code == 3
    assert result.stderr.startswith("Error: http://127.0.0.1:1: ConnectError: ")
    assert "it may have been done" not in result.stderr


class Losing:
    """A wire to a node that loses the answers to the first ``times`` requests, each after the node has answered."""

    def __init__(self, port: int, times: int) -> None:
        self._port = port
        self.left = times

    async def carry(self, stream: trio.SocketStream) -> None:
        node = await trio.open_tcp_stream("127.0.0.1", self._port)
        async with stream, node, trio.open_nursery() as nursery:
            nursery.start_soon(self._there, stream, node)
            answer = await node.receive_some()
            if self.left:
                self.left -= 1
            else:
                await stream.send_all(answer)
                async for more in node:
                    await stream.send_all(more)
            nursery.cancel_scope.cancel()

    async def _there(self, stream: trio.SocketStream, node: trio.SocketStream) -> None:
        async for data in stream:
            await node.send_all(data)


@asynccontextmanager
async def losing(scene: Scene, times: int) -> AsyncIterator[str]:
    """The URL of a wire to the scene's node that loses that many answers."""
    wire = Losing(urlsplit(scene.url).port or 0, times)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, wire.carry, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def connections_of(scene: Scene) -> list[str]:
    page = (await scene.call("tenant_admin", "GET", CONNECTIONS)).json()
    return [entry["connection_id"] for entry in page["connections"]]


async def test_a_lost_answer_is_asked_for_again_and_there_is_one_connection(
    scene: Scene, tmp_path: Path
) -> None:
    """The node did it, and the answer was lost: the same key gets the same answer, with the URL that is told once."""
    credentials = (
        "--base-url",
        scene.around.github_url,
        "--token-file",
        token_file(scene, tmp_path),
    )

    async with losing(scene, 1) as url:
        made = await cli(scene, *CREATE, *credentials, IA_API_URL=url)

    assert await connections_of(scene) == [done(made)["connection_id"]]
    assert done(made)["webhook"]["url"].startswith(scene.url)


async def test_a_call_whose_answers_are_all_lost_says_how_to_ask_again(
    scene: Scene, tmp_path: Path
) -> None:
    credentials = (
        "--base-url",
        scene.around.github_url,
        "--token-file",
        token_file(scene, tmp_path),
    )

    async with losing(scene, 2) as url:
        lost = await cli(scene, *CREATE, *credentials, IA_API_URL=url)
    _, _, key = lost.stderr.strip().rpartition("--idempotency-key ")
    again = await cli(scene, *CREATE, *credentials, "--idempotency-key", key)

    assert lost.exit_code == 3
    assert "it may have been done" in lost.stderr
    assert await connections_of(scene) == [done(again)["connection_id"]]


async def test_what_has_no_key_is_not_asked_twice(scene: Scene) -> None:
    connection = await scene.active()
    gone = ("connections", "delete", connection.connection_id, "--yes", "--if-match", "*")
    async with answering(as_json(200, {}), None) as (node, asking):
        lost = await asking(*gone)

    assert lost.exit_code == 3
    assert lost.stderr.rstrip().endswith("it may have been done: look before you ask again")
    assert [request.method for request in node.asked] == ["GET", "DELETE"]


async def test_a_request_that_still_runs_is_waited_for_after_a_lost_answer() -> None:
    running = error(409, code="REQUEST_RUNNING")
    done_now = as_json(201, {"connection_id": "c"})
    async with answering(None, running, done_now) as (node, asking):
        made = await asking(*CREATE)

    assert done(made) == {"connection_id": "c"}
    keys = {request.header("idempotency-key") for request in node.asked}
    assert len(node.asked) == 3
    assert len(keys) == 1


async def test_who_asks_may_stand_in_a_file(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(scene.token("viewer") + "\n")

    told = {"IA_API_URL": scene.url, "IA_API_TOKEN_FILE": str(tmp_path / "token")}
    result = await trio.to_thread.run_sync(partial(call, "providers", "--json", **told))

    assert done(result)["providers"][0]["provider_id"] == "github"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "who asks? Set IA_API_TOKEN or IA_API_TOKEN_FILE"),
        ({"IA_API_TOKEN": ""}, "IA_API_TOKEN holds no token"),
        ({"IA_API_TOKEN": "s3cret\nx-evil: 1"}, "IA_API_TOKEN holds no token"),
        ({"IA_API_TOKEN": "s3crét"}, "IA_API_TOKEN holds no token"),
        ({"IA_API_TOKEN_FILE": "/s3cret"}, "IA_API_TOKEN_FILE can not be read: No such file"),
    ],
)
def test_without_a_token_nobody_is_asked(environ: dict[str, str], said: str) -> None:
    result = call("providers", **environ)

    assert result.exit_code == 2
    assert said in result.stderr
    assert "s3cr" not in result.stderr


async def test_a_role_that_may_not_is_refused(scene: Scene) -> None:
    connection = await scene.create()

    result = await cli(scene, "connections", "verify", connection.connection_id, role="viewer")

    assert result.exit_code == 1
    assert "this needs the permission connections:write (403 FORBIDDEN, " in result.stderr


async def test_certificates_of_ones_own_are_believed_when_they_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "ca.pem").write_text(authority.pem)
    answer = b'HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{"providers":[]}'

    async def reply(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await stream.receive_some(65_536)
            await stream.send_all(answer)
        except trio.BrokenResourceError:
            await trio.lowlevel.checkpoint()  # it was not believed

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_ssl_over_tcp, reply, 0, authority.server("localhost"))
        listeners = await nursery.start(partial(serve, host="127.0.0.1"))
        port = listeners[0].transport_listener.socket.getsockname()[1]
        told = {"IA_API_URL": f"https://localhost:{port}", "IA_API_TOKEN": "x"}
        ask = partial(call, "providers", "--json", **told)
        unknown = await trio.to_thread.run_sync(ask)
        named = await trio.to_thread.run_sync(partial(ask, "--ca-file", str(tmp_path / "ca.pem")))
        nursery.cancel_scope.cancel()

    assert unknown.exit_code == 3
    assert "CERTIFICATE_VERIFY_FAILED" in unknown.stderr
    assert done(named) == {"providers": []}


def test_a_file_without_certificates_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")

    result = call("providers", "--ca-file", str(tmp_path / "ca.pem"), IA_API_TOKEN="x")

    assert result.exit_code == 2
    assert "holds no certificates" in result.stderr
