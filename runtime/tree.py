"""The tree as others see it: who is where, in which state, since when, and what changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import trio
from attrs import define, field, frozen

from runtime.clock import Clock, Random
from runtime.errors import GaveUpError
from runtime.mailbox import MailboxStatistics


class State(StrEnum):
    """What a place in the tree is doing."""

    WAITING = "waiting"  # for its first start
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RESTARTING = "restarting"  # crashed; the delay before the next start runs
    QUARANTINED = "quarantined"
    STOPPED = "stopped"


@frozen(kw_only=True)
class ActorSnapshot:
    """One place in the tree at one moment.

    ``last_error`` names type and place of the last crash, never its text, which may hold data. ``message``
    is the type of the message in hand and ``busy`` how long it has been.
    """

    address: str
    kind: str
    state: State
    since: datetime
    restarts: int
    last_error: str | None
    mailbox: MailboxStatistics | None = None
    message: str | None = None
    busy: timedelta | None = None


@frozen(kw_only=True)
class Change:
    """A place in the tree entered ``state`` at ``at``."""

    address: str
    state: State
    at: datetime
    reason: str


class Observer:
    """Hears what happens in the tree, at once and in order. The runtime never logs; a subclass may.

    This one does nothing. The callbacks run between two steps of the actors: they must be quick and must not raise. An error
    that one raises is the supervisor's crash.
    """

    def started(self, address: str, kind: str) -> None:
        """The child at ``address`` is ready for the first time."""

    def restarted(self, address: str, restarts: int) -> None:
        """The child at ``address`` is ready again; ``restarts`` counts the times."""

    def stopped(self, address: str, reason: str) -> None:
        """The child ended without an error: by itself, or because it was told to."""

    def crashed(self, address: str, error: Exception) -> None:
        """The child ended with an error, or met one while stopping."""

    def gave_up(self, address: str, error: GaveUpError) -> None:
        """The supervisor at ``address`` used up its restarts and ended."""

    def quarantined(self, address: str, retry_after: timedelta, error: Exception) -> None:
        """A directory keeps the actor at ``address`` down for ``retry_after``."""

    def discarded(self, address: str, messages: int) -> None:
        """The actor is gone for good, and so many messages that it had accepted with it."""


@define(kw_only=True, eq=False)
class World:
    """What all places of one tree share.

    Who waits at ``changed`` is woken by each change of state. ``stopping`` is the reason once the whole tree is to end.
    """

    clock: Clock
    random: Random
    observer: Observer
    changed: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)
    feeds: list[trio.MemorySendChannel[Change]] = field(factory=list)
    stopping: str | None = None

    def publish(self, change: Change) -> None:
        """Tell all readers, without waiting: the feed of one that fell behind, or left, ends here."""
        for feed in self.feeds.copy():
            try:
                feed.send_nowait(change)
            except (trio.WouldBlock, trio.BrokenResourceError):
                self.feeds.remove(feed)
                feed.close()


def where(error: Exception) -> str:
    """Type and place of ``error``, as ``ValueError at signals.py:31 in on_message``; never its text."""
    trace = error.__traceback__
    if trace is None:
        return type(error).__name__
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    file = code.co_filename.rpartition("/")[2]
    return f"{type(error).__name__} at {file}:{trace.tb_lineno} in {code.co_name}"
