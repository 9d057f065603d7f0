"""A bounded mailbox of two lanes: control passes data, and neither waits for a place.

A mailbox outlives the incarnations of its actor: what was accepted before a crash is handled after it. Only
the message that was being handled is lost; who must not lose it keeps it elsewhere until it is done.
"""

from __future__ import annotations

import math
from collections import deque
from datetime import timedelta
from typing import TypeAlias

import trio
from attrs import frozen

from runtime.errors import ActorStoppedError, AskTimeoutError, MailboxFullError

CONTROL_STREAK = 16
"""So many control messages in a row pass waiting data; then one data message has its turn."""


@frozen(kw_only=True)
class MailboxStatistics:
    """What a mailbox holds and has seen.

    ``depth`` counts the data lane, ``control`` the other; ``peak`` is the most data that ever waited,
    ``refused`` how often a sender was turned away, ``oldest`` how long the next data message has waited.
    """

    capacity: int
    depth: int
    control: int
    peak: int
    refused: int
    oldest: timedelta | None


class Answer:
    """The one-shot slot an asker waits at. Either side may walk away without hurting the other."""

    __slots__ = ("_address", "_error", "_event", "_value", "abandoned")

    def __init__(self, address: str) -> None:
        self._address = address
        self._event = trio.Event()
        self._value: object = None
        self._error: ActorStoppedError | None = None
        self.abandoned = False

    def give(self, value: object) -> None:
        """Answer; only the first answer counts."""
        if not self._event.is_set():
            self._value = value
            self._event.set()

    def fail(self, reason: str) -> None:
        """Tell the asker that no answer will come; does nothing after an answer."""
        if not self._event.is_set():
            self._error = ActorStoppedError(self._address, reason)
            self._event.set()

    async def wait(self, deadline: timedelta) -> object:
        """The answer.

        Raises:
            AskTimeoutError: none came within ``deadline``; it is abandoned, as it is on cancellation.
            ActorStoppedError: the actor ended, or crashed over it.
        """
        try:
            with trio.move_on_after(deadline.total_seconds()):
                await self._event.wait()
        finally:
            self.abandoned = not self._event.is_set()
        if self._error is not None:
            raise self._error
        if self.abandoned:
            raise AskTimeoutError(self._address, deadline)
        return self._value


Entry: TypeAlias = tuple[object, float, Answer | None, bool]
"""A message, when it came (trio's clock), where its answer goes, and whether the actor sent it to itself."""


class Mailbox:
    """What waits for one actor. Any task may put; only the actor takes."""

    __slots__ = (
        "_closed", "_control", "_control_capacity", "_data", "_own", "_peak", "_refused", "_refusing", "_sleeper",
        "_streak", "address", "capacity",
    )  # fmt: skip

    def __init__(self, address: str, *, capacity: int, control: int) -> None:
        if capacity < 1 or control < 1:
            raise ValueError("a mailbox holds at least one message in each lane")
        self.address = address
        self.capacity = capacity
        self._control_capacity = control
        self._data: deque[Entry] = deque()
        self._control: deque[Entry] = deque()
        self._own = 0
        self._peak = 0
        self._refused = 0
        self._streak = 0
        self._refusing: str | None = None
        self._closed = False
        self._sleeper: trio.lowlevel.Task | None = None

    def __len__(self) -> int:
        """All that waits, in both lanes."""
        return len(self._data) + len(self._control)

    @property
    def kept(self) -> int:
        """How many of them a next incarnation would find."""
        return len(self) - self._own

    def put(self, message: object, answer: Answer | None = None) -> None:
        """Accept a data message, or raise at once: MailboxFullError, ActorStoppedError."""
        depth = len(self._data)
        if depth >= self.capacity or self._refusing is not None:
            self._turn_away(self._refusing, self.capacity)
        self._data.append((message, trio.current_time(), answer, False))
        if depth >= self._peak:
            self._peak = depth + 1
        self.wake()

    def put_control(self, message: object, answer: Answer | None = None) -> None:
        """Accept a control message though data may be full or refused; it has a bound of its own."""
        if self._closed or len(self._control) - self._own >= self._control_capacity:
            self._turn_away(self._refusing if self._closed else None, self._control_capacity)
        self._control.append((message, trio.current_time(), answer, False))
        self.wake()

    def put_own(self, message: object) -> None:
        """Accept what the actor tells itself; as ``put_control``, with a bound that others do not fill."""
        if not self.room_for_own():
            self._turn_away(None, self._control_capacity)
        self._own += 1
        self._control.append((message, trio.current_time(), None, True))
        self.wake()

    def room_for_own(self) -> bool:
        """Whether ``put_own`` would accept now."""
        return self._own < self._control_capacity

    def demand(self) -> int:
        """How many data messages a source may send now: the free room, none once refusing."""
        return 0 if self._refusing is not None else self.capacity - len(self._data)

    def take(self) -> Entry | None:
        """The next entry, or None. Control first, but it does not starve data."""
        if self._control and (not self._data or self._streak < CONTROL_STREAK):
            self._streak += 1
            entry = self._control.popleft()
            self._own -= entry[3]
            return entry
        self._streak = 0
        return self._data.popleft() if self._data else None

    async def wait(self, deadline: float = math.inf) -> None:
        """Sleep until something is put, ``wake`` is called, or ``deadline`` on trio's clock is reached."""
        if deadline == math.inf:
            await self._sleep()
            return
        with trio.CancelScope(deadline=deadline):
            await self._sleep()

    def wake(self) -> None:
        """End the present ``wait``, if there is one."""
        sleeper = self._sleeper
        if sleeper is not None:
            self._sleeper = None
            trio.lowlevel.reschedule(sleeper)

    def refuse(self, reason: str) -> None:
        """Accept no more data; control still passes."""
        self._refusing = reason

    def close(self, reason: str) -> int:
        """Accept nothing more, drop what waits, tell those who asked. Returns how many were dropped."""
        self._refusing = reason
        self._closed = True
        dropped = [*self._control, *self._data]
        self._control.clear()
        self._data.clear()
        self._own = 0
        for _, _, answer, _ in dropped:
            if answer is not None:
                answer.fail(reason)
        return sum(not own for *_, own in dropped)

    def reopen(self) -> None:
        """Make ready for the next incarnation: what the last one told itself means nothing to it."""
        self._refusing = None
        self._closed = False
        self._control = deque(entry for entry in self._control if not entry[3])
        self._own = 0

    def statistics(self, now: float) -> MailboxStatistics:
        """The figures as of ``now`` on trio's clock."""
        return MailboxStatistics(
            capacity=self.capacity,
            depth=len(self._data),
            control=len(self._control),
            peak=self._peak,
            refused=self._refused,
            oldest=timedelta(seconds=now - self._data[0][1]) if self._data else None,
        )

    async def _sleep(self) -> None:
        self._sleeper = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._give_up_sleep)

    def _give_up_sleep(self, _: object) -> trio.lowlevel.Abort:
        self._sleeper = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _turn_away(self, refusing: str | None, capacity: int) -> None:
        self._refused += 1
        if refusing is not None:
            raise ActorStoppedError(self.address, refusing)
        raise MailboxFullError(self.address, capacity)
