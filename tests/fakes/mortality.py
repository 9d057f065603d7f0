"""Ending what runs at every point there is, one after the other: enumerated, not sampled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import trio
from attrs import define, field

Value = TypeVar("Value")

MOST_POINTS = 500


@define(eq=False)
class _CutShort(trio.abc.Instrument):
    task: trio.lowlevel.Task
    at: int
    steps: int = 0
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count the steps of the task; from the ``at``-th on, its next await is its end."""
        if task is self.task:
            self.steps += 1
            if self.steps == self.at:
                self.scope.cancel()


async def cut_short(at: int, run: Callable[[], Awaitable[Value]]) -> Value | None:
    """Run ``run`` and cancel it at its ``at``-th await, counted from 1; None if that was its end."""
    instrument = _CutShort(trio.lowlevel.current_task(), at)
    trio.lowlevel.add_instrument(instrument)
    try:
        with instrument.scope:
            await trio.lowlevel.checkpoint()
            return await run()
    finally:
        trio.lowlevel.remove_instrument(instrument)
    return None


class KilledError(Exception):
    """The process ended here."""


@define
class Mortal:
    """Counts the points it passes and dies at one of them (0: at none)."""

    dies_at: int = 0
    passed: int = 0

    async def point(self) -> None:
        """One more point in a life."""
        await trio.lowlevel.checkpoint()
        self.passed += 1
        if self.passed == self.dies_at:
            raise KilledError


def points() -> Iterator[int]:
    """1, 2, 3 ...: a test goes on until it got through alive; that it never does is a failure."""
    yield from range(1, MOST_POINTS)
    raise AssertionError("it never came through alive")
