"""Serves simulators over real HTTP, on loopback only: the providers' and the sibling modules', for development.

A small HTTP/1.1 server on h11, because a simulator must do what no framework does: drop connections and break off
in the middle of a body.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import h11
import trio
from attrs import frozen

from adapters.contract import Headers, Request, Response
from adapters.simulation import Reply
from runtime.clock import Clock

_CHUNK_BYTES = 65_536
_LONGEST_HEAD_BYTES = 65_536
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})
_BODILESS = frozenset({204, 304})


class Handle(Protocol):
    """A simulator: what it answers, as data. It may keep state, never wait."""

    def __call__(self, request: Request, *, now: datetime) -> Response | Reply:
        """Answer ``request`` at ``now``."""
        ...


@frozen(kw_only=True)
class ServeLimits:
    """The bounds of the server; ``idle`` is the longest wait for the next request, ``exchange`` for its bytes."""

    body_bytes: int = 16 * 1024 * 1024
    connections: int = 1000
    idle: timedelta = timedelta(seconds=60)
    exchange: timedelta = timedelta(seconds=30)


async def serve_simulator(
    handle: Handle,
    *,
    clock: Clock,
    port: int = 0,
    limits: ServeLimits | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; ``started`` gives the base URL (``port`` 0: a free one is taken).

    What ``handle`` raises is a bug in the simulator and ends the server.
    """
    bounds = limits or ServeLimits()
    slots = trio.CapacityLimiter(bounds.connections)
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    host, bound_port = listeners[0].socket.getsockname()[:2]
    serve = partial(_serve, handle=handle, clock=clock, limits=bounds, slots=slots)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, listeners)
        task_status.started(f"http://{host}:{bound_port}")


async def _serve(
    stream: trio.SocketStream,
    *,
    handle: Handle,
    clock: Clock,
    limits: ServeLimits,
    slots: trio.CapacityLimiter,
) -> None:
    wire = _Wire(stream, limits)
    try:
        async with slots, stream:
            while (request := await wire.receive()) is not None:
                answer = handle(request, now=clock.now())
                reply = answer if isinstance(answer, Reply) else Reply(response=answer)
                if not await wire.send(reply):
                    return
    except (trio.BrokenResourceError, trio.TooSlowError):
        # The client hung up, or did not keep up; there is nobody to tell.
        await trio.lowlevel.checkpoint()


class _Wire:
    """HTTP/1.1 on one connection, with keep-alive."""

    def __init__(self, stream: trio.SocketStream, limits: ServeLimits) -> None:
        self._stream = stream
        self._limits = limits
        self._method = ""
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEAD_BYTES)

    async def receive(self) -> Request | None:
        """The next request; None when the connection is done with."""
        try:
            head: object = None
            with trio.move_on_after(self._limits.idle.total_seconds()):
                head = await self._event()
            if not isinstance(head, h11.Request):
                return None
            with trio.fail_after(self._limits.exchange.total_seconds()):
                body = await self._body()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint)
            return None
        if body is None:
            await self._refuse(413)
            return None
        self._method = head.method.decode("latin-1")
        url = head.target.decode("latin-1")
        return Request(method=self._method, url=url, headers=_texts(head.headers), body=body)

    async def send(self, reply: Reply) -> bool:
        """Send the reply as it is planned; True if another request may follow."""
        await trio.sleep(reply.delay.total_seconds())
        response = reply.response
        if response is None:
            return False
        with trio.fail_after(self._limits.exchange.total_seconds()):
            if reply.cut_at is not None:
                await self._write(_head(response), h11.Data(data=response.body[: reply.cut_at]))
                return False
            bodiless = self._method == "HEAD" or response.status in _BODILESS
            body = b"" if bodiless else response.body
            if reply.drip:
                await self._drip(_head(response), body, reply.drip)
            else:
                await self._write(_head(response), h11.Data(data=body), h11.EndOfMessage())
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _drip(self, head: h11.Response, body: bytes, pause: timedelta) -> None:
        """Send the body byte by byte, each with a pause after it."""
        await self._write(head)
        for at in range(len(body)):
            await self._write(h11.Data(data=body[at : at + 1]))
            await trio.sleep(pause.total_seconds())
        await self._write(h11.EndOfMessage())

    async def _body(self) -> bytes | None:
        """The body, or None when it is longer than allowed."""
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > self._limits.body_bytes:
                return None
        return bytes(body)

    async def _event(self) -> object:
        await trio.lowlevel.checkpoint()
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                await self._write(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._stream.receive_some(_CHUNK_BYTES))
        return event

    async def _refuse(self, status: int) -> None:
        await trio.lowlevel.checkpoint()
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            with trio.fail_after(self._limits.exchange.total_seconds()):
                await self._write(_head(Response(status=status)), h11.EndOfMessage())

    async def _write(self, *events: h11.Event) -> None:
        await self._stream.send_all(b"".join(self._http.send(event) or b"" for event in events))


def _head(response: Response) -> h11.Response:
    headers = [entry for entry in response.headers if entry[0].lower() not in _FRAMING]
    if response.status not in _BODILESS:
        headers.append(("content-length", str(len(response.body))))
    return h11.Response(
        status_code=response.status,
        headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
    )


def _texts(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
