"""The tree as others see it: who is where, in which state, since when, and what changed."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import trio
from attrs import define, field, frozen

from runtime.clock import Clock, Random
from runtime.errors import GaveUpError
from runtime.mailbox import MailboxStatistics


class State(StrEnum):
    """What a place in the tree is doing."""

    WAITING = "waiting"  # for its first start
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RESTARTING = "restarting"  # crashed; the delay before the next start runs
    QUARANTINED = "quarantined"
    STOPPED = "stopped"


@frozen(kw_only=True)
class ActorSnapshot:
    """One place in the tree at one moment.

    ``last_error`` names type and place of the last crash, never its text, which may hold data. ``message``
    is the type of the message in hand and ``busy`` how long it has been; ``tasks`` the names of spawned tasks.
    """

    address: str
    kind: str
    state: State
    since: datetime
    restarts: int
    last_error: str | None
    mailbox: MailboxStatistics | None = None
    message: str | None = None
    busy: timedelta | None = None
    tasks: tuple[str, ...] = ()


@frozen(kw_only=True)
class Change:
    """A place in the tree entered ``state`` at ``at``."""

    address: str
    state: State
    at: datetime
    reason: str


class Observer(Protocol):
    """Hears what happens in the tree, at once and in order. The runtime never logs; an observer may.

    The callbacks run between two steps of the actors: they must be quick and must not raise. An error
    that one raises is the supervisor's crash.
    """

    def started(self, address: str, kind: str) -> None:
        """The child at ``address`` is ready for the first time."""

    def restarted(self, address: str, restarts: int) -> None:
        """The child at ``address`` is ready again; ``restarts`` counts the times."""

    def stopped(self, address: str, reason: str) -> None:
        """The child ended without an error: by itself, or because it was told to."""

    def crashed(self, address: str, error: Exception) -> None:
        """The child ended with an error, or met one while stopping."""

    def gave_up(self, address: str, error: GaveUpError) -> None:
        """The supervisor at ``address`` used up its restarts and ended."""

    def quarantined(self, address: str, retry_after: timedelta, error: Exception) -> None:
        """A directory keeps the actor at ``address`` down for ``retry_after``."""

    def discarded(self, address: str, messages: int) -> None:
        """The actor is gone for good, and so many messages that it had accepted with it."""


class NullObserver:
    """Hears nothing. See ``Observer``."""

    def _ignore(self, *args: object, **named: object) -> None:
        """Nothing follows."""

    started = restarted = stopped = crashed = gave_up = quarantined = discarded = _ignore


class Subscription:
    """A bounded feed of changes for one reader, an asynchronous iterator.

    A reader that falls behind loses the oldest changes, counted in ``missed``; nobody ever waits for it.
    """

    def __init__(self, capacity: int) -> None:
        self._changes: deque[Change] = deque(maxlen=capacity)
        self._news = trio.Event()
        self.missed = 0

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Change:
        while not self._changes:
            self._news = trio.Event()
            await self._news.wait()
        await trio.lowlevel.checkpoint()
        return self._changes.popleft()

    def publish(self, change: Change) -> None:
        """Add ``change``, in place of the oldest when there is no room."""
        self.missed += len(self._changes) == self._changes.maxlen
        self._changes.append(change)
        self._news.set()


@define(kw_only=True, eq=False)
class World:
    """What all places of one tree share. ``stopping`` is the reason once the whole tree is to end."""

    clock: Clock
    random: Random
    observer: Observer
    readers: set[Subscription] = field(factory=set)
    stopping: str | None = None


def where(error: Exception) -> str:
    """Type and place of ``error``, as ``ValueError at signals.py:31 in on_message``; never its text."""
    trace = error.__traceback__
    if trace is None:
        return type(error).__name__
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    file = code.co_filename.rpartition("/")[2]
    return f"{type(error).__name__} at {file}:{trace.tb_lineno} in {code.co_name}"
