"""The sockets to providers: a pool for each way to them, so many at once, the least used ones given up first."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

import httpcore
import httpx
import trio
from attrs import define, frozen

from actors.network import Network, own_tls, usual_tls
from actors.resolution import CheckedBackend, LookUp

MOST_POOLS = 100
_CLOSING_S = 5.0
_KEPT_IDLE_S = 30.0

_HTTPX: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ProxyError: httpx.ProxyError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
    httpcore.WriteError: httpx.WriteError,
    httpcore.WriteTimeout: httpx.WriteTimeout,
}


@frozen(kw_only=True)
class _Room:
    """How many sockets a pool may have, and how many of them with nothing to do."""

    open: int
    idle: int


_FOR_ALL = _Room(open=200, idle=50)
_FOR_ITS_OWN = _Room(open=10, idle=2)


class Pool(httpx.AsyncBaseTransport):
    """A pool of httpcore as a transport of httpx, whose own would not let the addresses be checked."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See ``httpx.AsyncBaseTransport``."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        asked = httpcore.Request(
            request.method,
            url,
            headers=request.headers.raw,
            content=cast("httpx.AsyncByteStream", request.stream),
            extensions=request.extensions,
        )
        with _told_by_httpx():
            answer = await self._pool.handle_async_request(asked)
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    async def aclose(self) -> None:
        """Close every socket, also those in use."""
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer
        self._parts = aiter(cast("AsyncIterable[bytes]", answer.stream))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with _told_by_httpx():
            return await anext(self._parts)

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _told_by_httpx() -> Iterator[None]:
    try:
        yield
    except tuple(_HTTPX) as error:
        raise _HTTPX[type(error)](str(error)) from error


@define(eq=False)
class _Held:
    pool: httpx.AsyncBaseTransport
    users: int = 0
    displaced: bool = False


class Pools:
    """At most ``most`` pools, made by ``make`` when first needed; the one that was not asked for longest makes room.

    A pool is never closed under a request: what is displaced while in use is closed by its last user.
    """

    def __init__(
        self, make: Callable[[Network], httpx.AsyncBaseTransport], *, most: int = MOST_POOLS
    ) -> None:
        self._make = make
        self._most = most
        self._held: OrderedDict[Network, _Held] = OrderedDict()

    @asynccontextmanager
    async def lease(self, network: Network) -> AsyncIterator[httpx.AsyncBaseTransport]:
        """The pool for ``network``, for one request.

        Raises:
            RouteError: its CA bundle can not be used.
        """
        held = self._found(network)
        held.users += 1
        try:
            await self._make_room()
            yield held.pool
        finally:
            held.users -= 1
            with trio.move_on_after(_CLOSING_S, shield=True):
                await _close_if_over(held)

    async def aclose(self) -> None:
        """Close every pool, also those in use; for the end of the node, when nobody sends any more."""
        with trio.move_on_after(_CLOSING_S, shield=True):
            while self._held:
                _, held = self._held.popitem()
                await held.pool.aclose()

    def _found(self, network: Network) -> _Held:
        held = self._held.get(network)
        if held is None:
            held = self._held[network] = _Held(self._make(network))
        self._held.move_to_end(network)
        return held

    async def _make_room(self) -> None:
        while len(self._held) > self._most:
            _, oldest = self._held.popitem(last=False)
            oldest.displaced = True
            with trio.move_on_after(_CLOSING_S, shield=True):
                await _close_if_over(oldest)


async def _close_if_over(held: _Held) -> None:
    if held.displaced and not held.users:
        await held.pool.aclose()


def provider_pools(look_up: LookUp, *, most: int = MOST_POOLS) -> Pools:
    """Pools of real sockets; none is open yet."""
    usual = usual_tls()
    return Pools(lambda network: _opened(network, look_up, usual), most=most)


def _opened(network: Network, look_up: LookUp, usual: ssl.SSLContext) -> Pool:
    """The shared way has room for many providers; one with a proxy or certificates of its own is for a few."""
    context = usual if network.ca_bundle is None else own_tls(network.ca_bundle)
    room = _FOR_ITS_OWN if network.ca_bundle or network.proxy else _FOR_ALL
    pool = httpcore.AsyncConnectionPool(
        ssl_context=context,
        proxy=None if network.proxy is None else _proxy(network.proxy, context),
        max_connections=room.open,
        max_keepalive_connections=room.idle,
        keepalive_expiry=_KEPT_IDLE_S,
        network_backend=CheckedBackend(
            look_up, httpcore.TrioBackend(), development=network.development
        ),
    )
    return Pool(pool)


def _proxy(url: str, context: ssl.SSLContext) -> httpcore.Proxy:
    secure = httpcore.URL(url).scheme == b"https"
    return httpcore.Proxy(url, ssl_context=context if secure else None)
