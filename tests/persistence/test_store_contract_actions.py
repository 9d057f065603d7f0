"""What every store promises about actions and the journal of their writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import orjson
import pytest
import trio
from attrs import evolve

from persistence.errors import ConflictError, FencedError, MissingError
from persistence.records import ActionState, ExchangeState, Lease, NewReceipt, SettledDelivery
from persistence.store import Store
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    action,
    connected,
    delivery,
    exchange,
    leased,
    receipt,
    signal,
)


async def end(
    store: Store,
    lease: Lease,
    action_id: UUID,
    *,
    state: ActionState = ActionState.DONE,
    with_receipt: NewReceipt | None = None,
) -> None:
    await store.settle_action(
        lease,
        action_id,
        state=state,
        reason="why",
        outcome=b'{"id":"c-1"}',
        receipt=with_receipt or receipt(),
        now=NOW + SECOND,
    )


async def test_an_action_comes_back_as_it_was_asked(store: Store):
    lease = await leased(store)
    asked = action(lease)

    record, new = await store.enqueue(asked)

    assert new
    assert record == await store.action("acme", asked.action_id)
    assert record.payload == asked.payload
    assert orjson.loads(record.target) == orjson.loads(asked.target)
    assert (record.state, record.attempts, record.outcome) == (ActionState.QUEUED, 0, None)
    assert record.not_before == record.updated_at == asked.created_at
    assert type(record.action_id) is UUID


async def test_asking_again_with_the_same_key_finds_the_first(store: Store):
    """P4."""
    lease = await leased(store)
    first = action(lease, "key")

    await store.enqueue(first)
    same = await store.enqueue(first)
    other_id = await store.enqueue(action(lease, "key"))

    for record, new in (same, other_id):
        assert (record.action_id, new) == (first.action_id, False)
    assert len(await store.due_actions(lease, now=NOW, limit=9)) == 1


async def test_an_action_is_found_by_its_key_in_its_own_connection_only(store: Store):
    """P4, P6."""
    lease = await leased(store)
    asked = action(lease, "key")
    record, _ = await store.enqueue(asked)

    assert await store.action_of_key("acme", lease.connection_id, "key") == record
    assert await store.action_of_key("acme", lease.connection_id, "other") is None
    assert await store.action_of_key("acme", asked.action_id, "key") is None
    assert await store.action_of_key("globex", lease.connection_id, "key") is None


async def test_the_same_key_for_something_else_is_a_conflict(store: Store):
    """P4."""
    lease = await leased(store)
    await store.enqueue(action(lease, "key"))

    with pytest.raises(ConflictError):
        await store.enqueue(action(lease, "key", digest=b"other"))


async def test_an_action_id_is_not_given_twice(store: Store):
    lease = await leased(store)
    first = action(lease)
    await store.enqueue(first)

    with pytest.raises(ConflictError):
        await store.enqueue(evolve(first, idempotency_key="another"))


async def test_concurrent_askers_make_one_action(store: Store):
    """P4."""
    lease = await leased(store)
    answers = []

    async def ask() -> None:
        answers.append(await store.enqueue(action(lease, "key")))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(ask)

    assert sorted(new for _, new in answers) == [False] * 7 + [True]
    assert len({record.action_id for record, _ in answers}) == 1


async def test_keys_are_a_connections_own(store: Store):
    """P6."""
    for at in (await leased(store), await leased(store), await leased(store, "other")):
        assert (await store.enqueue(action(at, "key")))[1]


async def test_asking_for_an_unknown_connection_is_missing(store: Store):
    at = await connected(store)

    with pytest.raises(MissingError):
        await store.enqueue(evolve(action(at), tenant_id="other"))


async def test_an_action_is_its_tenants_only(store: Store):
    """P6."""
    lease = await leased(store)
    asked = action(lease)
    await store.enqueue(asked)
    await store.intend(lease, exchange(lease, asked.action_id))

    assert await store.action("other", asked.action_id) is None
    assert await store.exchanges("other", asked.action_id) == ()


async def test_actions_of_one_target_run_in_order(store: Store):
    """P5: also when the older one has to wait."""
    lease = await leased(store)
    older, newer = action(lease, target_key="pr1"), action(lease, target_key="pr1")
    aside = action(lease, target_key="pr2")
    for one in (older, newer, aside):
        await store.enqueue(one)

    assert await due(store, lease) == [older.action_id, aside.action_id]
    await store.postpone_action(
        lease, older.action_id, not_before=NOW + DAY, reason="busy", now=NOW
    )
    assert await due(store, lease) == [aside.action_id]
    await end(store, lease, older.action_id)
    assert await due(store, lease) == [newer.action_id, aside.action_id]
    assert len(await store.due_actions(lease, now=NOW, limit=1)) == 1


async def due(store: Store, lease: Lease) -> list[UUID]:
    return [one.action_id for one in await store.due_actions(lease, now=NOW, limit=9)]


async def test_the_next_action_is_the_earliest_that_nothing_blocks(store: Store):
    """P7: an actor that waits for it does not spin on a blocked one."""
    lease = await leased(store)
    older, newer = action(lease), action(lease)

    assert await store.next_action_at(lease) is None
    await store.enqueue(older)
    await store.enqueue(newer)
    assert await store.next_action_at(lease) == NOW
    await store.postpone_action(lease, older.action_id, not_before=NOW + DAY, reason="x", now=NOW)
    assert await store.next_action_at(lease) == NOW + DAY


async def test_postponing_counts_the_attempt(store: Store):
    lease = await leased(store)
    asked = action(lease)
    await store.enqueue(asked)

    await store.postpone_action(
        lease, asked.action_id, not_before=NOW + SECOND, reason="429", now=NOW + SECOND
    )

    record = await store.action("acme", asked.action_id)
    assert record is not None
    assert (record.attempts, record.reason, record.state) == (1, "429", ActionState.QUEUED)
    assert record.not_before == record.updated_at == NOW + SECOND


async def test_settling_an_action_writes_its_end_and_receipt_and_erases_answers(store: Store):
    """P4, P8."""
    lease = await leased(store)
    asked = action(lease)
    await store.enqueue(asked)
    sent = exchange(lease, asked.action_id)
    await store.intend(lease, sent)
    answered = evolve(sent, status=201, headers=b"[]", body=b"\x00\xff")
    await store.resolve_exchange(lease, answered, state=ExchangeState.TAKEN)
    (kept,) = await store.exchanges("acme", asked.action_id)

    await end(store, lease, asked.action_id, with_receipt=receipt(body=b'{"result":"done"}'))

    assert kept == evolve(answered, state=ExchangeState.TAKEN)
    (erased,) = await store.exchanges("acme", asked.action_id)
    assert erased == evolve(kept, headers=None, body=None)
    record = await store.action("acme", asked.action_id)
    assert record is not None
    assert (record.state, record.reason) == (ActionState.DONE, "why")
    assert orjson.loads(record.outcome or b"") == {"id": "c-1"}
    batch = await store.receipt_batch("acme", batch_id=uuid4(), limit=9, now=NOW)
    assert batch is not None
    assert orjson.loads(batch.receipts[-1].body) == {"result": "done"}


async def test_an_end_is_final(store: Store):
    """P4."""
    lease = await leased(store)
    asked = action(lease)
    await store.enqueue(asked)
    await end(store, lease, asked.action_id)

    with pytest.raises(ConflictError):
        await end(store, lease, asked.action_id, state=ActionState.UNSURE)
    with pytest.raises(ConflictError):
        await store.postpone_action(lease, asked.action_id, not_before=NOW, reason="", now=NOW)
    with pytest.raises(ConflictError):
        await store.intend(lease, exchange(lease, asked.action_id))

    record = await store.action("acme", asked.action_id)
    assert record is not None
    assert record.state is ActionState.DONE
    assert await due(store, lease) == []


async def test_queued_is_no_end(store: Store):
    lease = await leased(store)

    with pytest.raises(ValueError, match="no end"):
        await end(store, lease, uuid4(), state=ActionState.QUEUED)


async def test_what_does_not_exist_is_missing(store: Store):
    lease = await leased(store)
    stranger = await leased(store)
    asked = action(stranger)
    await store.enqueue(asked)

    with pytest.raises(MissingError):
        await end(store, lease, asked.action_id)
    with pytest.raises(MissingError):
        await store.postpone_action(lease, asked.action_id, not_before=NOW, reason="", now=NOW)
    with pytest.raises(MissingError):
        await store.intend(lease, exchange(lease, asked.action_id))
    with pytest.raises(MissingError):
        await store.resolve_exchange(lease, exchange(lease, uuid4()), state=ExchangeState.VOID)


async def test_the_end_of_an_action_and_its_receipt_are_one(store: Store):
    """Nothing of it stays when the receipt can not be written."""
    lease = await leased(store)
    asked = action(lease)
    await store.enqueue(asked)
    written = receipt()
    await end(store, lease, asked.action_id, with_receipt=written)
    second = action(lease)
    await store.enqueue(second)

    with pytest.raises(ConflictError):
        await end(store, lease, second.action_id, with_receipt=written)

    record = await store.action("acme", second.action_id)
    assert record is not None
    assert (record.state, record.outcome) == (ActionState.QUEUED, None)


async def test_the_journal_is_kept_in_order(store: Store):
    """P4."""
    lease = await leased(store)
    asked = action(lease)
    await store.enqueue(asked)
    writes = [exchange(lease, asked.action_id, step=step) for step in (0, 0, 1)]
    for one in writes:
        await store.intend(lease, one)

    await store.resolve_exchange(lease, writes[0], state=ExchangeState.VOID)

    journal = await store.exchanges("acme", asked.action_id)
    assert journal == (evolve(writes[0], state=ExchangeState.VOID), *writes[1:])


async def test_a_resolved_exchange_is_not_resolved_otherwise(store: Store):
    """P4."""
    lease = await leased(store)
    asked = action(lease)
    await store.enqueue(asked)
    sent = exchange(lease, asked.action_id)
    await store.intend(lease, sent)

    await store.resolve_exchange(lease, sent, state=ExchangeState.TAKEN)
    await store.resolve_exchange(lease, sent, state=ExchangeState.TAKEN)
    with pytest.raises(ConflictError):
        await store.resolve_exchange(lease, sent, state=ExchangeState.VOID)
    with pytest.raises(ConflictError):
        await store.intend(lease, sent)


async def test_final_actions_are_forgotten_with_their_journal(store: Store):
    lease = await leased(store)
    over, queued = action(lease), action(lease)
    for one in (over, queued):
        await store.enqueue(one)
        await store.intend(lease, exchange(lease, one.action_id))
    await end(store, lease, over.action_id)

    touched = await store.sweep(replay_before=NOW, forget_before=NOW + DAY, limit=9)

    assert touched == 2
    assert await store.action("acme", over.action_id) is None
    assert await store.exchanges("acme", over.action_id) == ()
    assert len(await store.exchanges("acme", queued.action_id)) == 1


Write = Callable[[Store, Lease], Awaitable[object]]


async def write_claim(store: Store, lease: Lease) -> None:
    await store.claim_deliveries(lease, limit=9)


async def write_settle(store: Store, lease: Lease) -> None:
    (one,) = await store.parked("acme", lease.connection_id, limit=1) or (None,)
    assert one is None
    new = delivery(lease, "given")
    await store.accept([new])
    ends = [SettledDelivery(delivery_id=new.delivery_id, signals=(signal(1, "s"),))]
    await store.settle(lease, ends, now=NOW)


async def write_settle_nothing(store: Store, lease: Lease) -> None:
    await store.settle(lease, [], now=NOW)


async def the_action(store: Store, lease: Lease) -> UUID:
    (one,) = await store.due_actions(lease, now=NOW, limit=1)
    return one.action_id


async def write_intend(store: Store, lease: Lease) -> None:
    await store.intend(lease, exchange(lease, await the_action(store, lease)))


async def write_resolve(store: Store, lease: Lease) -> None:
    (sent,) = await store.exchanges("acme", await the_action(store, lease))
    await store.resolve_exchange(lease, sent, state=ExchangeState.VOID)


async def write_end(store: Store, lease: Lease) -> None:
    await end(store, lease, await the_action(store, lease))


async def write_postpone(store: Store, lease: Lease) -> None:
    await store.postpone_action(
        lease, await the_action(store, lease), not_before=NOW + DAY, reason="x", now=NOW
    )


WRITES = (
    write_claim,
    write_settle,
    write_settle_nothing,
    write_intend,
    write_resolve,
    write_end,
    write_postpone,
)


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
async def test_a_fenced_actor_can_write_nothing(store: Store, write: Write, rows_of):
    """P10: with the lease it works, with the older one it does not."""
    lease = await leased(store)
    await store.accept([delivery(lease)])
    asked = action(lease)
    await store.enqueue(asked)
    await store.intend(lease, exchange(lease, asked.action_id))
    older = lease
    lease = await store.claim_connection("acme", lease.connection_id, owner=uuid4())

    async def written() -> list[list[tuple[object, ...]]]:
        return [
            await rows_of(f"SELECT {columns} ORDER BY 1, 2")
            for columns in (
                "delivery_id, state, attempts FROM adapter_events WHERE event_id <> 'given'",
                "outbox_id, state FROM outbox",
                "action_id, state, attempts FROM normalised_actions",
                "exchange_id, state FROM exchanges",
                "receipt_id, state FROM receipts",
                "epoch, sequence_no FROM integration_connections",
            )
        ]

    before = await written()
    with pytest.raises(FencedError):
        await write(store, older)
    after = await written()

    assert after == before
    if write is not write_settle:
        await write(store, lease)
