"""The faults that a test, or a demo, plans for a provider's simulator."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from attrs import frozen

from adapters.contract import Headers, Request, Response
from adapters.document import optional, read_object
from adapters.errors import PayloadError

_NO_TIME = timedelta()
_FIELDS = frozenset(
    {
        "effect",
        "status",
        "headers",
        "body",
        "dropped",
        "delay_s",
        "late_by_s",
        "cut_at",
        "times",
        "method",
        "path",
    }
)


class Effect(StrEnum):
    """What becomes of the request's effect when a fault strikes."""

    NONE = "none"
    NOW = "now"
    LATE = "late"


@frozen(kw_only=True)
class Fault:
    """One planned fault; it strikes ``times`` requests whose method and path fit, then it is used up.

    ``response`` None: the provider's own answer (only with ``Effect.NOW``). ``dropped``: no answer at all.
    ``late_by`` is how long after the request a ``LATE`` effect appears. ``cut_at`` is the length in bytes
    after which the body breaks off. ``path`` fits when the request's path contains it.
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
            raise ValueError(f"a fault with effect {self.effect} needs a response, or dropped")
        if self.times < 1:
            raise ValueError("a fault strikes at least once")

    def fits(self, request: Request) -> bool:
        """Whether this fault is about ``request``."""
        return self.method in ("", request.method) and self.path in request.url.partition("?")[0]


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


def cut(at: int, *, times: int = 1, method: str = "POST") -> Fault:
    """The provider does it, and the answer's body breaks off after ``at`` bytes."""
    return Fault(cut_at=at, times=times, method=method)


def rate_limited(retry_after: timedelta, *, status: int = 429, times: int = 1) -> Fault:
    """The provider does nothing and says when to come back."""
    seconds = str(int(retry_after.total_seconds()))
    return failing(status, headers=(("retry-after", seconds),), times=times)


def plain(status: int, *, headers: Headers = ()) -> Response:
    """An answer of a proxy or of a failing server: a status and a line of text."""
    return Response(
        status=status,
        headers=(("content-type", "text/plain"), *headers),
        body=f"simulated {status}".encode(),
    )


def fault_from(document: Mapping[str, Any]) -> Fault:
    """Read a fault that another process plans, from JSON.

    Its fields are those of ``Fault``, with ``status``, ``headers`` (an object) and ``body`` for the response,
    and times in seconds as ``delay_s`` and ``late_by_s``.

    Raises:
        PayloadError: with the path of what is wrong.
    """
    unknown = sorted(set(document) - _FIELDS)
    if unknown:
        raise PayloadError("is no field of a fault", path=unknown[0])
    effect = optional(document, "effect", str) or Effect.NOW.value
    if effect not in tuple(Effect):
        raise PayloadError(f"must be one of {', '.join(Effect)}", path="effect")
    try:
        return Fault(
            effect=Effect(effect),
            response=_response(document),
            dropped=optional(document, "dropped", bool) or False,
            delay=_seconds(document, "delay_s"),
            late_by=_seconds(document, "late_by_s"),
            cut_at=optional(document, "cut_at", int),
            times=optional(document, "times", int) or 1,
            method=optional(document, "method", str) or "",
            path=optional(document, "path", str) or "",
        )
    except ValueError as error:
        raise PayloadError(str(error)) from error


def _response(document: Mapping[str, Any]) -> Response | None:
    status = optional(document, "status", int)
    if status is None:
        return None
    if not 200 <= status <= 599:
        raise PayloadError("must be a final HTTP status", path="status")
    given = read_object(document, "headers") if "headers" in document else {}
    headers = tuple((str(name).lower(), str(value)) for name, value in given.items())
    body = optional(document, "body", str)
    if body is None:
        return plain(status, headers=headers)
    return Response(status=status, headers=headers, body=body.encode())


def _seconds(document: Mapping[str, Any], name: str) -> timedelta:
    value = document.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 86_400:
        raise PayloadError("must be seconds, at most a day", path=name)
    return timedelta(seconds=value)
