"""What an author of actors meets: the actor, and what it is given."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import insort
from collections.abc import Awaitable, Callable
from datetime import timedelta
from operator import attrgetter
from typing import TypeVarTuple

import trio
from attrs import field, frozen

from runtime.errors import MailboxFullError
from runtime.mailbox import CONTROL, Mailbox
from runtime.tree import World

_Ts = TypeVarTuple("_Ts")

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

        It is shielded from cancellation and cut off after ``CLEANUP``.
        """
        await trio.lowlevel.checkpoint()


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


class Context:
    """What one incarnation of an actor can ask of the runtime; useless once it ended.

    ``running`` counts the spawned tasks that have not ended; ``ending`` is what ``stop`` was told.
    """

    def __init__(self, world: World, mailbox: Mailbox, nursery: trio.Nursery) -> None:
        self.address = mailbox.address
        self.clock = world.clock
        self.random = world.random
        self.running = 0
        self.ending: str | None = None
        self._mailbox = mailbox
        self._nursery = nursery
        self._timers: list[Timer] = []
        self._world = world

    @property
    def stopping(self) -> bool:
        """Whether the actor, or the whole tree, is to end: take no new work, finish what is here."""
        return self.ending is not None or self._world.stopping is not None

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

    def spawn(self, fn: Callable[[*_Ts], Awaitable[object]], *args: *_Ts, name: str) -> None:
        """Run ``fn`` beside the mailbox, in the actor's own nursery; its error is the actor's crash.

        It reports by ``tell_self``. A stop waits for it within the shutdown time.
        """
        self.running += 1

        async def run() -> None:
            try:
                await fn(*args)
            finally:
                self.running -= 1
                self._mailbox.wake()

        self._nursery.start_soon(run, name=f"{self.address}:{name}")

    def stop(self, reason: str) -> None:
        """End normally after the present message; what waits is kept if the actor comes back."""
        self.ending = reason
        self._mailbox.wake()

    def release_due(self) -> float:
        """Put the timers that are due into the mailbox while it has room: when the next one is due on trio's clock."""
        timers = self._timers
        while timers and timers[0].due <= trio.current_time() and len(self._mailbox.own) < CONTROL:
            self._mailbox.tell_own(timers.pop(0).message)
        return timers[0].due if timers else math.inf
