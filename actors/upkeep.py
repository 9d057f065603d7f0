"""What must happen though nobody asks: lost wake-ups found, refusals counted, old rows forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

import trio
from attrs import frozen

from actors import asking
from actors.cleaning import clean
from actors.jobs import Task
from actors.ports import Ports
from persistence.errors import StoreUnavailableError
from runtime import Actor, Context

_ROWS_AT_ONCE = 500
_CLEANED_AT_ONCE = 20
_CHECKED_AT_ONCE = 20


@frozen
class Tick:
    """Time for a round."""


@frozen
class Sweep:
    """Time to forget what is old."""


@frozen(kw_only=True)
class Timetable:
    """How often, and how long what is kept is kept."""

    every: timedelta
    sweep_every: timedelta = timedelta(minutes=1)
    replay_window: timedelta
    retention: timedelta
    webhooks_every: timedelta = timedelta(days=1)
    """How often each webhook that we registered is looked at, and repaired."""


Refusals: TypeAlias = dict[tuple[str, UUID], int]


class RefusalCount:
    """Refused webhooks by (tenant, connection) since the last round; one per node, filled by the edge."""

    def __init__(self) -> None:
        self._counts: Refusals = {}

    def add(self, tenant_id: str, connection_id: UUID, number: int = 1) -> None:
        """Count refusals of a connection."""
        key = (tenant_id, connection_id)
        self._counts[key] = self._counts.get(key, 0) + number

    @property
    def total(self) -> int:
        """How many refusals are not taken yet."""
        return sum(self._counts.values())

    def take(self) -> Refusals:
        """What was counted since the last time."""
        taken, self._counts = self._counts, {}
        return taken


class Upkeep(Actor):
    """One per node. A hint that was lost, or work from before a restart, is found within one round."""

    def __init__(self, ports: Ports, refusals: RefusalCount, timetable: Timetable) -> None:
        self._ports = ports
        self._refusals = refusals
        self._timetable = timetable
        self._after: UUID | None = None
        self._polled_after: UUID | None = None
        self._planned_after: UUID | None = None
        self._all_planned = False

    async def on_start(self, context: Context) -> None:
        """Begin with a round at once: after a restart there may be work."""
        await trio.lowlevel.checkpoint()
        self._context = context
        context.tell_self(Tick())
        context.after(self._timetable.sweep_every, Sweep())

    async def on_message(self, message: object) -> object:
        """Do one round; a store that does not answer is asked again in the next."""
        try:
            if isinstance(message, Sweep):
                await self._sweep()
                await self._check_webhooks()
            else:
                await self._count()
                await self._wake()
                await self._plan()
                await self._poll()
                self._clean()
        except StoreUnavailableError as error:
            self._ports.log.warning("upkeep.store_unavailable", reason=str(error))
        if isinstance(message, Sweep):
            self._context.after(self._timetable.sweep_every, Sweep())
        else:
            self._context.after(self._timetable.every, Tick())
        return None

    async def on_stop(self) -> None:
        """Leave no refusal uncounted on an orderly stop; without a store, at least say how many they are."""
        try:
            await self._count()
        except StoreUnavailableError as error:
            self._ports.log.warning(
                "upkeep.refusals_uncounted", number=self._refusals.total, reason=str(error)
            )

    async def _count(self) -> None:
        taken = self._refusals.take()
        if not taken:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._ports.store.count_rejected(taken)
        except StoreUnavailableError:
            for (tenant_id, connection_id), number in taken.items():
                self._refusals.add(tenant_id, connection_id, number)
            raise

    async def _wake(self) -> None:
        """Wake the next page of connections with work, and the couriers."""
        store, wake = self._ports.store, self._ports.wake
        page = await store.connections_with_work(
            now=self._ports.clock.now(), after=self._after, limit=_ROWS_AT_ONCE
        )
        for tenant_id, connection_id in page:
            wake.connection(tenant_id, connection_id)
        self._after = page[-1][1] if len(page) == _ROWS_AT_ONCE else None
        for tenant_id in await store.tenants_with_signals(limit=_ROWS_AT_ONCE):
            wake.signals(tenant_id)
        for tenant_id in await store.tenants_with_receipts(limit=_ROWS_AT_ONCE):
            wake.receipts(tenant_id)
        for tenant_id in await store.tenants_with_incidents(limit=_ROWS_AT_ONCE):
            wake.incidents(tenant_id)

    async def _plan(self) -> None:
        """Once after a start, wake those without cursors: one became active, and we died before its actor planned any."""
        if self._all_planned:
            return
        page = await self._ports.store.connections_without_cursors(
            after=self._planned_after, limit=_ROWS_AT_ONCE
        )
        for tenant_id, connection_id in page:
            self._ports.wake.connection(tenant_id, connection_id)
            self._planned_after = connection_id
        self._all_planned = len(page) < _ROWS_AT_ONCE

    async def _poll(self) -> None:
        """Tell the next page of connections that a poll or a backfill is due: so many a round, and no herd after a rest."""
        due = await self._ports.store.connections_to_poll(
            now=self._ports.clock.now(), after=self._polled_after, limit=_ROWS_AT_ONCE
        )
        for tenant_id, connection_id in due:
            self._ports.wake.polls(tenant_id, connection_id)
        self._polled_after = due[-1][1] if len(due) == _ROWS_AT_ONCE else None

    async def _check_webhooks(self) -> None:
        """Have the webhooks that were last looked at long ago looked at, and repaired where they are gone."""
        before = self._ports.clock.now() - self._timetable.webhooks_every
        store = self._ports.store
        for tenant_id, connection_id in await store.registrations_to_check(
            checked_before=before, limit=_CHECKED_AT_ONCE
        ):
            found = await store.connection(tenant_id, connection_id)
            if found is not None:
                asking.insist(self._ports, found, Task.SUBSCRIBE)

    def _clean(self) -> None:
        """Tidy up after deleted connections, one after the other, beside the rounds."""
        if not self._context.running and not self._context.stopping:
            self._context.spawn(self._clean_all, name="cleaning")

    async def _clean_all(self) -> None:
        try:
            for tenant_id, connection_id in await self._ports.store.connections_to_clean(
                now=self._ports.clock.now(), limit=_CLEANED_AT_ONCE
            ):
                await clean(self._ports, tenant_id, connection_id)
        except StoreUnavailableError as error:
            self._ports.log.warning("upkeep.store_unavailable", reason=str(error))

    async def _sweep(self) -> None:
        now = self._ports.clock.now()
        await self._ports.store.sweep(
            replay_before=now - self._timetable.replay_window,
            forget_before=now - self._timetable.retention,
            now=now,
            limit=_ROWS_AT_ONCE * 10,
        )
