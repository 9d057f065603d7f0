"""What the runtime may say is wrong, sorted by who must act.

ActorError
├── MailboxFullError     the sender: too much is waiting already; nothing was accepted
├── ActorStoppedError    the sender: nobody is there to answer, now or ever again
├── AskTimeoutError      the asker: no answer in time; the work may still happen
├── QuarantinedError     the sender: the actor crashed too often; come back after ``retry_after``
├── UnknownAddressError  the programmer: no such place in the tree
├── StartError           the starter: the child was never ready
└── GaveUpError          the parent supervisor: a child crashed more often than allowed
"""

from __future__ import annotations

from datetime import timedelta


class ActorError(Exception):
    """Root of all that the runtime raises about the place at ``address``; the text never holds a message's content.

    As such it is the crash of an actor whose ``on_stop`` was cut off: what that holds may be left behind.
    """

    def __init__(self, address: str, problem: str) -> None:
        super().__init__(f"{address} {problem}")
        self.address = address


class MailboxFullError(ActorError):
    """A bound was reached; the message was not accepted."""


class ActorStoppedError(ActorError):
    """The message was not accepted, or an ask was left unanswered, because the actor ended."""


class AskTimeoutError(ActorError):
    """No answer within the deadline. The actor may be at it still; its answer will be dropped."""


class UnknownAddressError(ActorError):
    """Nothing in the tree has that address or name."""


class StartError(ActorError):
    """A child ended, or its time ran out, before it was ready."""


class QuarantinedError(ActorError):
    """The actor is kept down for ``retry_after`` more, because it crashed too often."""

    def __init__(self, address: str, retry_after: timedelta) -> None:
        super().__init__(address, f"is in quarantine for {retry_after.total_seconds():g} s")
        self.retry_after = retry_after


class GaveUpError(ActorError):
    """The supervisor at ``address`` stopped all its children, because ``child`` would not stay up.

    Its text says how many restarts were used up; none means that ``child`` never started.
    """

    def __init__(self, address: str, child: str, restarts: int, cause: Exception | None) -> None:
        why = "it ended" if cause is None else type(cause).__name__
        super().__init__(address, f"gave up on {child} after {restarts} restarts: {why}")
        self.child = child
        self.cause = self.__cause__ = cause
