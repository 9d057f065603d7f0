"""The place of one actor: address and mailbox stay, incarnations come and go."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias

import trio
from attrs import evolve

from runtime.actor import Actor, Context
from runtime.errors import ActorError
from runtime.mailbox import Entry, Mailbox
from runtime.specs import ActorSpec, DirectorySpec
from runtime.supervisor import Place
from runtime.tree import ActorSnapshot, World

_Spec: TypeAlias = ActorSpec | DirectorySpec

CLEANUP = 5
"""Seconds that ``on_stop`` may take."""

BATCH = 32
"""So many messages may be handled without giving way to other tasks."""


class Cell(Place[_Spec]):
    """Runs one incarnation at a time. ``on_rest`` hears when it is about to wait and nothing will come by itself."""

    def __init__(
        self, world: World, address: str, spec: _Spec, create: Callable[[], Actor]
    ) -> None:
        super().__init__(world, address, spec)
        self.on_rest: Callable[[Cell], None] | None = None
        self.mailbox = Mailbox(address, spec.mailbox)
        self._create = create
        self._in_hand: tuple[object, float] | None = None

    async def run(self) -> None:
        """One incarnation, from ``on_start`` to ``on_stop``; ready in between."""
        actor = self._create()
        self.kind = type(actor).__name__
        self.mailbox.reopen()
        try:
            async with trio.open_nursery() as nursery:
                self.context = Context(self.world, self.mailbox, nursery)
                await actor.on_start(self.context)
                self.started()
                await self._serve(actor, self.context)
                self.farewell = self.context.ending or self.farewell
                nursery.cancel_scope.cancel(reason=f"{self.address} stopped")
        finally:
            if self.ready:
                with trio.move_on_after(CLEANUP, shield=True) as scope:
                    await actor.on_stop()
                if scope.cancelled_caught:
                    raise ActorError(self.address, f"did not clean up within {CLEANUP} s")

    def leave(self, reason: str) -> None:
        """End after the present message and keep the rest; if the whole tree ends, handle the rest first."""
        if self.world.stopping is None:
            self.context.stop(reason)
        else:
            self.mailbox.refusing = reason
            self.mailbox.wake()

    def retire(self, reason: str) -> None:
        """No incarnation will follow: drop what waits and say so."""
        discarded = self.mailbox.close(reason)
        if discarded:
            self.world.observer.discarded(self.address, discarded)

    def snapshot(self, now: float) -> ActorSnapshot:
        """See ``Place.snapshot``."""
        message, since = self._in_hand or (None, now)
        return evolve(
            super().snapshot(now),
            mailbox=self.mailbox.statistics(now),
            message=type(message).__name__ if self._in_hand else None,
            busy=timedelta(seconds=now - since) if self._in_hand else None,
        )

    async def _serve(self, actor: Actor, context: Context) -> None:
        handled = 0
        while context.ending is None:
            due = context.release_due()
            entry = self.mailbox.take()
            if entry is not None:
                await self._handle(actor, entry)
                handled += 1
                if handled % BATCH == 0:
                    await trio.lowlevel.checkpoint()
            elif self.mailbox.refusing is not None and not context.running:
                break
            else:
                if self.on_rest is not None and not context.running and due == math.inf:
                    self.on_rest(self)
                if context.ending is None:
                    await self.mailbox.wait(due)
        await trio.lowlevel.checkpoint()

    async def _handle(self, actor: Actor, entry: Entry) -> None:
        message, _, answer = entry
        self._in_hand = message, trio.current_time()
        try:
            value = await actor.on_message(message)
            if answer is not None:
                answer.give(value)
        finally:
            self._in_hand = None
            if answer is not None:
                answer.give(None, "it ended over this message")
