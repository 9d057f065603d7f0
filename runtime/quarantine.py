"""Which keys crash too often, and until when they are kept down. A pure record: time and chance are passed in."""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta

from attrs import define, field, frozen

from runtime.backoff import Backoff
from runtime.specs import Intensity


@frozen(kw_only=True)
class Verdict:
    """What follows a crash: a start after ``delay``, in ``quarantine`` until then or not."""

    delay: timedelta
    quarantine: bool


@define
class _Record:
    crashes: list[float] = field(factory=list)
    quarantines: int = 0
    until: float = 0.0


class Quarantine:
    """The crashes of each key. Times are seconds on a clock that only goes forward.

    It remembers ``capacity`` keys; beyond that it forgets the one whose last crash is oldest.
    """

    def __init__(
        self, *, intensity: Intensity, backoff: Backoff, quarantine: Backoff, capacity: int
    ) -> None:
        self._intensity = intensity
        self._within = intensity.within.total_seconds()
        self._backoff = backoff
        self._quarantine = quarantine
        self._capacity = capacity
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def crashed(self, key: str, now: float, *, jitter: float) -> Verdict:
        """Count a crash of ``key``.

        One in the window after a quarantine leads straight into the next and longer one.
        """
        record = self._records.pop(key, None) or _Record()
        if record.until and now - record.until >= self._within:
            record.quarantines = 0
        record.crashes = [at for at in record.crashes if now - at < self._within]
        record.crashes.append(now)
        if record.quarantines or len(record.crashes) > self._intensity.restarts:
            record.quarantines += 1
            delay = self._quarantine.delay(record.quarantines, jitter=0.5 + jitter / 2)
        else:
            delay = self._backoff.delay(len(record.crashes), jitter=jitter)
        record.until = now + delay.total_seconds()
        self._records[key] = record
        if len(self._records) > self._capacity:
            self._records.popitem(last=False)
        return Verdict(delay=delay, quarantine=record.quarantines > 0)

    def left(self, key: str, now: float) -> timedelta | None:
        """How long ``key`` is in quarantine still; None if it is not."""
        record = self._records.get(key)
        if record is None or not record.quarantines or record.until <= now:
            return None
        return timedelta(seconds=record.until - now)
