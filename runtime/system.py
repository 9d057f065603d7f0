"""The whole tree: built from specs, run as one coroutine, looked at and stopped from outside."""

from __future__ import annotations

import math
from datetime import timedelta

import trio

from runtime.actor import ActorRef
from runtime.cell import Cell
from runtime.clock import Clock, Random
from runtime.directory import Directory
from runtime.errors import UnknownAddressError
from runtime.mailbox import Mailbox
from runtime.observer import Observer
from runtime.service import Service
from runtime.specs import ActorSpec, DirectorySpec, ServiceSpec, Spec, SupervisorSpec
from runtime.supervisor import Child, Incarnation, Place, Supervisor
from runtime.tree import ActorSnapshot, Subscription, World


class System:
    """A tree of actors. The root's address is ``/``; a child's is its parent's, a slash and its name."""

    def __init__(
        self, root: SupervisorSpec, *, clock: Clock, random: Random, observer: Observer
    ) -> None:
        self._world = World(clock=clock, random=random, observer=observer)
        self._mailboxes: dict[str, Mailbox] = {}
        self._directories: dict[str, Directory] = {}
        self._root = Incarnation(self._supervisor(root, "").child, math.inf, lambda _: None)
        self._ran = False
        self._over = trio.Event()

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
        if self._ran:
            raise RuntimeError("a system runs once")
        self._ran = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._root.live, name="/")
                await self._root.settled.wait()
                if self._root.ready:
                    task_status.started()
        finally:
            self._supervised.retire("the system stopped")
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
        if not self._ran:
            self._root.request_stop(reason)
            await trio.lowlevel.checkpoint()
            return
        await self._root.stop(reason, drain)
        await self._over.wait()

    def ref(self, address: str) -> ActorRef:
        """The actor at ``address``, as its spec put it there; those of a directory are reached by key.

        Raises:
            UnknownAddressError: there is no such actor.
        """
        if address not in self._mailboxes:
            raise UnknownAddressError(address)
        return ActorRef(self._mailboxes[address])

    def directory(self, name: str) -> Directory:
        """The directory at the address ``name``, or the only one whose last part is ``name``.

        Raises:
            UnknownAddressError: there is none, or more than one.
        """
        found = [
            each for at, each in self._directories.items() if name in {at, at.rpartition("/")[2]}
        ]
        if len(found) != 1:
            raise UnknownAddressError(name)
        return found[0]

    def snapshot(self, *, under: str = "/") -> tuple[ActorSnapshot, ...]:
        """Every place whose address begins with ``under``, parents first, at one moment: nothing is awaited.

        A place takes some microseconds; with a hundred thousand, ask for the branch that matters.
        """
        now = trio.current_time()
        return tuple(
            place for place in self._supervised.snapshots(now) if place.address.startswith(under)
        )

    def subscribe(self, *, capacity: int = 1024) -> Subscription:
        """A feed of state changes, from the moment its ``with`` block is entered."""
        return Subscription(self._world.readers, capacity)

    def _place(self, spec: Spec, parent: str) -> Place:
        address = f"{parent}/{spec.name}"
        match spec:
            case SupervisorSpec():
                return self._supervisor(spec, address)
            case ActorSpec():
                mailbox = Mailbox(address, capacity=spec.mailbox, control=spec.control)
                self._mailboxes[address] = mailbox
                return _place(Cell(self._world, mailbox, spec.create, spec.cleanup), spec)
            case ServiceSpec():
                return _place(Service(self._world, address, spec), spec)
            case DirectorySpec():
                directory = self._directories[address] = Directory(self._world, address, spec)
                return _place(directory, spec)

    def _supervisor(self, spec: SupervisorSpec, address: str) -> Place:
        places = tuple(self._place(child, address) for child in spec.children)
        supervisor = Supervisor(self._world, address or "/", spec, places)
        if not address:
            self._supervised: Supervisor = supervisor
        return Place(
            child=supervisor, restart=spec.restart, startup=math.inf, shutdown=spec.shutdown
        )


def _place(child: Child, spec: ActorSpec | ServiceSpec | DirectorySpec) -> Place:
    return Place(
        child=child,
        restart=spec.restart,
        startup=spec.startup.total_seconds(),
        shutdown=spec.shutdown,
    )
