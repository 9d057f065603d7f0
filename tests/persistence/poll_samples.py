"""Cursors, pages and backfills to store."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from attrs import evolve

from persistence.polls import (
    BackfillPage,
    BackfillState,
    CursorRecord,
    NewBackfill,
    PolledPage,
)
from persistence.records import Lease, NewDelivery
from persistence.store import Store
from tests.persistence.samples import DAY, NOW, Place, delivery, leased

MINUTE = timedelta(minutes=1)
EVERY = timedelta(seconds=90, microseconds=7)


def cursor(at: Lease, resource: str = "issues", *, next_poll_at: datetime = NOW) -> CursorRecord:
    return CursorRecord(
        tenant_id=at.tenant_id,
        connection_id=at.connection_id,
        resource=resource,
        cursor=None,
        next_poll_at=next_poll_at,
        every=EVERY,
        failures=0,
        reason=None,
        last_polled_at=None,
        last_news_at=None,
    )


def page(
    expected: bytes | None,
    cursor: bytes,
    resource: str = "issues",
    *,
    next_poll_at: datetime = NOW + MINUTE,
) -> PolledPage:
    return PolledPage(
        resource=resource,
        expected=expected,
        cursor=cursor,
        next_poll_at=next_poll_at,
        every=2 * EVERY,
    )


def polled(at: Lease, event_id: str, *, origin: str = "poll") -> NewDelivery:
    return evolve(delivery(at, event_id), origin=origin)


def backfill(at: Any, resource: str = "issues", *, created_at: datetime = NOW) -> NewBackfill:
    return NewBackfill(
        backfill_id=uuid4(),
        tenant_id=at.tenant_id,
        connection_id=at.connection_id,
        resource=resource,
        since=NOW - 30 * DAY,
        until=NOW,
        created_at=created_at,
    )


def backfill_page(
    of: NewBackfill,
    expected: bytes | None,
    cursor: bytes,
    *,
    found: int = 2,
    state: BackfillState = BackfillState.RUNNING,
) -> BackfillPage:
    return BackfillPage(
        backfill_id=of.backfill_id,
        expected=expected,
        cursor=cursor,
        found=found,
        done=10,
        total=40,
        state=state,
    )


async def planned(store: Store, *resources: str, tenant_id: str = "acme") -> Lease:
    """A claimed connection whose resources are polled, due now."""
    lease = await leased(store, tenant_id)
    first = [cursor(lease, one) for one in resources or ("issues",)]
    await store.plan_polls(lease, first, now=NOW)
    return lease


async def cursor_of(store: Store, at: Place, resource: str = "issues") -> CursorRecord:
    """A connection's cursor of a resource."""
    (found,) = [
        one
        for one in await store.cursors(at.tenant_id, at.connection_id)  # type: ignore[arg-type]
        if one.resource == resource
    ]
    return found
