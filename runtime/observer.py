"""What the runtime tells the outside. It never logs; an observer may."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from runtime.errors import GaveUpError


class Observer(Protocol):
    """Hears what happens in the tree, at once and in order.

    The callbacks run between two steps of the actors: they must be quick and must not raise. An error
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


class NullObserver:
    """Hears nothing. See ``Observer``."""

    def started(self, address: str, kind: str) -> None:
        """See ``Observer.started``."""

    def restarted(self, address: str, restarts: int) -> None:
        """See ``Observer.restarted``."""

    def stopped(self, address: str, reason: str) -> None:
        """See ``Observer.stopped``."""

    def crashed(self, address: str, error: Exception) -> None:
        """See ``Observer.crashed``."""

    def gave_up(self, address: str, error: GaveUpError) -> None:
        """See ``Observer.gave_up``."""

    def quarantined(self, address: str, retry_after: timedelta, error: Exception) -> None:
        """See ``Observer.quarantined``."""

    def discarded(self, address: str, messages: int) -> None:
        """See ``Observer.discarded``."""
