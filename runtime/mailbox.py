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

CONTROL = 64
"""So much may wait of what passes data: from others, and as much again of what the actor tells itself."""

CONTROL_STREAK = 16
"""So many messages in a row pass waiting data; then one data message has its turn."""


@frozen(kw_only=True)
class MailboxStatistics:
    """What a mailbox holds and has seen.

    ``depth`` is how much data waits and ``peak`` the most that ever did, ``refused`` how often a sender was
    turned away, ``oldest`` how long the next data message has waited.
    """

    depth: int
    peak: int
    refused: int
    oldest: timedelta | None


@define(eq=False)
class Answer:
    """The one-shot slot an asker waits at. Either side may walk away without hurting the other."""

    given: trio.Event = field(factory=trio.Event)
    value: object = None
    failure: str | None = None

    def give(self, value: object, failure: str | None = None) -> None:
        """Answer, or say why no answer will come; only the first time counts."""
        if not self.given.is_set():
            self.value, self.failure = value, failure
            self.given.set()


Entry: TypeAlias = tuple[object, float, Answer | None]
"""A message, when it came (trio's clock), and where its answer goes."""


class Mailbox:
    """What waits for one actor, in three lanes, and how others reach it: by ``tell``, ``control`` and ``ask``.

    It is good for all the actor's incarnations; safe to keep and to pass on. Only the actor takes. ``refusing`` is why no more data is accepted, once it is not; control still passes. The lanes are lists: they are
    short, and a deque would cost each of many idle actors more memory than all else in here.
    """

    def __init__(self, address: str, most: int) -> None:
        self.address = address
        self.refusing: str | None = None
        self._closed: str | None = None
        self._most = most
        self._data: list[Entry] = []
        self._control: list[Entry] = []
        self.own: list[Entry] = []
        self._peak = self._refused = self._streak = 0
        self._sleeper = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        """How many wait that a next incarnation would find, too."""
        return len(self._data) + len(self._control)

    def demand(self) -> int:
        """How many data messages a source may send now: the free room, none once refusing."""
        return 0 if self.refusing is not None else self._most - len(self._data)

    def tell(self, message: object, answer: Answer | None = None) -> None:
        """Send and go on. Accepted is not handled: a crash or a stop may still lose it.

        Raises:
            MailboxFullError: nothing was accepted; come back later.
            ActorStoppedError: the actor is stopping or gone.
        """
        self._put(self._data, self._most, (message, trio.current_time(), answer), self.refusing)
        self._peak = max(self._peak, len(self._data))

    def control(self, message: object) -> None:
        """As ``tell``, but past the waiting data, within a bound of its own, and while draining too."""
        self._put(self._control, CONTROL, (message, trio.current_time(), None), self._closed)

    def tell_own(self, message: object) -> None:
        """Accept what the actor tells itself; as ``control``, with a bound that others do not fill."""
        self._put(self.own, CONTROL, (message, trio.current_time(), None), None)

    async def ask(self, message: object, *, deadline: timedelta) -> object:
        """Send and wait for what ``on_message`` returns. Actors do not ask each other: two would wait for ever.

        Raises:
            AskTimeoutError: no answer within ``deadline``.
            MailboxFullError, ActorStoppedError: as for ``tell``; the latter also when it crashed over it.
        """
        answer = Answer()
        self.tell(message, answer)
        with trio.move_on_after(deadline.total_seconds()):
            await answer.given.wait()
        if not answer.given.is_set():
            raise AskTimeoutError(self.address, f"did not answer within {deadline}")
        if answer.failure is not None:
            raise ActorStoppedError(self.address, f"does not answer: {answer.failure}")
        return answer.value

    def take(self) -> Entry | None:
        """The next entry, or None; a question nobody waits for any more is dropped.

        Control and what the actor tells itself take turns, and pass data; after a streak of them data has its turn.
        """
        while urgent := self._control or self.own or self._data:
            lane = self._data
            if not lane or (urgent is not lane and self._streak < CONTROL_STREAK):
                lane = self.own if self.own and self._streak % 2 else urgent
                self._streak += 1
            else:
                self._streak = 0
            entry = lane.pop(0)
            if entry[2] is None or entry[2].given.statistics().tasks_waiting:
                return entry
        return None

    async def wait(self, deadline: float = math.inf) -> None:
        """Sleep until something is put, ``wake`` is called, or ``deadline`` on trio's clock is reached."""
        if deadline == math.inf:  # a scope costs time and, while many actors idle, memory
            await self._sleeper.park()
        else:
            with trio.CancelScope(deadline=deadline):
                await self._sleeper.park()

    def wake(self) -> None:
        """End the present ``wait``, if there is one."""
        if self._sleeper:
            self._sleeper.unpark()

    def close(self, reason: str) -> int:
        """Accept nothing more, drop what waits, tell those who asked. Returns how many were dropped."""
        dropped = len(self)
        for _, _, answer in self._data:
            if answer is not None:
                answer.give(None, reason)
        for lane in (self._data, self._control, self.own):
            lane.clear()
        self.refusing = self._closed = reason
        return dropped

    def reopen(self) -> None:
        """Make ready for the next incarnation: what the last one told itself means nothing to it."""
        self.refusing = self._closed = None
        self.own.clear()

    def statistics(self, now: float) -> MailboxStatistics:
        """The figures as of ``now`` on trio's clock."""
        return MailboxStatistics(
            depth=len(self._data),
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
            raise ActorStoppedError(self.address, f"takes nothing: {refusing}")
        raise MailboxFullError(self.address, f"has no room: {most} are waiting")
