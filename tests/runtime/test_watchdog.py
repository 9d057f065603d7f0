from __future__ import annotations

from datetime import timedelta

import trio

from runtime import Watchdog
from tests.runtime.scene import SECOND, Do, actor, running, supervisor


class Seconds:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


async def test_the_actor_that_held_the_loop_is_named_with_the_time_it_took() -> None:
    seconds = Seconds()
    reports: list[tuple[str, timedelta]] = []
    watchdog = Watchdog(
        bound=timedelta(milliseconds=50),
        seconds=seconds,
        report=lambda task, held: reports.append((task, held)),
    )

    trio.lowlevel.add_instrument(watchdog)
    async with running(supervisor(actor("quick"), actor("greedy"))) as (system, _):
        quick = Do(act=lambda _: seconds.pass_by(0.05))
        greedy = Do(act=lambda _: seconds.pass_by(0.25))
        await system.ref("/quick").ask(quick, deadline=SECOND)
        await system.ref("/greedy").ask(greedy, deadline=SECOND)

    assert reports == [("/greedy", timedelta(seconds=0.25))]


async def test_without_the_instrument_nothing_is_watched() -> None:
    seconds = Seconds()
    reports: list[str] = []
    watchdog = Watchdog(bound=SECOND, seconds=seconds, report=lambda task, _: reports.append(task))
    trio.lowlevel.add_instrument(watchdog)
    await trio.lowlevel.checkpoint()
    trio.lowlevel.remove_instrument(watchdog)

    seconds.pass_by(10)
    await trio.lowlevel.checkpoint()

    assert reports == []
