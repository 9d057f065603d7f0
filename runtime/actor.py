"""What an author of actors meets: the actor, what it is given, and the reference others hold."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import insort
from collections.abc import Awaitable, Callable
from datetime import timedelta
from operator import attrgetter
from typing import Protocol, TypeAlias, TypeVarTuple

import trio
from attrs import define, field, frozen

from runtime.errors import MailboxFullError
from runtime.mailbox import Mailbox
from runtime.tree import World

_Ts = TypeVarTuple("_Ts")
_Work: TypeAlias = Callable[[*_Ts], Awaitable[object]]

TIMERS = 256
"""So many timers one actor may have running at once."""


class Actor(ABC):
    """Private state, and one message at a time.

    Subclass it and keep the state in attributes. An error that leaves any method, or a spawned task, ends this
    incarnation; the supervisor makes a new one, which has nothing but what ``on_start`` gathers.
    """

    async def on_start(self, context: Context) -> None:
        """Gather the state. Its error is the starter's; ``on_stop`` is not called then."""
        await trio.lowlevel.checkpoint()

    @abstractmethod
    async def on_message(self, message: object) -> object:
        """Handle one message; what is returned answers an ask, and is dropped after a tell."""

    async def on_stop(self) -> None:
        """Let go of what is held; called once for every ``on_start`` that returned, after all tasks ended.

        It is shielded from cancellation and cut off after the time its spec allows.
        """
        await trio.lowlevel.checkpoint()


class ActorRef(Protocol):
    """How others reach one actor; good for all its incarnations. Safe to keep and to pass on."""

    address: str

    def tell(self, message: object) -> None:
        """Send and go on. Accepted is not handled: a crash or a stop may still lose it.

        Raises:
            MailboxFullError: nothing was accepted; come back later.
            ActorStoppedError: the actor is stopping or gone.
        """

    def control(self, message: object) -> None:
        """As ``tell``, but past the waiting data, within a bound of its own, and while draining too."""

    async def ask(self, message: object, *, deadline: timedelta) -> object:
        """Send and wait for what ``on_message`` returns. Actors do not ask each other: two would wait for ever.

        Raises:
            AskTimeoutError: no answer within ``deadline``.
            MailboxFullError, ActorStoppedError: as for ``tell``; the latter also when it crashed over it.
        """


@frozen(kw_only=True, eq=False)
class Timer:
    """A message that will come at ``due`` on trio's clock; ``cancel`` while it has not been delivered."""

    due: float
    message: object
    _others: list[Timer] = field(repr=False)

    def cancel(self) -> None:
        """Do not deliver; does nothing once the message is in the mailbox."""
        if self in self._others:
            self._others.remove(self)


@define(eq=False)
class Task:
    """One spawned coroutine of an actor."""

    name: str
    lasting: bool
    scope: trio.CancelScope = field(factory=trio.CancelScope)


class Context:
    """What one incarnation of an actor can ask of the runtime; useless once it ended."""

    def __init__(self, world: World, mailbox: Mailbox, nursery: trio.Nursery) -> None:
        self.address = mailbox.address
        self.clock = world.clock
        self.random = world.random
        self._draining = False
        self.ending: str | None = None
        self._mailbox = mailbox
        self._nursery = nursery
        self._tasks: list[Task] = []
        self._timers: list[Timer] = []
        self._world = world

    @property
    def running(self) -> int:
        """How many spawned tasks have not ended."""
        return len(self._tasks)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the spawned tasks that have not ended."""
        return tuple(task.name for task in self._tasks)

    @property
    def stopping(self) -> bool:
        """Whether the actor, or the whole tree, is to end: take no new work, finish what is here."""
        return self.ending is not None or self._draining or self._world.stopping is not None

    @property
    def quiet(self) -> bool:
        """Whether nothing runs, or will come by itself."""
        return not (self._tasks or self._timers)

    @property
    def drained(self) -> bool:
        """Whether nothing runs that a stop waits for, and one is to come."""
        return self._draining and all(task.lasting for task in self._tasks)

    def demand(self) -> int:
        """How many messages a source may send the actor now; none while it stops."""
        return 0 if self.stopping else self._mailbox.demand()

    def tell_self(self, message: object) -> None:
        """Send to this incarnation, past waiting data; how spawned tasks report.

        Raises:
            MailboxFullError: as many as the control lane holds are waiting already.
        """
        self._mailbox.tell_own(message)

    def after(self, delay: timedelta, message: object) -> Timer:
        """Deliver ``message`` once ``delay`` has passed. It dies with the incarnation.

        A running timer keeps a directory from taking the actor for idle.
        """
        if len(self._timers) >= TIMERS:
            raise MailboxFullError(self.address, f"has no room: {TIMERS} timers are running")
        due = trio.current_time() + delay.total_seconds()
        timer = Timer(due=due, message=message, others=self._timers)
        insort(self._timers, timer, key=attrgetter("due"))
        self._mailbox.wake()
        return timer

    def spawn(self, fn: _Work[*_Ts], *args: *_Ts, name: str, lasting: bool = False) -> None:
        """Run ``fn`` beside the mailbox, in the actor's own nursery; its error is the actor's crash.

        It reports by ``tell_self``. A stop waits for it within the shutdown time, unless it is ``lasting``
        (reads a stream, say): then it is cancelled as soon as the actor is told to stop.
        """
        task = Task(name, lasting)
        self._tasks.append(task)

        async def run() -> None:
            try:
                with task.scope:
                    await fn(*args)
            finally:
                self._tasks.remove(task)
                self._mailbox.wake()

        self._nursery.start_soon(run, name=f"{self.address}:{name}")

    def stop(self, reason: str) -> None:
        """End normally after the present message; what waits is kept if the actor comes back."""
        self.ending = reason
        self._mailbox.wake()

    def drain(self) -> None:
        """End once the mailbox is empty and the tasks that are not lasting have ended."""
        self._draining = True
        for task in self._tasks:
            if task.lasting:
                task.scope.cancel(reason="the actor was told to stop")
        self._mailbox.wake()

    def release_due(self) -> float:
        """Put the timers that are due into the mailbox while it has room: when the next one is due on trio's clock."""
        timers = self._timers
        while timers and timers[0].due <= trio.current_time() and self._mailbox.has_own_room():
            self._mailbox.tell_own(timers.pop(0).message)
        return timers[0].due if timers else math.inf
