from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings, strategies as st

from runtime import Backoff

BACKOFF = Backoff(base=timedelta(seconds=1), factor=2.0, cap=timedelta(seconds=60))


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (10_000, 30.0)]
)
def test_delays_double_up_to_the_cap(attempt: int, seconds: float) -> None:
    assert BACKOFF.delay(attempt, jitter=0.5) == timedelta(seconds=seconds)


def test_full_jitter_reaches_down_to_nothing() -> None:
    assert BACKOFF.delay(5, jitter=0.0) == timedelta(0)


def test_retry_after_is_honoured_in_full_beyond_the_cap() -> None:
    asked = timedelta(hours=2)

    assert BACKOFF.delay(1, jitter=0.9, retry_after=asked) == asked


def test_retry_after_does_not_shorten_the_delay() -> None:
    assert BACKOFF.delay(4, jitter=0.5, retry_after=timedelta(seconds=1)) == timedelta(seconds=4)


def test_there_is_no_retry_before_the_first() -> None:
    with pytest.raises(ValueError, match="attempt 1"):
        BACKOFF.delay(0, jitter=0.5)


@pytest.mark.parametrize(
    "bad", [{"factor": 0.5}, {"factor": 1e9}, {"base": timedelta(seconds=-1)}]
)
def test_rules_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    rules: dict[str, object] = {"base": timedelta(seconds=1), "cap": timedelta(seconds=2), **bad}

    with pytest.raises(ValueError, match=r"'(factor|base)' must be"):
        Backoff(**rules)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    attempt=st.integers(1, 10**6),
    jitter=st.floats(0, 1, exclude_max=True),
    factor=st.floats(1, 1000),
    asked=st.none() | st.timedeltas(timedelta(0), timedelta(days=2)),
)
def test_a_delay_is_never_negative_and_passes_the_cap_only_when_asked_to(
    attempt: int, jitter: float, factor: float, asked: timedelta | None
) -> None:
    backoff = Backoff(base=timedelta(seconds=1), factor=factor, cap=timedelta(minutes=5))

    delay = backoff.delay(attempt, jitter=jitter, retry_after=asked)

    assert (asked or timedelta(0)) <= delay <= max(timedelta(minutes=5), asked or timedelta(0))
