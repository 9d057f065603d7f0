"""Supervision with the rules of OTP.

See https://www.erlang.org/doc/system/sup_princ.html for them.

Every child lives in a ``Place``, the one place where errors are caught. A supervisor decides what its
children's ends mean; when they end too often it stops the rest and ends with ``GaveUpError``, for its parent to decide.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Generic, TypeVar

import trio

from runtime.errors import GaveUpError, StartError
from runtime.restarts import Crashes
from runtime.specs import PlaceSpec, Restart, ServiceSpec, Strategy, SupervisorSpec
from runtime.tree import ActorSnapshot, Change, State, World, where

_Spec = TypeVar("_Spec", bound=PlaceSpec)

_LIVING = frozenset({State.STARTING, State.RUNNING, State.STOPPING})


class Place(ABC, Generic[_Spec]):
    """An address in the tree, where one child lives at a time. Its errors end here, as values.

    ``stopping`` says why it was told to end, ``error`` what it ended with; both are of the present or last life.
    """

    def __init__(self, world: World, address: str, spec: _Spec) -> None:
        self.world = world
        self.address = address
        self.spec = spec
        self.kind = type(self).__name__.lower()
        self.children: Iterable[Place[Any]] = ()
        self.state = State.WAITING
        self.since = world.clock.now()
        self.last_error: str | None = None
        self._starts = 0
        self.renew()

    @abstractmethod
    async def run(self) -> None:
        """Live once, and call ``started`` when ready. Returning is a normal end, raising a crash."""

    def leave(self, reason: str) -> None:
        """End soon; only called while ready, and followed by cancellation when the time is up."""
        self.scope.cancel(reason=reason)

    def retire(self, reason: str) -> None:
        """Nothing will run here again, unless a parent starts the whole branch anew."""
        for child in self.children:
            child.retire(reason)

    def details(self, now: float) -> dict[str, Any]:
        """What a snapshot shows beyond what all places have; ``now`` is trio's time."""
        return {}

    def renew(self) -> None:
        """Make ready for another life."""
        self.ready = False
        self.stopping: str | None = None
        self.farewell = "it ended by itself"
        self.error: Exception | None = None
        self.scope = trio.CancelScope()
        self.changed = trio.Event()

    async def live(self) -> None:  # noqa: ASYNC910 - its end is known in the step in which it ends
        """Run the child. Errors become ``error``; a cancellation from outside passes, without what it met."""
        self.enter(State.STARTING)
        self.scope.deadline = trio.current_time() + self.spec.startup.total_seconds()
        try:
            with self.scope:
                await self.run()
        except* Exception as group:  # noqa: BLE001 - the one place; see the module's docstring
            self.error = _alone(group)
        finally:
            self._end()

    def started(self, value: object = None) -> None:
        """The child is ready, and has no deadline any more; ``value`` is ignored, as what trio's task status takes."""
        self.scope.deadline = math.inf
        self.ready = True
        self._starts += 1
        self.enter(State.RUNNING)
        if self._starts == 1:
            self.world.observer.started(self.address, self.kind)
        else:
            self.world.observer.restarted(self.address, self._starts - 1)
        self.changed.set()
        self.changed = trio.Event()

    @property
    def living(self) -> bool:
        """Whether the child runs, be it on its way up or down."""
        return self.state in _LIVING

    def request_stop(self, reason: str) -> None:
        """Tell the child to end; what is not ready yet is cancelled."""
        if self.stopping is not None or self.state is State.STOPPED:
            return
        self.stopping = reason
        if self.ready:
            self.enter(State.STOPPING, reason)
            self.leave(reason)
        else:
            self.scope.cancel(reason=reason)

    async def stop(self, reason: str, shutdown: timedelta) -> None:
        """End within ``shutdown``, then by cancellation."""
        self.request_stop(reason)
        with trio.move_on_after(shutdown.total_seconds()):
            await self.ended()
        self.scope.cancel(reason=f"{reason}; not done within {shutdown.total_seconds():g} s")
        await self.ended()

    async def ended(self) -> None:
        """Wait until no child lives here."""
        await trio.lowlevel.checkpoint()
        while self.living:
            await self.changed.wait()

    def enter(self, state: State, reason: str = "") -> None:
        """Change the state and tell the readers."""
        self.state = state
        self.since = self.world.clock.now()
        if self.world.readers:
            change = Change(address=self.address, state=state, at=self.since, reason=reason)
            for reader in self.world.readers:
                reader.publish(change)

    def snapshot(self, now: float) -> ActorSnapshot:
        """The place as it is ``now``, on trio's clock."""
        return ActorSnapshot(
            address=self.address,
            kind=self.kind,
            state=self.state,
            since=self.since,
            restarts=max(0, self._starts - 1),
            last_error=self.last_error,
            **self.details(now),
        )

    def _end(self) -> None:
        if self.stopping is None and trio.current_effective_deadline() == -math.inf:
            self.stopping = "cancelled from above"
        if not (self.ready or self.error or self.stopping):
            late = f"not ready within {self.spec.startup.total_seconds():g} s"
            reason = late if self.scope.cancelled_caught else "it ended before it was ready"
            self.error = StartError(self.address, f"did not start: {reason}")
        if self.error is None:
            reason = self.stopping or self.farewell
            self.enter(State.STOPPED, reason)
            self.world.observer.stopped(self.address, reason)
        else:
            self.last_error = where(self.error)
            self.enter(State.STOPPED, self.last_error)
            self.world.observer.crashed(self.address, self.error)
        if isinstance(self.error, GaveUpError):
            self.world.observer.gave_up(self.address, self.error)
        self.changed.set()


class Service(Place[ServiceSpec]):
    """The place of one long-running coroutine."""

    async def run(self) -> None:
        """See ``Place.run``."""
        await self.spec.run(task_status=self)

    def leave(self, reason: str) -> None:
        """Ask it to stop if it can be asked, else cancel it."""
        if self.spec.ask_to_stop is not None:
            self.spec.ask_to_stop()
        else:
            super().leave(reason)


class Supervisor(Place[SupervisorSpec]):
    """Keeps the places below it alive."""

    def __init__(
        self, world: World, address: str, spec: SupervisorSpec, children: tuple[Place[Any], ...]
    ) -> None:
        super().__init__(world, address, spec)
        self.children = self._places = children
        self._todo: deque[Place[Any]] = deque()  # those that ended, or are due to start again
        self._news = trio.Event()

    async def run(self) -> None:
        """Start all, keep them up, stop all in reverse.

        Raises:
            GaveUpError: a child did not start at first, or crashed too often; the others are stopped.
        """
        self._crashes = Crashes(self.spec.intensity.within.total_seconds())
        self._todo.clear()
        async with trio.open_nursery() as nursery:
            failure = await self._start_all(nursery) or await self._watch(nursery)
            reason = self.stopping or f"{self.address} gave up"
            for child in reversed(self._places):
                await self._stop(child, reason)
            nursery.cancel_scope.cancel(reason=reason)
        if failure is not None:
            raise failure

    def leave(self, reason: str) -> None:
        """Stop the children in reverse order, then end; those that are starting need not be waited for."""
        for child in self._places:
            if child.living and not child.ready:
                child.request_stop(reason)
        self._news.set()

    async def _start_all(self, nursery: trio.Nursery) -> GaveUpError | None:
        await trio.lowlevel.checkpoint()
        for child in self._places:
            await self._start(nursery, child)
            if not child.ready:
                return GaveUpError(self.address, child.address, 0, child.error)
        self.started()
        return None

    async def _start(self, nursery: trio.Nursery, child: Place[Any]) -> None:
        child.renew()
        nursery.start_soon(self._keep, child, name=child.address)
        await child.changed.wait()

    async def _keep(self, child: Place[Any]) -> None:
        await child.live()
        if child.stopping is None:
            self._tell(child)

    async def _watch(self, nursery: trio.Nursery) -> GaveUpError | None:
        await trio.lowlevel.checkpoint()
        while self.stopping is None:
            if not self._todo:
                self._news = trio.Event()
                await self._news.wait()
            elif (child := self._todo.popleft()).state is State.RESTARTING:
                await self._restart(nursery, child)
            elif failure := await self._on_exit(nursery, child):
                return failure
        return None

    async def _on_exit(self, nursery: trio.Nursery, child: Place[Any]) -> GaveUpError | None:
        await trio.lowlevel.checkpoint()
        rule, most = child.spec.restart, self.spec.intensity.restarts
        if rule is Restart.TEMPORARY or (rule is Restart.TRANSIENT and child.error is None):
            child.retire("it ended and is not restarted")
            return None
        attempt = self._crashes.count(trio.current_time())
        if attempt > most:
            return GaveUpError(self.address, child.address, most, child.error)
        for other in reversed(self._concerned(child)):
            await self._stop(other, f"{child.address} ended")
        delay = self.spec.backoff.delay(attempt, jitter=self.world.random.random()).total_seconds()
        child.enter(State.RESTARTING, f"in {delay:.3f} s")
        nursery.start_soon(self._restart_later, child, delay)
        return None

    async def _restart_later(self, child: Place[Any], delay: float) -> None:
        life = child.scope
        await trio.sleep(delay)
        if child.scope is life:  # no sibling's restart started it meanwhile
            self._tell(child)

    async def _restart(self, nursery: trio.Nursery, child: Place[Any]) -> None:
        await trio.lowlevel.checkpoint()
        for each in self._concerned(child):
            if each.living or each in self._todo or self.stopping is not None:
                continue
            if each.spec.restart is Restart.TEMPORARY:
                each.retire("a sibling took it down")
                continue
            await self._start(nursery, each)
            if not each.ready:
                return  # its end is among what is to do, and counts like any other

    def _concerned(self, child: Place[Any]) -> tuple[Place[Any], ...]:
        if self.spec.strategy is Strategy.ONE_FOR_ONE:
            return (child,)
        rest = self.spec.strategy is Strategy.REST_FOR_ONE
        return self._places[self._places.index(child) if rest else 0 :]

    async def _stop(self, child: Place[Any], reason: str) -> None:
        await trio.lowlevel.checkpoint()
        if child in self._todo:
            self._todo.remove(child)  # it ended by itself meanwhile, which matters no more
        if child.living:
            await child.stop(reason, child.spec.shutdown)

    def _tell(self, child: Place[Any]) -> None:
        self._todo.append(child)
        self._news.set()


def _alone(group: ExceptionGroup[Exception]) -> Exception:
    """The one error in ``group``, or the group when there are more."""
    found: Exception = group
    while isinstance(found, ExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found
