from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import trio
from trio.testing import MockClock

from runtime import TrioClock


async def test_wall_time_advances_with_trios_clock(mock_clock: MockClock) -> None:
    clock = TrioClock(datetime(2026, 3, 1, 12, tzinfo=UTC))

    mock_clock.jump(90.5)

    assert clock.now() == datetime(2026, 3, 1, 12, 1, 30, 500_000, tzinfo=UTC)


async def test_a_virtual_day_takes_no_real_one(autojump_clock: MockClock) -> None:
    clock = TrioClock(datetime(2026, 3, 1, tzinfo=UTC))
    before = clock.now()

    await trio.sleep(86_400)

    assert clock.now() - before == timedelta(days=1)


async def test_an_epoch_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        TrioClock(datetime(2026, 3, 1))  # noqa: DTZ001 - what is tested
