"""Names the task that held the loop: while one does not await, no other runs, no timer fires, nobody is served."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta

import trio
from attrs import define


@define(kw_only=True, eq=False)
class Watchdog(trio.abc.Instrument):
    """A trio instrument that reports each step longer than ``bound``, after it ended.

    ``seconds`` is a clock that goes on while the loop is held (``time.perf_counter``). ``report`` gets the task's
    name, which is the actor's address, and how long it held the loop; it must be quick and must not raise, else
    trio switches the instrument off and logs it. It is on while trio has it: ``trio.run(..., instruments=[watchdog])``,
    or ``trio.lowlevel.add_instrument(watchdog)`` until ``remove_instrument``.
    """

    bound: timedelta
    seconds: Callable[[], float]
    report: Callable[[str, timedelta], None]
    _began: float = math.inf

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See ``trio.abc.Instrument``."""
        self._began = self.seconds()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See ``trio.abc.Instrument``."""
        held = self.seconds() - self._began
        if held > self.bound.total_seconds():
            self.report(task.name, timedelta(seconds=held))
