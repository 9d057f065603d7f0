"""Backfills: a resource's past, page by page, behind everything else a connection does; survives restarts (FR-5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from attrs import frozen

from actors.holding import Holding
from actors.polling import delivery_of, read_through
from actors.pressure import BACKFILL, Waiting
from adapters.contract import Later, NeedsLogin, Refused
from adapters.polling import CursorLost, Page, PollOutcome, Polls, Span
from persistence.errors import (
    ChangedError,
    ConflictError,
    FencedError,
    StoreUnavailableError,
)
from persistence.polls import BackfillPage, BackfillRecord, BackfillState

_RUNNING = (BackfillState.RUNNING,)


@frozen
class PageEnded:
    """A page of a backfill reports back to its actor; ``login_refused`` says why a person must come."""

    backfill_id: UUID
    error: FencedError | ChangedError | StoreUnavailableError | None = None
    login_refused: str | None = None


class Backfiller:
    """Runs the backfills of one connection, one page of one at a time; its actor owns it."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._running: UUID | None = None

    def ended(self) -> None:
        """A page runs no more."""
        self._running = None

    async def start(self) -> datetime | None:
        """Start the next page if one is due; returns when to look again, if that is known."""
        holding = self._holding
        if self._running is not None:
            return None
        now = holding.ports.clock.now()
        blocked = holding.line.pressure.blocked(now)
        if blocked is not None:
            return blocked.until
        due = await holding.ports.store.due_backfills(holding.lease, now=now, limit=1)
        for record in due:
            self._running = record.backfill_id
            holding.context.spawn(self._page, record, name=f"backfill-{record.backfill_id}")
        return None

    async def _page(self, record: BackfillRecord) -> None:
        ended = PageEnded(record.backfill_id)
        try:
            outcome = await self._asked(record)
            if isinstance(outcome, NeedsLogin):
                ended = PageEnded(record.backfill_id, login_refused=outcome.reason)
        except ConflictError:
            # Paused or cancelled meanwhile: what this page found is found again, or not wanted.
            self._holding.log.info("backfill.changed", backfill=str(record.backfill_id))
        except (FencedError, ChangedError, StoreUnavailableError) as error:
            ended = PageEnded(record.backfill_id, error=error)
        self._holding.context.tell_self(ended)

    async def _asked(self, record: BackfillRecord) -> PollOutcome | Waiting:
        adapter = self._holding.adapter
        if not isinstance(adapter, Polls):
            outcome: PollOutcome | Waiting = Refused(reason="the provider can not be polled")
        else:
            span = Span(since=record.since, until=record.until)
            plan = adapter.backfill(record.resource, span, record.cursor)
            outcome = await read_through(plan, self._holding.line, work=BACKFILL)
        match outcome:
            case Page():
                await self._keep(record, outcome)
            case CursorLost(cursor=cursor):
                await self._keep(record, Page(items=(), cursor=cursor, more=True))
            case Waiting(until=until, reason=reason):
                await self._postpone(record, until, reason)
            case Later(retry_after=wish, reason=reason):
                await self._postpone(record, self._again_at(wish), reason)
            case NeedsLogin(reason=reason):
                await self._postpone(record, self._again_at(None), reason)
            case Refused(reason=reason):
                await self._failed(record, reason)
        return outcome

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
        holding.ports.metrics.polled.labels(*labels).inc(sum(fresh))
        if not page.more:
            holding.log.info(
                "backfill.done",
                audit=True,
                backfill=str(record.backfill_id),
                found=record.found + len(items),
                fresh=record.fresh + sum(fresh),
            )

    def _again_at(self, wish: timedelta | None) -> datetime:
        """A page that fails is asked for again after a minute or so, or when the provider says."""
        now, jitter = self._holding.ports.clock.now(), self._holding.context.random.random()
        return now + max(timedelta(seconds=30 + 60 * jitter), wish or timedelta(0))

    async def _postpone(self, record: BackfillRecord, at: datetime, reason: str) -> None:
        await self._holding.ports.store.postpone_backfill(
            self._holding.lease,
            record.backfill_id,
            next_at=at,
            reason=reason,
            now=self._holding.ports.clock.now(),
        )

    async def _failed(self, record: BackfillRecord, reason: str) -> None:
        self._holding.log.warning(
            "backfill.failed", audit=True, backfill=str(record.backfill_id), reason=reason
        )
        await self._holding.ports.store.move_backfill(
            record.tenant_id,
            record.backfill_id,
            expected=_RUNNING,
            state=BackfillState.FAILED,
            reason=reason,
            now=self._holding.ports.clock.now(),
        )
