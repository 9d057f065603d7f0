"""A connection to a book that is read: what is written, told, polled and filled in, with the clock in the hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import uuid4

import trio
from attrs import define, evolve, field

from actors.holding import Holding
from actors.reading import BEING_READ
from adapters.contract import Secret
from persistence.opening import open_store
from persistence.polls import BackfillRecord, BackfillState, NewBackfill
from persistence.records import ConnectionRecord
from tests.actors.platform.world import HandClock
from tests.actors.scene import EPOCH, TOKEN, Scene, make_scene
from tests.fakes.herald import HERALD, HERALD_URL, webhook_of
from tests.fakes.ledgerbook import ENTRIES, Book, Entry
from tests.fakes.provider import Simulated
from tests.fakes.watching import Watch
from tests.persistence import samples

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
OTHER = "outbound_actions"
"""A connection of which nothing is polled besides."""


@define(eq=False)
class ReadingRoom:
    """``connection`` is to a book; it has webhooks and no polling, unless the test says otherwise."""

    scene: Scene
    clock: HandClock
    book: Book
    connection: ConnectionRecord

    @property
    def place(self) -> tuple[str, Any]:
        """Tenant and connection."""
        return self.connection.tenant_id, self.connection.connection_id

    async def another(self, *capabilities: str) -> ConnectionRecord:
        """Connect once more; from now on that is the connection."""
        self.connection = await connected(self.scene, *capabilities)
        return self.connection

    def written(self, number: int, *, ago: timedelta = DAY) -> list[Entry]:
        """Entries of some time ago, a minute apart; oldest first."""
        begin = self.clock.now() - ago
        return [self.book.write(now=begin + nth * MINUTE) for nth in range(number)]

    async def told(self, entry: Entry) -> None:
        """The webhook about an entry comes, now."""
        delivery = evolve(
            webhook_of(entry, self.connection, uuid4()), received_at=self.clock.now()
        )
        await self.scene.deliver(self.connection, delivery)

    async def begun(self, *, days: int = 2) -> BackfillRecord:
        """Ask for what was written in the last days."""
        now = self.clock.now()
        tenant_id, connection_id = self.place
        new = NewBackfill(
            backfill_id=uuid4(),
            tenant_id=tenant_id,
            connection_id=connection_id,
            resource=ENTRIES.name,
            since=now - days * DAY,
            until=now,
            created_at=now,
        )
        return await self.scene.store.inner.begin_backfill(new)

    async def read(self, backfill: BackfillRecord) -> BackfillRecord:
        """The backfill as it is now."""
        found = await self.scene.store.inner.backfill(backfill.tenant_id, backfill.backfill_id)
        assert found is not None
        return found

    async def lived(
        self,
        backfill: BackfillRecord,
        *,
        pages: int = 200,
        most: timedelta = 3 * DAY,
        patient: bool = True,
    ) -> BackfillRecord:
        """The backfill after so many changes, or so long, at the most; the clock goes where something is due.

        Not ``patient``: where a page is being read, its reader may be dead, and time goes on.
        """
        until = self.clock.now() + most
        for _ in range(pages):
            before = await self.read(backfill)
            is_read = patient and before.reason == BEING_READ
            if before.state is not BackfillState.RUNNING:
                return before
            if not is_read:
                if before.next_at > until:
                    return before
                self.clock.at = max(self.clock.at, before.next_at)
                self.scene.wake.polls(*self.place)
            await self.changed(backfill, since=before)
        return await self.read(backfill)

    async def changed(self, backfill: BackfillRecord, *, since: BackfillRecord) -> BackfillRecord:
        """The backfill once it is another than before."""

        async def look() -> BackfillRecord | None:
            found = await self.read(backfill)
            return found if found != since else None

        record: BackfillRecord = await self.scene.watch.until(look)
        return record

    async def arrived(self, number: int) -> list[dict[str, Any]]:
        """The signals of the connection at PM-3, once there are so many and nothing is left."""

        async def look() -> bool:
            ledger = await self.scene.ledger(self.connection)
            there = len(self.signals) >= number
            return there and ledger.pending == ledger.settled == 0

        await self.scene.watch.until(look)
        return self.signals

    @property
    def signals(self) -> list[dict[str, Any]]:
        """What PM-3 took of the connection, in order."""
        ours = str(self.connection.connection_id)
        return [one for one in self.scene.signals.accepted if one["producer_id"] == ours]

    def counted(self, name: str, **labels: str) -> float:
        """A counter of the node."""
        tenant = {"provider": "herald", "tenant": "acme"}
        found = self.scene.ports.metrics.registry.get_sample_value(
            f"integration_adapters_{name}_total", {**tenant, **labels}
        )
        return found or 0.0


async def rested(scene: Scene, connection: ConnectionRecord) -> None:
    """Let all that is due be read."""
    place = (connection.tenant_id, connection.connection_id)

    async def look() -> bool:
        now = scene.clock.now()
        known = await scene.store.inner.cursors(*place)
        return bool(known) and all(
            cursor.next_poll_at > now and cursor.reason != BEING_READ for cursor in known
        )

    scene.wake.polls(*place)
    await scene.watch.until(look)


async def connected(scene: Scene, *capabilities: str) -> ConnectionRecord:
    """A stored connection to the book."""
    made = evolve(
        samples.connection(),
        provider_id="herald",
        base_url=HERALD_URL,
        capabilities=capabilities,
        auth_ref=uuid4(),
    )
    assert made.auth_ref is not None
    scene.secrets.values["acme", made.auth_ref] = Secret(value=TOKEN)
    await scene.store.create_connection(made, samples.endpoint(made), (), samples.receipt())
    return made


@asynccontextmanager
async def a_reading_room(
    store_url: str,
    *capabilities: str,
    around: Callable[[], Awaitable[object]] | None = None,
    **chosen: Any,
) -> AsyncIterator[ReadingRoom]:
    """A room on the database at ``store_url``; no node runs yet. ``around`` is awaited before and after each request."""
    clock, watch, book = HandClock(EPOCH), Watch(), Book(token=Secret(value=TOKEN))
    async with open_store(store_url) as store:
        scene = make_scene(
            store,
            clock=clock,
            adapters=chosen.pop("adapters", (HERALD,)),
            transport=Simulated(
                book.handle, clock, noticed=watch.notify, around=around or trio.lowlevel.checkpoint
            ),
            watch=watch,
            **chosen,
        )
        yield ReadingRoom(scene, clock, book, await connected(scene, *capabilities))


@define(eq=False)
class ByHand:
    """The little of a context that a holding needs, where no tree runs: what is spawned is run when the test says so."""

    random: Random = field(factory=lambda: Random(1))  # noqa: S311 - chance in a test is planned
    spawned: list[Callable[[], Awaitable[object]]] = field(factory=list)
    told: list[object] = field(factory=list)

    def spawn(self, run: Callable[..., Awaitable[object]], *args: object, name: str) -> None:
        """See ``Context.spawn``."""
        self.spawned.append(partial(run, *args))

    def tell_self(self, message: object) -> None:
        """See ``Context.tell_self``."""
        self.told.append(message)


async def held(scene: Scene, connection: ConnectionRecord) -> tuple[Holding, ByHand]:
    """The connection, taken over as its actor does."""
    hand = ByHand()
    holding = Holding(connection.tenant_id, connection.connection_id, scene.ports, hand)  # type: ignore[arg-type]
    assert await holding.take_over()
    return holding, hand
