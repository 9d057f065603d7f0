"""What every store promises about finding who has something to do, without looking at those who have not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from persistence import work
from persistence.changes import ConnectionChange
from persistence.dialect import Query, Sql
from persistence.opening import is_postgres
from persistence.polls import BackfillState
from persistence.records import ConnectionRecord, ConnectionState, Lease
from persistence.store import Store
from tests.persistence.poll_samples import (
    MINUTE,
    backfill,
    backfill_page,
    cursor,
    page,
    planned,
)
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    Place,
    action,
    changed,
    connected,
    connection,
    delivery,
    endpoint,
    exchange,
    leased,
    move,
    receipt,
)

ACTIVE, SUSPENDED = ConnectionState.ACTIVE, ConnectionState.SUSPENDED
DELETED = ConnectionState.DELETED
MANY = 5000


def places(*found: Place) -> tuple[tuple[str, UUID | str], ...]:
    """As they are listed: by id, each once."""
    return tuple(
        sorted({(one.tenant_id, one.connection_id) for one in found}, key=lambda one: str(one[1]))
    )


async def to_poll(store: Store, *, now: datetime = NOW) -> tuple[tuple[str, UUID], ...]:
    return await store.connections_to_poll(now=now, after=None, limit=99)


async def with_work(store: Store, *, now: datetime = NOW) -> tuple[tuple[str, UUID], ...]:
    return await store.connections_with_work(now=now, after=None, limit=99)


async def test_what_is_due_to_be_polled_is_found_by_id_and_page_by_page(store: Store):
    due = [await planned(store, "issues", "pulls") for _ in range(3)]
    due.append(await planned(store, tenant_id="other"))
    later = await leased(store)
    await store.plan_polls(later, [cursor(later, next_poll_at=NOW + SECOND)], now=NOW)
    await connected(store)

    found = await to_poll(store)

    assert found == places(*due)
    first = await store.connections_to_poll(now=NOW, after=None, limit=1)
    rest = await store.connections_to_poll(now=NOW, after=first[0][1], limit=9)
    assert first + rest == found
    assert await store.connections_to_poll(now=NOW, after=found[-1][1], limit=9) == ()
    assert await to_poll(store, now=NOW + SECOND) == places(*due, later)


async def test_what_was_polled_is_not_due_before_its_time(store: Store):
    lease = await planned(store)
    await store.keep_page(lease, page(None, b"1"), [], now=NOW)

    assert await to_poll(store) == ()
    assert await to_poll(store, now=NOW + MINUTE) == places(lease)
    await store.set_cursor("acme", lease.connection_id, "issues", None, now=NOW)
    assert await to_poll(store) == places(lease)


async def test_active_connections_that_nothing_is_planned_for_are_found_page_by_page(store: Store):
    unplanned = [await leased(store) for _ in range(3)]
    await planned(store)
    suspended = await leased(store)
    await move(store, suspended, SUSPENDED)
    receives = evolve(connection(), auth_ref=None)
    await store.create_connection(receives, endpoint(receives), (), receipt("acme"))

    found = await store.connections_without_cursors(after=None, limit=9)

    assert found == places(*unplanned)
    rest = await store.connections_without_cursors(after=found[0][1], limit=1)
    assert rest == found[1:2]


async def test_only_active_connections_are_polled_again_as_soon_as_they_are_active(store: Store):
    lease, other = await planned(store), await planned(store, tenant_id="other")

    for state in (SUSPENDED, ConnectionState.ERROR):
        await move(store, lease, state)
        assert await to_poll(store, now=NOW + DAY) == places(other)
        await move(store, lease, ACTIVE)
        assert await to_poll(store, now=NOW + DAY) == places(lease, other)
    await move(store, lease, DELETED)
    assert await to_poll(store, now=NOW + DAY) == places(other)


async def test_what_is_planned_while_the_connection_is_not_active_waits_until_it_is(store: Store):
    lease = await leased(store)
    await move(store, lease, SUSPENDED)

    await store.plan_polls(lease, [cursor(lease)], now=NOW)

    assert await to_poll(store) == ()
    await move(store, lease, ACTIVE)
    assert await to_poll(store) == places(lease)


async def test_running_backfills_of_active_connections_are_due_too(store: Store):
    both, only = await planned(store), await leased(store)
    paused, suspended, later = [await leased(store) for _ in range(3)]
    asked = {at: backfill(at) for at in (both, only, paused, suspended)}
    for one in asked.values():
        await store.begin_backfill(one)
    await store.begin_backfill(backfill(later, created_at=NOW + SECOND))
    await store.move_backfill(
        "acme",
        asked[paused].backfill_id,
        expected=[BackfillState.RUNNING],
        state=BackfillState.PAUSED,
        reason=None,
        now=NOW,
    )
    await move(store, suspended, SUSPENDED)

    found = await to_poll(store)

    assert found == places(both, only)
    done = backfill_page(asked[only], None, b"1", state=BackfillState.DONE)
    await store.keep_backfill_page(only, done, [], now=NOW)
    assert await to_poll(store) == places(both)


async def many_cursors(store_url: str, rows_of) -> None:
    """More cursors than are worth sorting, over all connections; half of them due."""
    postgres = is_postgres(store_url)
    key = "lpad(to_hex(i), 32, '0')::uuid" if postgres else "printf('%032x', i)"
    kind = "timestamptz" if postgres else ""
    due, later = f"{kind} '{NOW.isoformat()}'", f"{kind} '{(NOW + DAY).isoformat()}'"
    await rows_of(
        f"""INSERT INTO polling_cursors (tenant_id, cursor_id, connection_id, resource, state, every_s, failures,
            next_poll_at, created_at, updated_at)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {2 * MANY + 4}),
            c AS (SELECT tenant_id, connection_id, state,
                row_number() OVER (ORDER BY connection_id) AS nth, count(*) OVER () AS of
                FROM integration_connections)
        SELECT tenant_id, {key}, connection_id, 'r' || i, state, 60, 0,
            CASE WHEN i % 2 = 0 THEN {due} ELSE {later} END, {due}, {due}
        FROM n JOIN c ON nth = 1 + (i / 2) % of RETURNING 1"""  # noqa: S608 - numbers and names of ours
    )


async def test_very_many_that_are_due_are_found_the_same(store: Store, store_url: str, rows_of):
    """P7: after an outage, all of them."""
    due = [await connected(store, f"t{number}") for number in range(6)]
    await move(store, due.pop(), SUSPENDED)
    await many_cursors(store_url, rows_of)
    late = await leased(store)
    await store.plan_polls(late, [cursor(late, next_poll_at=NOW + MINUTE)], now=NOW)

    found = await to_poll(store)

    assert found == places(*due)
    pages, after = [], None
    while part := await store.connections_to_poll(now=NOW, after=after, limit=2):
        pages.append(part)
        after = part[-1][1]
    assert [len(part) for part in pages] == [2, 2, 1]
    assert sum(pages, ()) == found


async def plan_of(store: Any, asked: Query) -> str:
    """How the engine finds it, in its own words."""
    sql = Sql(f"EXPLAIN {asked.sql.postgres}", f"EXPLAIN QUERY PLAN {asked.sql.sqlite}")
    rows: Sequence[Any] = await store._engine.ask(Query(sql=sql, args=asked.args))
    return "\n".join(str(tuple(row)[-1]) for row in rows)


@pytest.mark.parametrize("now", [NOW - DAY, NOW + 2 * DAY], ids=["none_due", "all_due"])
async def test_what_is_due_is_found_by_index_and_not_by_scan(
    store: Store, store_url: str, rows_of, now: datetime
):
    for number in range(6):
        await connected(store, f"t{number}")
    await many_cursors(store_url, rows_of)
    await rows_of("ANALYZE")

    plan = await plan_of(store, work.to_poll(now=now, after=None, limit=2))

    assert "ix_polling_cursors_due" in plan
    assert "uq_polling_cursors_resource" in plan
    assert "Seq Scan on polling_cursors" not in plan
    assert "SCAN polling_cursors" not in plan


async def test_very_many_that_have_work_are_found_the_same(store: Store):
    """P7."""
    busy = [await connected(store) for _ in range(3)]
    acting, suspended, idle = [await connected(store) for _ in range(3)]
    assert idle
    await store.enqueue(action(acting))
    backlog = [delivery(busy[number % 3]) for number in range(MANY)]
    await store.accept([*backlog, delivery(suspended)])
    await move(store, suspended, SUSPENDED)

    found = await with_work(store)

    assert found == places(*busy, acting)
    rest = await store.connections_with_work(now=NOW, after=found[1][1], limit=1)
    assert rest == found[2:3]


async def expiring(store: Store, *, seconds: int = 60) -> tuple[Lease, UUID]:
    """A connection with an action that may have been sent, so that nothing cancels it."""
    lease = await leased(store)
    asked = evolve(action(lease), expires_at=NOW + seconds * SECOND)
    await store.enqueue(asked)
    await store.intend(lease, exchange(lease, asked.action_id))
    return lease, asked.action_id


async def test_expired_actions_are_work_in_any_state_but_deleted(store: Store):
    """P4: somebody must end them, though nothing may be sent."""
    leases = {state: (await expiring(store))[0] for state in ConnectionState}
    for state, lease in leases.items():
        await move(store, lease, state)
    lasting, _ = await expiring(store, seconds=120)
    await move(store, lasting, SUSPENDED)

    before = await with_work(store, now=NOW + MINUTE - SECOND)
    after = await with_work(store, now=NOW + MINUTE)

    assert before == places(leases[ACTIVE])
    assert after == places(*(leases[state] for state in ConnectionState if state is not DELETED))
    first = await store.connections_with_work(now=NOW + MINUTE, after=None, limit=2)
    rest = await store.connections_with_work(now=NOW + MINUTE, after=first[1][1], limit=9)
    assert first + rest == after


async def test_an_expired_action_whose_turn_has_not_come_is_no_work(store: Store):
    """Its actor could not end it: it stands behind another, or waits for what it sent to take effect."""
    lease, action_id = await expiring(store)
    behind = evolve(action(lease), expires_at=NOW + SECOND)
    await store.enqueue(behind)
    await store.postpone_action(lease, action_id, not_before=NOW + DAY, reason="in doubt", now=NOW)
    await move(store, lease, SUSPENDED)

    assert await with_work(store, now=NOW + MINUTE) == ()
    assert await with_work(store, now=NOW + DAY) == places(lease)


async def hooked(store: Store, *, at: datetime = NOW) -> ConnectionRecord:
    """A connection whose webhook was brought to its provider."""
    made = connection()
    place = endpoint(made)
    await store.create_connection(made, place, (), receipt())
    await store.keep_hooks("acme", place.registration_id, hooks=b'{"id":1}', now=at)
    return made


async def to_check(store: Store, *, before: datetime = NOW + SECOND, limit: int = 9):
    return await store.registrations_to_check(checked_before=before, limit=limit)


async def test_webhooks_are_checked_again_the_longest_unchecked_first(store: Store):
    late, early = await hooked(store), await hooked(store, at=NOW - DAY)
    await hooked(store, at=NOW + DAY)
    await connected(store)

    found = await to_check(store)

    assert found == (("acme", early.connection_id), ("acme", late.connection_id))
    assert await to_check(store, limit=1) == found[:1]
    assert await to_check(store, before=NOW) == found[:1]
    (there,) = await store.registrations("acme", early.connection_id, now=NOW)
    await store.keep_hooks("acme", there.registration_id, hooks=b"{}", now=NOW + DAY)
    assert await to_check(store) == found[1:]


async def test_webhooks_of_connections_that_take_none_are_not_checked(store: Store):
    for state in ConnectionState:
        if state is not ACTIVE:
            await move(store, await hooked(store), state)
    closed, ended = await hooked(store), await hooked(store)
    await changed(store, closed, ConnectionChange(state=ACTIVE, open=False))
    await changed(store, ended, ConnectionChange(state=ACTIVE, endpoints_end_at=NOW + DAY))

    assert await to_check(store) == ()


async def test_of_endpoints_the_newest_open_one_says_whether_to_check(store: Store):
    """One that is new has not been brought to the provider yet: that is another job's."""
    made = await hooked(store)
    newer = endpoint(made, b"2", created_at=NOW + SECOND)
    await changed(store, made, ConnectionChange(state=ACTIVE, endpoint=newer))
    before = await to_check(store)

    await store.keep_hooks("acme", newer.registration_id, hooks=b"{}", now=NOW)

    assert before == ()
    assert await to_check(store) == (("acme", made.connection_id),)
