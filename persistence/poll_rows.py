"""From rows to the records of polling and backfilling."""

from __future__ import annotations

from datetime import timedelta

from persistence.dialect import Row
from persistence.polls import BackfillRecord, BackfillState, CursorRecord
from persistence.values import time_of, time_or_none, uuid_of


def cursor_of(row: Row) -> CursorRecord:
    """Read a row of ``polling_cursors``."""
    return CursorRecord(
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        resource=row["resource"],
        cursor=row["cursor_position"],
        next_poll_at=time_of(row["next_poll_at"]),
        every=timedelta(seconds=row["every_s"]),
        failures=row["failures"],
        reason=row["reason"],
        last_polled_at=time_or_none(row["last_polled_at"]),
        last_news_at=time_or_none(row["last_news_at"]),
    )


def backfill_of(row: Row) -> BackfillRecord:
    """Read a row of ``backfills``."""
    return BackfillRecord(
        backfill_id=uuid_of(row["backfill_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        resource=row["resource"],
        since=time_of(row["since"]),
        until=time_of(row["until"]),
        created_at=time_of(row["created_at"]),
        state=BackfillState(row["state"]),
        cursor=row["cursor_position"],
        found=row["found"],
        fresh=row["fresh"],
        done=row["done"],
        total=row["total"],
        reason=row["reason"],
        next_at=time_of(row["next_at"]),
        updated_at=time_of(row["updated_at"]),
        ended_at=time_or_none(row["ended_at"]),
    )
