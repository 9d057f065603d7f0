"""How much a provider is asked: classes, caps, learned limits, holds, the breaker, and what outlives a restart (FR-8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from actors.conditions import Condition
from actors.pressure import ACTIONS, BACKFILL, LIVE, Pressure, Waiting
from adapters.capabilities import Allowance
from adapters.manifest import Limit
from runtime import Backoff, Breaker, Permit, Phase, Result

NOW = datetime(2026, 3, 1, 14, 0, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
BREAKER = Breaker(failures=3, probes=2, pause=Backoff(base=MINUTE, cap=10 * MINUTE))
CORE = Limit(name="core", amount=20, per=HOUR)
CONTENT = Limit(name="content", amount=5, per=MINUTE, writes_only=True)


def a_pressure(*limits: Limit, kept: bytes = b"{}", **chosen: Any) -> Pressure:
    return Pressure(
        limits,
        **{"per_minute": None, "breaker": BREAKER, "now": NOW, "kept": kept, **chosen},
    )


def admitted(pressure: Pressure, work: str, *, writes: bool = False, now: datetime = NOW) -> int:
    """How many requests of that class pass before one has to wait."""
    for number in range(1_000):
        if isinstance(pressure.admit(writes=writes, work=work, now=now), Waiting):
            return number
    raise AssertionError("there is no limit")


def ask(pressure: Pressure, result: Result, now: datetime = NOW, **said: Any) -> Permit:
    """One request that is permitted and ends so."""
    permit = pressure.admit(writes=False, work=ACTIONS, now=now)
    assert isinstance(permit, Permit)
    pressure.record(permit, result, now=now, jitter=0.5, **said)
    return permit


def opened(pressure: Pressure, now: datetime = NOW) -> datetime:
    """Fail until the breaker opens; returns until when it is."""
    while pressure.phase is not Phase.OPEN:
        ask(pressure, Result.FAILED, now)
    until = pressure.breaker_state.until
    assert until is not None
    return until


def test_a_backfill_can_not_starve_what_is_live_nor_both_an_action() -> None:
    pressure = a_pressure(CORE)

    assert admitted(pressure, BACKFILL) == 12
    assert admitted(pressure, LIVE) == 6
    assert admitted(pressure, ACTIONS) == 2


def test_a_used_up_budget_says_its_name_and_when_it_is_free_again() -> None:
    pressure = a_pressure(CORE)
    admitted(pressure, ACTIONS)

    waiting = pressure.admit(writes=False, work=ACTIONS, now=NOW + 5 * MINUTE)

    assert waiting == Waiting(
        reason="the budget 'core' is used up; free at 15:00:00 UTC",
        until=NOW + HOUR,
        exhausted="core",
    )
    assert isinstance(pressure.admit(writes=False, work=ACTIONS, now=NOW + HOUR), Permit)


def test_only_writes_count_against_a_limit_of_writes() -> None:
    pressure = a_pressure(CORE, CONTENT)

    assert admitted(pressure, ACTIONS, writes=True) == 5
    waiting = pressure.admit(writes=True, work=ACTIONS, now=NOW)
    assert isinstance(waiting, Waiting)
    assert waiting.exhausted == "content"
    assert admitted(pressure, ACTIONS) == 15  # and what was held back has cost nothing


@pytest.mark.parametrize(("per_minute", "at_first"), [(30, 30), (1, 2)])
def test_the_tenants_own_cap_holds_beside_the_providers(per_minute: int, at_first: int) -> None:
    """A cap of one a minute is two in two minutes, else the lesser classes would never have any."""
    pressure = a_pressure(Limit(name="core", amount=500, per=HOUR), per_minute=per_minute, now=NOW)

    assert admitted(pressure, ACTIONS) == at_first
    waiting = pressure.admit(writes=False, work=ACTIONS, now=NOW)
    assert isinstance(waiting, Waiting)
    assert waiting.exhausted == "own"


@pytest.mark.parametrize("work", [LIVE, BACKFILL])
def test_the_smallest_cap_leaves_each_class_something(work: str) -> None:
    assert admitted(a_pressure(per_minute=1), work) >= 1


def test_what_the_provider_says_is_left_counts() -> None:
    pressure = a_pressure(CORE)
    pressure.learn(Allowance(name="core", remaining=3, resets_at=NOW + 10 * MINUTE), NOW)

    assert admitted(pressure, ACTIONS) == 3
    waiting = pressure.admit(writes=False, work=ACTIONS, now=NOW)
    assert isinstance(waiting, Waiting)
    assert waiting.until == NOW + 10 * MINUTE
    assert admitted(pressure, ACTIONS, now=NOW + 10 * MINUTE) == 20


def test_what_the_provider_says_of_a_limit_of_writes_counts_for_them() -> None:
    pressure = a_pressure(CONTENT)
    pressure.learn(Allowance(name="content", remaining=1, resets_at=NOW + MINUTE), NOW)

    assert admitted(pressure, ACTIONS, writes=True) == 1
    assert isinstance(pressure.admit(writes=False, work=ACTIONS, now=NOW), Permit)


def test_a_hold_stops_every_class_until_its_time_and_is_never_shortened() -> None:
    pressure = a_pressure()
    pressure.hold(NOW + HOUR)
    pressure.hold(NOW + MINUTE)

    for work in (ACTIONS, LIVE, BACKFILL):
        assert pressure.admit(writes=False, work=work, now=NOW + HOUR - SECOND) == Waiting(
            reason="the provider asked to wait; free at 15:00:00 UTC", until=NOW + HOUR
        )
    assert pressure.blocked(NOW + HOUR) is None
    assert isinstance(pressure.admit(writes=False, work=BACKFILL, now=NOW + HOUR), Permit)


def test_the_breaker_opens_and_lets_a_few_try_again_before_it_closes() -> None:
    pressure = a_pressure()
    assert pressure.room(4) == 4

    until = opened(pressure)

    assert pressure.blocked(NOW) == pressure.admit(writes=False, work=ACTIONS, now=NOW)
    assert pressure.room(4) == 2
    assert pressure.blocked(until) is None
    probes = [pressure.admit(writes=False, work=ACTIONS, now=until) for _ in range(2)]
    refused = pressure.admit(writes=False, work=ACTIONS, now=until)
    assert refused == Waiting(
        reason="the circuit breaker lets single requests through", until=until + SECOND
    )
    for probe in probes:
        assert isinstance(probe, Permit)
        pressure.record(probe, Result.SUCCEEDED, now=until, jitter=0.5)
    assert pressure.phase is Phase.CLOSED
    assert pressure.room(4) == 4


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    pressure = a_pressure()
    first = opened(pressure) - NOW

    again = NOW + first
    ask(pressure, Result.FAILED, again)

    assert pressure.phase is Phase.OPEN
    assert pressure.breaker_state.until is not None
    assert pressure.breaker_state.until - again > first


def test_a_request_that_nothing_is_known_of_gives_its_place_back() -> None:
    pressure = a_pressure()
    until = opened(pressure)
    for _ in range(9):
        ask(pressure, Result.UNKNOWN, until)

    assert pressure.phase is Phase.HALF_OPEN


def test_a_retry_after_opens_it_for_as_long_as_it_says() -> None:
    pressure = a_pressure()

    ask(pressure, Result.FAILED, retry_after=2 * HOUR)

    waiting = pressure.blocked(NOW + 2 * HOUR - SECOND)
    assert waiting is not None
    assert "free at 16:00:00 UTC" in waiting.reason


def test_an_open_breaker_and_a_hold_outlive_the_actor() -> None:
    """A Retry-After is honoured though the node was killed in between."""
    pressure = a_pressure()
    ask(pressure, Result.FAILED, retry_after=2 * HOUR)
    pressure.hold(NOW + 3 * HOUR)
    later = NOW + HOUR

    restored = a_pressure(kept=pressure.dump(NOW), now=later)

    assert restored.phase is Phase.OPEN
    assert restored.breaker_state.until == pressure.breaker_state.until
    blocked = restored.blocked(NOW + 2 * HOUR)
    assert blocked is not None
    assert blocked.until == NOW + 3 * HOUR
    assert restored.dump(later) == pressure.dump(later)


def test_a_restored_breaker_tries_again_when_its_time_is_over() -> None:
    pressure = a_pressure()
    until = opened(pressure)

    restored = a_pressure(kept=pressure.dump(NOW), now=until)

    assert restored.blocked(until) is None
    assert restored.room(4) == 2
    ask(restored, Result.SUCCEEDED, until)
    ask(restored, Result.SUCCEEDED, until)
    assert restored.phase is Phase.CLOSED


def test_one_that_was_well_begins_well() -> None:
    pressure = a_pressure()
    ask(pressure, Result.SUCCEEDED)

    kept = orjson.loads(pressure.dump(NOW))

    assert kept == {"circuit": "closed", "until": None, "trips": 0, "held_until": None}
    assert a_pressure(kept=pressure.dump(NOW)).phase is Phase.CLOSED


def test_a_hold_that_is_over_is_not_kept() -> None:
    pressure = a_pressure()
    pressure.hold(NOW + MINUTE)

    assert orjson.loads(pressure.dump(NOW))["held_until"] is not None
    assert orjson.loads(pressure.dump(NOW + MINUTE))["held_until"] is None


def test_a_condition_says_what_is_left_and_what_it_waits_for() -> None:
    pressure = a_pressure(CORE, CONTENT)
    admitted(pressure, ACTIONS, writes=True)
    before = Condition(succeeded=7)

    condition = pressure.condition(before, NOW, running=2)

    assert (condition.succeeded, condition.running, condition.circuit) == (7, 2, "closed")
    assert (condition.waiting_for, condition.free_at) == (None, None)
    core, content = condition.limits
    assert (core.name, core.remaining, core.capacity) == ("core", 15, 20)
    assert core.full_at == NOW + HOUR
    assert (content.remaining, content.full_at) == (0, NOW + MINUTE)
    fresh = a_pressure(CORE).condition(before, NOW, running=0).limits[0]
    assert (fresh.remaining, fresh.full_at) == (20, None)


def test_a_condition_says_until_when_nothing_is_sent() -> None:
    pressure = a_pressure()
    until = opened(pressure)

    condition = pressure.condition(Condition(), NOW, running=0)

    assert condition.circuit == "open"
    assert condition.free_at == until
    assert condition.waiting_for is not None


def test_what_is_left_is_the_share_of_the_limit_that_is_used_up_most() -> None:
    """By which polling slows down before it has to wait."""
    pressure = a_pressure(CORE, CONTENT)
    assert pressure.left(NOW) == 1.0

    admitted(pressure, ACTIONS, writes=True)
    assert pressure.left(NOW) == 0.0  # of the writes; of all it would be 15 of 20
    assert pressure.left(NOW + MINUTE) == 0.75

    pressure.learn(Allowance(name="core", remaining=2, resets_at=NOW + HOUR), NOW + MINUTE)
    assert pressure.left(NOW + MINUTE) == 0.1
    assert pressure.left(NOW + 2 * HOUR) == 1.0


def test_where_there_is_no_limit_all_is_left() -> None:
    assert a_pressure().left(NOW) == 1.0
