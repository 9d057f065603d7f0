"""The whole tree: built from specs, run as one coroutine, looked at and stopped from outside."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import trio

from runtime.cell import Cell
from runtime.clock import Clock, Random
from runtime.directory import Directory
from runtime.errors import UnknownAddressError
from runtime.mailbox import Mailbox
from runtime.specs import ActorSpec, DirectorySpec, ServiceSpec, Spec, SupervisorSpec
from runtime.supervisor import Place, Service, Supervisor
from runtime.tree import ActorSnapshot, Change, Observer, World


class System:
    """A tree of actors. The root's address is ``/``; a child's is its parent's, a slash and its name."""

    def __init__(
        self, root: SupervisorSpec, *, clock: Clock, random: Random, observer: Observer
    ) -> None:
        self._world = World(clock=clock, random=random, observer=observer)
        self._places: dict[str, Place[Any]] = {}
        self._root = self._grow(root, "")
        self._over: trio.Event | None = None

    @property
    def started(self) -> bool:
        """Whether every child was ready once."""
        return self._root.ready

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called: whoever brings work from outside should refuse it now."""
        return self._world.stopping is not None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the tree until ``stop``, once; ``started`` is reported when all children are ready.

        Raises:
            GaveUpError: the root gave up, and everything is stopped. ``cause`` is the last crash.
        """
        if self._over is not None:
            raise RuntimeError("a system runs once")
        self._over = trio.Event()
        self._root.renew()
        if self._world.stopping is not None:
            self._root.request_stop(self._world.stopping)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._root.live, name="/")
                while self._root.living and not self._root.ready:
                    await self._world.changed.park()
                if self._root.ready:
                    task_status.started()
        finally:
            self._root.retire("the system stopped")
            self._over.set()
        if self._root.error is not None and self._root.stopping is None:
            raise self._root.error

    async def stop(self, *, drain: timedelta, reason: str = "the system stops") -> None:
        """End in three phases: refuse, drain for at most ``drain``, cancel. Returns when ``run`` is over.

        From the first phase on, directories accept no data, and ``Context.stopping`` tells actors to take no new
        work. Then the tree stops in reverse order; an actor refuses when its turn comes, handles what it has and
        waits for its tasks, each for its own shutdown time.

        A second call with a shorter ``drain`` cuts the first short. An actor must not wait for it: it would be
        waiting for itself.
        """
        self._world.stopping = self._world.stopping or reason
        await trio.lowlevel.checkpoint()
        if self._over is not None:
            await self._root.stop(reason, drain)
            await self._over.wait()

    def ref(self, address: str) -> Mailbox:
        """The actor at ``address``, as its spec put it there; those of a directory are reached by key.

        Raises:
            UnknownAddressError: there is no such actor.
        """
        place = self._places.get(address)
        if not isinstance(place, Cell):
            raise UnknownAddressError(address, "is no actor")
        return place.mailbox

    def directory(self, name: str) -> Directory:
        """The directory at the address ``name``, or the only one whose last part is ``name``.

        Raises:
            UnknownAddressError: there is none, or more than one.
        """
        directories = (each for each in self._places.values() if isinstance(each, Directory))
        found = [each for each in directories if name in {each.address, each.spec.name}]
        if len(found) != 1:
            raise UnknownAddressError(name, "is no directory, or more than one")
        return found[0]

    def snapshot(self, *, under: str = "/") -> tuple[ActorSnapshot, ...]:
        """Every place whose address begins with ``under``, parents first, at one moment: nothing is awaited.

        A place takes some microseconds; with a hundred thousand, ask for the branch that matters.
        """
        now = trio.current_time()
        places = (place for place in _walk(self._root) if place.address.startswith(under))
        return tuple(place.snapshot(now) for place in places)

    def subscribe(self, *, capacity: int = 1024) -> trio.MemoryReceiveChannel[Change]:
        """A feed of the changes from now on. Nobody waits for its reader: once ``capacity`` are left unread, it ends.

        Who came to its end takes a snapshot and subscribes anew.
        """
        feed, changes = trio.open_memory_channel[Change](capacity)
        self._world.feeds.append(feed)
        return changes

    def _grow(self, spec: Spec, address: str) -> Place[Any]:
        place: Place[Any]
        if address in self._places:
            raise ValueError(f"two places of the tree are {address}")
        match spec:
            case SupervisorSpec():
                children = [self._grow(each, f"{address}/{each.name}") for each in spec.children]
                place = Supervisor(self._world, address or "/", spec, children)
            case ActorSpec():
                place = Cell(self._world, address, spec, spec.create)
            case ServiceSpec():
                place = Service(self._world, address, spec)
            case DirectorySpec():
                place = Directory(self._world, address, spec)
        self._places[address] = place
        return place


def _walk(place: Place[Any]) -> Iterator[Place[Any]]:
    yield place
    for child in place.children:
        yield from _walk(child)
