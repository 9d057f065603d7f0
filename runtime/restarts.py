"""How often something crashed, and what follows. Pure records: time and chance are passed in.

Times are seconds on a clock that only goes forward.
"""

from __future__ import annotations

from datetime import timedelta

from attrs import define, field

from runtime.specs import DirectorySpec


@define
class Crashes:
    """Those of the last ``within`` seconds; for a directory's key also its quarantines, and when its delay ends."""

    within: float
    times: list[float] = field(factory=list)
    quarantines: int = 0
    until: float = 0.0

    def count(self, now: float) -> int:
        """Add one at ``now``: how many there are with it."""
        self.times = [*(at for at in self.times if now - at < self.within), now]
        return len(self.times)


@define
class Quarantine:
    """Which keys of a directory crash too often, and until when they are kept down.

    It remembers as many keys as the directory's cap; beyond that it forgets the one whose last crash is oldest.
    """

    _spec: DirectorySpec
    _records: dict[str, Crashes] = field(factory=dict, init=False)

    def crashed(self, key: str, now: float, *, jitter: float) -> timedelta:
        """Count a crash of ``key``: how long it stays down, be it in quarantine or not.

        A crash in the window after a quarantine leads straight into the next and longer one.
        """
        record = self._records.pop(key, None) or Crashes(
            self._spec.intensity.within.total_seconds()
        )
        if now - record.until >= record.within:
            record.quarantines = 0
        crashes = record.count(now)
        if record.quarantines or crashes > self._spec.intensity.restarts:
            record.quarantines += 1
            delay = self._spec.quarantine.delay(record.quarantines, jitter=0.5 + jitter / 2)
        else:
            delay = self._spec.backoff.delay(crashes, jitter=jitter)
        record.until = now + delay.total_seconds()
        self._records[key] = record
        if len(self._records) > self._spec.cap:
            del self._records[next(iter(self._records))]
        return delay

    def left(self, key: str, now: float) -> timedelta | None:
        """How long ``key`` is in quarantine still; None if it is not."""
        record = self._records.get(key)
        if record is None or not record.quarantines or record.until <= now:
            return None
        return timedelta(seconds=record.until - now)
