"""Gaps in what webhooks brought: the provider is asked to send once more what its own record says has failed (FR-5)."""

from __future__ import annotations

from actors import asking, hooks
from actors.holding import Holding
from actors.jobs import Task
from actors.pressure import LIVE
from actors.reading import Found, read_through
from adapters.contract import Refused
from adapters.polling import Healed, Heals, Page
from persistence.polls import CursorRecord


class Healer:
    """Looks through the record of one connection's webhooks, page by page; its poller says when."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding

    async def page(self, cursor: CursorRecord) -> Found:
        """Look at the next page of the record; what is sent once more comes to the edge as any webhook."""
        holding, adapter = self._holding, self._holding.adapter
        if not isinstance(adapter, Heals):
            return Refused(reason="the provider shows no record of its webhooks")
        told = await hooks.told(holding.connection, holding.ports)
        if told is None:
            return Page(items=(), cursor=cursor.cursor or b"{}")
        plan = adapter.heal(told, since=holding.connection.created_at, cursor=cursor.cursor)
        looked = await read_through(plan, holding.line, work=LIVE)
        if not isinstance(looked, Healed):
            return looked
        self._tell(looked)
        return Page(items=(), cursor=looked.cursor, more=looked.more, fresh=looked.failed > 0)

    def _tell(self, looked: Healed) -> None:
        """Report what was healed; a webhook that is there no more is seen to."""
        holding = self._holding
        labels = (holding.connection.provider_id, holding.tenant_id)
        holding.ports.metrics.healed.labels(*labels, "redelivery").inc(looked.asked_again)
        if looked.failed or looked.unreachable:
            holding.log.warning(
                "webhooks.healed",
                failed=looked.failed,
                asked_again=looked.asked_again,
                unreachable=looked.unreachable,
            )
        if looked.unreachable:
            asking.insist(holding.ports, holding.connection, Task.SUBSCRIBE)
