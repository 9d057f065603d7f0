"""The faults that a test, or a demo, plans for a provider's simulator."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum

from attrs import evolve, frozen

from adapters.contract import Headers, Request, Response

_NO_TIME = timedelta()


class Effect(StrEnum):
    """What becomes of the request's effect when a fault strikes."""

    NONE = "none"
    NOW = "now"
    LATE = "late"


class Says(StrEnum):
    """How an answer says how long to wait: ``Retry-After`` as seconds or as a date, or when the limit is full again."""

    SECONDS = "seconds"
    DATE = "date"
    RESET = "reset"


@frozen(kw_only=True)
class Fault:
    """One planned fault; it strikes ``times`` requests whose method and path fit, then it is used up.

    ``response`` None: the provider's own answer (only with ``Effect.NOW``). ``dropped``: no answer at all.
    ``late_by`` is how long after the request a ``LATE`` effect appears. ``cut_at`` is the length in bytes
    after which the body breaks off; ``padded_to`` the length to which it is blown up, still the same JSON;
    ``drip`` the pause after each of its bytes. ``wait`` is what the answer asks for, as it ``says``.
    ``clock_off`` is how far ahead of ours the provider's clock is. ``path`` fits when the request's path contains
    it. ``lasting``: it strikes until it is lifted, by its ``name`` or with all others.
    """

    effect: Effect = Effect.NOW
    response: Response | None = None
    dropped: bool = False
    delay: timedelta = _NO_TIME
    late_by: timedelta = _NO_TIME
    cut_at: int | None = None
    padded_to: int | None = None
    drip: timedelta = _NO_TIME
    wait: timedelta | None = None
    says: Says = Says.SECONDS
    clock_off: timedelta = _NO_TIME
    times: int = 1
    lasting: bool = False
    name: str = ""
    method: str = ""
    path: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse a fault that has nothing to answer with."""
        if self.effect is not Effect.NOW and self.response is None and not self.dropped:
            raise ValueError(f"a fault with effect {self.effect} needs a response, or dropped")
        if self.times < 1:
            raise ValueError("a fault strikes at least once")

    def fits(self, request: Request) -> bool:
        """Whether this fault is about ``request``."""
        return self.method in ("", request.method) and self.path in request.url.partition("?")[0]

    def struck(self) -> Fault | None:
        """What is left of it after one strike."""
        if self.lasting:
            return self
        return evolve(self, times=self.times - 1) if self.times > 1 else None

    def answer(self, own: Response | None, *, now: datetime) -> Response | None:
        """What comes back where the provider itself would answer ``own``; ``now`` is by its clock."""
        response = self.response or own
        if self.dropped or response is None:
            return None
        if self.response is not None and response.header("date") is None:
            response = _with(response, ("date", format_datetime(now, usegmt=True)))
        if self.wait is not None:
            response = _with(response, *_wish(self.wait, self.says, now))
        padding = (self.padded_to or 0) - len(response.body)
        return evolve(response, body=response.body + b" " * max(0, padding))


def failing(
    status: int, *, headers: Headers = (), times: int = 1, method: str = "", path: str = ""
) -> Fault:
    """The provider answers ``status`` and does nothing."""
    response = plain(status, headers=headers)
    return Fault(effect=Effect.NONE, response=response, times=times, method=method, path=path)


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


def dripping(pause: timedelta, *, times: int = 1, method: str = "") -> Fault:
    """The provider does it, and its answer comes byte by byte."""
    return Fault(drip=pause, times=times, method=method)


def cut(at: int, *, times: int = 1, method: str = "POST") -> Fault:
    """The provider does it, and the answer's body breaks off after ``at`` bytes."""
    return Fault(cut_at=at, times=times, method=method)


def huge(size_bytes: int, *, times: int = 1, method: str = "POST") -> Fault:
    """The provider does it, and its answer is ``size_bytes`` long."""
    return Fault(padded_to=size_bytes, times=times, method=method)


def rate_limited(
    retry_after: timedelta, *, status: int = 429, times: int = 1, says: Says = Says.SECONDS
) -> Fault:
    """The provider does nothing and says when to come back; with more ``times`` it is a storm."""
    limited = failing(status, times=times)
    return evolve(limited, wait=retry_after, says=says)


def revoked(*, name: str = "revoked") -> Fault:
    """The provider knows the token no more, until the fault is lifted."""
    return evolve(failing(401), lasting=True, name=name)


def skewed(by: timedelta, *, name: str = "skewed") -> Fault:
    """The provider's clock is ahead of ours by so much, or behind, until the fault is lifted."""
    return Fault(clock_off=by, lasting=True, name=name)


def plain(status: int, *, headers: Headers = ()) -> Response:
    """An answer of a proxy or of a failing server: a status and a line of text."""
    return Response(
        status=status,
        headers=(("content-type", "text/plain"), *headers),
        body=f"simulated {status}".encode(),
    )


def _with(response: Response, *headers: tuple[str, str]) -> Response:
    return evolve(response, headers=(*response.headers, *headers))


def _wish(wait: timedelta, says: Says, now: datetime) -> Headers:
    match says:
        case Says.SECONDS:
            return (("retry-after", str(int(wait.total_seconds()))),)
        case Says.DATE:
            return (("retry-after", format_datetime(now + wait, usegmt=True)),)
        case Says.RESET:
            full_again = str(int((now + wait).timestamp()))
            return (("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", full_again))
