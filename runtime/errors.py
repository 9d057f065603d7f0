"""What the runtime may say is wrong, sorted by who must act.

ActorError
├── MailboxFullError     the sender: too much is waiting already; nothing was accepted
├── ActorStoppedError    the sender: nobody is there to answer, now or ever again
├── AskTimeoutError      the asker: no answer in time; the work may still happen
├── QuarantinedError     the sender: the actor crashed too often; come back after ``retry_after``
├── UnknownAddressError  the programmer: no such place in the tree
├── StartError           the starter: the child was never ready
├── CleanupError         the actor's author: ``on_stop`` took longer than it may
└── GaveUpError          the parent supervisor: a child crashed more often than allowed
"""

from __future__ import annotations

from datetime import timedelta


class ActorError(Exception):
    """Root of all that the runtime raises; the text never holds a message's content."""


class MailboxFullError(ActorError):
    """A bound was reached; the message was not accepted."""

    def __init__(self, address: str, capacity: int) -> None:
        super().__init__(f"{address} has no room: {capacity} are waiting")
        self.address = address
        self.capacity = capacity


class ActorStoppedError(ActorError):
    """The message was not accepted, or an ask was left unanswered, because the actor ended."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address} does not answer: {reason}")
        self.address = address
        self.reason = reason


class AskTimeoutError(ActorError):
    """No answer within ``deadline``. The actor may be at it still; its answer will be dropped."""

    def __init__(self, address: str, deadline: timedelta) -> None:
        super().__init__(f"{address} did not answer within {deadline.total_seconds():g} s")
        self.address = address
        self.deadline = deadline


class QuarantinedError(ActorError):
    """The actor is kept down for ``retry_after`` more, because it crashed too often."""

    def __init__(self, address: str, retry_after: timedelta) -> None:
        super().__init__(f"{address} is in quarantine for {retry_after.total_seconds():g} s")
        self.address = address
        self.retry_after = retry_after


class UnknownAddressError(ActorError):
    """Nothing in the tree has that address or name."""

    def __init__(self, address: str) -> None:
        super().__init__(f"nothing in the tree is called {address!r}")
        self.address = address


class StartError(ActorError):
    """A child ended, or its time ran out, before it was ready."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address} did not start: {reason}")
        self.address = address
        self.reason = reason


class CleanupError(ActorError):
    """``on_stop`` was cut off after its time; what it holds may be left behind."""

    def __init__(self, address: str, limit: timedelta) -> None:
        super().__init__(f"{address} did not clean up within {limit.total_seconds():g} s")
        self.address = address
        self.limit = limit


class GaveUpError(ActorError):
    """The supervisor at ``address`` stopped all its children, because ``child`` would not stay up.

    ``restarts`` counts those of the window that were used up; 0 means that ``child`` never started.
    """

    def __init__(self, address: str, child: str, restarts: int, cause: Exception | None) -> None:
        why = type(cause).__name__ if cause is not None else "it ended"
        super().__init__(f"{address} gave up on {child} after {restarts} restarts: {why}")
        self.address = address
        self.child = child
        self.restarts = restarts
        self.cause = cause
        self.__cause__ = cause
