from __future__ import annotations

from datetime import timedelta

import pytest
import trio

from runtime import Watchdog, watching
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

    with watching(watchdog):
        async with running(supervisor(actor("quick"), actor("greedy"))) as (system, _):
            quick = Do(act=lambda _: seconds.pass_by(0.05))
            greedy = Do(act=lambda _: seconds.pass_by(0.25))
            await system.ref("/quick").ask(quick, deadline=SECOND)
            await system.ref("/greedy").ask(greedy, deadline=SECOND)

    assert reports == [("/greedy", timedelta(seconds=0.25))]


async def test_the_watch_ends_with_its_block() -> None:
    seconds = Seconds()
    reports: list[str] = []
    watchdog = Watchdog(bound=SECOND, seconds=seconds, report=lambda task, _: reports.append(task))
    with watching(watchdog):
        await trio.lowlevel.checkpoint()

    seconds.pass_by(10)
    await trio.lowlevel.checkpoint()

    assert reports == []
    with pytest.raises(KeyError):
        trio.lowlevel.remove_instrument(watchdog)
