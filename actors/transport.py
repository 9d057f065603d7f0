"""One request to a provider and its answer; every failure says whether it may have happened."""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta
from urllib.parse import urljoin, urlsplit

import httpx
import trio
from attrs import evolve, field, frozen

from actors.errors import MaybeSentError, NotSentError
from actors.network import Network, check_base_url
from actors.pools import Pools
from actors.resolution import LookUp, check_resolution, system_look_up
from adapters.contract import Request, Response

ANSWER_LIMIT_BYTES = 10_000_000
_MOST_REDIRECTS = 5
_SHORTEST_SECRET = 8
"""What is shorter guards nothing, and would be found in any text."""
# A write is repeated only where the answer says it was not done (RFC 9110, 15.4): behind 301 and 302 many services
# lead to what the write has made.
_KEEP_METHOD = frozenset({307, 308})
_REDIRECTS = _KEEP_METHOD | {301, 302}
# The limit on an answer's size would be late on what unpacks to a thousand times as much.
_PLAIN = ("accept-encoding", "identity")
# Nothing left this machine in these cases; in every other the provider may have read the request.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,  # it would not connect us
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
)
# The whole time is bounded apart. Connecting has its own bound, because what failed before was certainly not sent.
_PATIENCE = httpx.Timeout(None, connect=5.0, pool=5.0).as_dict()


@frozen(kw_only=True)
class Transport:
    """Sends requests to one origin at a time; follows redirects there, and nowhere else.

    ``deadline`` bounds one request with its whole answer. ``network`` is the way for connections that have none of
    their own.
    """

    pools: Pools
    deadline: timedelta
    network: Network = field(factory=Network)
    look_up: LookUp = field(factory=system_look_up)

    async def check(self, base_url: str, *, network: Network | None = None) -> None:
        """Check early whether a connection may lead there: its URL, and what names resolve to now.

        Behind a proxy only the proxy's name is resolved here. Each connect checks again what it connects to.

        Raises:
            RouteError: it may not.
        """
        way = network or self.network
        check_base_url(base_url, development=way.development)
        await check_resolution(way.proxy or base_url, self.look_up, development=way.development)

    async def send(
        self, request: Request, *, base_url: str, network: Network | None = None
    ) -> Response:
        """Send an authorised ``request`` to ``base_url`` and read its answer whole.

        A redirect is repeated with its method and body (GitHub says so of renamed repositories), on the same
        origin only, because it carries credentials; 301 and 302 of a write are the plan's to judge.

        Raises:
            RouteError: a connection may not lead there.
            NotSentError: it certainly did not reach the provider (also: a URL of another origin).
            MaybeSentError: it may have; also when the answer is over 10 MB or cut short.
        """
        way = network or self.network
        check_base_url(base_url, development=way.development)
        url = _checked(_absolute(request.url, base_url), "", base_url)
        for _ in range(_MOST_REDIRECTS + 1):
            response = await self._exchange(request, url, way)
            target = response.header("location")
            followed = _KEEP_METHOD if request.writes else _REDIRECTS
            if response.status not in followed or target is None:
                return response
            url = _checked(url, target, base_url)
        raise NotSentError("too many redirects")

    async def _exchange(self, request: Request, url: str, way: Network) -> Response:
        try:
            with trio.fail_after(self.deadline.total_seconds()):
                async with self.pools.lease(way) as pool:
                    return await _answered(pool, request, url)
        except _NOT_SENT as error:
            raise NotSentError(f"not sent: {type(error).__name__}") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise MaybeSentError(f"no answer: {type(error).__name__}") from error
        except trio.TooSlowError as error:
            raise MaybeSentError(
                f"no answer within {self.deadline.total_seconds():g} s"
            ) from error


async def _answered(pool: httpx.AsyncBaseTransport, request: Request, url: str) -> Response:
    # By no ``httpx.AsyncClient``: it would keep the cookies of one tenant's answers for another's requests (P6).
    asked = httpx.Request(
        request.method,
        url,
        headers=[
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in (_PLAIN, *request.headers)
        ],
        content=request.body,
        extensions={"timeout": _PATIENCE},
    )
    async with aclosing(await pool.handle_async_request(asked)) as answer:
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise MaybeSentError("the answer is compressed, which was not asked for")
        return _without_credentials(
            Response(
                status=answer.status_code,
                headers=tuple((name.lower(), text) for name, text in answer.headers.multi_items()),
                body=await _whole(answer),
            ),
            request,
        )


def _without_credentials(response: Response, request: Request) -> Response:
    """The answer, without the credentials of its request: a provider may repeat them in what people are shown later."""
    credentials = (request.header("authorization") or "").rpartition(" ")[2]
    if len(credentials) < _SHORTEST_SECRET:
        return response
    return evolve(
        response,
        headers=tuple((name, text.replace(credentials, "***")) for name, text in response.headers),
        body=response.body.replace(credentials.encode("latin-1"), b"***"),
    )


async def _whole(answer: httpx.Response) -> bytes:
    body = bytearray()
    # Cancelled and not left: httpcore's generators end in order only from within.
    with trio.CancelScope() as reading:
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > ANSWER_LIMIT_BYTES:
                reading.cancel("the answer is too long")
    if len(body) > ANSWER_LIMIT_BYTES:
        raise MaybeSentError(f"the answer is over {ANSWER_LIMIT_BYTES} bytes")
    return bytes(body)


def _absolute(url: str, base_url: str) -> str:
    return base_url + url if url.startswith("/") else url


def _checked(url: str, target: str, base_url: str) -> str:
    """Where ``target`` leads from ``url``, which must be within the connection's origin."""
    try:
        led_to = urljoin(url, target)
        same = _origin(led_to) == _origin(base_url)
    except ValueError as error:
        raise NotSentError("not sent: the URL can not be read") from error
    if not same:
        raise NotSentError("not sent: the URL is of another origin than the connection's")
    return led_to


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
