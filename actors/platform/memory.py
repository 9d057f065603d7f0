"""What a client remembers for a while, and one question at a time for each key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Generic, TypeVar

import trio

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memory(Generic[Key, Value]):
    """At most ``limit`` values, each until its time; the least recently used goes first."""

    def __init__(self, *, limit: int) -> None:
        """Remember nothing yet.

        Raises:
            ValueError: there is no room for a single value.
        """
        if limit < 1:
            raise ValueError("limit must be at least 1")
        self._limit = limit
        self._kept: OrderedDict[Key, tuple[Value, datetime]] = OrderedDict()

    def __len__(self) -> int:
        """How many values are held, those whose time is over included."""
        return len(self._kept)

    def get(self, key: Key, *, now: datetime) -> Value | None:
        """The value, unless its time is over."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        value, until = entry
        if now >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return value

    def keep(self, key: Key, value: Value, *, until: datetime) -> None:
        """Remember ``value`` until ``until`` (exclusive)."""
        self._kept[key] = (value, until)
        self._kept.move_to_end(key)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)


class Turns(Generic[Key]):
    """One task at a time for each key: the others wait, and find in memory what the first learned.

    Waiting has no deadline of its own; the caller sets one around it.
    """

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._locks: dict[Key, trio.Lock] = {}

    def __len__(self) -> int:
        """How many keys somebody works on."""
        return len(self._locks)

    @asynccontextmanager
    async def of(self, key: Key) -> AsyncIterator[None]:
        """Hold the turn of ``key``."""
        lock = self._locks.setdefault(key, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(key, None)
