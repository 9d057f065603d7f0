"""How far a backfill is, how fast it went and when it will end: from its record and the time, and nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given, strategies

from http_edge.poll_views import ProgressView, backfill_view, cursor_fields, progress_of
from persistence.polls import BackfillRecord, BackfillState, CursorRecord
from tests.actors.platform.world import EPOCH

MINUTE = timedelta(minutes=1)
RUNNING = BackfillRecord(
    backfill_id=UUID(int=1),
    tenant_id="acme",
    connection_id=UUID(int=2),
    resource="entries",
    since=EPOCH - timedelta(days=9),
    until=EPOCH,
    created_at=EPOCH,
    state=BackfillState.RUNNING,
    cursor=None,
    found=0,
    fresh=0,
    done=None,
    total=None,
    reason=None,
    next_at=EPOCH,
    updated_at=EPOCH,
    ended_at=None,
)


def progress(*, at: timedelta, **changes: Any) -> ProgressView:
    return progress_of(evolve(RUNNING, **changes), EPOCH + at)


def test_a_backfill_that_has_just_begun_has_no_rate() -> None:
    assert progress(at=timedelta(0)).per_minute is None
    assert progress(at=-MINUTE, found=3).per_minute is None  # another node's clock is behind
    assert progress(at=MINUTE).per_minute == 0.0


def test_what_is_left_takes_as_long_in_proportion() -> None:
    quarter = progress(at=10 * MINUTE, found=50, fresh=20, done=100, total=400)

    assert (quarter.found, quarter.fresh, quarter.done, quarter.total) == (50, 20, 100, 400)
    assert quarter.per_minute == 5.0
    assert quarter.ends_at == EPOCH + 40 * MINUTE


@pytest.mark.parametrize(
    "changes",
    [
        {"done": 10, "total": None},
        {"done": None, "total": 10},
        {"done": 0, "total": 10},
        {"done": 1, "total": 10**9},  # in two thousand years
        {"done": 5, "total": 10, "state": BackfillState.PAUSED},
        {"done": 10, "total": 10, "state": BackfillState.DONE, "ended_at": EPOCH + MINUTE},
    ],
)
def test_there_is_no_forecast_of_what_is_not_known(changes: dict[str, Any]) -> None:
    assert progress(at=MINUTE, **changes).ends_at is None


def test_nothing_ends_before_the_time_it_waits_for() -> None:
    wait = EPOCH + timedelta(hours=3)

    assert progress(at=MINUTE, done=5, total=10, next_at=wait).ends_at == wait


def test_a_list_that_shrank_ends_now() -> None:
    assert progress(at=MINUTE, done=12, total=10).ends_at == EPOCH + MINUTE


def test_time_stands_still_from_the_pause_and_from_the_end() -> None:
    for state, ended_at in (
        (BackfillState.PAUSED, None),
        (BackfillState.DONE, EPOCH + MINUTE),
        (BackfillState.CANCELLED, EPOCH + MINUTE),
        (BackfillState.FAILED, None),
    ):
        found = progress(
            at=timedelta(days=1),
            state=state,
            found=30,
            updated_at=EPOCH + MINUTE,
            ended_at=ended_at,
        )
        assert found.per_minute == 30.0, state


@given(
    at=strategies.timedeltas(timedelta(days=-1), timedelta(days=3650)),
    found=strategies.integers(0, 2**62),
    done=strategies.none() | strategies.integers(0, 2**62),
    total=strategies.none() | strategies.integers(0, 2**62),
    state=strategies.sampled_from(BackfillState),
)
def test_every_record_can_be_shown(
    at: timedelta, found: int, done: int | None, total: int | None, state: BackfillState
) -> None:
    now = EPOCH + at

    shown = progress(at=at, found=found, done=done, total=total, state=state)

    assert shown.per_minute is None or shown.per_minute >= 0
    assert shown.ends_at is None or shown.ends_at >= min(now, EPOCH)


def test_when_it_is_read_next_is_told_while_it_runs() -> None:
    next_at = EPOCH + MINUTE
    paused = evolve(RUNNING, state=BackfillState.PAUSED, next_at=next_at)

    def told(record: BackfillRecord) -> datetime | None:
        return backfill_view(record, now=EPOCH).next_at

    assert told(evolve(RUNNING, next_at=next_at)) == next_at
    assert told(paused) is None


def test_a_cursor_is_shown_as_the_adapter_wrote_it() -> None:
    record = CursorRecord(
        tenant_id="acme",
        connection_id=UUID(int=2),
        resource="entries",
        cursor=b'{"since":"2026-01-01T00:00:00+00:00","token":null}',
        next_poll_at=EPOCH,
        every=timedelta(seconds=90),
        failures=2,
        reason="the provider is down",
        last_polled_at=None,
        last_news_at=None,
    )

    shown = cursor_fields(record)

    assert shown["cursor"] == {"since": "2026-01-01T00:00:00+00:00", "token": None}
    assert shown["every_s"] == 90.0
    assert cursor_fields(evolve(record, cursor=None))["cursor"] is None
