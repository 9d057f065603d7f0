"""Where time and chance come from: both are arguments, so that a test can hold them in its hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Protocol

import trio

__all__ = ["Clock", "Random", "TrioClock"]


class Clock(Protocol):
    """Tells the wall time."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""


class TrioClock:
    """Wall time that advances with trio's own clock, so that a ``MockClock`` drives both.

    ``epoch`` (aware) is the moment of construction, which happens inside ``trio.run``. The clock never
    jumps; over weeks it drifts from the system's as the monotonic clock does.
    """

    def __init__(self, epoch: datetime) -> None:
        if epoch.tzinfo is None:
            raise ValueError("the epoch needs a time zone")
        self._epoch = epoch
        self._start = trio.current_time()

    def now(self) -> datetime:
        """See ``Clock.now``."""
        return self._epoch + timedelta(seconds=trio.current_time() - self._start)
