"""What an author of actors meets: the actor, what it is given, and the reference others hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import timedelta
from heapq import heapify, heappop, heappush
from typing import TypeVarTuple, Unpack

import trio

from runtime.clock import Clock, Random
from runtime.errors import MailboxFullError
from runtime.mailbox import Answer, Mailbox
from runtime.tree import World

_Args = TypeVarTuple("_Args")

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


class Timer:
    """A message that will come; ``cancel`` while it has not been delivered."""

    __slots__ = ("_context", "_order", "due", "message")

    def __init__(self, context: Context, due: float, order: int, message: object) -> None:
        self._context = context
        self._order = order
        self.due = due
        self.message = message

    def __lt__(self, other: Timer) -> bool:
        """Whether it comes first: by time, then by the order in which they were set."""
        return (self.due, self._order) < (other.due, other._order)

    def cancel(self) -> None:
        """Do not deliver; does nothing once the message is in the mailbox."""
        self._context.forget(self)


class Task:
    """One spawned coroutine of an actor."""

    __slots__ = ("lasting", "name", "scope")

    def __init__(self, name: str, *, lasting: bool) -> None:
        self.name = name
        self.lasting = lasting
        self.scope = trio.CancelScope()


class Context:
    """What one incarnation of an actor can ask of the runtime; useless once it ended."""

    __slots__ = (
        "_draining", "_mailbox", "_nursery", "_order", "_tasks", "_timers", "_world", "address",
        "clock", "ending", "random",
    )  # fmt: skip

    def __init__(self, world: World, mailbox: Mailbox, nursery: trio.Nursery) -> None:
        self.address: str = mailbox.address
        self.clock: Clock = world.clock
        self.random: Random = world.random
        self.ending: str | None = None
        self._draining = False
        self._mailbox = mailbox
        self._nursery = nursery
        self._order = 0
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
        """Whether nothing waits, runs or will come by itself."""
        return not (self._tasks or self._timers or len(self._mailbox))

    @property
    def finished(self) -> bool:
        """Whether the incarnation ends now: told to, or draining with nothing left to do."""
        if self.ending is not None:
            return True
        return (
            self._draining and not len(self._mailbox) and all(task.lasting for task in self._tasks)
        )

    @property
    def next_due(self) -> float | None:
        """When the next timer is due on trio's clock."""
        return self._timers[0].due if self._timers else None

    def demand(self) -> int:
        """How many messages a source may send the actor now; none while it stops."""
        return 0 if self.stopping else self._mailbox.demand()

    def tell_self(self, message: object) -> None:
        """Send to this incarnation, past waiting data; how spawned tasks report.

        Raises:
            MailboxFullError: as many as the control lane holds are waiting already.
        """
        self._mailbox.put_own(message)

    def after(self, delay: timedelta, message: object) -> Timer:
        """Deliver ``message`` once ``delay`` has passed. It dies with the incarnation.

        A running timer keeps a directory from taking the actor for idle.
        """
        if len(self._timers) >= TIMERS:
            raise MailboxFullError(self.address, TIMERS)
        self._order += 1
        timer = Timer(self, trio.current_time() + delay.total_seconds(), self._order, message)
        heappush(self._timers, timer)
        self._mailbox.wake()
        return timer

    def spawn(
        self,
        fn: Callable[[Unpack[_Args]], Awaitable[object]],
        *args: *_Args,
        name: str,
        lasting: bool = False,
    ) -> None:
        """Run ``fn`` beside the mailbox, in the actor's own nursery; its error is the actor's crash.

        It reports by ``tell_self``. A stop waits for it within the shutdown time, unless it is ``lasting``
        (reads a stream, say): then it is cancelled as soon as the actor is told to stop.
        """
        task = Task(name, lasting=lasting)
        self._tasks.append(task)
        self._nursery.start_soon(self._run_task, task, fn, args, name=f"{self.address}:{name}")

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

    def release_due(self) -> None:
        """Put the timers that are due into the mailbox, as far as there is room."""
        now = trio.current_time()
        while self._timers and self._timers[0].due <= now and self._mailbox.room_for_own():
            self._mailbox.put_own(heappop(self._timers).message)

    def forget(self, timer: Timer) -> None:
        """Take ``timer`` back; does nothing if it was delivered."""
        if timer in self._timers:
            self._timers.remove(timer)
            heapify(self._timers)

    async def _run_task(
        self,
        task: Task,
        fn: Callable[[Unpack[_Args]], Awaitable[object]],
        args: tuple[*_Args],
    ) -> None:
        try:
            with task.scope:
                await fn(*args)
        finally:
            self._tasks.remove(task)
            self._mailbox.wake()


class ActorRef:
    """How others reach one actor; good for all its incarnations. Safe to keep and to pass on."""

    __slots__ = ("_mailbox", "address")

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self.address = mailbox.address

    def tell(self, message: object) -> None:
        """Send and go on. Accepted is not handled: a crash or a stop may still lose it.

        Raises:
            MailboxFullError: nothing was accepted; come back later.
            ActorStoppedError: the actor is stopping or gone.
        """
        self._mailbox.put(message)

    def control(self, message: object) -> None:
        """As ``tell``, but past the waiting data, within a bound of its own, and while draining too."""
        self._mailbox.put_control(message)

    async def ask(self, message: object, *, deadline: timedelta) -> object:
        """Send and wait for what ``on_message`` returns. Actors do not ask each other: two would wait for ever.

        Raises:
            AskTimeoutError: no answer within ``deadline``.
            MailboxFullError, ActorStoppedError: as for ``tell``; the latter also when it crashed over it.
        """
        answer = Answer(self.address)
        self._mailbox.put(message, answer)
        return await answer.wait(deadline)
