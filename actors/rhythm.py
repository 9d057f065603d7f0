"""When a stream is read again: faster with news, slower without, never all at once; time and chance are handed in (FR-5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import evolve, frozen

from actors.pressure import Waiting
from actors.reading import HeldUp
from adapters.contract import Later, NeedsLogin, Refused
from adapters.polling import Page, Resource
from persistence.polls import Turn
from runtime import Backoff

_FASTER, _SLOWER = 0.5, 1.5
_SPREAD = 0.1


@frozen(kw_only=True)
class Rhythm:
    """One stream's, at one moment. ``chance`` draws from [0, 1).

    ``least`` is the tenant's own bound; ``short``: little is left of a limit, so polling takes less.
    """

    stream: Resource
    least: timedelta | None
    short: bool
    now: datetime
    chance: Callable[[], float]
    retry: Backoff

    def after(self, page: Page, every: timedelta, *, news: bool) -> Turn:
        """The turn after a page: at once where there is more, of which a page without news says nothing."""
        if page.more and not news:
            return Turn(next_poll_at=self.now, every=every)
        adapted = self._adapted(every, news=news)
        if page.more:
            return Turn(next_poll_at=self.now, every=adapted)
        wait = max(self._spread(adapted), page.again_after or timedelta())
        return Turn(next_poll_at=self.now + wait, every=adapted)

    def held_up(self, why: HeldUp, failures: int) -> datetime:
        """When the same page is tried again. What a provider refuses is asked only as seldom as may be."""
        match why:
            case Waiting(until=until):
                return until
            case Later(retry_after=wish):
                backoff = evolve(self.retry, cap=self.stream.slowest)
                jitter = self.chance()
                return self.now + backoff.delay(failures + 1, jitter=jitter, retry_after=wish)
            case NeedsLogin():
                return self.now  # nothing is read before a person came: then at once
            case Refused():
                return self.now + self._spread(self.stream.slowest)

    def _adapted(self, every: timedelta, *, news: bool) -> timedelta:
        """Within the provider's bounds and the tenant's."""
        fastest = max(self.stream.fastest, self.least or self.stream.fastest)
        wanted = every * (_FASTER if news and not self.short else _SLOWER)
        return min(max(wanted, fastest), max(self.stream.slowest, fastest))

    def _spread(self, every: timedelta) -> timedelta:
        return every * (1 + _SPREAD * (2 * self.chance() - 1))
