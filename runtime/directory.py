"""Virtual actors: each key has one that always exists, and costs nothing until a message comes."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from heapq import heappop, heappush

import trio
from attrs import define

from runtime.budget import Granted, TokenBucket
from runtime.cell import Cell
from runtime.errors import ActorStoppedError, MailboxFullError, QuarantinedError
from runtime.mailbox import Answer, Mailbox
from runtime.quarantine import Quarantine
from runtime.specs import DirectorySpec
from runtime.supervisor import Incarnation, Readiness
from runtime.tree import ActorSnapshot, Node, State, World


@define(eq=False)
class _Slot:
    """One key that has an actor, or something waiting for one."""

    key: str
    cell: Cell
    told: float
    incarnation: Incarnation | None = None


class Directory:
    """Sends to actors by key, and keeps them. See ``DirectorySpec`` for the rules, ``Child`` for the other methods.

    What comes while an actor stops is kept in its mailbox, for the next incarnation. A key in quarantine refuses:
    a sender that must not lose the message keeps it and comes back. Actors are started from the directory's own
    task, so they never inherit a sender's context.
    """

    def __init__(self, world: World, address: str, spec: DirectorySpec) -> None:
        self.node = Node(world, address, "directory")
        self._world = world
        self._spec = spec
        self._slots: OrderedDict[str, _Slot] = (
            OrderedDict()
        )  # the one told longest ago comes first
        self._bucket = TokenBucket(
            rate=spec.starts_per_second, burst=max(1.0, spec.starts_per_second / 10)
        )
        self._level = self._bucket.full(world.clock.now())
        self._quarantine = Quarantine(
            intensity=spec.intensity,
            backoff=spec.backoff,
            quarantine=spec.quarantine,
            capacity=spec.cap,
        )
        self._reset()

    def tell(self, key: str, message: object) -> None:
        """Send to the actor of ``key``, which is started if need be. See ``ActorRef.tell``.

        Raises:
            QuarantinedError: the actor crashed too often; nothing was accepted.
        """
        slot = self._accepting(key)
        slot.cell.mailbox.put(message)
        self._touch(slot)

    def control(self, key: str, message: object) -> None:
        """As ``tell``, on the control lane; while the system stops, only to an actor that is there."""
        slot = self._slot(key)
        slot.cell.mailbox.put_control(message)
        self._touch(slot)

    async def ask(self, key: str, message: object, *, deadline: timedelta) -> object:
        """Ask the actor of ``key``, which is started if need be. See ``ActorRef.ask``."""
        slot = self._accepting(key)
        answer = Answer(slot.cell.node.address)
        slot.cell.mailbox.put(message, answer)
        self._touch(slot)
        return await answer.wait(deadline)

    async def run(self, *, readiness: Readiness) -> None:
        """See ``Child.run``."""
        self._reset()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._start_queued, nursery, name=f"{self.node.address} starts")
            nursery.start_soon(self._tend, name=f"{self.node.address} tends")
            readiness.started()
            await self._stop.wait()
            if self._active:
                self._all_ended = trio.Event()
                await self._all_ended.wait()
            nursery.cancel_scope.cancel(reason=f"{self.node.address} stopped")

    def request_stop(self, reason: str) -> None:
        """Start no more; let all running actors finish, together. What waits is kept for another run."""
        self._stop.set()
        for slot in tuple(self._slots.values()):
            if slot.incarnation is not None:
                slot.incarnation.request_stop(reason)

    def retire(self, reason: str) -> None:
        """See ``Child.retire``; what never found an actor is dropped and reported."""
        for slot in self._slots.values():
            slot.cell.retire(reason)
        self._slots.clear()

    def snapshots(self, now: float) -> Iterator[ActorSnapshot]:
        """See ``Child.snapshots``."""
        yield self.node.snapshot()
        for slot in self._slots.values():
            yield from slot.cell.snapshots(now)

    def _reset(self) -> None:
        self._queue: deque[_Slot] = deque()
        self._delayed: list[tuple[float, int, _Slot]] = []
        self._delays = 0
        self._active = 0
        self._leaving: set[str] = set()
        self._startable = trio.Event()
        self._tending = trio.Event()
        self._stop = trio.Event()
        self._all_ended = trio.Event()
        for slot in self._slots.values():
            slot.incarnation = None
            self._queue.append(slot)

    def _slot(self, key: str) -> _Slot:
        slot = self._slots.get(key)
        if slot is None:
            return self._admit(key)
        left = (
            self._quarantine.left(key, trio.current_time()) if slot.incarnation is None else None
        )
        if left is not None:
            raise QuarantinedError(slot.cell.node.address, left)
        return slot

    def _accepting(self, key: str) -> _Slot:
        if self._world.stopping is not None:
            raise ActorStoppedError(f"{self.node.address}/{key}", self._world.stopping)
        return self._slot(key)

    def _admit(self, key: str) -> _Slot:
        address = f"{self.node.address}/{key}"
        if self._world.stopping is not None:
            raise ActorStoppedError(address, self._world.stopping)
        if len(self._slots) - self._active >= self._spec.waiting:
            raise MailboxFullError(self.node.address, self._spec.waiting)
        mailbox = Mailbox(address, capacity=self._spec.mailbox, control=self._spec.control)
        cell = Cell(self._world, mailbox, partial(self._spec.create, key), self._spec.cleanup)
        cell.on_idle = self._on_idle
        slot = self._slots[key] = _Slot(key=key, cell=cell, told=trio.current_time())
        self._enqueue(slot)
        self._tending.set()
        return slot

    def _touch(self, slot: _Slot) -> None:
        slot.told = trio.current_time()
        self._slots.move_to_end(slot.key)

    def _enqueue(self, slot: _Slot) -> None:
        self._queue.append(slot)
        self._startable.set()

    async def _start_queued(self, nursery: trio.Nursery) -> None:
        while True:
            while self._stop.is_set() or not self._queue or not self._has_room():
                self._startable = trio.Event()
                await self._startable.wait()
            await self._pace()
            if not self._stop.is_set():
                self._start(nursery, self._queue.popleft())

    async def _pace(self) -> None:
        await trio.lowlevel.checkpoint()
        while True:
            self._level, decision = self._bucket.take(self._level, 1, self._world.clock.now())
            if isinstance(decision, Granted):
                return
            await trio.sleep(decision.retry_after.total_seconds())

    def _start(self, nursery: trio.Nursery, slot: _Slot) -> None:
        self._active += 1
        startup = self._spec.startup.total_seconds()
        slot.incarnation = Incarnation(slot.cell, startup, partial(self._on_end, slot))
        nursery.start_soon(slot.incarnation.live, name=slot.cell.node.address)

    def _on_end(self, slot: _Slot, incarnation: Incarnation) -> None:
        self._active -= 1
        self._leaving.discard(slot.key)
        slot.incarnation = None
        if incarnation.error is not None and incarnation.stopping is None:
            self._delay(slot, incarnation.error)
        elif slot.cell.mailbox.kept:
            self._enqueue(slot)
        else:
            del self._slots[slot.key]
            slot.cell.retire("it was let go")
        self._startable.set()
        if not self._active:
            self._all_ended.set()

    def _delay(self, slot: _Slot, error: Exception) -> None:
        now = trio.current_time()
        verdict = self._quarantine.crashed(slot.key, now, jitter=self._world.random.random())
        self._delays += 1
        heappush(self._delayed, (now + verdict.delay.total_seconds(), self._delays, slot))
        self._tending.set()
        node = slot.cell.node
        node.enter(
            State.QUARANTINED if verdict.quarantine else State.RESTARTING,
            f"for {verdict.delay.total_seconds():.3f} s",
        )
        if verdict.quarantine:
            self._world.observer.quarantined(node.address, verdict.delay, error)

    async def _tend(self) -> None:
        idle_after = self._spec.idle_after.total_seconds()
        while True:
            self._tending = trio.Event()
            due = self._delayed[0][0] if self._delayed else math.inf
            eldest = next(iter(self._slots.values()), None)
            idle = math.inf if eldest is None else eldest.told + idle_after
            with trio.CancelScope(deadline=min(due, idle)):
                await self._tending.wait()
            now = trio.current_time()
            while self._delayed and self._delayed[0][0] <= now:
                self._enqueue(heappop(self._delayed)[2])
            self._let_idle_go(now, idle_after)

    def _let_idle_go(self, now: float, idle_after: float) -> None:
        for _ in range(len(self._slots)):
            slot = next(iter(self._slots.values()))
            if slot.told + idle_after > now:
                return
            self._let_go(slot, "idle")
            self._touch(slot)  # one that is at work is looked at again later

    def _has_room(self) -> bool:
        if self._active < self._spec.cap:
            return True
        for _ in range(len(self._slots)):
            if len(self._leaving) >= len(self._queue):
                break
            slot = next(iter(self._slots.values()))
            self._let_go(slot, "it made room for another")
            self._touch(slot)
        return False

    def _let_go(self, slot: _Slot, reason: str) -> None:
        if slot.cell.idle:
            self._leaving.add(slot.key)
            slot.cell.passivate(reason)

    def _on_idle(self, cell: Cell) -> None:
        if self._queue and self._active >= self._spec.cap:
            key = cell.node.address.removeprefix(f"{self.node.address}/")
            self._slots.move_to_end(key, last=False)
            self._startable.set()
