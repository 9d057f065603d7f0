"""The webhook path in front of Quart: the same route, without what Quart does for each request.

A call that is taken never reaches Quart; what goes wrong is raised again in Quart's route, whose error routes tell it
as they tell everything else. A caller that hangs up cancels nothing here: before its body is whole the call is
forgotten, after that it goes on to its end. What it saves: docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import trio
from attrs import define
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGISendCallable,
    HTTPScope,
    Scope,
)

from actors.hooks import WEBHOOKS
from adapters.contract import Request, Response
from http_edge.edge import Edge
from http_edge.errors import EdgeError, TooLargeError
from http_edge.route import Asked
from http_edge.webhooks import Call, WebhookPorts, accept, reject_oversized

FAILURE = "integration_adapters.failure"
"""Under this key of the scope, Quart's route finds the exception it shall raise."""
_BODY_DEADLINE_S = 30.0


class _HungUpError(Exception):
    """The caller went away before its body was whole."""


@define
class _Chunks(AsyncIterator[bytes]):
    """The body as it arrives."""

    receive: ASGIReceiveCallable
    more: bool = True

    async def __anext__(self) -> bytes:
        if not self.more:
            raise StopAsyncIteration
        event = await self.receive()
        if event["type"] != "http.request":
            raise _HungUpError
        self.more = event["more_body"]
        return event["body"]


def in_front_of(quart: ASGIFramework, ports: WebhookPorts) -> ASGIFramework:
    """An ASGI application that takes the webhooks itself and leaves the rest to ``quart``."""

    async def application(
        scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        place = _place(scope)
        if scope["type"] != "http" or place is None:
            await quart(scope, receive, send)
            return
        call = _call(scope, place, receive)
        try:
            response = await accept(call, ports)
        except _HungUpError:
            return
        except Exception as error:  # noqa: BLE001 - not handled here: Quart's route raises it again
            await quart(_failed(scope, error), receive, send)
        else:
            await _answer(response, send)

    return application


async def from_quart(asked: Asked, edge: Edge) -> Response:
    """The same call, where it came by way of Quart's route."""
    call = Call(
        provider_id=asked.path["provider_id"],
        token=asked.path["token"],
        request=asked.request,
        read=asked.read,
    )
    return await accept(call, edge.webhooks)


def _place(scope: Scope) -> tuple[str, str] | None:
    """Provider and token, if this is a webhook call; what only looks like one is Quart's to refuse."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    path = scope["path"]
    if not path.startswith(WEBHOOKS):
        return None
    provider_id, _, token = path[len(WEBHOOKS) :].partition("/")
    return None if not provider_id or not token or "/" in token else (provider_id, token)


def _call(scope: HTTPScope, place: tuple[str, str], receive: ASGIReceiveCallable) -> Call:
    headers = tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in scope["headers"]
    )
    request = Request(
        method=scope["method"],
        url=f"{scope['path']}?{scope['query_string'].decode('latin-1')}",
        headers=headers,
    )

    async def read(limit_bytes: int) -> bytes:
        return await read_body(_Chunks(receive), request.header("content-length"), limit_bytes)

    return Call(provider_id=place[0], token=place[1], request=request, read=read)


async def read_body(chunks: AsyncIterable[bytes], declared: str | None, limit_bytes: int) -> bytes:
    """Read a body to its end, in 30 seconds.

    Raises:
        TooLargeError: it is, or its ``declared`` length says that it will be, longer than ``limit_bytes``.
        EdgeError: 408, it did not arrive in time.
    """
    reject_oversized(declared, limit_bytes)
    body = bytearray()
    try:
        with trio.fail_after(_BODY_DEADLINE_S):
            async for chunk in chunks:
                body += chunk
                if len(body) > limit_bytes:
                    raise TooLargeError(limit_bytes)
    except trio.TooSlowError as error:
        raise EdgeError(408, "REQUEST_TIMEOUT", "the body did not arrive in time") from error
    return bytes(body)


async def _answer(response: Response, send: ASGISendCallable) -> None:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers
    ]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": False})


def _failed(scope: HTTPScope, error: Exception) -> Any:  # noqa: ANN401 - a scope with a key of ours
    return {**scope, FAILURE: error}
