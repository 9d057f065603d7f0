"""What every store promises about how actions end: by their actor, by who asked, by a person who found out."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

import orjson
import pytest
import trio
from attrs import evolve

from persistence.changes import ActionFilter, ConnectionChange
from persistence.errors import ChangedError, ConflictError, MissingError
from persistence.records import ActionRecord, ActionState, ConnectionState, ExchangeState, Lease
from persistence.store import Store
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    action,
    changed,
    exchange,
    leased,
    receipt,
)

ANYTHING = ActionFilter()


async def queued(
    store: Store,
    lease: Lease,
    *,
    canonical_type: str = "post_comment",
    correlation_id: str | None = None,
) -> UUID:
    asked = evolve(
        action(lease, target_key=uuid4().hex),
        canonical_type=canonical_type,
        correlation_id=correlation_id,
    )
    await store.enqueue(asked)
    return asked.action_id


async def settle(store: Store, lease: Lease, action_id: UUID, state: ActionState) -> None:
    await store.settle_action(
        lease,
        action_id,
        state=state,
        reason="why",
        outcome=b'{"id":1}',
        receipt=receipt(lease.tenant_id),
        now=NOW + SECOND,
    )


async def cancel(
    store: Store, action_id: UUID, *, now: datetime = NOW + SECOND, tenant_id: str = "acme"
) -> ActionRecord:
    return await store.cancel_action(
        tenant_id, action_id, reason="not wanted", receipt=receipt(tenant_id), now=now
    )


async def receipts(store: Store) -> int:
    return len(await store.chained_receipts("acme", after=0, limit=99))


async def test_actions_are_listed_newest_first_in_pages(store: Store):
    lease = await leased(store)
    made = [await queued(store, lease) for _ in range(5)]
    await queued(store, await leased(store, "other"))

    first = await store.actions("acme", ANYTHING, before=None, limit=2)
    second = await store.actions("acme", ANYTHING, before=first[-1].action_id, limit=2)
    third = await store.actions("acme", ANYTHING, before=second[-1].action_id, limit=2)

    assert [one.action_id for one in first + second + third] == made[::-1]
    assert [len(page) for page in (first, second, third)] == [2, 2, 1]
    assert await store.actions("acme", ANYTHING, before=made[0], limit=2) == ()
    assert await store.actions("acme", ANYTHING, before=uuid4(), limit=2) == ()
    assert first[0] == await store.action("acme", made[-1])


async def test_actions_are_filtered_within_their_tenant(store: Store):
    """P6."""
    here, there = await leased(store), await leased(store)
    plain = await queued(store, here)
    issue = await queued(store, here, canonical_type="create_issue", correlation_id="c-1")
    aside = await queued(store, there, correlation_id="c-1")
    await settle(store, here, plain, ActionState.DONE)

    async def ids(only: ActionFilter, tenant_id: str = "acme") -> list[UUID]:
        page = await store.actions(tenant_id, only, before=None, limit=9)
        return [one.action_id for one in page]

    assert await ids(ActionFilter(connection_id=here.connection_id)) == [issue, plain]
    assert await ids(ActionFilter(states=(ActionState.DONE,))) == [plain]
    assert await ids(ActionFilter(states=())) == []
    assert await ids(ActionFilter(canonical_type="create_issue")) == [issue]
    assert await ids(ActionFilter(correlation_id="c-1")) == [aside, issue]
    both = ActionFilter(correlation_id="c-1", connection_id=there.connection_id)
    assert await ids(both) == [aside]
    assert await ids(ANYTHING, "other") == []
    assert await ids(ActionFilter(connection_id=here.connection_id), "other") == []


async def test_every_end_has_its_time(store: Store):
    lease = await leased(store)
    done, cancelled, unsure, waiting = [await queued(store, lease) for _ in range(4)]

    await settle(store, lease, done, ActionState.DONE)
    await cancel(store, cancelled)
    await settle(store, lease, unsure, ActionState.UNSURE)
    await store.resolve_action(
        "acme",
        unsure,
        state=ActionState.REFUSED,
        reason="looked",
        outcome=b"{}",
        receipt=receipt(),
        now=NOW + DAY,
    )

    found = {
        one.action_id: one for one in await store.actions("acme", ANYTHING, before=None, limit=9)
    }
    ends = [found[one].ended_at for one in (done, cancelled, unsure, waiting)]
    assert ends == [NOW + SECOND, NOW + SECOND, NOW + DAY, None]


async def test_a_queued_action_is_cancelled_with_a_receipt(store: Store):
    lease = await leased(store)
    asked = await queued(store, lease)
    tried = evolve(exchange(lease, asked), status=502, headers=b"[]", body=b"x")
    await store.intend(lease, tried)
    await store.resolve_exchange(lease, tried, state=ExchangeState.VOID)

    cancelled = await cancel(store, asked)

    assert (cancelled.state, cancelled.reason) == (ActionState.CANCELLED, "not wanted")
    assert cancelled.outcome == b"{}"
    assert cancelled == await store.action("acme", asked)
    assert await receipts(store) == 2
    (erased,) = await store.exchanges("acme", asked)
    assert (erased.headers, erased.body) == (None, None)
    assert await store.due_actions(lease, now=NOW, limit=9) == ()
    with pytest.raises(ConflictError):
        await store.intend(lease, exchange(lease, asked, step=1))


@pytest.mark.parametrize("state", [ExchangeState.INTENDED, ExchangeState.TAKEN])
async def test_an_action_that_may_have_been_sent_is_not_cancelled(store: Store, state):
    """P4."""
    lease = await leased(store)
    asked = await queued(store, lease)
    sent = exchange(lease, asked)
    await store.intend(lease, sent)
    await store.resolve_exchange(lease, sent, state=state)

    with pytest.raises(ConflictError, match="may have been sent"):
        await cancel(store, asked)

    record = await store.action("acme", asked)
    assert record is not None
    assert record.state is ActionState.QUEUED
    assert await receipts(store) == 1


async def test_an_action_that_ended_is_not_cancelled(store: Store):
    """P6: and another tenant's is not there."""
    lease = await leased(store)
    asked, theirs = await queued(store, lease), await queued(store, await leased(store, "other"))
    await settle(store, lease, asked, ActionState.DONE)

    with pytest.raises(ConflictError, match="done"):
        await cancel(store, asked)
    for unknown in (theirs, uuid4()):
        with pytest.raises(MissingError):
            await cancel(store, unknown)
    with pytest.raises(ValueError, match="another tenant"):
        await store.cancel_action("other", theirs, reason="", receipt=receipt(), now=NOW)

    record = await store.action("other", theirs)
    assert record is not None
    assert record.state is ActionState.QUEUED


async def test_of_a_cancellation_and_a_write_the_first_wins(store: Store):
    """P4: never both, whatever the order."""
    lease = await leased(store)
    actions = [await queued(store, lease) for _ in range(12)]
    wins: dict[UUID, list[str]] = {one: [] for one in actions}

    async def cancelling(one: UUID) -> None:
        try:
            await cancel(store, one)
        except ConflictError:
            return
        wins[one].append("cancelled")

    async def writing(one: UUID) -> None:
        try:
            await store.intend(lease, exchange(lease, one))
        except ConflictError:
            return
        wins[one].append("sent")

    async with trio.open_nursery() as nursery:
        for number, one in enumerate(actions):
            pair = (cancelling, writing) if number % 2 else (writing, cancelling)
            for work in pair:
                nursery.start_soon(work, one)

    assert all(len(one) == 1 for one in wins.values())
    for one, (won,) in wins.items():
        record = await store.action("acme", one)
        assert record is not None
        assert (record.state is ActionState.CANCELLED) == (won == "cancelled")
        assert len(await store.exchanges("acme", one)) == (won == "sent")


async def test_a_connection_that_is_given_up_cancels_what_was_never_sent(store: Store):
    """P4, P6: of this connection, and of nobody else's."""
    lease, neighbour = await leased(store), await leased(store)
    never, void, intended, taken = [await queued(store, lease) for _ in range(4)]
    theirs = await queued(store, neighbour)
    states = (ExchangeState.VOID, ExchangeState.INTENDED, ExchangeState.TAKEN)
    for one, state in zip((void, intended, taken), states, strict=True):
        sent = evolve(exchange(lease, one), status=200, headers=b"[]", body=b"x")
        await store.intend(lease, sent)
        await store.resolve_exchange(lease, sent, state=state)
    change = ConnectionChange(
        state=ConnectionState.DELETED, reason="the tenant left", cancel_actions=True
    )

    await changed(store, lease, change, now=NOW + DAY)

    found = {
        one.action_id: one for one in await store.actions("acme", ANYTHING, before=None, limit=9)
    }
    for one in (never, void):
        assert (found[one].state, found[one].reason) == (ActionState.CANCELLED, "the tenant left")
        assert found[one].ended_at == found[one].updated_at == NOW + DAY
    for one in (intended, taken, theirs):
        assert (found[one].state, found[one].ended_at) == (ActionState.QUEUED, None)
    (erased,) = await store.exchanges("acme", void)
    (kept,) = await store.exchanges("acme", taken)
    assert (erased.body, kept.body) == (None, b"x")


async def test_giving_up_a_connection_and_a_write_do_not_both_win(store: Store):
    """P4."""
    for _ in range(6):
        lease = await leased(store)
        asked = await queued(store, lease)
        sent: list[UUID] = []

        async def write(lease=lease, asked=asked, sent=sent) -> None:
            try:
                await store.intend(lease, exchange(lease, asked))
            except (ChangedError, ConflictError):
                return
            sent.append(asked)

        async def give_up(lease=lease) -> None:
            change = ConnectionChange(state=ConnectionState.DELETED, cancel_actions=True)
            await changed(store, lease, change)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            nursery.start_soon(give_up)

        record = await store.action("acme", asked)
        assert record is not None
        assert (record.state is ActionState.CANCELLED) == (not sent)


async def test_a_person_says_what_became_of_an_unsure_action(store: Store):
    lease = await leased(store)
    asked = await queued(store, lease)
    await settle(store, lease, asked, ActionState.UNSURE)

    known = await find_out(store, asked)

    assert (known.state, known.reason) == (ActionState.DONE, "seen there")
    assert orjson.loads(known.outcome or b"") == {"id": 7}
    assert known == await store.action("acme", asked)
    assert await receipts(store) == 3
    with pytest.raises(ConflictError, match="done"):
        await find_out(store, asked)


async def find_out(
    store: Store, action_id: UUID, state: ActionState = ActionState.DONE, tenant_id: str = "acme"
) -> ActionRecord:
    return await store.resolve_action(
        tenant_id,
        action_id,
        state=state,
        reason="seen there",
        outcome=b'{"id":7}',
        receipt=receipt(tenant_id),
        now=NOW + DAY,
    )


async def test_only_an_unsure_action_of_the_tenant_is_found_out_about(store: Store):
    """P6."""
    lease = await leased(store)
    asked, unsure = await queued(store, lease), await queued(store, lease)
    await settle(store, lease, unsure, ActionState.UNSURE)

    with pytest.raises(ConflictError):
        await find_out(store, asked)
    for tenant_id, action_id in (("other", unsure), ("acme", uuid4())):
        with pytest.raises(MissingError):
            await find_out(store, action_id, tenant_id=tenant_id)
    for state in (ActionState.QUEUED, ActionState.UNSURE, ActionState.CANCELLED):
        with pytest.raises(ValueError, match="finds out"):
            await find_out(store, unsure, state)

    assert await receipts(store) == 2


async def test_of_two_people_one_is_believed(store: Store):
    lease = await leased(store)
    asked = await queued(store, lease)
    await settle(store, lease, asked, ActionState.UNSURE)
    believed = []

    async def say(state: ActionState) -> None:
        try:
            believed.append((await find_out(store, asked, state)).state)
        except ConflictError:
            return

    async with trio.open_nursery() as nursery:
        for state in (ActionState.DONE, ActionState.REFUSED):
            nursery.start_soon(say, state)

    record = await store.action("acme", asked)
    assert record is not None
    assert believed == [record.state]


async def test_an_attempt_counts_unless_nothing_was_tried(store: Store):
    lease = await leased(store)
    asked = await queued(store, lease)

    for counted in (True, False, True):
        await store.postpone_action(
            lease, asked, not_before=NOW + SECOND, reason="x", now=NOW, counted=counted
        )

    record = await store.action("acme", asked)
    assert record is not None
    assert record.attempts == 2
