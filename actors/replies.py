"""How a long piece of an actor's work answers whoever asked for it; the actor itself goes on meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic, TypeVar

import trio

from actors.errors import BusyError

_Value = TypeVar("_Value")


class Reply(Generic[_Value]):
    """Travels with a message; set once. An asker that gave up hurts nobody: what is set later is dropped."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._value: _Value | None = None
        self._error: Exception | None = None

    def give(self, value: _Value) -> None:
        """Answer; only the first answer counts."""
        if not self._event.is_set():
            self._value = value
            self._event.set()

    def fail(self, error: Exception) -> None:
        """Answer with an error that the asker is to get; only the first answer counts."""
        if not self._event.is_set():
            self._error = error
            self._event.set()

    async def wait(self, deadline: timedelta) -> _Value:
        """The answer.

        Raises:
            BusyError: none within ``deadline``.
            Exception: what ``fail`` was given.
        """
        with trio.move_on_after(deadline.total_seconds()):
            await self._event.wait()
        if self._error is not None:
            raise self._error
        if self._value is None:
            raise BusyError("the connection did not get to it in time")
        return self._value
