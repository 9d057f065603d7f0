"""A node of one tenant at a book that can only be polled: its turns, one after the other, by a clock in the hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import orjson
import trio
from attrs import define, evolve, field

from actors.ports import Pace
from actors.reading import BEING_READ
from actors.upkeep import Timetable
from adapters.contract import Adapter, Secret
from persistence.opening import open_store
from persistence.polls import CursorRecord
from persistence.records import ConnectionRecord, ConnectionState
from persistence.store import Store
from runtime import Backoff, Clock
from tests.actors.platform.world import HandClock
from tests.actors.scene import EPOCH, FAST, NEVER, TOKEN, Scene, make_scene
from tests.fakes.ledgerbook import BASE_URL, LEDGERBOOK, Book, Entry
from tests.fakes.provider import Simulated
from tests.fakes.watching import Watch
from tests.persistence import samples

RETRY = Backoff(base=timedelta(seconds=8), cap=timedelta(minutes=5))
PACE = Pace(look_again=FAST, retry=RETRY, neighbour=FAST)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@define(eq=False)
class Turns:
    """The polls of one connection, one turn after the other."""

    scene: Scene
    clock: HandClock
    connection: ConnectionRecord

    async def cursors(self) -> tuple[CursorRecord, ...]:
        """By resource."""
        place = (self.connection.tenant_id, self.connection.connection_id)
        found: tuple[CursorRecord, ...] = await self.scene.store.inner.cursors(*place)
        return found

    def look(self) -> None:
        """As upkeep tells it."""
        self.scene.wake.polls(self.connection.tenant_id, self.connection.connection_id)

    async def rested(self) -> tuple[CursorRecord, ...]:
        """The cursors once none is due or being read."""

        async def look() -> tuple[CursorRecord, ...] | None:
            cursors, now = await self.cursors(), self.clock.now()
            busy = any(one.next_poll_at <= now or one.reason == BEING_READ for one in cursors)
            return None if busy else cursors

        cursors: tuple[CursorRecord, ...] = await self.scene.watch.until(look)
        return cursors

    async def take(self) -> tuple[CursorRecord, ...]:
        """The clock goes where the next poll is due; the cursors once it is over, with all its pages."""
        due = min(one.next_poll_at for one in await self.cursors())
        self.clock.at = max(self.clock.at, due)
        self.look()
        return await self.rested()


@define(eq=False)
class Library:
    """A book, a connection that polls it, and the node that does; several may stand on one store and one book."""

    scene: Scene
    clock: HandClock
    book: Book
    connection: ConnectionRecord = field(init=False)

    def write(self, number: int = 1, **habits: Any) -> list[Entry]:
        """Somebody makes entries, each with a text of its own."""
        return [
            self.book.write(now=self.clock.now(), text=f"{len(self.book.entries) + 1}", **habits)
            for _ in range(number)
        ]

    async def connect(self, **changes: Any) -> ConnectionRecord:
        """The connection, active, with a token."""
        auth_ref = uuid4()
        self.scene.secrets.values["acme", auth_ref] = Secret(value=TOKEN)
        sample = samples.connection("acme")
        made = evolve(sample, provider_id="ledgerbook", base_url=BASE_URL, auth_ref=auth_ref)
        self.connection = evolve(made, capabilities=("polling",), **changes)
        mine = samples.endpoint(self.connection)
        await self.scene.store.inner.create_connection(
            self.connection, mine, (), samples.receipt("acme")
        )
        return self.connection

    def another(self, **chosen: Any) -> Library:
        """Another node on the same store, with the same connection to the same book; what it does is noticed here too."""
        other = a_library(
            self.scene.store.inner,
            book=self.book,
            clock=self.clock,
            watch=self.scene.watch,
            **chosen,
        )
        other.connection = self.connection
        other.scene.secrets.values.update(self.scene.secrets.values)
        return other

    async def move(self, state: ConnectionState, **changes: Any) -> None:
        """The connection is changed."""
        self.connection = await samples.move(
            self.scene.store.inner, self.connection, state, **changes
        )

    @property
    def turns(self) -> Turns:
        """The connection's."""
        return Turns(self.scene, self.clock, self.connection)

    async def cursor(self) -> CursorRecord:
        """The only one."""
        (cursor,) = await self.turns.cursors()
        return cursor

    def look(self) -> None:
        """See ``Turns.look``."""
        self.turns.look()

    async def looked(self, times: int = 2, *, reads: str = "cursors") -> None:
        """Look so often; but for the last time, what the actor reads it has read and dealt with."""
        calls = self.scene.store.calls
        for _ in range(times):
            before = calls[reads]
            self.look()
            await self.scene.watch.until(partial(_more, calls, reads, before))

    async def rested(self) -> CursorRecord:
        """See ``Turns.rested``: the first."""
        return (await self.turns.rested())[0]

    async def turn(self) -> CursorRecord:
        """See ``Turns.take``: the first."""
        return (await self.turns.take())[0]

    async def insisted(self) -> CursorRecord:
        """A turn of a node that may find itself fenced, and is told once more then, as upkeep does."""
        log = self.scene.log
        for _ in range(9):
            self.clock.at = max(self.clock.at, (await self.cursor()).next_poll_at)
            fenced = len(log.of("connection.fenced"))
            self.look()

            async def over(fenced: int = fenced) -> bool:
                return len(log.of("connection.fenced")) > fenced or await self.rests()

            await self.scene.watch.until(over)
            if await self.rests():
                return await self.cursor()
        raise AssertionError("it never came to its turn")

    async def rests(self) -> bool:
        """Whether nothing is due, being read or held up."""
        cursor = await self.cursor()
        return cursor.next_poll_at > self.clock.now() and cursor.reason is None

    async def begun(self, **changes: Any) -> CursorRecord:
        """A connection that has begun to read; from now on entries are found."""
        await self.connect(**changes)
        self.scene.wake.connection(self.connection.tenant_id, self.connection.connection_id)
        return await self.rested()

    async def all_told(self, number: int | None = None, *, resent: bool = False) -> None:
        """So many entries, or all there are, are at PM-3, one signal each with the entry's own time (P2).

        ``resent``: PM-3 may have been sent one twice, by a node that was killed before it kept the answer.
        """
        wanted = len(self.book.entries) if number is None else number
        await self.scene.counted(self.connection, forwarded=wanted)
        told = {one["payload"]["text"]: one["occurred_at"] for one in self.scene.signals.accepted}
        assert len(told) == len(self.scene.signals.accepted) == wanted
        times = {one.text: one.at for one in self.book.entries}
        assert all(datetime.fromisoformat(at) == times[text] for text, at in told.items())
        assert self.scene.signals.numbers == list(range(1, wanted + 1))
        sent = [one for batch in self.scene.signals.batches for one in batch]
        assert resent or len(sent) == wanted

    @property
    def asked(self) -> int:
        """How many requests the book has seen."""
        return len(self.book.seen)

    def metric(self, *words: str) -> float:
        """What a counter has come to, summed over the lines that have all of the words."""
        lines = self.scene.ports.metrics.exposition(()).decode().splitlines()
        fitting = [
            line for line in lines if "_total{" in line and all(word in line for word in words)
        ]
        return sum(float(line.rpartition(" ")[2]) for line in fitting)


def a_library(
    store: Store,
    *,
    book: Book | None = None,
    clock: HandClock | None = None,
    adapter: Adapter = LEDGERBOOK,
    around: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint,
    pace: Pace = PACE,
    watch: Watch | None = None,
    **habits: Any,
) -> Library:
    """One without a connection, on ``store``; its node does not run."""
    clock, watch = clock or HandClock(EPOCH), watch or Watch()
    book = book or Book(token=Secret(value=TOKEN), **habits)
    chosen: Clock = clock
    scene = make_scene(
        store,
        clock=chosen,
        adapters=(adapter,),
        transport=Simulated(book.handle, chosen, noticed=watch.notify, around=around),
        watch=watch,
        pace=pace,
    )
    return Library(scene, clock, book)


@asynccontextmanager
async def a_running_library(
    store_url: str, *, timetable: Timetable = NEVER, **chosen: Any
) -> AsyncIterator[Library]:
    """One that has begun to read, with a node that runs, on the database at ``store_url``."""
    async with open_store(store_url) as store:
        library = a_library(store, **chosen)
        async with library.scene.node(timetable):
            await library.begun()
            yield library


def _more(calls: Counter[str], method: str, than: int) -> bool:
    return calls[method] > than


def since(cursor: bytes | None) -> str:
    """Where a cursor of the book stands."""
    assert cursor is not None
    return str(orjson.loads(cursor)["since"])
