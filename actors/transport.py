"""One request to a provider and its answer, over httpx; every failure says whether it may have happened."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urljoin, urlsplit

import httpx
import trio
from attrs import evolve, frozen

from actors.errors import MaybeSentError, NotSentError
from adapters.contract import Request, Response

ANSWER_LIMIT_BYTES = 10_000_000
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 307, 308})
# Nothing left this machine in these cases; in every other the provider may have read the request.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


@frozen(kw_only=True)
class Transport:
    """Sends requests to one origin at a time; follows redirects there, and nowhere else.

    ``deadline`` bounds one request with its whole answer.
    """

    client: httpx.AsyncClient
    deadline: timedelta

    async def send(self, request: Request, *, base_url: str) -> Response:
        """Send an authorised ``request`` to ``base_url`` and read its answer whole.

        A redirect is repeated with its method and body (GitHub says so of renamed repositories), on the same
        origin only, because it carries credentials.

        Raises:
            NotSentError: it certainly did not reach the provider (also: a URL of another origin).
            MaybeSentError: it may have; also when the answer is over 10 MB or cut short.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            url = _absolute(request.url, base_url)
            response = await self._exchange(request, url)
            target = response.header("location")
            if response.status not in _REDIRECTS or target is None:
                return response
            request = evolve(request, url=urljoin(url, target))
        raise NotSentError("too many redirects")

    async def _exchange(self, request: Request, url: str) -> Response:
        try:
            with trio.fail_after(self.deadline.total_seconds()):
                return await self._stream(request, url)
        except _NOT_SENT as error:
            raise NotSentError(f"not sent: {type(error).__name__}") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise MaybeSentError(f"no answer: {type(error).__name__}") from error
        except trio.TooSlowError as error:
            raise MaybeSentError(
                f"no answer within {self.deadline.total_seconds():g} s"
            ) from error

    async def _stream(self, request: Request, url: str) -> Response:
        async with self.client.stream(
            request.method, url, headers=list(request.headers), content=request.body
        ) as answer:
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_LIMIT_BYTES:
                    raise MaybeSentError(f"the answer is over {ANSWER_LIMIT_BYTES} bytes")
            headers = tuple((name.lower(), value) for name, value in answer.headers.multi_items())
            return Response(status=answer.status_code, headers=headers, body=bytes(body))


def _absolute(url: str, base_url: str) -> str:
    absolute = base_url + url if url.startswith("/") else url
    if _origin(absolute) != _origin(base_url):
        raise NotSentError("not sent: the URL is of another origin than the connection's")
    return absolute


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
