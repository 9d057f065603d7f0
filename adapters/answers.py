"""What a provider's status codes mean unless the provider says otherwise."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from adapters.contract import Later, NeedsLogin, Refused, Request, Response

Ending: TypeAlias = Later | NeedsLogin | Refused

MAX_RETRY_AFTER = timedelta(days=1)
"""A longer wish is taken for a mistake of the provider, and shortened to this."""

_NOT_NOW = frozenset({408, 425, 429})


def ending(response: Response, *, request: Request, message: str = "") -> Ending | None:
    """How the plan ends with this answer, or None where it goes on (2xx).

    ``message`` is what the provider said, fit to be shown. A write that got 408 or 5xx, 503 included, may
    have had its effect: behind a gateway nothing says that it had not.
    """
    status = response.status
    reason = f"{status}: {message}" if message else f"answered {status}"
    if 200 <= status < 300:
        return None
    if status == 401:
        return NeedsLogin(reason=reason)
    if status in _NOT_NOW or status >= 500:
        maybe = request.writes and (status == 408 or status >= 500)
        return Later(reason=reason, retry_after=retry_after(response), maybe_sent=maybe)
    return Refused(reason=reason, status=status)


def retry_after(response: Response) -> timedelta | None:
    """How long the provider asks to wait (RFC 9110, 10.2.3), or None where it does not say readably.

    A date counts from the answer's own ``Date``; without one nothing can be said.
    """
    value = (response.header("retry-after") or "").strip()
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:9]), MAX_RETRY_AFTER.total_seconds()))
    wanted, answered = _date(value), answered_at(response)
    if wanted is None or answered is None:
        return None
    return min(max(wanted - answered, timedelta()), MAX_RETRY_AFTER)


def answered_at(response: Response) -> datetime | None:
    """When the provider says it answered (the ``Date`` header), or None."""
    return _date(response.header("date") or "")


def _date(value: str) -> datetime | None:
    try:
        time = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return time if time.tzinfo is not None else None
