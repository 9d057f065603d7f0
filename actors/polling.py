"""Polling one connection: each resource when its time has come, never twice at once, the cursor with its items (FR-5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from actors.healing import Healer
from actors.holding import Holding
from actors.pressure import LIVE, Waiting
from actors.reading import (
    BEGUN_FOR,
    BEING_READ,
    Found,
    HeldUp,
    delivery_of,
    read_through,
    report,
    unstuck,
)
from actors.rhythm import Rhythm
from actors.silence import Silence
from actors.streams import HEALING, streams_of
from adapters.contract import Refused
from adapters.errors import SettingsError
from adapters.polling import CursorLost, Page, Polls, Resource
from persistence.polls import CursorRecord, PolledPage

_AT_ONCE = 2
_SHORT = 0.25
"""Of a limit with less than this share left, polling takes less."""


class Poller:
    """Reads what a connection's streams bring; its actor owns it.

    When each is due stands in the store, and upkeep tells the actor: far-off polls keep no actor in memory.
    """

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._healer = Healer(holding)
        self._silence = Silence(holding)
        self._running: set[object] = set()
        self._streams: Mapping[str, Resource] | None = {}
        self._version: int | None = None
        self._due = False

    def look(self) -> None:
        """Something may be due."""
        self._due = True

    def ended(self, about: object) -> None:
        """A poll runs no more; there may be another page."""
        if about in self._running:
            self._running.discard(about)
            self._due = True

    async def start(self) -> None:
        """Start what is due of an active connection, if there was a hint that something is.

        Raises:
            FencedError, ChangedError, StoreUnavailableError: the hint is kept.
        """
        holding = self._holding
        if self._version != holding.connection.version:
            self._streams, self._version = self._found(), holding.connection.version
            self._due = self._due or bool(self._streams)
        if not self._due:
            return
        cursors = await self._planned()
        await self._silence.judge(cursors)
        self._due = False
        if not self._killed(cursors):
            self._begin(cursors)

    def _killed(self, cursors: Sequence[CursorRecord]) -> bool:
        """Whether a page has just killed this actor, or its node: if the others are like it, they must not follow at once."""
        now = self._holding.ports.clock.now()
        return any(
            cursor.reason == BEING_READ
            and now < cursor.next_poll_at
            and cursor.resource not in self._running
            for cursor in cursors
        )

    def _begin(self, cursors: Sequence[CursorRecord]) -> None:
        now = self._holding.ports.clock.now()
        due = [
            cursor
            for cursor in cursors
            if cursor.next_poll_at <= now and cursor.resource not in self._running
        ]
        due.sort(key=lambda cursor: cursor.next_poll_at)
        for cursor in due[: _AT_ONCE - len(self._running)]:
            self._running.add(cursor.resource)
            stream = (self._streams or {}).get(cursor.resource) or Resource(name=cursor.resource)
            read = partial(self._read, cursor, stream)
            self._holding.context.spawn(
                report, self._holding, cursor.resource, read, name=f"poll-{cursor.resource}"
            )

    def _found(self) -> Mapping[str, Resource] | None:
        """The connection's streams; None where its settings can not be read: then what is polled stays as it is."""
        holding = self._holding
        try:
            streams = streams_of(holding.connection, holding.adapter)
        except SettingsError as error:
            holding.log.warning("poll.settings_unreadable", reason=str(error))
            return None
        return {stream.name: stream for stream in streams}

    async def _planned(self) -> tuple[CursorRecord, ...]:
        """The cursors, those of the connection as it is."""
        store = self._holding.ports.store
        place = (self._holding.tenant_id, self._holding.connection_id)
        cursors: tuple[CursorRecord, ...] = await store.cursors(*place)
        known = {cursor.resource for cursor in cursors}
        if self._streams is None or known == self._streams.keys():
            return cursors
        await self._plan(self._streams.values())
        planned: tuple[CursorRecord, ...] = await store.cursors(*place)
        return planned

    async def _plan(self, streams: Iterable[Resource]) -> None:
        """New streams begin at once, which is where they begin to read; those that are no more are forgotten."""
        holding, now = self._holding, self._holding.ports.clock.now()
        first = [
            CursorRecord(
                tenant_id=holding.tenant_id,
                connection_id=holding.connection_id,
                resource=stream.name,
                cursor=None,
                next_poll_at=now,
                every=stream.every,
                failures=0,
                reason=None,
                last_polled_at=None,
                last_news_at=None,
            )
            for stream in streams
        ]
        await holding.ports.store.plan_polls(holding.lease, first, now=now)

    async def _read(self, cursor: CursorRecord, stream: Resource) -> Found:
        holding = self._holding
        await self._postpone(cursor, holding.ports.clock.now() + BEGUN_FOR, BEING_READ)
        found = await self._asked(cursor)
        match found:
            case Page():
                await self._keep(cursor, stream, unstuck(found, cursor.cursor))
            case CursorLost(cursor=again, reason=reason, since=since):
                holding.log.warning(
                    "poll.gap", resource=cursor.resource, reason=reason, since=since.isoformat()
                )
                holding.ports.metrics.errors.labels("poll_cursor_lost").inc()
                # At once, before more is forgotten; but not time after time.
                page = Page(items=(), cursor=again, more=self._rested(cursor, stream))
                await self._keep(cursor, stream, page)
            case _:
                await self._hold_up(cursor, stream, found)
        return found

    def _rested(self, cursor: CursorRecord, stream: Resource) -> bool:
        last, now = cursor.last_polled_at, self._holding.ports.clock.now()
        return last is None or now - last >= stream.fastest

    async def _asked(self, cursor: CursorRecord) -> Found:
        holding, adapter = self._holding, self._holding.adapter
        if cursor.resource == HEALING.name:
            return await self._healer.page(cursor)
        if not isinstance(adapter, Polls):
            return Refused(reason="the provider can not be polled")
        plan = adapter.poll(cursor.resource, cursor.cursor, now=holding.ports.clock.now())
        return await read_through(plan, holding.line, work=LIVE)

    async def _keep(self, cursor: CursorRecord, stream: Resource, page: Page) -> None:
        """Keep what the page has, and the cursor behind it with it; the rest of its way is any delivery's."""
        holding, now = self._holding, self._holding.ports.clock.now()
        items = tuple(delivery_of(item, holding, origin="poll") for item in page.items)
        rhythm = self._rhythm(stream)
        news = rhythm.after(page, cursor.every, news=True)
        fresh = await holding.ports.store.keep_page(
            holding.lease,
            PolledPage(
                resource=cursor.resource,
                expected=cursor.cursor,
                cursor=page.cursor,
                next_poll_at=news.next_poll_at,
                every=news.every,
                nothing_new=rhythm.after(page, cursor.every, news=False),
            ),
            items,
            now=now,
        )
        labels = (holding.connection.provider_id, holding.tenant_id)
        result = "news" if any(fresh) else "nothing_new" if page.fresh else "unchanged"
        holding.ports.metrics.polls.labels(*labels, result).inc()
        holding.ports.metrics.found.labels(*labels, "poll").inc(sum(fresh))

    def _rhythm(self, stream: Resource) -> Rhythm:
        holding, now = self._holding, self._holding.ports.clock.now()
        return Rhythm(
            stream=stream,
            least=holding.ports.policy.of(holding.tenant_id).poll_every,
            short=holding.line.pressure.left(now) < _SHORT,
            now=now,
            chance=holding.context.random.random,
            retry=holding.ports.pace.retry,
        )

    async def _hold_up(self, cursor: CursorRecord, stream: Resource, why: HeldUp) -> None:
        """The cursor stays where it was."""
        holding = self._holding
        failed = not isinstance(why, Waiting)
        at = self._rhythm(stream).held_up(why, cursor.failures)
        await self._postpone(cursor, at, why.reason, failed=failed)
        labels = (holding.connection.provider_id, holding.tenant_id)
        holding.ports.metrics.polls.labels(*labels, "failed" if failed else "waited").inc()
        holding.log.info(
            "poll.held_up", resource=cursor.resource, failed=failed, reason=why.reason
        )

    async def _postpone(
        self, cursor: CursorRecord, at: datetime, reason: str, *, failed: bool = False
    ) -> None:
        holding = self._holding
        await holding.ports.store.postpone_poll(
            holding.lease,
            cursor.resource,
            next_poll_at=at,
            reason=reason,
            failed=failed,
            now=holding.ports.clock.now(),
        )
