"""Tell those who wait in this process that an action has ended."""

from __future__ import annotations

from uuid import UUID

import trio
from attrs import define, field

from persistence.records import ActionRecord

_MOST_WAITING = 10_000


@define(eq=False)
class _Waiter:
    """One who waits, and in the end the action."""

    told: trio.Event = field(factory=trio.Event)
    record: ActionRecord | None = None


class Announcements:
    """Who waits for which action. What ends elsewhere is not announced here: the store has the last word."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, list[_Waiter]] = {}

    def announce(self, record: ActionRecord) -> None:
        """Tell all who wait for it of an action that has ended, as it was committed."""
        for waiter in self._waiting.pop(record.action_id, []):
            waiter.record = record
            waiter.told.set()

    async def wait_ended(self, action_id: UUID) -> ActionRecord | None:
        """The action once it is announced, or None at once when too many wait already.

        The caller bounds the time and then looks into the store.
        """
        if len(self._waiting) >= _MOST_WAITING:
            await trio.lowlevel.checkpoint()
            return None
        waiter = _Waiter()
        self._waiting.setdefault(action_id, []).append(waiter)
        try:
            await waiter.told.wait()
        finally:
            self._forget(action_id, waiter)
        return waiter.record

    def _forget(self, action_id: UUID, waiter: _Waiter) -> None:
        waiting = self._waiting.get(action_id, [])
        if waiter in waiting:
            waiting.remove(waiter)
        if not waiting:
            self._waiting.pop(action_id, None)
