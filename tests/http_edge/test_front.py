"""What stands before Quart on the webhook path takes what is right and leaves everything else to Quart."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import trio

from http_edge.front import FAILURE, in_front_of
from tests.http_edge.scene import PATIENCE_S, Connected, Scene


class Exchange:
    """One ASGI call: what the caller sends, then a hang-up; what it is answered, and what Quart was asked."""

    def __init__(self, connection: Connected, method: str = "POST") -> None:
        self.sent: list[dict[str, Any]] = []
        self.quarts: list[Any] = []
        self.scope = {
            "type": "http",
            "method": method,
            "path": urlsplit(connection.webhook_url).path,
            "query_string": b"",
            "headers": [],
        }
        self._bodies: list[bytes] = []

    def bring(self, headers: Any, *bodies: bytes) -> None:
        self.scope["headers"] = [(name.encode(), value.encode()) for name, value in headers]
        self._bodies = list(bodies)

    async def perform(self, scene: Scene) -> None:
        application: Any = in_front_of(self._quart, scene.node.edge.webhooks)
        await application(self.scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        if not self._bodies:
            return {"type": "http.disconnect"}
        body = self._bodies.pop(0)
        return {"type": "http.request", "body": body, "more_body": body != b""}

    async def _send(self, event: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(event)

    async def _quart(self, scope: Any, _receive: object, _send: object) -> None:
        await trio.lowlevel.checkpoint()
        self.quarts.append(scope)


async def test_a_delivery_in_pieces_is_accepted_without_quart(scene: Scene) -> None:
    """UT-IA-01: the body is what all pieces make together."""
    connection = await scene.create()
    request = scene.delivery(connection)
    exchange = Exchange(connection)
    exchange.bring(request.headers, request.body[:100], request.body[100:], b"")

    await exchange.perform(scene)

    assert exchange.quarts == []
    assert [event["type"] for event in exchange.sent] == [
        "http.response.start",
        "http.response.body",
    ]
    assert exchange.sent[0]["status"] == 202
    assert (b"content-length", str(len(exchange.sent[1]["body"])).encode()) in exchange.sent[0][
        "headers"
    ]
    assert (await scene.ledger())["accepted"] == 1


async def test_p3_a_caller_that_hangs_up_within_its_body_leaves_nothing(scene: Scene) -> None:
    """P3, P9: half a body is no delivery, is answered by nobody and counted nowhere."""
    connection = await scene.create()
    request = scene.delivery(connection)
    exchange = Exchange(connection)
    exchange.bring(request.headers, request.body[:100])

    await exchange.perform(scene)

    assert exchange.sent == []
    assert exchange.quarts == []
    assert (await scene.ledger())["accepted"] == 0
    assert scene.node.edge.webhooks.refusals.take() == {}


async def test_what_goes_wrong_is_handed_to_quart_and_not_answered_here(scene: Scene) -> None:
    """One place tells errors, whoever met them."""
    connection = await scene.create()
    exchange = Exchange(connection)
    exchange.bring((), b"{}", b"")

    await exchange.perform(scene)

    assert exchange.sent == []
    assert [type(scope[FAILURE]).__name__ for scope in exchange.quarts] == ["SignatureError"]


async def test_another_method_or_a_longer_path_is_quarts(scene: Scene) -> None:
    connection = await scene.create()
    get, longer = Exchange(connection, method="GET"), Exchange(connection)
    longer.scope["path"] = f"{longer.scope['path']}/more"
    health = Exchange(connection)
    health.scope["path"] = "/health/live"

    for exchange in (get, longer, health):
        await exchange.perform(scene)

    assert all(exchange.quarts == [exchange.scope] for exchange in (get, longer, health))


async def test_p1_being_cancelled_is_not_taken_for_a_failure(scene: Scene) -> None:
    """P1: cancellation passes through; nobody answers a node that stops."""
    connection = await scene.create()
    exchange = Exchange(connection)

    with trio.CancelScope() as scope:
        scope.cancel("the node stops")
        await exchange.perform(scene)

    assert scope.cancelled_caught
    assert exchange.quarts == []
    assert exchange.sent == []


async def test_a_crash_is_a_500_in_the_usual_shape_and_in_the_log(scene: Scene) -> None:
    """A bug behind the webhook route is told as one behind any other."""
    connection = await scene.create()
    request = scene.delivery(connection)
    scene.store.failing["endpoint"] = ZeroDivisionError("a bug")

    answer = await scene.post(connection.webhook_url, request)

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "INTERNAL_ERROR"
    assert '"event": "request.crashed"' in scene.log.getvalue()
    assert "ZeroDivisionError" in scene.log.getvalue()


async def test_a_request_that_names_the_whole_url_is_taken_too(scene: Scene) -> None:
    """RFC 9112 3.2.2: a server must accept the absolute form."""
    connection = await scene.create()
    request = scene.delivery(connection)
    address = urlsplit(scene.url)
    lines = [
        f"POST {connection.webhook_url} HTTP/1.1",
        f"host: {address.netloc}",
        f"content-length: {len(request.body)}",
        *(f"{name}: {value}" for name, value in request.headers),
    ]
    stream = await trio.open_tcp_stream(address.hostname or "", address.port or 0)

    async with stream:
        await stream.send_all("\r\n".join(lines).encode() + b"\r\n\r\n" + request.body)
        with trio.fail_after(PATIENCE_S):
            heard = bytes(await stream.receive_some())

    assert heard.startswith(b"HTTP/1.1 202")
    assert (await scene.ledger())["accepted"] == 1
