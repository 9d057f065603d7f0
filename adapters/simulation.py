"""What a provider's simulator answers with, and the stage that puts planned faults in front of it.

A simulator is a state machine without I/O: ``handle(request, *, now) -> Reply``. It writes the provider's own
behaviour; ``Stage`` adds the faults, the late effects, the memory of what was asked, and the control over HTTP
under ``/_sim/`` with which another process scripts it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeAlias
from urllib.parse import parse_qsl

import orjson
from attrs import evolve, frozen

from adapters.contract import Headers, Request, Response
from adapters.document import objects, parse
from adapters.errors import PayloadError
from adapters.fault_documents import fault_from
from adapters.faults import Effect, Fault

CONTROL = "/_sim/"

Perform: TypeAlias = Callable[[Request, datetime], Response]
"""What the provider itself does with a request, effect included."""

_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
_MAX_SEEN = 10_000


@frozen(kw_only=True)
class Reply:
    """What goes back over the wire, and when.

    ``response`` None: the connection is dropped without an answer. ``delay`` passes before the first byte (or
    the drop). ``cut_at``: the connection breaks after so many bytes of the body, which its content-length
    promised in full. ``drip`` passes after each byte of the body.
    """

    response: Response | None
    delay: timedelta = timedelta()
    cut_at: int | None = None
    drip: timedelta = timedelta()


@frozen(kw_only=True)
class Seen:
    """One request as the provider saw it, without credentials. ``status`` None: it got no answer."""

    at: datetime
    request: Request
    status: int | None


def as_json(status: int, document: object, *, headers: Headers = ()) -> Response:
    """An answer whose body is ``document`` as JSON."""
    return Response(
        status=status,
        headers=(("content-type", "application/json; charset=utf-8"), *headers),
        body=orjson.dumps(document),
    )


class Stage:
    """A provider's behaviour with planned faults in front of it: the simulator's memory.

    Late effects are performed as soon as a call says that their time has come.
    """

    def __init__(self, perform: Perform) -> None:
        """Stage ``perform``, without faults."""
        self._perform = perform
        self._faults: list[Fault] = []
        self._late: list[tuple[datetime, Request, timedelta]] = []
        self._seen: deque[Seen] = deque(maxlen=_MAX_SEEN)

    @property
    def seen(self) -> tuple[Seen, ...]:
        """The last 10,000 requests, oldest first."""
        return tuple(self._seen)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that wait for a request."""
        return tuple(self._faults)

    def plan(self, *faults: Fault) -> None:
        """Add faults; the first one that fits a request strikes it."""
        self._faults.extend(faults)

    def clear(self, name: str = "") -> None:
        """Lift the faults of that name, or all; late effects stay due."""
        self._faults = [fault for fault in self._faults if name not in ("", fault.name)]

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Perform ``request`` at ``now``, or what the first fitting fault makes of it."""
        self.settle(now)
        fault = self._strike(request)
        if fault is None:
            reply = Reply(response=self._perform(request, now))
        else:
            reply = self._play(request, fault, now)
        self._seen.append(_seen(request, reply, now))
        return reply

    def settle(self, now: datetime) -> None:
        """Perform the late effects whose time has come, in order of their time."""
        due = sorted(
            (entry for entry in self._late if entry[0] <= now), key=lambda entry: entry[0]
        )
        self._late = [entry for entry in self._late if entry[0] > now]
        for at, request, clock_off in due:
            self._perform(request, at + clock_off)

    def control(self, request: Request) -> Response:
        """Answer a control request: ``/_sim/faults`` (GET, POST, DELETE) and ``/_sim/requests`` (GET).

        POST takes one fault or ``{"faults": [...]}``, see ``FaultDocument``; 400 says what is wrong. DELETE lifts
        all, or those of the query's ``name``.
        """
        path, _, query = request.url.partition("?")
        match request.method, path:
            case "POST", "/_sim/faults":
                return self._plan_from(request.body)
            case "DELETE", "/_sim/faults":
                self.clear(dict(parse_qsl(query)).get("name", ""))
                return self._waiting(200)
            case "GET", "/_sim/faults":
                return self._waiting(200)
            case "GET", "/_sim/requests":
                return as_json(200, {"requests": [_told(seen) for seen in self._seen]})
            case _:
                return as_json(404, {"message": "no such control"})

    def _plan_from(self, body: bytes) -> Response:
        try:
            document = parse(body)
            planned = objects(document, "faults") if "faults" in document else (document,)
            self.plan(*[fault_from(one) for one in planned])
        except PayloadError as error:
            return as_json(400, {"message": str(error)})
        return self._waiting(201)

    def _waiting(self, status: int) -> Response:
        return as_json(status, {"waiting": sum(fault.times for fault in self._faults)})

    def _strike(self, request: Request) -> Fault | None:
        for index, fault in enumerate(self._faults):
            if fault.fits(request):
                rest = fault.struck()
                self._faults[index : index + 1] = [rest] if rest is not None else []
                return fault
        return None

    def _play(self, request: Request, fault: Fault, now: datetime) -> Reply:
        there = now + fault.clock_off
        own = self._perform(request, there) if fault.effect is Effect.NOW else None
        if fault.effect is Effect.LATE:
            self._late.append((now + fault.late_by, request, fault.clock_off))
        return Reply(
            response=fault.answer(own, now=there),
            delay=fault.delay,
            cut_at=fault.cut_at,
            drip=fault.drip,
        )


def _seen(request: Request, reply: Reply, now: datetime) -> Seen:
    headers = tuple((name, value) for name, value in request.headers if name not in _CREDENTIALS)
    return Seen(
        at=now,
        request=evolve(request, headers=headers),
        status=reply.response.status if reply.response else None,
    )


def _told(seen: Seen) -> dict[str, object]:
    return {
        "at": seen.at.isoformat(),
        "method": seen.request.method,
        "url": seen.request.url,
        "status": seen.status,
    }
