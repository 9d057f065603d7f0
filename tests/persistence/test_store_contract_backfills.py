"""What every store promises about backfills: one of a resource, page by page, stopped when it is told to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
import trio
from attrs import asdict, evolve

from persistence.errors import ChangedError, ConflictError, FencedError, MissingError
from persistence.polls import BackfillRecord, BackfillState, NewBackfill
from persistence.records import ConnectionState, Lease
from persistence.store import Store
from tests.persistence.poll_samples import MINUTE, backfill, backfill_page, polled
from tests.persistence.samples import DAY, NOW, SECOND, connected, leased, move

RUNNING, PAUSED = BackfillState.RUNNING, BackfillState.PAUSED
DONE, CANCELLED = BackfillState.DONE, BackfillState.CANCELLED
FAILED = BackfillState.FAILED
FINAL = (DONE, CANCELLED, FAILED)


async def moved(
    store: Store, of: NewBackfill, state: BackfillState, *expected: BackfillState
) -> BackfillRecord:
    return await store.move_backfill(
        of.tenant_id,
        of.backfill_id,
        expected=expected or (RUNNING,),
        state=state,
        reason="told to",
        now=NOW + SECOND,
    )


async def begun(store: Store) -> tuple[Lease, NewBackfill]:
    lease = await leased(store)
    asked = backfill(lease)
    await store.begin_backfill(asked)
    return lease, asked


async def test_a_backfill_begins_running_and_due(store: Store):
    lease = await leased(store)
    asked = backfill(lease)

    made = await store.begin_backfill(asked)

    assert made == BackfillRecord(
        **asdict(asked),
        state=RUNNING,
        cursor=None,
        found=0,
        fresh=0,
        done=None,
        total=None,
        reason=None,
        next_at=NOW,
        updated_at=NOW,
        ended_at=None,
    )
    assert await store.backfill("acme", asked.backfill_id) == made
    assert await store.due_backfills(lease, now=NOW, limit=9) == (made,)
    assert await store.due_backfills(lease, now=NOW - SECOND, limit=9) == ()


async def test_of_a_resource_one_backfill_runs_or_is_paused(store: Store):
    lease, first = await begun(store)

    with pytest.raises(ConflictError):
        await store.begin_backfill(backfill(lease))
    await moved(store, first, PAUSED)
    with pytest.raises(ConflictError):
        await store.begin_backfill(backfill(lease))
    await moved(store, first, CANCELLED, PAUSED)
    second = await store.begin_backfill(backfill(lease, created_at=NOW + SECOND))
    pulls = await store.begin_backfill(backfill(lease, "pulls", created_at=NOW + MINUTE))

    listed = await store.backfills("acme", lease.connection_id, limit=9)
    assert [one.backfill_id for one in listed] == [
        pulls.backfill_id,
        second.backfill_id,
        first.backfill_id,
    ]
    assert await store.backfills("acme", lease.connection_id, limit=1) == (pulls,)
    due = await store.due_backfills(lease, now=NOW + DAY, limit=9)
    assert due == (second, pulls)
    assert await store.due_backfills(lease, now=NOW + DAY, limit=1) == (second,)


async def test_of_backfills_begun_at_once_one_begins(store: Store):
    lease = await leased(store)
    begun: list[BackfillRecord] = []

    async def begin() -> None:
        try:
            begun.append(await store.begin_backfill(backfill(lease)))
        except ConflictError:
            return

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(begin)

    assert await store.backfills("acme", lease.connection_id, limit=9) == tuple(begun)
    assert len(begun) == 1


async def test_a_backfill_belongs_to_a_connection_of_its_tenant_that_is_not_deleted(store: Store):
    """P6."""
    lease, asked = await begun(store)
    gone = await connected(store)
    await move(store, gone, ConnectionState.DELETED)

    for wrong in (
        evolve(backfill(lease), tenant_id="other"),
        evolve(backfill(lease), connection_id=uuid4()),
        backfill(gone),
    ):
        with pytest.raises(MissingError):
            await store.begin_backfill(wrong)
    assert await store.backfill("other", asked.backfill_id) is None
    assert await store.backfills("other", lease.connection_id, limit=9) == ()
    with pytest.raises(MissingError):
        await moved(store, evolve(asked, tenant_id="other"), PAUSED)
    assert await store.due_backfills(evolve(lease, tenant_id="other"), now=NOW, limit=9) == ()


async def test_a_page_is_kept_with_its_progress(store: Store):
    """P2, P9."""
    lease, asked = await begun(store)
    await store.accept([polled(lease, "known", origin="webhook")])
    items = [polled(lease, name, origin="backfill") for name in ("known", "new")]

    first = await store.keep_backfill_page(
        lease, backfill_page(asked, None, b"1"), items, now=NOW + SECOND
    )
    under_way = await store.backfill("acme", asked.backfill_id)
    last = await store.keep_backfill_page(
        lease,
        backfill_page(asked, b"1", b"2", found=0, state=DONE),
        [],
        now=NOW + MINUTE,
    )

    assert (first, last) == ((False, True), ())
    assert under_way is not None
    assert (under_way.state, under_way.cursor, under_way.ended_at) == (RUNNING, b"1", None)
    assert (under_way.found, under_way.fresh) == (2, 1)
    assert (under_way.done, under_way.total, under_way.next_at) == (10, 40, NOW + SECOND)
    ended = await store.backfill("acme", asked.backfill_id)
    assert ended is not None
    assert (ended.state, ended.cursor, ended.ended_at) == (DONE, b"2", NOW + MINUTE)
    assert (ended.found, ended.fresh) == (2, 1)
    claimed = await store.claim_deliveries(lease, limit=9)
    assert [one.origin for one in claimed] == ["webhook", "backfill"]
    assert await store.due_backfills(lease, now=NOW + DAY, limit=9) == ()


async def test_a_page_asked_with_another_cursor_or_of_another_connection_is_not_kept(store: Store):
    """P6."""
    lease, asked = await begun(store)
    other, others = await begun(store)
    await store.keep_backfill_page(lease, backfill_page(asked, None, b"1"), [], now=NOW)
    before = await store.backfill("acme", asked.backfill_id)

    for at, page in (
        (lease, backfill_page(asked, None, b"2")),
        (lease, backfill_page(asked, b"0", b"2")),
        (lease, backfill_page(others, None, b"2")),
        (other, backfill_page(asked, b"1", b"2")),
        (lease, backfill_page(backfill(lease), None, b"2")),
    ):
        with pytest.raises(ConflictError):
            await store.keep_backfill_page(at, page, [polled(at, "e")], now=NOW)
    with pytest.raises(ValueError, match="another connection"):
        await store.keep_backfill_page(
            lease, backfill_page(asked, b"1", b"2"), [polled(other, "e")], now=NOW
        )

    assert await store.backfill("acme", asked.backfill_id) == before
    assert await store.pending_count() == 0


@pytest.mark.parametrize("state", [PAUSED, CANCELLED, FAILED])
async def test_no_page_leaves_a_backfill_stopped(store: Store, state: BackfillState):
    lease, asked = await begun(store)
    page = backfill_page(asked, None, b"1", state=state)

    with pytest.raises(ValueError, match=state):
        await store.keep_backfill_page(lease, page, [polled(lease, "e")], now=NOW)

    assert await store.pending_count() == 0


async def test_a_page_that_fails_is_asked_for_again_later(store: Store):
    lease, asked = await begun(store)
    await store.keep_backfill_page(lease, backfill_page(asked, None, b"1"), [], now=NOW)

    await store.postpone_backfill(
        lease, asked.backfill_id, next_at=NOW + DAY, reason="429", now=NOW
    )

    assert await store.due_backfills(lease, now=NOW + MINUTE, limit=9) == ()
    (due,) = await store.due_backfills(lease, now=NOW + DAY, limit=9)
    assert (due.cursor, due.reason, due.state) == (b"1", "429", RUNNING)
    await store.keep_backfill_page(lease, backfill_page(asked, b"1", b"2"), [], now=NOW)
    better = await store.backfill("acme", asked.backfill_id)
    assert better is not None
    assert better.reason is None


async def test_what_was_stopped_is_not_postponed(store: Store):
    lease, asked = await begun(store)
    stopped = await moved(store, asked, CANCELLED)

    await store.postpone_backfill(
        lease, asked.backfill_id, next_at=NOW + DAY, reason="429", now=NOW
    )

    assert await store.backfill("acme", asked.backfill_id) == stopped


async def test_a_backfill_is_paused_and_goes_on_where_it_was(store: Store):
    lease, asked = await begun(store)
    await store.keep_backfill_page(lease, backfill_page(asked, None, b"1"), [], now=NOW)

    paused = await moved(store, asked, PAUSED)
    with pytest.raises(ConflictError, match="paused"):
        await moved(store, asked, PAUSED)
    with pytest.raises(ConflictError):
        await store.keep_backfill_page(
            lease, backfill_page(asked, b"1", b"2"), [polled(lease, "e")], now=NOW
        )
    waiting = await store.due_backfills(lease, now=NOW + DAY, limit=9)
    resumed = await moved(store, asked, RUNNING, PAUSED)

    assert (paused.state, paused.reason, paused.ended_at) == (PAUSED, "told to", None)
    assert waiting == ()
    assert (resumed.state, resumed.cursor, resumed.next_at) == (RUNNING, b"1", NOW + SECOND)
    assert await store.due_backfills(lease, now=NOW + DAY, limit=9) == (resumed,)
    assert await store.pending_count() == 0


@pytest.mark.parametrize("state", FINAL)
async def test_what_ended_stays_ended_whatever_is_expected(store: Store, state: BackfillState):
    _, asked = await begun(store)

    ended = await moved(store, asked, state)

    assert (ended.state, ended.ended_at) == (state, NOW + SECOND)
    for other in BackfillState:
        with pytest.raises(ConflictError, match=state):
            await moved(store, asked, other, *BackfillState)
    assert await store.backfill("acme", asked.backfill_id) == ended


WRITES: dict[str, Callable[[Store, Lease, NewBackfill], Awaitable[object]]] = {
    "keep_backfill_page": lambda store, lease, asked: store.keep_backfill_page(
        lease, backfill_page(asked, None, b"1"), [polled(lease, "e")], now=NOW
    ),
    "postpone_backfill": lambda store, lease, asked: store.postpone_backfill(
        lease, asked.backfill_id, next_at=NOW + DAY, reason="", now=NOW
    ),
}


@pytest.mark.parametrize("write", WRITES)
async def test_who_lost_the_connection_writes_nothing(store: Store, write: str):
    """P10."""
    older, asked = await begun(store)
    before = await store.backfill("acme", asked.backfill_id)
    lease = await store.claim_connection("acme", older.connection_id, owner=uuid4())

    with pytest.raises(FencedError):
        await WRITES[write](store, older, asked)

    assert await store.backfill("acme", asked.backfill_id) == before
    assert await store.pending_count() == 0
    await WRITES[write](store, lease, asked)


async def test_nothing_is_filled_in_for_a_connection_that_is_not_active(store: Store):
    lease, asked = await begun(store)
    await move(store, lease, ConnectionState.SUSPENDED)

    with pytest.raises(ChangedError):
        await WRITES["keep_backfill_page"](store, lease, asked)

    assert await store.pending_count() == 0


async def test_a_deleted_connections_backfills_are_cancelled(store: Store):
    """And nobody else's."""
    lease, asked = await begun(store)
    _, others = await begun(store)
    paused = backfill(lease, "pulls")
    await store.begin_backfill(paused)
    await moved(store, paused, PAUSED)

    await move(store, lease, ConnectionState.DELETED, now=NOW + MINUTE)

    for one in (asked, paused):
        ended = await store.backfill("acme", one.backfill_id)
        assert ended is not None
        assert (ended.state, ended.ended_at) == (CANCELLED, NOW + MINUTE)
    alive = await store.backfill("acme", others.backfill_id)
    assert alive is not None
    assert alive.state is RUNNING


async def test_a_page_and_a_pause_at_once_leave_one_of_both_orders(store: Store):
    """Whichever commits first: a page behind the pause is not kept, not even its items."""
    for turn in range(6):
        lease, asked = await begun(store)
        kept: list[bool] = []

        async def keep(at=lease, of=asked, kept=kept) -> None:
            try:
                await store.keep_backfill_page(
                    at, backfill_page(of, None, b"1", found=1), [polled(at, "e")], now=NOW
                )
            except ConflictError:
                return
            kept.append(True)

        async with trio.open_nursery() as nursery:
            order = (keep, lambda of=asked: moved(store, of, PAUSED))
            for one in order if turn % 2 else order[::-1]:
                nursery.start_soon(one)

        paused = await store.backfill("acme", asked.backfill_id)
        assert paused is not None
        assert paused.state is PAUSED
        ledger = await store.ledger("acme", lease.connection_id)
        assert ledger is not None
        found = (paused.found, paused.fresh, ledger.accepted, paused.cursor)
        assert found == ((1, 1, 1, b"1") if kept else (0, 0, 0, None))
