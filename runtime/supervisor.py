"""Supervision with the rules of OTP.

See https://www.erlang.org/doc/system/sup_princ.html for them.

Every child runs as an ``Incarnation``, the one place where errors are caught. A supervisor decides what its
children's ends mean; when they end too often it stops the rest and ends with ``GaveUpError``, for its parent to decide.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Protocol

import trio
from attrs import define

from runtime.errors import GaveUpError, StartError
from runtime.specs import Intensity, Restart, Strategy, SupervisorSpec
from runtime.tree import ActorSnapshot, Node, State, World


class Readiness(Protocol):
    """What a child calls when it is ready; trio's ``TaskStatus`` as far as it matters here."""

    def started(self, value: object = None) -> None:
        """The child is ready; ``value`` is ignored."""


class Child(Protocol):
    """What a place in the tree holds: an actor's cell, a service, a directory, a supervisor."""

    @property
    def node(self) -> Node:
        """What is known of the place."""

    async def run(self, *, readiness: Readiness) -> None:
        """Live once. Returning is a normal end, raising a crash."""

    def request_stop(self, reason: str) -> None:
        """End soon; only called while ready, and followed by cancellation when the time is up."""

    def retire(self, reason: str) -> None:
        """Nothing will run here again, unless a parent starts the whole branch anew."""

    def snapshots(self, now: float) -> Iterator[ActorSnapshot]:
        """This place and all below it; ``now`` is trio's time."""


class Incarnation:
    """One life of a child, in a cancel scope of its own. Its errors end here, as values."""

    __slots__ = (
        "_child",
        "_on_end",
        "_startup",
        "ended",
        "error",
        "ready",
        "scope",
        "settled",
        "stopping",
    )

    def __init__(
        self, child: Child, startup: float, on_end: Callable[[Incarnation], None]
    ) -> None:
        self._child = child
        self._startup = startup
        self._on_end = on_end
        self.scope = trio.CancelScope()
        self.settled = trio.Event()
        self.ended = trio.Event()
        self.ready = False
        self.stopping: str | None = None
        self.error: Exception | None = None

    async def live(self) -> None:
        """Run the child. Errors become ``error``; a cancellation from outside passes, without what it met."""
        self._child.node.enter(State.STARTING)
        self.scope.deadline = trio.current_time() + self._startup
        try:
            with self.scope:
                await self._child.run(readiness=self)
        except* Exception as group:  # noqa: BLE001 - the one place; see the module's docstring
            self.error = _alone(group)
        finally:
            self._end()
        await trio.lowlevel.checkpoint()

    def started(self, value: object = None) -> None:
        """See ``Readiness.started``; from here on there is no deadline."""
        self.scope.deadline = math.inf
        self.ready = True
        self._child.node.started()
        self.settled.set()

    def request_stop(self, reason: str) -> None:
        """Tell the child to end; what was not ready yet is cancelled."""
        if self.stopping is not None or self.ended.is_set():
            return
        self.stopping = reason
        if not self.ready:
            self.scope.cancel(reason=reason)
            return
        self._child.node.enter(State.STOPPING, reason)
        self._child.request_stop(reason)

    async def stop(self, reason: str, shutdown: timedelta) -> None:
        """End within ``shutdown``, then by cancellation."""
        self.request_stop(reason)
        with trio.move_on_after(shutdown.total_seconds()):
            await self.ended.wait()
        self.scope.cancel(reason=f"{reason}; not done within {shutdown.total_seconds():g} s")
        await self.ended.wait()

    def _end(self) -> None:
        if self.stopping is None and trio.current_effective_deadline() == -math.inf:
            self.stopping = "cancelled from above"
        if not self.ready and self.error is None and self.stopping is None:
            late = self.scope.cancelled_caught
            reason = (
                f"not ready within {self._startup:g} s" if late else "it ended before it was ready"
            )
            self.error = StartError(self._child.node.address, reason)
        self._child.node.ended(self.error, self.stopping or "it ended by itself")
        self.settled.set()
        self.ended.set()
        self._on_end(self)


class RestartWindow:
    """Counts restarts of one supervisor against its intensity."""

    def __init__(self, intensity: Intensity) -> None:
        self._intensity = intensity
        self._times: deque[float] = deque()

    def admit(self, now: float) -> int | None:
        """Count one more at ``now``: which of the window it is, the first being 1; None when it is one too many."""
        while self._times and now - self._times[0] >= self._intensity.within.total_seconds():
            self._times.popleft()
        if len(self._times) >= self._intensity.restarts:
            return None
        self._times.append(now)
        return len(self._times)


@define(eq=False)
class Place:
    """A child of a supervisor, and the incarnation it has now."""

    child: Child
    restart: Restart
    startup: float
    shutdown: timedelta
    incarnation: Incarnation | None = None


class Supervisor:
    """Keeps its places alive; see ``Child`` for the methods its own supervisor calls."""

    def __init__(
        self, world: World, address: str, spec: SupervisorSpec, places: tuple[Place, ...]
    ) -> None:
        self.node = Node(world, address, "supervisor")
        self._world = world
        self._spec = spec
        self._places = places
        self._window = RestartWindow(spec.intensity)
        self._exits: deque[Incarnation] = deque()
        self._pending: dict[int, float] = {}
        self._news = trio.Event()
        self._stopping: str | None = None

    async def run(self, *, readiness: Readiness) -> None:
        """Start all, keep them up, stop all in reverse.

        Raises:
            GaveUpError: a child did not start at first, or crashed too often; the others are stopped.
        """
        self._window = RestartWindow(self._spec.intensity)
        self._exits.clear()
        self._pending.clear()
        self._stopping = None
        async with trio.open_nursery() as nursery:
            failure = await self._start_all(nursery)
            if failure is None and self._stopping is None:
                readiness.started()
                failure = await self._watch(nursery)
            reason = self._stopping or f"{self.node.address} gave up"
            for place in reversed(self._places):
                await self._stop(place, reason)
        if failure is not None:
            raise failure

    def request_stop(self, reason: str) -> None:
        """Stop the children in reverse order, then end."""
        self._stopping = reason
        for place in self._places:
            if place.incarnation is not None and not place.incarnation.ready:
                place.incarnation.request_stop(reason)
        self._news.set()

    def retire(self, reason: str) -> None:
        """See ``Child.retire``."""
        for place in self._places:
            place.child.retire(reason)

    def snapshots(self, now: float) -> Iterator[ActorSnapshot]:
        """See ``Child.snapshots``."""
        yield self.node.snapshot()
        for place in self._places:
            yield from place.child.snapshots(now)

    def _on_end(self, incarnation: Incarnation) -> None:
        self._exits.append(incarnation)
        self._news.set()

    async def _start_all(self, nursery: trio.Nursery) -> GaveUpError | None:
        await trio.lowlevel.checkpoint()
        for place in self._places:
            if self._stopping is not None:
                return None
            started = await self._start(nursery, place)
            if not started.ready and self._stopping is None:
                return GaveUpError(self.node.address, place.child.node.address, 0, started.error)
        return None

    async def _start(self, nursery: trio.Nursery, place: Place) -> Incarnation:
        incarnation = place.incarnation = Incarnation(place.child, place.startup, self._on_end)
        nursery.start_soon(incarnation.live, name=place.child.node.address)
        await incarnation.settled.wait()
        return incarnation

    async def _watch(self, nursery: trio.Nursery) -> GaveUpError | None:
        await trio.lowlevel.checkpoint()
        while self._stopping is None:
            if self._exits:
                failure = await self._on_exit(self._exits.popleft())
                if failure is not None:
                    return failure
                continue
            due = min(self._pending, key=self._pending.__getitem__, default=None)
            if due is not None and self._pending[due] <= trio.current_time():
                await self._restart(nursery, due)
                continue
            await self._wait(math.inf if due is None else self._pending[due])
        return None

    async def _wait(self, deadline: float) -> None:
        with trio.CancelScope(deadline=deadline):
            await self._news.wait()
        self._news = trio.Event()

    async def _on_exit(self, incarnation: Incarnation) -> GaveUpError | None:
        await trio.lowlevel.checkpoint()
        found = next(
            (i for i, place in enumerate(self._places) if place.incarnation is incarnation), None
        )
        if found is None:
            return None  # one that was stopped on purpose
        place = self._places[found]
        place.incarnation = None
        if not _wants_restart(place.restart, incarnation.error):
            place.child.retire("it ended and is not restarted")
            return None
        attempt = self._window.admit(trio.current_time())
        if attempt is None:
            used = self._spec.intensity.restarts
            return GaveUpError(
                self.node.address, place.child.node.address, used, incarnation.error
            )
        for other in reversed(self._concerned(found)):
            await self._stop(other, f"{place.child.node.address} ended")
        delay = self._spec.backoff.delay(attempt, jitter=self._world.random.random())
        self._pending[found] = trio.current_time() + delay.total_seconds()
        place.child.node.enter(State.RESTARTING, f"in {delay.total_seconds():.3f} s")
        return None

    async def _restart(self, nursery: trio.Nursery, index: int) -> None:
        await trio.lowlevel.checkpoint()
        for place in self._concerned(index):
            self._pending.pop(self._places.index(place), None)
        for place in self._concerned(index):
            if place.incarnation is not None or self._stopping is not None:
                continue
            if place.restart is Restart.TEMPORARY:
                place.child.retire("a sibling took it down")
                continue
            started = await self._start(nursery, place)
            if not started.ready:
                return  # its end is in the queue, and counts like any other

    def _concerned(self, index: int) -> tuple[Place, ...]:
        match self._spec.strategy:
            case Strategy.ONE_FOR_ONE:
                return self._places[index : index + 1]
            case Strategy.ONE_FOR_ALL:
                return self._places
            case Strategy.REST_FOR_ONE:
                return self._places[index:]

    async def _stop(self, place: Place, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        incarnation, place.incarnation = place.incarnation, None
        if incarnation is not None and not incarnation.ended.is_set():
            await incarnation.stop(reason, place.shutdown)


def _wants_restart(restart: Restart, error: Exception | None) -> bool:
    return restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and error is not None)


def _alone(group: ExceptionGroup[Exception]) -> Exception:
    """The one error in ``group``, or the group when there are more."""
    found: Exception = group
    while isinstance(found, ExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found
