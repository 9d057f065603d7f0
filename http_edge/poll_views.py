"""Cursors and backfills as callers see them: how far each is, how fast it goes, what it waits for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import orjson
from attrs import frozen
from msgspec import Meta

from http_edge.views import Moment
from persistence.polls import BackfillRecord, BackfillState, CursorRecord

_FARTHEST = timedelta(days=366)
"""A forecast beyond it says nothing but that it is slow."""

CursorDocument = Annotated[Any, Meta(description="The adapter's own; null: never polled.")]


@frozen(kw_only=True)
class ProgressView:
    """How far a backfill is: ``found`` were read, ``fresh`` of them were not known; ``done`` of ``total``, where known.

    ``per_minute`` is what was found a minute; ``ends_at`` is when it will end if it goes on like that.
    """

    found: int
    fresh: int
    done: int | None
    total: int | None
    per_minute: float | None
    ends_at: Moment | None


@frozen(kw_only=True)
class BackfillView:
    """A backfill; ``until`` is not in it. While it runs, ``reason`` says why it waits, and ``next_at`` until when."""

    backfill_id: UUID
    connection_id: UUID
    resource: str
    since: Moment
    until: Moment
    status: BackfillState
    reason: str | None
    progress: ProgressView
    next_at: Moment | None
    created_at: Moment
    updated_at: Moment
    ended_at: Moment | None


@frozen(kw_only=True)
class BackfillList:
    """A connection's backfills, newest first. ``more``: there are older ones."""

    backfills: tuple[BackfillView, ...]
    more: bool


@frozen(kw_only=True)
class CursorView:
    """How far a resource has been polled. ``failures`` counts polls in a row that failed, ``reason`` says why it waits.

    ``last_news_at`` is when a poll first found what no webhook had brought, since one last came.
    """

    resource: str
    next_poll_at: Moment
    every_s: Annotated[float, Meta(description="Seconds between two polls, as they go now.")]
    failures: int
    reason: str | None
    last_polled_at: Moment | None
    last_news_at: Moment | None
    cursor: CursorDocument


@frozen(kw_only=True)
class CursorList:
    """A connection's cursors by resource; none before it is first polled."""

    cursors: tuple[CursorView, ...]


@frozen(kw_only=True)
class SkippedView:
    """What a reset leaves unread, for a backfill to read: from ``since`` (null: from ever) to the next poll.

    ``cursor`` is the one that was given up: in the middle of several pages, it had older things to read.
    """

    since: Moment | None
    until: Moment
    cursor: CursorDocument


@frozen(kw_only=True)
class CursorReset(CursorView):
    """A cursor that begins anew."""

    skipped: SkippedView


def backfill_view(record: BackfillRecord, *, now: datetime) -> BackfillView:
    """A backfill as it is at ``now``."""
    return BackfillView(
        backfill_id=record.backfill_id,
        connection_id=record.connection_id,
        resource=record.resource,
        since=record.since,
        until=record.until,
        status=record.state,
        reason=record.reason,
        progress=progress_of(record, now),
        next_at=record.next_at if record.state is BackfillState.RUNNING else None,
        created_at=record.created_at,
        updated_at=record.updated_at,
        ended_at=record.ended_at,
    )


def progress_of(record: BackfillRecord, now: datetime) -> ProgressView:
    """How far a backfill is, how fast it went, and when it will end. Pure.

    Its time goes from its beginning to its end, to its present pause, or to ``now``. The record does not say how long it
    was paused before or had to wait, so that counts too: the rate is what came of the whole time, and after a long pause
    lower than what it does now. There is a forecast only while it runs and says how much there is, never before the
    time it waits for, and none beyond a year.
    """
    return ProgressView(
        found=record.found,
        fresh=record.fresh,
        done=record.done,
        total=record.total,
        per_minute=_per_minute(record, _took(record, now)),
        ends_at=_ends_at(record, now),
    )


def cursor_fields(record: CursorRecord) -> dict[str, Any]:
    """The fields of ``CursorView``, for those that have more."""
    return {
        "resource": record.resource,
        "next_poll_at": record.next_poll_at,
        "every_s": record.every.total_seconds(),
        "failures": record.failures,
        "reason": record.reason,
        "last_polled_at": record.last_polled_at,
        "last_news_at": record.last_news_at,
        "cursor": cursor_document(record),
    }


def cursor_document(record: CursorRecord) -> object:
    """The cursor itself."""
    return None if record.cursor is None else orjson.loads(record.cursor)


def _took(record: BackfillRecord, now: datetime) -> timedelta:
    match record.state:
        case BackfillState.RUNNING:
            until = now
        case BackfillState.PAUSED:
            until = record.updated_at
        case _:
            until = record.ended_at or record.updated_at
    return until - record.created_at


def _per_minute(record: BackfillRecord, took: timedelta) -> float | None:
    if took <= timedelta(0):
        return None
    return round(record.found / (took / timedelta(minutes=1)), 1)


def _ends_at(record: BackfillRecord, now: datetime) -> datetime | None:
    if record.state is not BackfillState.RUNNING or record.total is None or not record.done:
        return None
    took = max(timedelta(0), _took(record, now)).total_seconds()
    left_s = took * max(0, record.total - record.done) / record.done
    if left_s > _FARTHEST.total_seconds():
        return None
    return max(now + timedelta(seconds=left_s), record.next_at)
