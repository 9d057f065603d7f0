"""A database of before revision 0004 comes through with its data: cursors are due, deliveries came by webhook."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from persistence.migrate import migrate
from persistence.opening import is_postgres, open_store
from persistence.polls import CursorRecord
from persistence.records import ConnectionState
from tests.persistence import samples
from tests.persistence.old_rows import Old, write
from tests.persistence.poll_samples import backfill, page, polled
from tests.postgres import bring_to

T = datetime(2026, 2, 1, 8, 0, 0, 5, tzinfo=UTC)
LIVE, HELD = UUID(int=1), UUID(int=2)


def filled(*, postgres: bool) -> list[str]:
    old = Old(at=T, postgres=postgres)
    old.connection(LIVE, "active")
    old.connection(HELD, "suspended")
    for number, connection_id in enumerate((LIVE, HELD)):
        old.add(
            "polling_cursors",
            cursor_id=UUID(int=10 + number),
            connection_id=connection_id,
            resource="issues",
            cursor_position=b"\x00\xff",
            last_polled_at=T,
        )
    for hours in (2, 3, 1):
        old.add(
            "adapter_events",
            counted=True,
            connection_id=LIVE,
            delivery_id=uuid4(),
            event_kind="push",
            event_id=f"e{hours}",
            received_at=T + timedelta(hours=hours),
            state="pending",
            attempts=0,
            body=b"{}",
        )
    old.add(
        "delivery_counts",
        connection_id=LIVE,
        accepted=3,
        duplicate=0,
        rejected=0,
        forwarded=0,
        parked=0,
    )
    return old.statements


@pytest.fixture
def old_url(empty_url: str) -> str:
    """A database at 0003 with rows."""
    bring_to(empty_url, "0003")
    write(empty_url, filled(postgres=is_postgres(empty_url)))
    return empty_url


async def test_cursors_come_through_and_are_due_at_once(old_url: str):
    await migrate(old_url)

    async with open_store(old_url) as store:
        assert await store.cursors("acme", LIVE) == (
            CursorRecord(
                tenant_id="acme",
                connection_id=LIVE,
                resource="issues",
                cursor=b"\x00\xff",
                next_poll_at=T,
                every=timedelta(minutes=5),
                failures=0,
                reason=None,
                last_polled_at=T,
                last_news_at=None,
            ),
        )
        due = await store.connections_to_poll(now=T, after=None, limit=9)
        assert due == (("acme", LIVE),)
        lease = await store.claim_connection("acme", LIVE, owner=uuid4())
        following = page(b"\x00\xff", b"2")
        assert await store.keep_page(lease, following, [polled(lease, "e1")], now=T) == (False,)
        held = await store.connection("acme", HELD)
        assert held is not None
        await samples.move(store, held, ConnectionState.ACTIVE)
        again = await store.connections_to_poll(now=T, after=None, limit=9)
        assert again == (("acme", HELD),)


async def test_deliveries_of_before_came_by_webhook(old_url: str):
    await migrate(old_url)

    async with open_store(old_url) as store:
        assert await store.last_webhook_at("acme", LIVE) == T + timedelta(hours=3)
        assert await store.last_webhook_at("acme", HELD) is None
        lease = await store.claim_connection("acme", LIVE, owner=uuid4())
        claimed = await store.claim_deliveries(lease, limit=9)
        assert [one.origin for one in claimed] == ["webhook"] * 3


async def test_a_database_of_before_takes_backfills(old_url: str):
    await migrate(old_url)

    async with open_store(old_url) as store:
        lease = await store.claim_connection("acme", LIVE, owner=uuid4())
        made = await store.begin_backfill(backfill(lease))
        assert await store.due_backfills(lease, now=samples.NOW, limit=9) == (made,)
