"""What a provider's simulator answers with, and the faults a test can plan for it.

A simulator is a pure state machine: ``handle(request, *, now) -> Reply``. ``Stage`` puts planned faults between
the wire and the provider's own behaviour, so each simulator only writes the behaviour. Served over HTTP, it is
scripted under ``/_sim/``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

import orjson
from attrs import evolve, field, frozen

from adapters.contract import Request, Response

Perform: TypeAlias = Callable[[Request, datetime], Response]
"""What the provider itself does with a request, effect included."""

_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
_MAX_SEEN = 10_000
_NO_TIME = timedelta()


@frozen(kw_only=True)
class Reply:
    """What goes back over the wire, and when.

    ``response`` None: the connection is dropped without an answer. ``delay`` passes before the first byte (or
    the drop). ``cut_at``: the connection breaks after so many bytes of the body, which its content-length
    promised in full.
    """

    response: Response | None
    delay: timedelta = _NO_TIME
    cut_at: int | None = None


class Effect(StrEnum):
    """What becomes of the request's effect when a fault strikes."""

    NONE = "none"
    NOW = "now"
    LATE = "late"


@frozen(kw_only=True)
class Fault:
    """One planned fault; it strikes ``times`` requests whose method and path fit, then it is used up.

    ``response`` None: the provider's own answer (only with ``Effect.NOW``). ``dropped``: no answer at all.
    ``late_by`` is how long after the request a ``LATE`` effect appears. ``path`` fits when the request's path
    contains it.
    """

    effect: Effect = Effect.NOW
    response: Response | None = None
    dropped: bool = False
    delay: timedelta = _NO_TIME
    late_by: timedelta = _NO_TIME
    cut_at: int | None = None
    times: int = 1
    method: str = ""
    path: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse a fault that has nothing to answer with."""
        if self.effect is not Effect.NOW and self.response is None and not self.dropped:
            raise ValueError(f"a fault with effect {self.effect} needs a response or dropped")
        if self.times < 1:
            raise ValueError("a fault strikes at least once")

    def fits(self, request: Request) -> bool:
        """Whether this fault is about ``request``."""
        return self.method in ("", request.method) and self.path in request.url.partition("?")[0]


def failing(status: int, *, headers: tuple[tuple[str, str], ...] = (), times: int = 1) -> Fault:
    """The provider answers ``status`` and does nothing."""
    return Fault(effect=Effect.NONE, response=plain(status, headers=headers), times=times)


def failing_after(status: int = 502, *, times: int = 1, method: str = "POST") -> Fault:
    """The provider does it, and answers ``status`` all the same."""
    return Fault(effect=Effect.NOW, response=plain(status), times=times, method=method)


def dropped_before(*, times: int = 1, method: str = "") -> Fault:
    """The connection breaks; nothing was done."""
    return Fault(effect=Effect.NONE, dropped=True, times=times, method=method)


def dropped_after(*, times: int = 1, method: str = "POST") -> Fault:
    """The provider does it, and the connection breaks before the answer."""
    return Fault(effect=Effect.NOW, dropped=True, times=times, method=method)


def late(by: timedelta, *, status: int = 504, method: str = "POST") -> Fault:
    """The provider answers ``status`` now, and the effect appears ``by`` later."""
    return Fault(effect=Effect.LATE, late_by=by, response=plain(status), method=method)


def slow(delay: timedelta, *, times: int = 1, method: str = "") -> Fault:
    """The provider does it, and answers after ``delay``."""
    return Fault(delay=delay, times=times, method=method)


def rate_limited(retry_after: timedelta, *, status: int = 429, times: int = 1) -> Fault:
    """The provider does nothing and says when to come back."""
    seconds = str(int(retry_after.total_seconds()))
    return failing(status, headers=(("retry-after", seconds),), times=times)


def plain(status: int, *, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """An answer of a proxy or a failing server: a status and a line of text."""
    return Response(
        status=status,
        headers=(("content-type", "text/plain"), *headers),
        body=f"simulated {status}".encode(),
    )


def as_json(status: int, document: object, *, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """An answer whose body is ``document`` as JSON."""
    return Response(
        status=status,
        headers=(("content-type", "application/json; charset=utf-8"), *headers),
        body=orjson.dumps(document),
    )


@frozen(kw_only=True)
class Seen:
    """One request as the provider saw it, without credentials. ``status`` None: it got no answer."""

    at: datetime
    request: Request
    status: int | None
    body: bytes = field(default=b"", repr=False)


class Stage:
    """A provider's behaviour with planned faults in front of it. Not pure: it is the simulator's memory.

    Effects that are late are performed as soon as a call says that their time has come.
    """

    def __init__(self, perform: Perform) -> None:
        """Stage ``perform``, without faults."""
        self._perform = perform
        self._faults: list[Fault] = []
        self._late: list[tuple[datetime, Request]] = []
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
        """Add faults; the first that fits a request strikes it."""
        self._faults.extend(faults)

    def clear(self) -> None:
        """Drop the faults that did not strike yet; late effects stay due."""
        self._faults.clear()

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Perform ``request`` at ``now``, or what the first fitting fault makes of it."""
        self.settle(now)
        fault = self._strike(request)
        reply = self._play(request, fault, now) if fault else _own(self._perform(request, now))
        self._seen.append(_seen(request, reply, now))
        return reply

    def settle(self, now: datetime) -> None:
        """Perform the late effects whose time has come, in order of their time."""
        due = sorted((entry for entry in self._late if entry[0] <= now), key=lambda entry: entry[0])
        self._late = [entry for entry in self._late if entry[0] > now]
        for at, request in due:
            self._perform(request, at)

    def _strike(self, request: Request) -> Fault | None:
        for index, fault in enumerate(self._faults):
            if fault.fits(request):
                rest = [evolve(fault, times=fault.times - 1)] if fault.times > 1 else []
                self._faults[index : index + 1] = rest
                return fault
        return None

    def _play(self, request: Request, fault: Fault, now: datetime) -> Reply:
        own = self._perform(request, now) if fault.effect is Effect.NOW else None
        if fault.effect is Effect.LATE:
            self._late.append((now + fault.late_by, request))
        response = None if fault.dropped else (fault.response or own)
        return Reply(response=response, delay=fault.delay, cut_at=fault.cut_at)


def _own(response: Response) -> Reply:
    return Reply(response=response)


def _seen(request: Request, reply: Reply, now: datetime) -> Seen:
    headers = tuple((name, value) for name, value in request.headers if name not in _CREDENTIALS)
    return Seen(
        at=now,
        request=evolve(request, headers=headers),
        status=reply.response.status if reply.response else None,
    )
