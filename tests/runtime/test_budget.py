from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings, strategies as st

from runtime import Budget, BudgetState, Level, Refusal, TokenBucket, Window

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
BUCKET = TokenBucket(rate=2.0, capacity=4.0)
CLASSES = (("actions", 0.0), ("live", 0.1), ("backfill", 0.4))
BUDGET = Budget(limits=(("hourly", Window(capacity=100, per=HOUR)),), classes=CLASSES)


def spend(
    budget: Budget, state: BudgetState, times: int, of: str, now: datetime = NOW
) -> tuple[BudgetState, int]:
    granted = 0
    for _ in range(times):
        state, decision = budget.take(state, 1, now, of=of)
        granted += decision is None
    return state, granted


def test_a_bucket_lets_a_burst_through_and_then_says_when_the_next_token_comes() -> None:
    level = BUCKET.full(NOW)
    for _ in range(4):
        level, decision = BUCKET.take(level, 1, NOW)
        assert decision is None

    level, decision = BUCKET.take(level, 1, NOW)

    assert decision == Refusal(retry_after=0.5 * SECOND)


def test_waiting_just_as_long_as_told_suffices() -> None:
    bucket = TokenBucket(rate=3.0, capacity=1.0)
    level, _ = bucket.take(bucket.full(NOW), 1, NOW)
    level, denied = bucket.take(level, 1, NOW)
    assert isinstance(denied, Refusal)

    _, decision = bucket.take(level, 1, NOW + denied.retry_after)

    assert decision is None


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    level, _ = BUCKET.take(BUCKET.full(NOW), 1, NOW + 1000 * SECOND)

    assert level.tokens == 3.0


def test_a_clock_that_goes_back_neither_gives_nor_takes() -> None:
    level, _ = BUCKET.take(BUCKET.full(NOW), 3, NOW)

    assert BUCKET.refreshed(level, NOW - 10 * SECOND) == level


def test_more_than_the_bucket_ever_holds_is_a_mistake_not_a_wait() -> None:
    with pytest.raises(ValueError, match="ever holds"):
        BUCKET.take(BUCKET.full(NOW), 5, NOW)


def test_a_window_opens_with_its_first_use_and_comes_back_whole() -> None:
    state, granted = spend(BUDGET, BUDGET.full(NOW), 101, "actions", NOW + 10 * SECOND)

    _, decision = BUDGET.take(state, 1, NOW + 70 * SECOND, of="actions")

    assert granted == 100
    assert decision == Refusal(retry_after=HOUR - 60 * SECOND)
    assert spend(BUDGET, state, 101, "actions", NOW + 10 * SECOND + HOUR)[1] == 100


def test_the_lesser_classes_leave_their_share_to_those_before_them() -> None:
    state = BUDGET.full(NOW)

    state, backfill = spend(BUDGET, state, 200, "backfill")
    state, live = spend(BUDGET, state, 200, "live")
    state, actions = spend(BUDGET, state, 200, "actions")

    assert (backfill, live, actions) == (60, 30, 10)


def test_all_limits_must_agree_and_a_refusal_takes_from_none() -> None:
    budget = Budget(
        limits=(("burst", BUCKET), ("hourly", Window(capacity=2, per=HOUR))), classes=CLASSES
    )
    state, granted = spend(budget, budget.full(NOW), 3, "actions")

    assert granted == 2
    assert state.levels[0].tokens == 2.0
    assert budget.take(state, 1, NOW, of="actions")[1] == Refusal(retry_after=HOUR)


def test_a_class_waits_until_its_share_beyond_the_reserve_is_back() -> None:
    budget = Budget(limits=(("burst", TokenBucket(rate=1.0, capacity=10.0)),), classes=CLASSES)
    state, _ = budget.take(budget.full(NOW), 10, NOW, of="actions")

    assert budget.take(state, 1, NOW, of="actions")[1] == Refusal(retry_after=SECOND)
    assert budget.take(state, 1, NOW, of="backfill")[1] == Refusal(retry_after=5 * SECOND)


def test_what_a_class_can_never_have_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="'hourly' never lets class 'backfill' have 61"):
        BUDGET.take(BUDGET.full(NOW), 61, NOW, of="backfill")


def test_an_unknown_class_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        BUDGET.take(BUDGET.full(NOW), 1, NOW, of="gossip")


def test_the_other_side_knows_best_what_remains_and_when_it_resets() -> None:
    reset = NOW + 600 * SECOND

    state = BUDGET.learn(BUDGET.full(NOW), NOW, limit="hourly", remaining=3, reset=reset)
    state, granted = spend(BUDGET, state, 5, "actions")

    assert granted == 3
    assert BUDGET.take(state, 1, NOW, of="actions")[1] == Refusal(retry_after=600 * SECOND)
    assert spend(BUDGET, state, 200, "actions", reset)[1] == 100


def test_answers_out_of_order_within_a_window_leave_the_least() -> None:
    reset = NOW + 600 * SECOND
    state = BUDGET.full(NOW)
    for remaining in (7, 4, 6):
        state = BUDGET.learn(state, NOW, limit="hourly", remaining=remaining, reset=reset)

    assert spend(BUDGET, state, 10, "actions")[1] == 4


def test_a_new_window_of_the_other_side_replaces_the_old() -> None:
    state = BUDGET.learn(
        BUDGET.full(NOW), NOW, limit="hourly", remaining=0, reset=NOW + 5 * SECOND
    )

    state = BUDGET.learn(state, NOW, limit="hourly", remaining=50, reset=NOW + 900 * SECOND)

    assert spend(BUDGET, state, 60, "actions")[1] == 50


def test_news_of_a_window_that_is_over_is_dropped() -> None:
    state = BUDGET.full(NOW)

    assert BUDGET.learn(state, NOW, limit="hourly", remaining=0, reset=NOW) == state


def test_a_bucket_learns_only_that_less_remains() -> None:
    budget = Budget(
        limits=(("burst", BUCKET), ("hourly", Window(capacity=9, per=HOUR))), classes=()
    )
    state = budget.full(NOW)

    state = budget.learn(state, NOW, limit="burst", remaining=1, reset=NOW + SECOND)
    state = budget.learn(state, NOW, limit="burst", remaining=4, reset=NOW + SECOND)

    assert state.levels == (Level(1, NOW), Level(9, NOW))


def test_a_hold_stops_everything_and_is_never_shortened() -> None:
    state = BUDGET.hold(BUDGET.full(NOW), NOW + 60 * SECOND)
    state = BUDGET.hold(state, NOW + SECOND)

    assert BUDGET.take(state, 1, NOW, of="actions")[1] == Refusal(retry_after=60 * SECOND)
    assert BUDGET.take(state, 1, NOW + 60 * SECOND, of="actions")[1] is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.sampled_from([1, 2, 3])), max_size=80))
def test_no_second_ever_sees_more_than_burst_plus_rate(steps: list[tuple[int, int]]) -> None:
    """P7: over any stretch of time a bucket grants at most what it held and what flowed in."""
    level, now = BUCKET.full(NOW), NOW
    grants: list[tuple[datetime, int]] = []
    for milliseconds, wanted in steps:
        now += timedelta(milliseconds=milliseconds)
        level, decision = BUCKET.take(level, wanted, now)
        if decision is None:
            grants.append((now, wanted))

    for begin, (start, _) in enumerate(grants):
        total = 0
        for end, tokens in grants[begin:]:
            total += tokens
            assert total <= 4 + 2 * (end - start).total_seconds() + 1e-3
