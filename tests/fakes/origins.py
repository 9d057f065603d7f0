"""Servers on loopback: one that answers, with or without TLS, and a proxy that leads there."""

from __future__ import annotations

import ssl
from contextlib import suppress

import h11
import trio
from attrs import define, field

_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)


@define(eq=False)
class Origin:
    """Says ``says`` to every request, on connections that are kept for ``keeps`` of them; ``hold`` makes it wait before."""

    tls: ssl.SSLContext | None = None
    says: bytes = b"hello"
    hold: trio.Event | None = None
    keeps: int = 1_000
    port: int = 0
    connects: int = 0
    asked: list[tuple[str, str, str]] = field(factory=list)
    noticed: trio.Event = field(factory=trio.Event)

    async def meet(self, stream: trio.abc.Stream) -> None:
        """Answer the requests of one client."""
        self.connects += 1
        http = h11.Connection(h11.SERVER)
        for left in reversed(range(self.keeps)):
            event = await _event(http, stream)
            if not isinstance(event, h11.Request):
                return
            headers = dict(event.headers)
            self.asked.append(
                (event.method.decode(), event.target.decode(), headers[b"host"].decode())
            )
            self.noticed.set()
            while not isinstance(await _event(http, stream), h11.EndOfMessage):
                pass
            if self.hold is not None:
                await self.hold.wait()
            framing = [("content-length", str(len(self.says)))]
            framing += [] if left else [("connection", "close")]
            answer = h11.Response(status_code=200, headers=framing)
            for part in (answer, h11.Data(data=self.says), h11.EndOfMessage()):
                await stream.send_all(http.send(part) or b"")
            if left:
                http.start_next_cycle()


@define(eq=False)
class Proxy:
    """Tunnels to ``to`` whatever host it is asked for, or says ``refuses``; with ``tls``, it is an https proxy."""

    to: Origin
    tls: ssl.SSLContext | None = None
    refuses: bytes = b""
    port: int = 0
    asked: list[str] = field(factory=list)

    async def meet(self, near: trio.abc.Stream) -> None:
        """Carry one client's bytes to and fro."""
        event = await _event(h11.Connection(h11.SERVER), near)
        if not isinstance(event, h11.Request):
            return
        self.asked.append(f"{event.method.decode()} {event.target.decode()}")
        await near.send_all(self.refuses or b"HTTP/1.1 200 Connected\r\n\r\n")
        if self.refuses:
            return
        far = await trio.open_tcp_stream("127.0.0.1", self.to.port)
        async with far, trio.open_nursery() as nursery:
            nursery.start_soon(_copy, near, far, nursery.cancel_scope)
            nursery.start_soon(_copy, far, near, nursery.cancel_scope)


async def serve(
    server: Origin | Proxy, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled; its ``port`` is known once it has started."""

    async def connected(plain: trio.SocketStream) -> None:
        stream: trio.abc.Stream = plain
        if server.tls is not None:
            stream = trio.SSLStream(plain, server.tls, server_side=True, https_compatible=True)
        with suppress(*_BROKEN):
            async with stream:
                await server.meet(stream)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, connected, listeners)
        task_status.started()


async def _copy(here: trio.abc.Stream, there: trio.abc.Stream, both: trio.CancelScope) -> None:
    with suppress(*_BROKEN):
        while data := await here.receive_some(65_536):
            await there.send_all(data)
    both.cancel()


async def _event(http: h11.Connection, stream: trio.abc.Stream) -> object:
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(bytes(await stream.receive_some(65_536)))
    return event
