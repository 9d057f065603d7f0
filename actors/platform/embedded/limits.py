"""Rate limits as the siblings count them: so many calls in a window, for each client."""

from __future__ import annotations

from collections import OrderedDict, deque
from datetime import datetime, timedelta

_MOST_CLIENTS = 1000


class RateLimit:
    """Sliding windows: ``(calls, seconds)``, all of which must have room."""

    def __init__(self, *windows: tuple[int, int]) -> None:
        """Limit by ``windows``."""
        self._windows = windows
        self._most = max(calls for calls, _ in windows)
        self._calls: OrderedDict[str, deque[datetime]] = OrderedDict()

    def admits(self, client: str, *, now: datetime) -> bool:
        """Whether ``client`` may call at ``now``; the call is counted if so."""
        calls = self._calls.setdefault(client, deque(maxlen=self._most))
        self._calls.move_to_end(client)
        if len(self._calls) > _MOST_CLIENTS:
            self._calls.popitem(last=False)
        for most, seconds in self._windows:
            since = now - timedelta(seconds=seconds)
            if len(calls) >= most and calls[-most] > since:
                return False
        calls.append(now)
        return True
