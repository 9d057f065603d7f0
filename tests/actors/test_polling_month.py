"""A month of polling, in seconds: irregular news, outages of the provider and of ours; each entry one signal (FR-5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve

from adapters.faults import Effect, Fault, failing, plain, rate_limited
from persistence.opening import open_store
from runtime import Backoff, Breaker
from tests.actors.book import HOUR, MINUTE, PACE, SECOND, Library, a_library
from tests.fakes import ledgerbook
from tests.fakes.ledgerbook import ENTRIES

CALM = evolve(
    PACE, breaker=Breaker(failures=5, pause=Backoff(base=MINUTE, cap=timedelta(minutes=10)))
)
DOWN = Fault(effect=Effect.NONE, response=plain(503), lasting=True, name="down")


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.thorough
async def test_a_few_days_of_polling_over_a_leap_day_make_one_signal_of_each_entry(sqlite_url):
    """P1, P2: as the month, in little."""
    await lived(sqlite_url, datetime(2028, 2, 28, tzinfo=UTC), days=3)


@pytest.mark.thorough
async def test_a_month_over_a_leap_day_makes_one_signal_of_each_entry(sqlite_url):
    """P1, P2: the node is away for days, the provider for hours; it limits, it is late, its clock is off."""
    await lived(sqlite_url, datetime(2028, 2, 10, tzinfo=UTC), days=30)


@pytest.mark.thorough
@pytest.mark.parametrize("month", [3, 10], ids=["begin", "end"])
async def test_a_month_over_a_change_of_the_clocks_makes_one_signal_of_each_entry(
    sqlite_url, month, monkeypatch
):
    """P1, P2: the provider says its times, and is asked, in the time of Berlin."""
    monkeypatch.setattr(ledgerbook, "_text", lambda time: time.astimezone(BERLIN).isoformat())

    await lived(sqlite_url, datetime(2026, month, 12, tzinfo=UTC), days=30)


async def lived(sqlite_url: str, begin: datetime, *, days: int) -> None:
    """So many days; the requests are no more than the intervals allow, and no fewer than they ask for."""
    chance = Random(7)  # noqa: S311 - planned
    async with open_store(sqlite_url) as store:
        library = a_library(store, pace=CALM, ahead=timedelta(seconds=70), repeats=1)
        library.clock.at = begin
        async with library.scene.node():
            await library.begun()
        end = begin + timedelta(days=days)
        while library.clock.at < end:
            async with library.scene.node():
                await some_days(library, library.clock.at + timedelta(days=days / 5), chance)
            happen(library, chance, library.clock.at + timedelta(days=days / 30))  # nobody reads
        library.clock.at += 2 * HOUR
        async with library.scene.node():
            await library.turn()
            await library.all_told()

        took = library.clock.at - begin
        assert len(library.book.entries) > 10 * days
        assert library.scene.log.of("poll.gap") == []
        assert library.scene.recorder.crashes == []
        assert 0.6 * (took / ENTRIES.slowest) < library.asked < took / (5 * MINUTE)


async def some_days(library: Library, end: datetime, chance: Random) -> None:
    """Turn after turn; what happens in between happens at any time."""
    failing_until = library.clock.at + timedelta(hours=60)
    while library.clock.at < end:
        due = (await library.cursor()).next_poll_at
        happen(library, chance, due)
        match chance.randrange(60):
            case 0:
                library.book.plan(rate_limited(timedelta(minutes=chance.randrange(90))))
            case 1:
                library.book.plan(failing(502, times=3))
            case 2 if library.clock.at > failing_until:
                library.book.plan(DOWN)
                failing_until = library.clock.at + timedelta(hours=5)
            case _ if library.clock.at > failing_until:
                library.book._stage.clear("down")
            case _:
                pass
        await library.turn()
    library.book._stage.clear("down")


def happen(library: Library, chance: Random, until: datetime) -> None:
    """Entries come in bursts by day, hardly any by night; some are listed a minute late."""
    while library.clock.at < until:
        by_day = 8 <= library.clock.at.hour < 20
        pause = chance.expovariate(1 / (2 if by_day else 20)) * HOUR
        if library.clock.at + pause >= until:
            library.clock.at = until
            return
        library.clock.at += pause + SECOND
        library.write(1 + chance.randrange(4), late_by=chance.choice((0, 0, 60)) * SECOND)
