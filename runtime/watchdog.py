"""Names the task that held the loop: while one does not await, no other runs, no timer fires, nobody is served."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import trio


class Watchdog(trio.abc.Instrument):
    """A trio instrument that reports each step longer than ``bound``, after it ended.

    ``seconds`` is a clock that goes on while the loop is held (``time.perf_counter``). ``report`` gets the task's
    name, which is the actor's address, and how long it held the loop; it must be quick and must not raise, else
    trio switches the instrument off and logs it. Off unless used with ``watching``.
    """

    def __init__(
        self,
        *,
        bound: timedelta,
        seconds: Callable[[], float],
        report: Callable[[str, timedelta], None],
    ) -> None:
        self._bound = bound.total_seconds()
        self._seconds = seconds
        self._report = report
        self._began = math.inf

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See ``trio.abc.Instrument``."""
        self._began = self._seconds()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See ``trio.abc.Instrument``."""
        held = self._seconds() - self._began
        if held > self._bound:
            self._report(task.name, timedelta(seconds=held))


@contextmanager
def watching(watchdog: Watchdog) -> Iterator[None]:
    """Have ``watchdog`` watch the present ``trio.run`` for the time of the block."""
    trio.lowlevel.add_instrument(watchdog)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(watchdog)
