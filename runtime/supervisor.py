"""Supervision with the rules of OTP.

See https://www.erlang.org/doc/system/sup_princ.html for them.

Every child lives in a ``Place``, the one place where errors are caught. A supervisor decides what its
children's ends mean; when they end too often it stops the rest and ends with ``GaveUpError``, for its parent to decide.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Generic, TypeAlias, TypeVar

import trio

from runtime.errors import GaveUpError, StartError
from runtime.specs import PlaceSpec, Restart, ServiceSpec, Strategy, SupervisorSpec
from runtime.tree import ActorSnapshot, Change, State, World, where

_Spec = TypeVar("_Spec", bound=PlaceSpec)


class Place(ABC, Generic[_Spec]):
    """An address in the tree, where one child lives at a time. Its errors end here, as values.

    ``stopping`` says why it was told to end, ``error`` what it ended with; both are of the present or last life, as
    is ``ready``. ``living`` is whether there is one now, be it on its way up or down.
    """

    def __init__(self, world: World, address: str, spec: _Spec) -> None:
        self.world = world
        self.address = address
        self.spec = spec
        self.kind = type(self).__name__.lower()
        self.children: Iterable[Place[Any]] = ()
        self.living = self.ready = False
        self.state = State.WAITING
        self.since = world.clock.now()
        self.last_error: str | None = None
        self._starts = 0

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

    def renew(self) -> None:
        """Begin another life, which ``live`` must follow."""
        self.living, self.ready = True, False
        self.stopping: str | None = None
        self.farewell = "it ended by itself"
        self.error: Exception | None = None
        self.scope = trio.CancelScope(relative_deadline=self.spec.startup.total_seconds())
        self.enter(State.STARTING)

    async def live(self) -> None:  # noqa: ASYNC910 - its end is known in the step in which it ends
        """Run the child. Errors become ``error``; a cancellation from outside passes, without what it met."""
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

    def request_stop(self, reason: str) -> None:
        """Tell the child to end; what is not ready yet is cancelled."""
        if self.living and self.stopping is None:
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
        if self.living:
            self.scope.cancel(reason=f"{reason}; not done within {shutdown.total_seconds():g} s")
            await self.ended()

    async def ended(self) -> None:
        """Wait until no child lives here."""
        await trio.lowlevel.checkpoint()
        while self.living:
            await self.world.changed.park()

    def enter(self, state: State, reason: str = "") -> None:
        """Change the state and tell those who wait, and the readers."""
        self.state = state
        self.since = self.world.clock.now()
        self.world.changed.unpark_all()
        if self.world.feeds:
            change = Change(address=self.address, state=state, at=self.since, reason=reason)
            self.world.publish(change)

    def snapshot(self, now: float) -> ActorSnapshot:
        """The place as it is ``now``, on trio's clock."""
        return ActorSnapshot(
            address=self.address,
            kind=self.kind,
            state=self.state,
            since=self.since,
            restarts=max(0, self._starts - 1),
            last_error=self.last_error,
        )

    def _end(self) -> None:
        self.living = False
        if self.stopping is None and trio.current_effective_deadline() == -math.inf:
            self.stopping = "cancelled from above"
        if not (self.ready or self.error or self.stopping):
            why = "took too long" if self.scope.cancelled_caught else "ended before it was ready"
            self.error = StartError(self.address, why)
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


_Group: TypeAlias = list[Place[Any]]


class Service(Place[ServiceSpec]):
    """The place of one long-running coroutine."""

    async def run(self) -> None:
        """See ``Place.run``."""
        await self.spec.run(task_status=self)


class Supervisor(Place[SupervisorSpec]):
    """Keeps the places below it alive.

    They are kept in groups, each by a task of its own: those that may concern each other. It handles one end after
    the other; while it waits to start a child again, the end of an earlier sibling that concerns it comes first.
    """

    def __init__(self, world: World, address: str, spec: SupervisorSpec, children: _Group) -> None:
        super().__init__(world, address, spec)
        self.children = self._places = children

    async def run(self) -> None:
        """Start all, keep them up, stop all in reverse.

        Raises:
            GaveUpError: a child did not start at first, or crashed too often; the others are stopped.
        """
        alone = self.spec.strategy is Strategy.ONE_FOR_ONE
        groups = [[child] for child in self._places] if alone else [self._places.copy()]
        self._crashes: list[float] = []  # when; those of the window
        self._failure: GaveUpError | None = None
        async with trio.open_nursery() as self._nursery:
            async with trio.open_nursery() as self._keepers:
                for child in self._places:
                    if not await self._start(child):
                        await self._give_up(child, 0)
                for group in groups:
                    self._keepers.start_soon(self._keep, group)
                self._keepers.start_soon(trio.sleep_forever)  # till told to stop, childless or not
                self.started()
            await self._stop(self._places, self.stopping or f"{self.address} gave up")
        if self._failure is not None:
            raise self._failure

    def leave(self, reason: str) -> None:
        """Start nothing more and stop the children in reverse order, then end."""
        self._keepers.cancel_scope.cancel(reason=reason)

    async def _start(self, child: Place[Any]) -> bool:
        await trio.lowlevel.checkpoint()
        child.renew()
        self._nursery.start_soon(child.live, name=child.address)
        while child.living and not child.ready:
            await self.world.changed.park()
        return child.ready

    async def _keep(self, group: _Group) -> None:
        while True:
            child = await self._fallen(group)
            now, within = trio.current_time(), self.spec.intensity.within.total_seconds()
            self._crashes = [*(at for at in self._crashes if now - at < within), now]
            attempt = len(self._crashes)
            if attempt > self.spec.intensity.restarts:
                await self._give_up(child, attempt - 1)
            await self._stop(self._concerned(group, child), f"{child.address} ended")
            delay = self.spec.backoff.delay(attempt, jitter=self.world.random.random())
            child.enter(State.RESTARTING, f"in {delay.total_seconds():.3f} s")
            with trio.move_on_after(delay.total_seconds()) as wait:
                await self._fallen(group)
            if not wait.cancelled_caught:
                continue  # an earlier one takes these down once more, and then starts them, too
            for each in self._concerned(group, child):
                if each.spec.restart is Restart.TEMPORARY:
                    group.remove(each)
                    each.retire("a sibling took it down")
                elif not await self._start(each):
                    break  # it has fallen, and counts like any other

    async def _fallen(self, group: _Group) -> Place[Any]:
        """Wait for one that ended by itself and is to be started again; those that are not leave the group."""
        await trio.lowlevel.checkpoint()
        while True:
            for child in tuple(group):
                if not child.living and child.stopping is None:
                    rule = child.spec.restart
                    if rule is Restart.PERMANENT or (rule is Restart.TRANSIENT and child.error):
                        return child
                    group.remove(child)
                    child.retire("it ended and is not restarted")
            await self.world.changed.park()

    def _concerned(self, group: _Group, child: Place[Any]) -> _Group:
        return group[0 if self.spec.strategy is Strategy.ONE_FOR_ALL else group.index(child) :]

    async def _give_up(self, child: Place[Any], restarts: int) -> None:
        self._failure = GaveUpError(self.address, child.address, restarts, child.error)
        self._keepers.cancel_scope.cancel(reason=f"{self.address} gave up")
        await trio.sleep_forever()

    async def _stop(self, places: _Group, reason: str) -> None:
        """In reverse. Those that ended by themselves meanwhile count as stopped, too."""
        await trio.lowlevel.checkpoint()
        for child in reversed(places):
            await child.stop(reason, child.spec.shutdown)
            child.stopping = reason


def _alone(group: ExceptionGroup[Exception]) -> Exception:
    """The one error in ``group``, or the group when there are more."""
    found: Exception = group
    while isinstance(found, ExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found
