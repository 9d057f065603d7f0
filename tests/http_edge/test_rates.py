"""Each connection has its own rate, and forgetting never refuses anybody."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from http_edge import rates
from http_edge.rates import Rates
from runtime import TokenBucket
from tests.actors.platform.world import HandClock

FIRST, SECOND, THIRD = (UUID(int=number) for number in (1, 2, 3))


def test_p7_over_its_burst_a_connection_waits_for_its_rate() -> None:
    clock = HandClock()
    limited = Rates(TokenBucket(rate=2, capacity=2), clock)

    taken = [limited.take(FIRST) for _ in range(3)]
    clock.advance(seconds=0.5)

    assert taken == [None, None, timedelta(seconds=0.5)]
    assert limited.take(FIRST) is None
    assert limited.take(FIRST) is not None


def test_p6_one_connection_does_not_use_up_anothers() -> None:
    limited = Rates(TokenBucket(rate=1, capacity=1), HandClock())

    assert limited.take(FIRST) is None
    assert limited.take(FIRST) is not None
    assert limited.take(SECOND) is None


def test_p7_the_least_used_is_forgotten_and_starts_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST_KEPT", 2)
    limited = Rates(TokenBucket(rate=1, capacity=1), HandClock())

    for connection in (FIRST, SECOND, THIRD):
        assert limited.take(connection) is None

    assert limited.take(THIRD) is not None
    assert limited.take(FIRST) is None
    assert len(limited._levels) == 2
