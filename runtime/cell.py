"""The place of one actor: address and mailbox stay, incarnations come and go."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import timedelta

import trio

from runtime.actor import Actor, Context
from runtime.errors import CleanupError
from runtime.mailbox import Entry, Mailbox
from runtime.supervisor import Readiness
from runtime.tree import ActorSnapshot, Node, World

BATCH = 32
"""So many messages may be handled without giving way to other tasks."""


class Cell:
    """Runs one incarnation at a time; see ``Child`` for the methods the supervisor calls."""

    __slots__ = (
        "_cleanup",
        "_context",
        "_create",
        "_message",
        "_since",
        "_world",
        "mailbox",
        "node",
        "on_idle",
    )

    def __init__(
        self, world: World, mailbox: Mailbox, create: Callable[[], Actor], cleanup: timedelta
    ) -> None:
        self.node = Node(world, mailbox.address, "actor")
        self.mailbox = mailbox
        self.on_idle: Callable[[Cell], None] | None = None
        self._world = world
        self._create = create
        self._cleanup = cleanup
        self._context: Context | None = None
        self._message: object = None
        self._since: float | None = None

    @property
    def idle(self) -> bool:
        """Whether the actor runs and has nothing to do, now or by a timer."""
        context = self._context
        return (
            context is not None and self._since is None and context.quiet and not context.stopping
        )

    async def run(self, *, readiness: Readiness) -> None:
        """One incarnation, from ``on_start`` to ``on_stop``; ready in between."""
        actor = self._create()
        self.node.kind = type(actor).__name__
        self.mailbox.reopen()
        ready = False
        try:
            async with trio.open_nursery() as nursery:
                context = Context(self._world, self.mailbox, nursery)
                await actor.on_start(context)
                ready = True
                self._context = context
                readiness.started()
                await self._serve(actor, context)
                nursery.cancel_scope.cancel(reason=f"{self.node.address} stopped")
        finally:
            self._context = None
            if ready:
                limit = self._cleanup.total_seconds()
                with trio.move_on_after(limit, shield=True) as scope:
                    await actor.on_stop()
                if scope.cancelled_caught:
                    raise CleanupError(self.node.address, self._cleanup)

    def request_stop(self, reason: str) -> None:
        """End after the present message and keep the rest; if the whole tree ends, handle the rest first."""
        if self._world.stopping is None:
            self.passivate(reason)
            return
        self.mailbox.refuse(reason)
        if self._context is not None:
            self._context.drain()

    def passivate(self, reason: str) -> None:
        """End after the present message; what comes meanwhile is kept for the next incarnation."""
        if self._context is not None:
            self._context.stop(reason)

    def retire(self, reason: str) -> None:
        """No incarnation will follow: drop what waits and say so."""
        discarded = self.mailbox.close(reason)
        if discarded:
            self._world.observer.discarded(self.node.address, discarded)

    def snapshots(self, now: float) -> Iterator[ActorSnapshot]:
        """The one place this is."""
        node = self.node
        context = self._context
        busy = self._since is not None
        yield ActorSnapshot(
            address=node.address,
            kind=node.kind,
            state=node.state,
            since=node.since,
            restarts=node.restarts,
            last_error=node.last_error,
            mailbox=self.mailbox.statistics(now),
            message=type(self._message).__name__ if busy else None,
            busy=timedelta(seconds=now - self._since) if self._since is not None else None,
            tasks=() if context is None else context.tasks,
        )

    async def _serve(self, actor: Actor, context: Context) -> None:
        left = BATCH
        while not context.finished:
            entry = self._next(context)
            if entry is None:
                await self._rest(context)
                left = BATCH
                continue
            await self._handle(actor, entry)
            left -= 1
            if not left:
                await trio.lowlevel.checkpoint()
                left = BATCH
        await trio.lowlevel.checkpoint()

    def _next(self, context: Context) -> Entry | None:
        if context.next_due is not None:
            context.release_due()
        entry = self.mailbox.take()
        while entry is not None and entry[2] is not None and entry[2].abandoned:
            entry = self.mailbox.take()
        return entry

    async def _rest(self, context: Context) -> None:
        if self.on_idle is not None and context.quiet:
            self.on_idle(self)
        due = context.next_due
        await self.mailbox.wait(math.inf if due is None else due)

    async def _handle(self, actor: Actor, entry: Entry) -> None:
        message, _, answer, _ = entry
        self._message = message
        self._since = trio.current_time()
        try:
            value = await actor.on_message(message)
            if answer is not None:
                answer.give(value)
        finally:
            self._message = self._since = None
            if answer is not None:
                answer.fail("it ended over this message")
