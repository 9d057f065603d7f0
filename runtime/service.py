"""The place of one long-running coroutine."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from runtime.specs import ServiceSpec
from runtime.supervisor import Readiness
from runtime.tree import ActorSnapshot, Node, World


class Service:
    """Runs the coroutine of its spec; see ``Child`` for the methods."""

    def __init__(self, world: World, address: str, spec: ServiceSpec) -> None:
        self.node = Node(world, address, "service")
        self._spec = spec
        self._scope = trio.CancelScope()

    async def run(self, *, readiness: Readiness) -> None:
        """See ``Child.run``."""
        self._scope = trio.CancelScope()
        with self._scope:
            await self._spec.run(task_status=readiness)

    def request_stop(self, reason: str) -> None:
        """Ask it to stop if it can be asked, else cancel it."""
        if self._spec.ask_to_stop is not None:
            self._spec.ask_to_stop()
        else:
            self._scope.cancel(reason=reason)

    def retire(self, reason: str) -> None:
        """See ``Child.retire``; a service holds nothing for others."""

    def snapshots(self, now: float) -> Iterator[ActorSnapshot]:
        """See ``Child.snapshots``."""
        yield self.node.snapshot()
