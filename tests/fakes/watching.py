"""Waiting for what a test wants to see: looked at again after each thing that the fakes notice, never by sleeping."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import trio

DEADLINE_S = 10


class Watch:
    """Every fake of a scene notifies it; a test waits on it for a condition."""

    def __init__(self) -> None:
        self._noticed = 0
        self._lot = trio.lowlevel.ParkingLot()

    def notify(self) -> None:
        """Something happened; whoever waits looks again."""
        self._noticed += 1
        self._lot.unpark_all()

    async def until(self, look: Callable[[], Any]) -> Any:
        """Wait until ``look`` (or what it awaits) finds something true, and return it; TooSlowError after ten seconds."""
        with trio.fail_after(DEADLINE_S):
            while True:
                before = self._noticed
                found = look()
                value = await found if inspect.isawaitable(found) else found
                if value:
                    return value
                if self._noticed == before:
                    await self._lot.park()
