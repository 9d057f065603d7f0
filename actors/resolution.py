"""From a name to sockets that lead to checked addresses only: between the check and the connect nothing is resolved."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from urllib.parse import urlsplit

import httpcore
import trio

from actors.errors import RouteError
from actors.network import URL, may_lead_to

LookUp = Callable[[str], Awaitable[tuple[str, ...]]]
"""From a host's name, or a literal, to its IP addresses. Raises OSError: there are none, or nobody to ask."""

_MOST_TRIES = 4
_THREADS = 16
_PATIENCE_S = 5.0
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


def system_look_up(threads: int = _THREADS) -> LookUp:
    """The machine's own resolver.

    It can not be cancelled, so its threads are its own: a name server that is slow on purpose keeps up other
    look-ups, and nothing else.
    """
    limiter = trio.CapacityLimiter(threads)

    async def look_up(host: str) -> tuple[str, ...]:
        # As bytes, because Python would put a text through a codec of its own, with its own errors.
        found = await trio.to_thread.run_sync(
            lambda: socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM),
            abandon_on_cancel=True,
            limiter=limiter,
        )
        return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))

    return look_up


async def checked_addresses(host: str, look_up: LookUp, *, development: bool) -> tuple[str, ...]:
    """The addresses of ``host`` in the order to try them; one that is not allowed spoils them all.

    Who mixes them wants us to fall back from the one to the other.

    Raises:
        RouteError: a connection may not lead there.
        OSError: as ``look_up``.
    """
    found = await look_up(host)
    if not all(may_lead_to(address, development=development) for address in found):
        raise RouteError(URL, "leads to an address that is not public")
    if not found:
        raise OSError("the name has no address")
    return found


async def check_resolution(url: str, look_up: LookUp, *, development: bool) -> None:
    """Check where the host of ``url`` leads now, to say early what each connect will find by itself.

    Nothing is said of a name that can not be resolved at the moment.

    Raises:
        RouteError: a connection may not lead there, or there is no such name.
    """
    host = urlsplit(url).hostname or ""
    with trio.move_on_after(_PATIENCE_S):
        try:
            await checked_addresses(host, look_up, development=development)
        except OSError as error:
            if isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME:
                raise RouteError(URL, "names a host that does not exist") from error


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects a pool by ``through`` to addresses that were checked; TLS and HTTP still speak to the name."""

    def __init__(
        self, look_up: LookUp, through: httpcore.AsyncNetworkBackend, *, development: bool
    ) -> None:
        self._look_up = look_up
        self._through = through
        self._development = development

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """See ``httpcore.AsyncNetworkBackend``; ``timeout`` bounds the look-up and all tries together.

        Raises:
            RouteError: a connection may not lead there.
        """
        until = trio.current_time() + (float("inf") if timeout is None else timeout)
        try:
            with trio.fail_at(until):
                addresses = await checked_addresses(
                    host, self._look_up, development=self._development
                )
        except trio.TooSlowError as error:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from error
        except OSError as error:
            raise httpcore.ConnectError("the name could not be resolved") from error
        return await self._first(
            addresses[:_MOST_TRIES],
            until,
            lambda address, share: self._through.connect_tcp(
                address, port, share, local_address, socket_options
            ),
        )

    async def _first(
        self,
        addresses: tuple[str, ...],
        until: float,
        connect: Callable[[str, float], Awaitable[httpcore.AsyncNetworkStream]],
    ) -> httpcore.AsyncNetworkStream:
        """The first that answers; each has its share of the time that is left."""
        for tried, address in enumerate(addresses[:-1]):
            # What is wrong with one address says nothing of the next.
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await connect(address, _remaining(until) / (len(addresses) - tried))
        return await connect(addresses[-1], _remaining(until))


def _remaining(until: float) -> float:
    return max(until - trio.current_time(), 0)
