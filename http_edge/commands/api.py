"""The API of a node, as the command line asks it: one call, one deadline, one answer or one line of what is wrong."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import click
import httpx
import orjson
import trio
from attrs import field, frozen

from adapters.contract import Secret
from http_edge.commands.wording import plain
from http_edge.idempotency import HEADER
from http_edge.setting_values import as_url

MOST_PER_PAGE = 200
_RUNNING = "REQUEST_RUNNING"
_COME_BACK_S = 1.0
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)

Query: TypeAlias = Mapping[str, str | int | Sequence[str] | None]


class RefusedError(click.ClickException):
    """The API refused (4xx): it is the caller's to mend."""

    exit_code = 1


class UnreachableError(click.ClickException):
    """There was no answer, or one of a node that can not do its work (5xx): the same again may succeed."""

    exit_code = 3


class _LostError(Exception):
    """The request may have arrived; its answer did not."""


@frozen(kw_only=True)
class Answer:
    """A good answer: its JSON as it came and as it reads, and the version it names."""

    body: bytes = field(repr=False)
    document: dict[str, Any] = field(repr=False)
    etag: str | None


@frozen(kw_only=True)
class Call:
    """A request. With a ``key``, one whose answer is lost is asked again."""

    method: str
    path: str
    query: Query = field(factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    key: str | None = None
    if_match: str | None = None


@frozen(kw_only=True)
class Api:
    """A node's API and who asks it. ``deadline`` is for a call with all it takes; ``tls``: whose certificates are believed."""

    url: str
    token: Secret
    deadline: timedelta
    tls: ssl.SSLContext = field(repr=False)

    def ask(self, call: Call) -> Answer:
        """Make the call.

        Raises:
            RefusedError: the API refused.
            UnreachableError: no answer, or a 5xx.
        """
        return trio.run(self._ask, call)

    def pages(
        self, path: str, query: Query, *, limit: int, cursor: str | None
    ) -> Iterator[Answer]:
        """The pages of a list from ``cursor`` on, until ``limit`` entries were seen or the list ends."""
        left = limit
        while left > 0:
            part = {**query, "limit": min(left, MOST_PER_PAGE), "cursor": cursor}
            page = self.ask(Call(method="GET", path=path, query=part))
            yield page
            (entries,) = (value for value in page.document.values() if isinstance(value, list))
            cursor = page.document["next_cursor"]
            if cursor is None or not entries:
                return
            left -= len(entries)

    async def _ask(self, call: Call) -> Answer:
        try:
            with trio.fail_after(self.deadline.total_seconds()):
                async with httpx.AsyncClient(
                    timeout=None,  # noqa: S113 - the deadline is around all of it
                    trust_env=False,
                    follow_redirects=False,
                    verify=self.tls,
                ) as http:
                    return self._read(await self._answered(http, call))
        except trio.TooSlowError as error:
            raise self._unreachable("no answer in time", call) from error
        except _LostError as error:
            raise self._unreachable(f"the answer was lost: {error}", call) from error

    async def _answered(self, http: httpx.AsyncClient, call: Call) -> httpx.Response:
        try:
            return await self._sent(http, call)
        except _LostError:
            if call.key is None:
                raise
        again = await self._sent(http, call)
        while _is_running(again):  # the first of the two is still carried out
            await trio.sleep(_COME_BACK_S)
            again = await self._sent(http, call)
        return again

    async def _sent(self, http: httpx.AsyncClient, call: Call) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token.value.decode()}"}
        headers |= {"if-match": call.if_match} if call.if_match else {}
        headers |= {HEADER: call.key} if call.key else {}
        try:
            return await http.request(
                call.method,
                f"{self.url}{call.path}",
                params=_pairs(call.query),
                content=None if call.body is None else orjson.dumps(call.body),
                headers=headers,
            )
        except _NEVER_SENT as error:
            raise UnreachableError(f"{self.url}: {_told(error)}") from error
        except httpx.TransportError as error:
            raise _LostError(_told(error)) from error

    def _read(self, answer: httpx.Response) -> Answer:
        document = _json(answer.content)
        if answer.status_code >= 400:
            kind = RefusedError if answer.status_code < 500 else UnreachableError
            raise kind(_refusal(answer, document))
        if answer.status_code >= 300 or document is None:
            raise UnreachableError(
                f"{self.url} did not answer as the API does ({answer.status_code})"
            )
        return Answer(body=answer.content, document=document, etag=answer.headers.get("etag"))

    def _unreachable(self, why: str, call: Call) -> UnreachableError:
        if call.key is not None:
            why += f"; it may have been done: ask again with --idempotency-key {call.key}"
        elif call.method != "GET":
            why += "; it may have been done: look before you ask again"
        return UnreachableError(f"{self.url}: {why}")


def checked_url(text: str) -> str:
    """The URL of an API, without a slash at its end.

    Raises:
        ValueError: it is none; the message does not repeat it, as it may hold a password.
    """
    try:
        url = urlsplit(as_url(text))
    except ValueError:
        raise ValueError("must be an http(s) URL") from None
    if not text.isascii() or url.username is not None or url.query or url.fragment:
        raise ValueError("must be plain, without user, query or fragment")
    return text.rstrip("/")


def _is_running(answer: httpx.Response) -> bool:
    error = (_json(answer.content) or {}).get("error")
    return isinstance(error, dict) and error.get("code") == _RUNNING


def _pairs(query: Query) -> httpx.QueryParams:
    """What is not None, lists spread out."""
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        if isinstance(value, str | int):
            pairs.append((name, str(value)))
        elif value is not None:
            pairs += [(name, one) for one in value]
    return httpx.QueryParams(tuple(pairs))


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _refusal(answer: httpx.Response, document: dict[str, Any] | None) -> str:
    """What the API says, in one line: message, code, correlation id."""
    error = (document or {}).get("error")
    if not isinstance(error, dict):
        phrase = httpx.codes.get_reason_phrase(answer.status_code)
        return f"{answer.status_code} {phrase}".strip()
    details = error.get("details")
    correlation = details.get("correlation_id") if isinstance(details, dict) else None
    said = [f"{answer.status_code} {error.get('code')}"]
    said += [f"correlation id {correlation}"] if correlation else []
    wait = answer.headers.get("retry-after")
    said += [f"try again in {wait} s"] if wait else []
    return plain(f"{error.get('message')} ({', '.join(said)})")


def _told(error: BaseException) -> str:
    """The error's kind, and the first reason on the way to its cause: httpx passes some on without a word."""
    cause: BaseException | None = error
    while cause is not None and not str(cause):
        cause = cause.__cause__ or cause.__context__
    name = type(error).__name__
    return name if cause is None else plain(f"{name}: {cause}")
