"""Calls that M35 granted to a connection: asked for by the block, spent one by one."""

from __future__ import annotations

from datetime import datetime

import trio
from attrs import define

from actors.platform.budgets import Budgets, Withheld
from actors.platform.errors import PlatformError
from actors.ports import Ports
from actors.pressure import Waiting, forecast
from persistence.records import ConnectionRecord


@define
class _Block:
    """Calls that are paid for, and until when they are good."""

    left: int
    until: datetime


class Purse:
    """The granted calls of one connection, by class of work; its line owns it. One task at a time asks M35."""

    def __init__(self, connection: ConnectionRecord, ports: Ports) -> None:
        self._connection = connection
        self._ports = ports
        self._turn = trio.Lock()
        self._blocks: dict[str, _Block] = {}
        self._withheld: dict[str, Waiting] = {}

    async def pay(self, work: str) -> Waiting | None:
        """Pay for one call of that class, or say when it is worth asking again.

        Whether work goes on while M35 does not answer is the tenant's policy's to say.
        """
        budgets = self._ports.budgets
        if budgets is None:
            return None
        async with self._turn:
            now = self._ports.clock.now()
            known = self._withheld.get(work)
            if known is not None and now < known.until:
                return known
            block = self._blocks.get(work)
            if block is None or block.left == 0 or now >= block.until:
                waiting = await self._ask(budgets, work, now)
                if waiting is not None:
                    self._withheld[work] = waiting
                    return waiting
                block = self._blocks[work]
            block.left -= 1
            return None

    async def _ask(self, budgets: Budgets, work: str, now: datetime) -> Waiting | None:
        pace = self._ports.pace
        try:
            taken = await budgets.take(
                self._connection.tenant_id,
                connection_id=self._connection.connection_id,
                provider_id=self._connection.provider_id,
                calls=pace.budget_block,
                work=work,
            )
        except PlatformError as error:
            self._ports.metrics.errors.labels("budget_unavailable").inc()
            if not self._ports.policy.of(self._connection.tenant_id).budget_open:
                return _waiting(f"M35 does not answer: {error}", now + pace.neighbour.cap)
        else:
            if isinstance(taken, Withheld):
                return _waiting(taken.reason, now + taken.retry_after)
        self._blocks[work] = _Block(left=pace.budget_block, until=now + pace.budget_kept)
        return None


def _waiting(reason: str, until: datetime) -> Waiting:
    return Waiting(reason=forecast(reason, until), until=until, exhausted="m35")
