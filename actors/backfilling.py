"""Backfills: a resource's past, page by page, behind all else that a connection does; they survive restarts (FR-5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from actors.holding import Holding
from actors.pressure import BACKFILL, Waiting
from actors.reading import (
    BEGUN_FOR,
    BEING_READ,
    Found,
    delivery_of,
    read_through,
    report,
    unstuck,
)
from adapters.contract import Later, NeedsLogin, Refused
from adapters.polling import CursorLost, Page, Polls, Span
from persistence.polls import BackfillPage, BackfillRecord, BackfillState

_MOST_UNSENT = 2_000
"""So much of a connection may wait for PM-3 before its backfills read no further."""
_LOOK_AGAIN = timedelta(seconds=30)


class Backfiller:
    """Runs the backfills of one connection, one page of one at a time; its actor owns it."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._running: object = None
        self._due = False

    def look(self) -> None:
        """A page may be due."""
        self._due = True

    def ended(self, about: object) -> None:
        """A page was read; there may be another."""
        if about == self._running:
            self._running = None
            self._due = True

    async def start(self) -> None:
        """Start the next page of an active connection, if there was a hint that one is due.

        Raises:
            StoreUnavailableError: the hint is kept.
        """
        if not self._due or self._running is not None:
            return
        holding = self._holding
        due = await holding.ports.store.due_backfills(
            holding.lease, now=holding.ports.clock.now(), limit=1
        )
        self._due = False
        for record in due:
            self._running = record.backfill_id
            holding.context.spawn(
                report,
                holding,
                record.backfill_id,
                partial(self._read, record),
                name=f"backfill-{record.backfill_id}",
            )

    async def _read(self, record: BackfillRecord) -> Found:
        now = self._holding.ports.clock.now()
        await self._postpone(record, now + BEGUN_FOR, BEING_READ)
        found = await self._asked(record)
        match found:
            case Page():
                await self._keep(record, unstuck(found, record.cursor))
            case CursorLost():
                await self._begin_again(record, found)
            case Refused(reason=reason):
                await self._fail(record, reason)
            case Waiting() | Later() | NeedsLogin():
                await self._postpone(record, self._again_at(found), found.reason)
        return found

    async def _asked(self, record: BackfillRecord) -> Found:
        holding, adapter = self._holding, self._holding.adapter
        if not isinstance(adapter, Polls):
            return Refused(reason="the provider can not be polled")
        ledger = await holding.ports.store.ledger(holding.tenant_id, holding.connection_id)
        if ledger is not None and ledger.pending + ledger.settled > _MOST_UNSENT:
            until = holding.ports.clock.now() + _LOOK_AGAIN
            return Waiting(reason="what was found has to be forwarded first", until=until)
        span = Span(since=record.since, until=record.until)
        plan = adapter.backfill(record.resource, span, record.cursor)
        return await read_through(plan, holding.line, work=BACKFILL)

    async def _keep(self, record: BackfillRecord, page: Page) -> None:
        holding = self._holding
        items = tuple(delivery_of(item, holding, origin="backfill") for item in page.items)
        fresh = await holding.ports.store.keep_backfill_page(
            holding.lease,
            BackfillPage(
                backfill_id=record.backfill_id,
                expected=record.cursor,
                cursor=page.cursor,
                found=len(items),
                done=page.done,
                total=page.total,
                state=BackfillState.RUNNING if page.more else BackfillState.DONE,
            ),
            items,
            now=holding.ports.clock.now(),
        )
        labels = (holding.connection.provider_id, holding.tenant_id)
        holding.ports.metrics.found.labels(*labels, "backfill").inc(sum(fresh))
        if not page.more:
            holding.log.info(
                "backfill.done",
                audit=True,
                backfill=str(record.backfill_id),
                found=record.found + len(items),
                fresh=record.fresh + sum(fresh),
            )

    async def _begin_again(self, record: BackfillRecord, lost: CursorLost) -> None:
        """Go on where the provider still can; what is read twice is known by then."""
        if lost.cursor == record.cursor:
            await self._fail(record, lost.reason)
            return
        self._holding.log.warning(
            "backfill.gap",
            backfill=str(record.backfill_id),
            reason=lost.reason,
            since=lost.since.isoformat(),
        )
        await self._keep(record, Page(items=(), cursor=lost.cursor, more=True))

    def _again_at(self, why: Waiting | Later | NeedsLogin) -> datetime:
        """A page that failed is read again after a minute or so, or when the provider says."""
        now = self._holding.ports.clock.now()
        match why:
            case Waiting(until=until):
                return until
            case Later(retry_after=wish):
                jitter = self._holding.context.random.random()
                return now + max(_LOOK_AGAIN * (1 + 2 * jitter), wish or timedelta())
            case NeedsLogin():
                return now  # nothing is read before a person came: then at once

    async def _postpone(self, record: BackfillRecord, at: datetime, reason: str) -> None:
        holding = self._holding
        await holding.ports.store.postpone_backfill(
            holding.lease,
            record.backfill_id,
            next_at=at,
            reason=reason,
            now=holding.ports.clock.now(),
        )

    async def _fail(self, record: BackfillRecord, reason: str) -> None:
        holding = self._holding
        await holding.ports.store.move_backfill(
            record.tenant_id,
            record.backfill_id,
            expected=(BackfillState.RUNNING,),
            state=BackfillState.FAILED,
            reason=reason,
            now=holding.ports.clock.now(),
        )
        holding.log.warning(
            "backfill.failed", audit=True, backfill=str(record.backfill_id), reason=reason
        )
