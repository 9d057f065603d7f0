"""How long to wait before the next attempt: exponential, with full jitter, and never less than asked for."""

from __future__ import annotations

from datetime import timedelta

from attrs import field, frozen
from attrs.validators import ge, le

_MAX_EXPONENT = 64
"""Beyond it the cap has long been reached, and a power would leave the range of floats."""


@frozen(kw_only=True)
class Refusal:
    """Not now, and nothing was taken; ask again after ``retry_after``."""

    retry_after: timedelta


@frozen(kw_only=True)
class Backoff:
    """Delays that grow by ``factor`` from ``base`` up to ``cap``.

    Full jitter, because retries that agree on a moment arrive together:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    base: timedelta = field(validator=ge(timedelta(0)))
    factor: float = field(default=2.0, validator=(ge(1.0), le(1000.0)))
    cap: timedelta

    def delay(
        self, attempt: int, *, jitter: float, retry_after: timedelta | None = None
    ) -> timedelta:
        """The wait before retry ``attempt`` (the first is 1).

        ``jitter`` in [0, 1) is drawn by the caller. ``retry_after`` is honoured in full, beyond the cap too.
        """
        if attempt < 1:
            raise ValueError("the first retry is attempt 1")
        growth = self.factor ** min(attempt - 1, _MAX_EXPONENT)
        longest = min(self.base.total_seconds() * growth, self.cap.total_seconds())
        chosen = timedelta(seconds=longest * jitter)
        return chosen if retry_after is None else max(chosen, retry_after)
