"""How each connection of this node does, as its actor last saw it; for those who look at health."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from uuid import UUID

from attrs import evolve, frozen

_MOST = 100_000


@frozen(kw_only=True)
class LimitLevel:
    """What is left of one limit; ``full_at``: when a window resets, or None for a bucket that fills steadily."""

    name: str
    remaining: float
    capacity: float
    full_at: datetime | None


@frozen(kw_only=True)
class Condition:
    """What an actor knows of its provider. Counts are since the actor started.

    ``circuit`` is ``closed``, ``open`` or ``half_open``; ``free_at``: before this nothing is sent, and ``waiting_for``
    says for what.
    """

    circuit: str = "closed"
    waiting_for: str | None = None
    free_at: datetime | None = None
    succeeded: int = 0
    failed: int = 0
    last_succeeded_at: datetime | None = None
    last_failed_at: datetime | None = None
    last_error: str | None = None
    limits: tuple[LimitLevel, ...] = ()
    running: int = 0


class Tally:
    """Counts what becomes of a connection's requests, whichever line they take."""

    def __init__(self) -> None:
        self.condition = Condition()

    def succeeded(self, now: datetime) -> None:
        """The provider answered as one that is well."""
        counted = self.condition.succeeded + 1
        self.condition = evolve(self.condition, succeeded=counted, last_succeeded_at=now)

    def failed(self, error: str, now: datetime) -> None:
        """It did not."""
        counted = self.condition.failed + 1
        self.condition = evolve(
            self.condition, failed=counted, last_failed_at=now, last_error=error
        )


class Conditions:
    """The last condition of each connection that worked on this node; the longest unseen are forgotten."""

    def __init__(self, *, most: int = _MOST) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, UUID], Condition] = OrderedDict()

    def put(self, tenant_id: str, connection_id: UUID, condition: Condition) -> None:
        """Remember."""
        key = (tenant_id, connection_id)
        self._known[key] = condition
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def of(self, tenant_id: str, connection_id: UUID) -> Condition | None:
        """The connection's condition, if it worked here."""
        return self._known.get((tenant_id, connection_id))
