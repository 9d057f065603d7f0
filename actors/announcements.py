"""Tell those who wait in this process that an action has ended."""

from __future__ import annotations

from uuid import UUID

import trio

_MOST_WAITING = 10_000


class Announcements:
    """Who waits for which action. A hint only: the store has the truth, and waiters look there."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, list[trio.Event]] = {}

    def announce(self, action_id: UUID) -> None:
        """Wake all who wait for ``action_id``."""
        for event in self._waiting.pop(action_id, []):
            event.set()

    async def wait_ended(self, action_id: UUID) -> None:
        """Return when ``action_id`` is announced, or at once when too many wait already.

        The caller bounds the time and then looks into the store.
        """
        if len(self._waiting) >= _MOST_WAITING:
            await trio.lowlevel.checkpoint()
            return
        event = trio.Event()
        self._waiting.setdefault(action_id, []).append(event)
        try:
            await event.wait()
        finally:
            self._forget(action_id, event)

    def _forget(self, action_id: UUID, event: trio.Event) -> None:
        events = self._waiting.get(action_id, [])
        if event in events:
            events.remove(event)
        if not events:
            self._waiting.pop(action_id, None)
