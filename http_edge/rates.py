"""How fast each connection may send webhooks to this node: one token bucket each, the least used forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from datetime import timedelta
from uuid import UUID

from runtime import Clock, Level, Refusal, TokenBucket

_MOST_KEPT = 50_000


class Rates:
    """Token buckets by connection. Forgetting one fills it again, so the bound on memory never refuses anybody."""

    def __init__(self, bucket: TokenBucket, clock: Clock) -> None:
        self._bucket = bucket
        self._clock = clock
        self._levels: OrderedDict[UUID, Level] = OrderedDict()

    def take(self, connection_id: UUID) -> timedelta | None:
        """None if the connection may send one more now, else when it may again."""
        now = self._clock.now()
        level = self._levels.get(connection_id) or self._bucket.full(now)
        level, decision = self._bucket.take(level, 1, now)
        self._levels[connection_id] = level
        self._levels.move_to_end(connection_id)
        if len(self._levels) > _MOST_KEPT:
            self._levels.popitem(last=False)
        return decision.retry_after if isinstance(decision, Refusal) else None
