"""A bounded mailbox: control passes data, so does what the actor tells itself, and nobody waits for a place.

A mailbox outlives the incarnations of its actor: what was accepted before a crash is handled after it. Only
the message that was being handled is lost; who must not lose it keeps it elsewhere until it is done.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TypeAlias

import trio
from attrs import define, field, frozen

from runtime.errors import ActorStoppedError, AskTimeoutError, MailboxFullError

CONTROL_STREAK = 16
"""So many messages in a row pass waiting data; then one data message has its turn."""


@frozen(kw_only=True)
class MailboxStatistics:
    """What a mailbox holds and has seen.

    ``depth`` counts the data lane, ``control`` what passes it; ``peak`` is the most data that ever waited,
    ``refused`` how often a sender was turned away, ``oldest`` how long the next data message has waited.
    """

    capacity: int
    depth: int
    control: int
    peak: int
    refused: int
    oldest: timedelta | None


@define(eq=False)
class Answer:
    """The one-shot slot an asker waits at. Either side may walk away without hurting the other."""

    given: trio.Event = field(factory=trio.Event)
    value: object = None
    failure: str | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether the asker is still there."""
        return self.given.statistics().tasks_waiting > 0

    def give(self, value: object, failure: str | None = None) -> None:
        """Answer, or say why no answer will come; only the first time counts."""
        if not self.given.is_set():
            self.value, self.failure = value, failure
            self.given.set()


Entry: TypeAlias = tuple[object, float, Answer | None]
"""A message, when it came (trio's clock), and where its answer goes."""


class Mailbox:
    """What waits for one actor, in three lanes. Any task may put; only the actor takes. See ``ActorRef``.

    ``refusing`` is why no more data is accepted, once it is not; control still passes. The lanes are lists: they are
    short, and a deque would cost each of many idle actors more memory than all else in here.
    """

    def __init__(self, address: str, *, capacity: int, control: int) -> None:
        self.address = address
        self.refusing: str | None = None
        self._closed: str | None = None
        self._capacity = capacity
        self._control_capacity = control
        self._data: list[Entry] = []
        self._control: list[Entry] = []
        self._own: list[Entry] = []
        self._peak = self._refused = self._streak = 0
        self._asleep = False
        self._sleeper = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        """How many wait that a next incarnation would find, too."""
        return len(self._data) + len(self._control)

    def demand(self) -> int:
        """How many data messages a source may send now: the free room, none once refusing."""
        return 0 if self.refusing is not None else self._capacity - len(self._data)

    def tell(self, message: object, answer: Answer | None = None) -> None:
        """See ``ActorRef.tell``."""
        entry = (message, trio.current_time(), answer)
        self._put(self._data, self._capacity, entry, self.refusing)
        self._peak = max(self._peak, len(self._data))

    def control(self, message: object) -> None:
        """See ``ActorRef.control``."""
        entry = (message, trio.current_time(), None)
        self._put(self._control, self._control_capacity, entry, self._closed)

    def tell_own(self, message: object) -> None:
        """Accept what the actor tells itself; as ``control``, with a bound that others do not fill."""
        self._put(self._own, self._control_capacity, (message, trio.current_time(), None), None)

    def has_own_room(self) -> bool:
        """Whether ``tell_own`` would accept now."""
        return len(self._own) < self._control_capacity

    async def ask(self, message: object, *, deadline: timedelta) -> object:
        """See ``ActorRef.ask``."""
        answer = Answer()
        self.tell(message, answer)
        with trio.move_on_after(deadline.total_seconds()):
            await answer.given.wait()
        if not answer.given.is_set():
            late = f"did not answer within {deadline.total_seconds():g} s"
            raise AskTimeoutError(self.address, late)
        if answer.failure is not None:
            raise ActorStoppedError(self.address, answer.failure)
        return answer.value

    def take(self) -> Entry | None:
        """The next entry, or None; a question nobody waits for any more is dropped.

        Control and what the actor tells itself take turns, and pass data; after a streak of them data has its turn.
        """
        while urgent := self._control or self._own or self._data:
            lane = self._data
            if not lane or (urgent is not lane and self._streak < CONTROL_STREAK):
                lane = self._own if self._own and self._streak % 2 else urgent
                self._streak += 1
            else:
                self._streak = 0
            entry = lane.pop(0)
            if entry[2] is None or entry[2].is_awaited:
                return entry
        return None

    async def wait(self, deadline: float = math.inf) -> None:
        """Sleep until something is put, ``wake`` is called, or ``deadline`` on trio's clock is reached."""
        self._asleep = True
        if deadline == math.inf:  # a scope costs time and, while many actors idle, memory
            await self._sleeper.park()
        else:
            with trio.CancelScope(deadline=deadline):
                await self._sleeper.park()

    def wake(self) -> None:
        """End the present ``wait``, if there is one."""
        if self._asleep:
            self._asleep = False
            self._sleeper.unpark()

    def close(self, reason: str) -> int:
        """Accept nothing more, drop what waits, tell those who asked. Returns how many were dropped."""
        dropped = len(self)
        for _, _, answer in self._data:
            if answer is not None:
                answer.give(None, reason)
        for lane in (self._data, self._control, self._own):
            lane.clear()
        self.refusing = self._closed = reason
        return dropped

    def reopen(self) -> None:
        """Make ready for the next incarnation: what the last one told itself means nothing to it."""
        self.refusing = self._closed = None
        self._own.clear()

    def statistics(self, now: float) -> MailboxStatistics:
        """The figures as of ``now`` on trio's clock."""
        return MailboxStatistics(
            capacity=self._capacity,
            depth=len(self._data),
            control=len(self._control) + len(self._own),
            peak=self._peak,
            refused=self._refused,
            oldest=timedelta(seconds=now - self._data[0][1]) if self._data else None,
        )

    def _put(self, lane: list[Entry], most: int, entry: Entry, refusing: str | None) -> None:
        if refusing is None and len(lane) < most:
            lane.append(entry)
            self.wake()
            return
        self._refused += 1
        if refusing is not None:
            raise ActorStoppedError(self.address, refusing)
        raise MailboxFullError(self.address, f"has no room: {most} are waiting")
