"""The tree as others see it: who is where, in which state, since when, and what changed."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from enum import StrEnum
from types import TracebackType

import trio
from attrs import frozen

from runtime.clock import Clock, Random
from runtime.errors import GaveUpError
from runtime.mailbox import MailboxStatistics
from runtime.observer import Observer


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


class Subscription:
    """A bounded feed of changes for one reader; used as ``with`` block and as asynchronous iterator.

    A reader that falls behind loses the oldest changes, counted in ``missed``; nobody ever waits for it.
    """

    def __init__(self, readers: set[Subscription], capacity: int) -> None:
        self._readers = readers
        self._changes: deque[Change] = deque(maxlen=capacity)
        self._news = trio.Event()
        self.missed = 0

    def __enter__(self) -> Subscription:
        self._readers.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._readers.discard(self)

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


class World:
    """What all places of one tree share. ``stopping`` is the reason once the whole tree is to end."""

    def __init__(self, *, clock: Clock, random: Random, observer: Observer) -> None:
        self.clock = clock
        self.random = random
        self.observer = observer
        self.readers: set[Subscription] = set()
        self.stopping: str | None = None


class Node:
    """What is known of one place; tells the observer and the readers when it changes."""

    __slots__ = ("_starts", "address", "kind", "last_error", "since", "state", "world")

    def __init__(self, world: World, address: str, kind: str) -> None:
        self.world = world
        self.address = address
        self.kind = kind
        self.state = State.WAITING
        self.since = world.clock.now()
        self.last_error: str | None = None
        self._starts = 0

    @property
    def restarts(self) -> int:
        """How often the place was started again."""
        return max(0, self._starts - 1)

    def enter(self, state: State, reason: str = "") -> None:
        """Change the state and tell the readers."""
        self.state = state
        self.since = self.world.clock.now()
        if self.world.readers:
            change = Change(address=self.address, state=state, at=self.since, reason=reason)
            for reader in self.world.readers:
                reader.publish(change)

    def started(self) -> None:
        """The child is ready."""
        self._starts += 1
        self.enter(State.RUNNING)
        if self._starts == 1:
            self.world.observer.started(self.address, self.kind)
        else:
            self.world.observer.restarted(self.address, self.restarts)

    def ended(self, error: Exception | None, reason: str) -> None:
        """The child ended; None means without an error."""
        if error is None:
            self.enter(State.STOPPED, reason)
            self.world.observer.stopped(self.address, reason)
            return
        self.last_error = where(error)
        self.enter(State.STOPPED, self.last_error)
        self.world.observer.crashed(self.address, error)
        if isinstance(error, GaveUpError):
            self.world.observer.gave_up(self.address, error)

    def snapshot(self) -> ActorSnapshot:
        """The place as it is now, for one without a mailbox."""
        return ActorSnapshot(
            address=self.address,
            kind=self.kind,
            state=self.state,
            since=self.since,
            restarts=self.restarts,
            last_error=self.last_error,
        )


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
