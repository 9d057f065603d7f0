"""Polling one connection's resources: each when its time has come, never twice at once, cursors with their items (FR-5)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import evolve, frozen

from actors import codec
from actors.drive import Line
from actors.errors import MaybeSentError, NotSentError
from actors.holding import Holding
from actors.line import Ticket
from actors.pressure import LIVE, Waiting
from adapters.contract import Later, NeedsLogin, Refused, Request, Response
from adapters.polling import CursorLost, Item, Page, PollOutcome, Polls, Resource
from adapters.redaction import DEFAULT_RULES, redact
from persistence.errors import (
    ChangedError,
    ConflictError,
    FencedError,
    StoreUnavailableError,
)
from persistence.polls import CursorRecord, PolledPage
from persistence.records import NewDelivery

POLLING = "polling"
"""The capability of a connection that is polled."""

_AT_ONCE = 2
_FASTER, _SLOWER = 0.5, 1.5
_SPREAD = 0.1
_End = TypeVar("_End")


@frozen
class PollEnded:
    """A poll reports back to its actor; ``login_refused`` says why a person must come."""

    resource: str
    error: FencedError | ChangedError | StoreUnavailableError | None = None
    login_refused: str | None = None


class Poller:
    """Polls the resources of one connection; its actor owns it."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._running: set[str] = set()
        self._planned: Mapping[str, Resource] | None = None

    def ended(self, resource: str) -> None:
        """A poll runs no more."""
        self._running.discard(resource)

    def forget(self) -> None:
        """The connection was changed: what there is to poll is asked for anew."""
        self._planned = None

    async def start(self) -> datetime | None:
        """Start the polls that are due; returns when the next one will be."""
        holding = self._holding
        if self._planned is None:
            self._planned = await self._plan()
        if not self._planned:
            return None
        now = holding.ports.clock.now()
        cursors = await holding.ports.store.cursors(holding.tenant_id, holding.connection_id)
        waiting = [cursor for cursor in cursors if cursor.resource not in self._running]
        blocked = holding.line.pressure.blocked(now)
        if blocked is not None:
            return blocked.until
        due = [cursor for cursor in waiting if cursor.next_poll_at <= now]
        for cursor in due[: _AT_ONCE - len(self._running)]:
            self._running.add(cursor.resource)
            holding.context.spawn(self._poll, cursor, name=f"poll-{cursor.resource}")
        return min((cursor.next_poll_at for cursor in waiting if cursor not in due), default=None)

    async def _plan(self) -> Mapping[str, Resource]:
        """What there is to poll; new resources begin spread over their interval, so that no herd starts at once."""
        holding, adapter = self._holding, self._holding.adapter
        connection = holding.connection
        found = (
            adapter.resources(connection.settings)
            if isinstance(adapter, Polls) and POLLING in connection.capabilities
            else ()
        )
        now = holding.ports.clock.now()
        first = [
            CursorRecord(
                tenant_id=holding.tenant_id,
                connection_id=holding.connection_id,
                resource=resource.name,
                cursor=None,
                next_poll_at=now + resource.fastest * holding.context.random.random(),
                every=resource.every,
                failures=0,
                reason=None,
                last_polled_at=None,
                last_news_at=None,
            )
            for resource in found
        ]
        await holding.ports.store.plan_polls(holding.lease, first, now=now)
        return {resource.name: resource for resource in found}

    async def _poll(self, cursor: CursorRecord) -> None:
        ended = PollEnded(cursor.resource)
        try:
            outcome = await self._asked(cursor)
            if isinstance(outcome, NeedsLogin):
                ended = PollEnded(cursor.resource, login_refused=outcome.reason)
        except ConflictError:
            self._holding.log.info("poll.cursor_moved", resource=cursor.resource)
        except (FencedError, ChangedError, StoreUnavailableError) as error:
            ended = PollEnded(cursor.resource, error=error)
        self._holding.context.tell_self(ended)

    async def _asked(self, cursor: CursorRecord) -> PollOutcome | Waiting:
        holding, adapter = self._holding, self._holding.adapter
        if not isinstance(adapter, Polls):
            return Refused(reason="the provider can not be polled")
        now = holding.ports.clock.now()
        plan = adapter.poll(cursor.resource, cursor.cursor, now=now)
        outcome = await read_through(plan, holding.line, work=LIVE)
        match outcome:
            case Page():
                await self._keep(cursor, outcome)
            case CursorLost(cursor=again, reason=reason, since=since):
                holding.log.warning(
                    "poll.gap", resource=cursor.resource, reason=reason, since=since.isoformat()
                )
                holding.ports.metrics.errors.labels("poll_cursor_lost").inc()
                await self._keep(cursor, Page(items=(), cursor=again, more=True))
            case Waiting() | Later() | NeedsLogin() | Refused():
                await self._postpone(cursor, outcome)
        return outcome

    async def _keep(self, cursor: CursorRecord, page: Page) -> None:
        """Keep what the page has with the cursor behind it; then it is settled like any delivery."""
        holding = self._holding
        now = holding.ports.clock.now()
        items = tuple(delivery_of(item, holding, origin="poll") for item in page.items)
        resource = (self._planned or {}).get(cursor.resource, Resource(name=cursor.resource))
        every = self._next_every(cursor.every, resource, news=bool(page.items) and page.fresh)
        fresh = await holding.ports.store.keep_page(
            holding.lease,
            PolledPage(
                resource=cursor.resource,
                expected=cursor.cursor,
                cursor=page.cursor,
                next_poll_at=now if page.more else self._next_at(now, every, page.again_after),
                every=every,
            ),
            items,
            now=now,
        )
        labels = (holding.connection.provider_id, holding.tenant_id)
        holding.ports.metrics.polls.labels(*labels, "fresh" if page.fresh else "unchanged").inc()
        holding.ports.metrics.polled.labels(*labels).inc(sum(fresh))

    def _next_every(self, every: timedelta, resource: Resource, *, news: bool) -> timedelta:
        """Faster when there is news, slower when there is none; within the provider's and the tenant's bounds."""
        policy = self._holding.ports.policy.of(self._holding.tenant_id)
        fastest = max(resource.fastest, policy.poll_every or resource.fastest)
        wanted = every * (_FASTER if news else _SLOWER)
        return min(max(wanted, fastest), max(resource.slowest, fastest))

    def _next_at(self, now: datetime, every: timedelta, wish: timedelta | None) -> datetime:
        spread = 1 + _SPREAD * (2 * self._holding.context.random.random() - 1)
        return now + max(every * spread, wish or timedelta(0))

    async def _postpone(
        self, cursor: CursorRecord, why: Waiting | Later | NeedsLogin | Refused
    ) -> None:
        """The cursor stays where it was. What a provider refuses is asked again only as seldom as may be."""
        holding = self._holding
        now, failed = holding.ports.clock.now(), not isinstance(why, Waiting)
        resource = (self._planned or {}).get(cursor.resource, Resource(name=cursor.resource))
        match why:
            case Waiting(until=until):
                at = until
            case Later(retry_after=wish):
                backoff = evolve(holding.ports.pace.retry, cap=resource.slowest)
                jitter = 0.5 + holding.context.random.random() / 2
                at = now + backoff.delay(cursor.failures + 1, jitter=jitter, retry_after=wish)
            case _:
                at = now + resource.slowest
        await holding.ports.store.postpone_poll(
            holding.lease,
            cursor.resource,
            next_poll_at=at,
            reason=why.reason,
            failed=failed,
            now=now,
        )
        if failed:
            holding.log.warning("poll.failed", resource=cursor.resource, reason=why.reason)


async def read_through(
    plan: Generator[Request, Response, _End], line: Line, *, work: str
) -> _End | Waiting | Later | NeedsLogin:
    """Run a plan that only reads to its end, or to what the line holds it up with."""
    try:
        request = next(plan)
        while True:
            ticket = await line.admit(request, work)
            if not isinstance(ticket, Ticket):
                plan.close()
                return ticket
            request = plan.send(await line.send(request, ticket))
    except StopIteration as end:
        outcome: _End = end.value
        return outcome
    except (NotSentError, MaybeSentError) as error:
        plan.close()
        return Later(reason=str(error))


def delivery_of(item: Item, holding: Holding, *, origin: str) -> NewDelivery:
    """A polled item as a delivery like any other, redacted before it is stored."""
    ports = holding.ports
    return codec.polled(
        item,
        delivery_id=ports.ids(),
        tenant_id=holding.tenant_id,
        connection_id=holding.connection_id,
        body=redact(item.body, DEFAULT_RULES),
        origin=origin,
        now=ports.clock.now(),
    )
