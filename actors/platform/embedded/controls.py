"""The switchboard in front of an embedded sibling: it can be taken down, made to fail, and asked what it saw.

Under ``/_sim/``: POST ``down`` (``{"status": 503, "retry_after": 5}`` or ``{"refuse": true}``, until POST ``up``),
GET ``counts``, and ``faults`` as every simulator has them (``adapters.simulation.Stage``). Requests are counted, not
kept: a sibling gets too many, and too large ones; only those that met a fault are under ``requests``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import orjson
from attrs import frozen

from actors.platform.embedded.answers import AnswerError, bare_error
from adapters.contract import Request, Response
from adapters.simulation import CONTROL, Perform, Reply, Stage, as_json

Control: TypeAlias = Callable[[Request], Response]


@frozen(kw_only=True)
class _Down:
    """``response`` None: connections are dropped."""

    response: Response | None


class Controls:
    """What stands between the wire and the behaviour of one embedded sibling."""

    def __init__(self, perform: Perform, own: Mapping[tuple[str, str], Control]) -> None:
        """Guard ``perform``; ``own`` are the sibling's own controls by method and path."""
        self._perform = perform
        self._own = own
        self._stage = Stage(self._answer)
        self._down: _Down | None = None
        self._answered: Counter[str] = Counter()

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer a request: a control, a planned fault, or the sibling's own behaviour."""
        if request.url.startswith(CONTROL):
            return Reply(response=self._control(request))
        reply = self._reply(request, now)
        self._answered["dropped" if reply.response is None else str(reply.response.status)] += 1
        return reply

    def _reply(self, request: Request, now: datetime) -> Reply:
        if self._down is not None:
            return Reply(response=self._down.response)
        self._stage.settle(now)
        if self._stage.faults:
            return self._stage.handle(request, now=now)
        return Reply(response=self._answer(request, now))

    def _answer(self, request: Request, now: datetime) -> Response:
        try:
            return self._perform(request, now)
        except AnswerError as answer:
            return answer.response

    def _control(self, request: Request) -> Response:
        try:
            return self._answer_control(request)
        except AnswerError as answer:
            return answer.response

    def _answer_control(self, request: Request) -> Response:
        path = urlsplit(request.url).path
        own = self._own.get((request.method, path))
        if own is not None:
            return own(request)
        match request.method, path:
            case "POST", "/_sim/down":
                self._down = _down_from(request)
            case "POST", "/_sim/up":
                self._down = None
            case "GET", "/_sim/counts":
                return as_json(200, {"answered": dict(sorted(self._answered.items()))})
            case _:
                return self._stage.control(request)
        return as_json(200, {"down": self._down is not None})


def query_of(request: Request) -> dict[str, str]:
    """The query's fields; the last of a name counts."""
    return dict(parse_qsl(urlsplit(request.url).query))


def matching(rows: Iterable[dict[str, Any]], wanted: Mapping[str, object]) -> list[dict[str, Any]]:
    """The rows that have every field as ``wanted``, in their order."""
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def _down_from(request: Request) -> _Down:
    wish = _wish(request)
    if wish.get("refuse"):
        return _Down(response=None)
    status = wish.get("status", 503)
    if not isinstance(status, int) or not 400 <= status <= 599:
        raise bare_error(400, "INVALID_REQUEST", "status must be from 400 to 599")
    code = "DEPENDENCY_UNAVAILABLE"
    return _Down(
        response=bare_error(
            status, code, "taken down", retry_after=wish.get("retry_after")
        ).response
    )


def _wish(request: Request) -> dict[str, int]:
    try:
        wish = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError as reason:
        raise bare_error(400, "INVALID_REQUEST", "no JSON") from reason
    if not isinstance(wish, dict):
        raise bare_error(400, "INVALID_REQUEST", "no JSON object")
    return wish
