"""Webhooks that stopped though there is news: noticed by what polling finds alone, told, and repaired where we may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from actors import asking, incidents
from actors.holding import Holding
from actors.jobs import Task
from adapters.capabilities import Subscriptions
from adapters.registry import WEBHOOK
from persistence.polls import CursorRecord

SILENT_AFTER = timedelta(minutes=10)
"""So long a webhook may come after the poll that found the same: providers try again when they could not reach us."""


def silent_since(
    cursors: Sequence[CursorRecord], last_webhook_at: datetime | None
) -> datetime | None:
    """When a poll first found what no webhook has brought since; None if one came after it, or nothing was found."""
    news = [cursor.last_news_at for cursor in cursors if cursor.last_news_at is not None]
    return min(
        (at for at in news if last_webhook_at is None or at > last_webhook_at), default=None
    )


class Silence:
    """Watches whether one connection's webhooks still come; its poller asks it to."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._silent: bool | None = None

    async def judge(self, cursors: Sequence[CursorRecord]) -> None:
        """Open an incident once the webhooks are silent, and close it with the first that comes.

        What an earlier incarnation opened is closed too: of one that just began nothing is known.

        Raises:
            StoreUnavailableError: it is judged again with the next poll.
        """
        holding = self._holding
        if all(cursor.last_news_at is None for cursor in cursors):
            return
        if WEBHOOK not in holding.connection.capabilities:
            return
        place = (holding.tenant_id, holding.connection_id)
        last = await holding.ports.store.last_webhook_at(*place)
        since = silent_since(cursors, last)
        if since is None and self._silent is not False:
            await incidents.closed(holding.ports, holding.connection, incidents.WEBHOOKS_SILENT)
            self._silent = False
        elif since is not None and not self._silent and self._long_ago(since):
            await self._tell(since)
            self._silent = True

    def _long_ago(self, since: datetime) -> bool:
        return self._holding.ports.clock.now() - since >= SILENT_AFTER

    async def _tell(self, since: datetime) -> None:
        holding = self._holding
        summary = f"polling finds what no webhook brings since {since:%Y-%m-%d %H:%M} UTC: {await self._cause()}"
        fresh = await incidents.opened(
            holding.ports, holding.connection, incidents.WEBHOOKS_SILENT, summary
        )
        if fresh and isinstance(holding.adapter, Subscriptions):
            asking.insist(holding.ports, holding.connection, Task.SUBSCRIBE, renewed=True)

    async def _cause(self) -> str:
        holding = self._holding
        ledger = await holding.ports.store.ledger(holding.tenant_id, holding.connection_id)
        if ledger is not None and ledger.rejected:
            return "webhooks were refused, so the signing secret is likely another than ours"
        return "none comes, so the webhook was likely removed or turned off"
