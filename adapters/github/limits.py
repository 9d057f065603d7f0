"""What GitHub allows one connection, and what its answers say is left of that.

docs.github.com, "Rate limits for the REST API". An installation of an App may have more than the 5,000; what the headers
say then counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from adapters.capabilities import Allowance
from adapters.contract import Response
from adapters.manifest import Limit

CORE = "core"
LIMITS = (
    Limit(name=CORE, amount=5_000, per=timedelta(hours=1)),
    # Of these GitHub tells only when they are exceeded.
    Limit(name="content_per_minute", amount=80, per=timedelta(minutes=1), writes_only=True),
    Limit(name="content_per_hour", amount=500, per=timedelta(hours=1), writes_only=True),
)
AT_ONCE = 4
"""GitHub bears a hundred, and asks for few: writes side by side bring its secondary limits on."""


def allowance(response: Response) -> Allowance | None:
    """See ``Allowances.allowance``; search and others have limits of their own, which are not ours."""
    if response.header("x-ratelimit-resource") != CORE:
        return None
    remaining = _whole(response.header("x-ratelimit-remaining"))
    resets_at = reset(response)
    if remaining is None or resets_at is None:
        return None
    return Allowance(name=CORE, remaining=remaining, resets_at=resets_at)


def reset(response: Response) -> datetime | None:
    """When GitHub says that its limit is full again, or None."""
    seconds = _whole(response.header("x-ratelimit-reset"))
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _whole(value: str | None) -> int | None:
    value = value or ""
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 11 else None
