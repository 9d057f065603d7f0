from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import evolve
from hypothesis import given, settings, strategies as st

from runtime import Backoff, Breaker, BreakerState, Permit, Phase, Refusal, Result

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BREAKER = Breaker(
    failures=3, share=0.5, sample=10, probes=1, pause=Backoff(base=10 * SECOND, cap=60 * SECOND),
    patience=30 * SECOND,
)  # fmt: skip
JITTER = 0.5  # pauses are drawn at three quarters


def call(
    state: BreakerState, result: Result, now: datetime, rules: Breaker = BREAKER
) -> BreakerState:
    state, permit = rules.decide(state, now)
    assert isinstance(permit, Permit)
    return rules.record(state, permit, result, now, jitter=JITTER)


def after(results: list[Result], now: datetime = NOW, rules: Breaker = BREAKER) -> BreakerState:
    state = BreakerState()
    for result in results:
        state = call(state, result, now, rules)
    return state


OPEN = after([Result.FAILED] * 3)
REOPENS = NOW + 7.5 * SECOND


def test_it_opens_after_failures_in_a_row_and_says_until_when() -> None:
    state, verdict = BREAKER.decide(OPEN, NOW + SECOND)

    assert state.phase is Phase.OPEN
    assert verdict == Refusal(retry_after=6.5 * SECOND)


def test_a_success_between_failures_keeps_it_closed() -> None:
    state = after([Result.FAILED, Result.FAILED, Result.SUCCEEDED, Result.FAILED, Result.FAILED])

    assert state.phase is Phase.CLOSED


def test_it_opens_when_too_large_a_share_of_the_last_calls_failed() -> None:
    mixed = [Result.FAILED, Result.SUCCEEDED] * 5

    assert after(mixed[:9]).phase is Phase.CLOSED
    assert after(mixed).phase is Phase.OPEN


def test_only_the_last_calls_count_towards_the_share() -> None:
    early_trouble = [Result.FAILED, Result.FAILED] + [Result.SUCCEEDED] * 10

    assert after(early_trouble + [Result.FAILED, Result.SUCCEEDED] * 4).phase is Phase.CLOSED


def test_a_result_that_says_nothing_counts_for_nothing() -> None:
    state = after([Result.FAILED, Result.FAILED, Result.UNKNOWN, Result.FAILED])

    assert state.phase is Phase.OPEN


def test_after_the_pause_only_so_many_probes_pass_at_once() -> None:
    rules = evolve(BREAKER, probes=2)
    state, first = rules.decide(OPEN, REOPENS)
    state, second = rules.decide(state, REOPENS)
    state, third = rules.decide(state, REOPENS)

    assert isinstance(first, Permit)
    assert isinstance(second, Permit)
    assert third == Refusal(retry_after=BREAKER.patience)


def test_it_closes_after_as_many_successes_as_probes_and_forgets() -> None:
    rules = evolve(BREAKER, probes=2)

    half = call(OPEN, Result.SUCCEEDED, REOPENS, rules)
    closed = call(half, Result.SUCCEEDED, REOPENS, rules)

    assert half.phase is Phase.HALF_OPEN
    assert (closed.phase, closed.recent, closed.trips) == (Phase.CLOSED, (), 0)


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    state = call(OPEN, Result.FAILED, REOPENS)

    assert (state.phase, state.trips) == (Phase.OPEN, 2)
    assert state.until == REOPENS + 15 * SECOND


def test_a_probe_that_says_nothing_frees_its_place() -> None:
    state = call(OPEN, Result.UNKNOWN, REOPENS)

    _, verdict = BREAKER.decide(state, REOPENS)

    assert isinstance(verdict, Permit)


def test_probes_that_never_come_back_are_taken_for_lost() -> None:
    state, _lost = BREAKER.decide(OPEN, REOPENS)

    state, verdict = BREAKER.decide(state, REOPENS + BREAKER.patience)

    assert isinstance(verdict, Permit)
    assert BREAKER.record(state, verdict, Result.SUCCEEDED, NOW, jitter=0).phase is Phase.CLOSED


def test_a_result_from_before_it_opened_does_not_count_as_a_probe() -> None:
    _closed, late = BREAKER.decide(BreakerState(), NOW)
    state, _probe = BREAKER.decide(OPEN, REOPENS)
    assert isinstance(late, Permit)

    assert BREAKER.record(state, late, Result.FAILED, REOPENS, jitter=0) == state
    assert BREAKER.record(state, late, Result.SUCCEEDED, REOPENS, jitter=0) == state


def test_retry_after_opens_it_at_once_and_is_honoured_in_full() -> None:
    state, permit = BREAKER.decide(BreakerState(), NOW)
    assert isinstance(permit, Permit)

    state = BREAKER.record(
        state, permit, Result.FAILED, NOW, jitter=0.0, retry_after=timedelta(hours=1)
    )

    assert BREAKER.decide(state, NOW)[1] == Refusal(retry_after=timedelta(hours=1))


def test_a_late_retry_after_makes_the_silence_longer_never_shorter() -> None:
    late = Permit(era=0)

    longer = BREAKER.record(OPEN, late, Result.FAILED, NOW, jitter=0, retry_after=60 * SECOND)
    same = BREAKER.record(OPEN, late, Result.FAILED, NOW, jitter=0, retry_after=SECOND)

    assert longer.until == NOW + 60 * SECOND
    assert same == OPEN


def test_a_late_retry_after_does_not_disturb_a_closed_breaker() -> None:
    closed = call(OPEN, Result.SUCCEEDED, REOPENS)

    assert (
        BREAKER.record(closed, Permit(era=0), Result.FAILED, NOW, jitter=0, retry_after=SECOND)
        == closed
    )


RESULTS = st.sampled_from(list(Result))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(RESULTS, st.integers(0, 40), st.booleans()), max_size=60))
def test_whatever_happens_probes_stay_within_bounds_and_it_always_opens_again(
    steps: list[tuple[Result, int, bool]],
) -> None:
    state, now, out = BreakerState(), NOW, list[Permit]()
    for result, seconds, answered in steps:
        now += seconds * SECOND
        state, verdict = BREAKER.decide(state, now)
        if isinstance(verdict, Refusal):
            assert verdict.retry_after > timedelta(0)
        else:
            out.append(verdict)
        if answered and out:
            state = BREAKER.record(state, out.pop(0), result, now, jitter=JITTER)
        assert 0 <= state.probing <= BREAKER.probes

    _, verdict = BREAKER.decide(state, now + timedelta(hours=1))
    assert isinstance(verdict, Permit)
