"""A stage for the runtime's tests: a tree that is stopped at the end, an observer that remembers, an actor that obeys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import trio
import trio.testing
from attrs import frozen

from runtime import (
    Actor,
    ActorSpec,
    Backoff,
    Context,
    GaveUpError,
    Intensity,
    Observer,
    Restart,
    Strategy,
    SupervisorSpec,
    System,
    TrioClock,
)
from runtime.specs import Spec

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
NO_WAIT = Backoff(base=timedelta(0), cap=timedelta(0))
SECOND = timedelta(seconds=1)


class Recorder(Observer):
    """An observer that remembers what it heard, as tuples."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.errors: list[Exception] = []

    def started(self, address: str, kind: str) -> None:
        self.heard.append(("started", address))

    def restarted(self, address: str, restarts: int) -> None:
        self.heard.append(("restarted", address, restarts))

    def stopped(self, address: str, reason: str) -> None:
        self.heard.append(("stopped", address))

    def crashed(self, address: str, error: Exception) -> None:
        self.heard.append(("crashed", address))
        self.errors.append(error)

    def gave_up(self, address: str, error: GaveUpError) -> None:
        self.heard.append(("gave_up", address, error.child))

    def quarantined(self, address: str, retry_after: timedelta, error: Exception) -> None:
        self.heard.append(("quarantined", address, retry_after))

    def discarded(self, address: str, messages: int) -> None:
        self.heard.append(("discarded", address, messages))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [each[1:] for each in self.heard if each[0] == kind]


class SabotageError(Exception):
    """What an obedient actor raises when told to crash."""


@frozen(kw_only=True)
class Do:
    """Tells ``Obedient`` to run ``act`` with its context, and to answer what it returns."""

    act: Callable[[Context], object]


@frozen(kw_only=True)
class Await:
    """As ``Do``, for a coroutine."""

    act: Callable[[Context], Any]


@frozen(kw_only=True)
class Pause:
    """Tells ``Obedient`` to be busy for ``seconds``."""

    seconds: float


CRASH = "crash"


class Obedient(Actor):
    """Does as it is told, and writes everything down in a journal that outlives it."""

    def __init__(self, journal: list[object] | None = None, *, name: str = "") -> None:
        self.journal: list[object] = [] if journal is None else journal
        self.name = name

    async def on_start(self, context: Context) -> None:
        await super().on_start(context)
        self.context = context
        self.journal.append(f"start {self.name}".strip())

    async def on_message(self, message: object) -> object:
        if message == CRASH:
            raise SabotageError("told to crash")
        if isinstance(message, Do):
            return message.act(self.context)
        if isinstance(message, Await):
            return await message.act(self.context)
        if isinstance(message, Pause):
            await trio.sleep(message.seconds)
            return None
        self.journal.append(message)
        return ("seen", message)

    async def on_stop(self) -> None:
        await super().on_stop()
        self.journal.append(f"stop {self.name}".strip())


def actor(
    name: str,
    journal: list[object] | None = None,
    *,
    create: Callable[[], Actor] | None = None,
    restart: Restart = Restart.PERMANENT,
    **more: Any,
) -> ActorSpec:
    """An obedient actor, whose journal entries carry its name."""
    chosen = create or (lambda: Obedient(journal, name=name))
    return ActorSpec(name=name, create=chosen, restart=restart, **more)


def supervisor(
    *children: Spec,
    name: str = "root",
    strategy: Strategy = Strategy.ONE_FOR_ONE,
    restarts: int = 3,
    within: timedelta = timedelta(seconds=10),
    backoff: Backoff = NO_WAIT,
    restart: Restart = Restart.PERMANENT,
    shutdown: timedelta = timedelta(seconds=30),
) -> SupervisorSpec:
    """A supervisor that restarts at once."""
    return SupervisorSpec(
        name=name,
        strategy=strategy,
        intensity=Intensity(restarts=restarts, within=within),
        backoff=backoff,
        children=children,
        restart=restart,
        shutdown=shutdown,
    )


def build(root: SupervisorSpec, recorder: Recorder | None = None, *, seed: int = 1) -> System:
    """A system that is not running yet; inside ``trio.run`` only."""
    return System(
        root,
        clock=TrioClock(EPOCH),
        random=Random(seed),  # noqa: S311 - to be repeatable
        observer=recorder if recorder is not None else Recorder(),
    )


@asynccontextmanager
async def running(
    root: SupervisorSpec, *, drain: timedelta = 30 * SECOND
) -> AsyncIterator[tuple[System, Recorder]]:
    """The system, started; stopped at the end of the block."""
    recorder = Recorder()
    system = build(root, recorder)
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        yield system, recorder
        await system.stop(drain=drain)


async def settle() -> None:
    """Let everything that can run do so; no time passes."""
    await trio.testing.wait_all_tasks_blocked()
