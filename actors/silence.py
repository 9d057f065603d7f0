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
"""Something must have happened so long after the first that no webhook brought, and be brought by none either.

The first may be of a time when there was no webhook yet, or we were not there; or the provider tries it again.
"""


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
        """Open an incident once the webhooks stay silent, and close it with the first that comes.

        What an earlier incarnation opened is closed too: of one that just began nothing is known.

        Raises:
            StoreUnavailableError: it is judged again with the next poll.
        """
        if _nothing_to_judge(cursors):
            return
        since = await self._since(cursors)
        self._holding.unheard = since is not None
        if since is None and self._silent is not False:
            await self._close()
            self._silent = False
        elif since is not None and not self._silent and self._goes_on(since):
            await self._tell(since)
            self._silent = True

    async def _since(self, cursors: Sequence[CursorRecord]) -> datetime | None:
        holding = self._holding
        if WEBHOOK not in holding.connection.capabilities:
            return None
        last = await holding.ports.store.last_webhook_at(holding.tenant_id, holding.connection_id)
        return silent_since(cursors, last)

    async def _close(self) -> None:
        holding = self._holding
        if await incidents.closed(holding.ports, holding.connection, incidents.WEBHOOKS_SILENT):
            holding.log.info("webhooks.heard")

    def _goes_on(self, since: datetime) -> bool:
        at = self._holding.unheard_at
        return at is not None and at - since >= SILENT_AFTER

    async def _tell(self, since: datetime) -> None:
        holding, cause = self._holding, await self._cause()
        fresh = await incidents.opened(
            holding.ports,
            holding.connection,
            incidents.WEBHOOKS_SILENT,
            f"polling finds what no webhook brings since {since:%Y-%m-%d %H:%M} UTC: {cause}",
        )
        if isinstance(holding.adapter, Subscriptions) and (fresh or not await self._tried(since)):
            asking.insist(holding.ports, holding.connection, Task.SUBSCRIBE, renewed=True)

    async def _tried(self, since: datetime) -> bool:
        """Whether the webhook was seen to since the incident: else the one who opened it died before."""
        holding = self._holding
        known = await holding.ports.store.registrations(
            holding.tenant_id, holding.connection_id, now=holding.ports.clock.now()
        )
        tries = [each.checked_at for each in known if each.checked_at is not None]
        return any(at - since >= SILENT_AFTER for at in tries)

    async def _cause(self) -> str:
        holding = self._holding
        ledger = await holding.ports.store.ledger(holding.tenant_id, holding.connection_id)
        if ledger is not None and ledger.rejected:
            return "webhooks were refused, so the signing secret is likely another than ours"
        return "none comes, so the webhook was likely removed or turned off"


def _nothing_to_judge(cursors: Sequence[CursorRecord]) -> bool:
    """Nothing was found yet. Of new cursors that is not known: news of before went with those they replace."""
    return bool(cursors) and all(
        cursor.last_news_at is None and cursor.last_polled_at is not None for cursor in cursors
    )
