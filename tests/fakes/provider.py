"""A simulator behind httpx, in this process: its answers, drops, delays and cuts as a client meets them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import trio

from adapters.contract import Request, Response
from adapters.simulation import Reply
from runtime import Clock


class Simulated(httpx.AsyncBaseTransport):
    """Checkpoints before the provider acts and after it did, so that each can be the end of the caller."""

    def __init__(
        self,
        handle: Callable[..., Reply | Response],
        clock: Clock,
        *,
        noticed: Callable[[], None] = lambda: None,
        around: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint,
    ) -> None:
        self._handle = handle
        self._clock = clock
        self._noticed = noticed
        self._around = around

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See ``httpx.AsyncBaseTransport``."""
        asked = Request(
            method=request.method,
            url=request.url.raw_path.decode("latin-1"),
            headers=tuple(
                (name.decode("latin-1").lower(), value.decode("latin-1"))
                for name, value in request.headers.raw
            ),
            body=await request.aread(),
        )
        await self._around()
        answer = self._handle(asked, now=self._clock.now())
        reply = answer if isinstance(answer, Reply) else Reply(response=answer)
        self._noticed()
        await trio.sleep(reply.delay.total_seconds())
        await self._around()
        if reply.response is None:
            raise httpx.RemoteProtocolError("the server hung up", request=request)
        headers = [(name, value) for name, value in reply.response.headers]
        stream = _Body(reply.response.body, reply.cut_at)
        return httpx.Response(reply.response.status, headers=headers, stream=stream)


class _Body(httpx.AsyncByteStream):
    """No generator: one that is left half-way would have to be finished by somebody."""

    def __init__(self, body: bytes, cut_at: int | None) -> None:
        self._chunks = [body[:cut_at]]
        self._cut = cut_at is not None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._chunks:
            return self._chunks.pop()
        if self._cut:
            raise httpx.RemoteProtocolError("the body broke off")
        raise StopAsyncIteration
