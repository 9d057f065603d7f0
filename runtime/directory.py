"""Virtual actors: each key has one that always exists, and costs nothing until a message comes."""

from __future__ import annotations

import math
from contextvars import copy_context
from datetime import timedelta
from functools import partial

import trio
from attrs import define, field

from runtime.cell import Cell
from runtime.errors import ActorStoppedError, MailboxFullError, QuarantinedError
from runtime.specs import DirectorySpec
from runtime.supervisor import Place
from runtime.tree import State, World

_BURST = 0.1
"""So many seconds' worth of starts may come at once."""


@define
class Quarantine:
    """Which keys crash too often, and until when (on trio's clock) each is kept down.

    It remembers as many keys as the directory's cap; beyond that it forgets the one whose last crash is oldest.
    """

    _spec: DirectorySpec
    _records: dict[str, tuple[int, float]] = field(factory=dict, init=False)

    def crashed(self, key: str, now: float, *, jitter: float) -> timedelta:
        """Count a crash of ``key``: how long it stays down, be it in quarantine or not."""
        crashes, until = self._records.pop(key, (0, now))
        lived = now - until >= self._spec.intensity.within.total_seconds()
        crashes = 1 if lived else crashes + 1
        if (excess := crashes - self._spec.intensity.restarts) > 0:
            delay = self._spec.quarantine.delay(excess, jitter=0.5 + jitter / 2)
        else:
            delay = self._spec.backoff.delay(crashes, jitter=jitter)
        self._records[key] = crashes, now + delay.total_seconds()
        if len(self._records) > self._spec.cap:
            del self._records[next(iter(self._records))]
        return delay

    def left(self, key: str, now: float) -> timedelta:
        """How long ``key`` is in quarantine still; nothing if it is not."""
        crashes, until = self._records.get(key, (0, now))
        quarantined = crashes > self._spec.intensity.restarts
        return timedelta(seconds=max(0.0, until - now) if quarantined else 0.0)


class Directory(Place[DirectorySpec]):
    """Sends to actors by key, and keeps them. See ``DirectorySpec`` for the rules.

    What comes while an actor stops is kept in its mailbox, for the next incarnation. A key in quarantine refuses:
    a sender that must not lose the message keeps it and comes back. Each key that has an actor, or something waiting
    for one, has a task that waits for its turn, runs the actor and sits out its delays; it is started in the
    directory's own context, so that an actor never inherits a sender's.
    """

    def __init__(self, world: World, address: str, spec: DirectorySpec) -> None:
        super().__init__(world, address, spec)
        self._cells: dict[str, Cell] = {}
        self._resting: dict[Cell, float] = {}  # since when; the one at rest longest comes first
        self._room = trio.Semaphore(spec.cap)
        self._starts_until = 0.0  # at their pace, those that were admitted take till then
        self._nursery: trio.Nursery | None = None
        self._quarantine = Quarantine(spec)
        self.children = self._cells.values()

    def tell(self, key: str, message: object) -> None:
        """Send to the actor of ``key``, which is started if need be. See ``Mailbox.tell``.

        Raises:
            QuarantinedError: the actor crashed too often; nothing was accepted.
        """
        self._accepting(key).mailbox.tell(message)

    def control(self, key: str, message: object) -> None:
        """As ``tell``, on the control lane; while the system stops, only to an actor that is there."""
        cell = self._cell(key) if key in self._cells else self._accepting(key)
        cell.mailbox.control(message)

    async def ask(self, key: str, message: object, *, deadline: timedelta) -> object:
        """Ask the actor of ``key``, which is started if need be. See ``Mailbox.ask``."""
        return await self._accepting(key).mailbox.ask(message, deadline=deadline)

    async def run(self) -> None:
        """See ``Place.run``."""
        self._origin = copy_context()
        self._resting.clear()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for key, cell in self._cells.items():
                    self._keep_soon(key, cell)
                self.started()
                with trio.CancelScope() as self._open:
                    await self._let_idle_go()
            finally:
                self._nursery = None
            for cell in tuple(self._cells.values()):
                await cell.ended()
            nursery.cancel_scope.cancel(reason=f"{self.address} stopped")

    def leave(self, reason: str) -> None:
        """Start no more; let all running actors finish, together. What waits is kept for another run."""
        self._open.cancel(reason=reason)
        for cell in self._cells.values():
            cell.request_stop(reason)

    def retire(self, reason: str) -> None:
        """See ``Place.retire``; what never found an actor is dropped and reported."""
        super().retire(reason)
        self._cells.clear()

    def _accepting(self, key: str) -> Cell:
        if self.world.stopping is not None:
            raise ActorStoppedError(f"{self.address}/{key}", f"is closed: {self.world.stopping}")
        return self._cell(key)

    def _cell(self, key: str) -> Cell:
        cell = self._cells.get(key)
        if cell is None:
            if len(self._cells) >= 2 * self.spec.cap:
                raise MailboxFullError(self.address, "has no room: too many are waiting")
            create = partial(self.spec.create, key)
            cell = Cell(self.world, f"{self.address}/{key}", self.spec, create)
            cell.on_rest = self._on_rest
            self._cells[key] = cell
            self._keep_soon(key, cell)
        elif not cell.living and (left := self._quarantine.left(key, trio.current_time())):
            raise QuarantinedError(cell.address, left)
        self._resting.pop(cell, None)
        return cell

    def _keep_soon(self, key: str, cell: Cell) -> None:
        if self._nursery is not None:
            self._origin.run(self._nursery.start_soon, self._keep, key, cell)

    async def _keep(self, key: str, cell: Cell) -> None:
        """Run the actor of ``key`` as long as it crashes, or something waits for it."""
        while True:
            if not self._room.value:
                self._make_room()
            async with self._room:
                await trio.sleep(self._wait_before_start())
                if self.stopping is not None:
                    return
                cell.renew()
                await cell.live()
            self._resting.pop(cell, None)
            if cell.error is not None and cell.stopping is None:
                await self._sit_out(key, cell, cell.error)
            elif not len(cell.mailbox):
                break
        del self._cells[key]
        cell.retire("it was let go")

    def _wait_before_start(self) -> float:
        now, gap = trio.current_time(), 1 / self.spec.starts_per_second
        self._starts_until = max(self._starts_until, now) + gap
        return max(0.0, self._starts_until - max(gap, _BURST) - now)

    async def _sit_out(self, key: str, cell: Cell, error: Exception) -> None:
        now = trio.current_time()
        delay = self._quarantine.crashed(key, now, jitter=self.world.random.random())
        quarantined = bool(self._quarantine.left(key, now))
        state = State.QUARANTINED if quarantined else State.RESTARTING
        cell.enter(state, f"for {delay.total_seconds():.3f} s")
        if quarantined:
            self.world.observer.quarantined(cell.address, delay, error)
        await trio.sleep(delay.total_seconds())

    async def _let_idle_go(self) -> None:
        idle_after = self.spec.idle_after.total_seconds()
        while True:
            eldest = next(iter(self._resting.values()), trio.current_time())
            await trio.sleep_until(eldest + idle_after)
            while next(iter(self._resting.values()), math.inf) <= eldest:
                self._let_go(next(iter(self._resting)), "idle")

    def _on_rest(self, cell: Cell) -> None:
        self._resting[cell] = trio.current_time()
        if self._room.statistics().tasks_waiting:
            self._make_room()

    def _make_room(self) -> None:
        """Let the one go that has been at rest longest, if any is."""
        if self._resting:
            self._let_go(next(iter(self._resting)), "it made room for another")

    def _let_go(self, cell: Cell, reason: str) -> None:
        del self._resting[cell]
        cell.context.stop(reason)
