"""What every store promises about signals and receipts on their way out."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID, uuid4

import orjson
import pytest
import trio

from persistence.records import OutboxRecord, RelayedSignal, SettledDelivery
from persistence.store import Store
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    connected,
    connection,
    delivery,
    endpoint,
    leased,
    receipt,
    settled,
    signal,
)


async def counts(store: Store) -> tuple[int, int, int]:
    (ledger,) = await store.accounting()
    assert ledger.difference == 0
    return ledger.settled, ledger.forwarded, ledger.parked


def forwarded(signals: tuple[OutboxRecord, ...]) -> list[RelayedSignal]:
    return [RelayedSignal(outbox_id=one.outbox_id) for one in signals]


async def test_signals_leave_in_order_and_attempts_are_counted(store: Store):
    """P5."""
    lease = await leased(store)
    await settled(store, lease, (2, 1, 3))

    first = await store.next_signals("acme", limit=4)
    second = await store.next_signals("acme", limit=10)

    assert [one.sequence_no for one in first] == [1, 2, 3, 4]
    assert [one.sequence_no for one in second] == [1, 2, 3, 4, 5, 6]
    assert [one.attempts for one in second] == [2, 2, 2, 2, 1, 1]


async def test_a_delivery_is_forwarded_when_all_its_signals_are(store: Store):
    """P9."""
    lease = await leased(store)
    await settled(store, lease, (2,))
    one, two = await store.next_signals("acme", limit=10)

    await store.settle_signals("acme", forwarded((one,)), now=NOW)
    halfway = await counts(store)
    await store.settle_signals("acme", forwarded((two,)), now=NOW)

    assert halfway == (1, 0, 0)
    assert await counts(store) == (0, 1, 0)
    assert await store.next_signals("acme", limit=10) == ()


async def test_a_refused_signal_parks_its_delivery_once_none_waits(store: Store):
    """P9: the first refusal's code."""
    lease = await leased(store)
    _, (parked_id,) = await settled(store, lease, (3,))
    one, two, three = await store.next_signals("acme", limit=10)

    await store.settle_signals(
        "acme", [RelayedSignal(outbox_id=three.outbox_id, parked="third")], now=NOW
    )
    await store.settle_signals(
        "acme", [RelayedSignal(outbox_id=two.outbox_id, parked="second")], now=NOW
    )
    halfway = await counts(store)
    await store.settle_signals("acme", forwarded((one,)), now=NOW)

    assert halfway == (1, 0, 0)
    assert await counts(store) == (0, 0, 1)
    (parked,) = await store.parked("acme", lease.connection_id, limit=10)
    assert (parked.delivery_id, parked.reason) == (parked_id, "second")


async def test_a_settled_signal_stays_as_it_is(store: Store):
    """P9: a late or repeated word counts nothing."""
    lease = await leased(store)
    await settled(store, lease, (1,))
    (one,) = await store.next_signals("acme", limit=10)

    await store.settle_signals("acme", forwarded((one,)), now=NOW)
    await store.settle_signals("acme", forwarded((one,)), now=NOW)
    await store.settle_signals(
        "acme", [RelayedSignal(outbox_id=one.outbox_id, parked="late")], now=NOW
    )
    await store.settle_signals("acme", [], now=NOW)

    assert await counts(store) == (0, 1, 0)


async def test_signals_of_another_tenant_are_out_of_reach(store: Store):
    """P6."""
    lease = await leased(store)
    await settled(store, lease, (1,))
    (one,) = await store.next_signals("acme", limit=10)

    assert await store.next_signals("other", limit=10) == ()
    await store.settle_signals("other", forwarded((one,)), now=NOW)

    assert await counts(store) == (1, 0, 0)


async def test_two_relays_that_settle_the_last_two_signals_end_the_delivery(store: Store):
    """P9: neither may believe that the other's signal still waits."""
    lease = await leased(store)
    await settled(store, lease, (2,) * 10)
    signals = await store.next_signals("acme", limit=100)

    async with trio.open_nursery() as nursery:
        for one in signals:
            nursery.start_soon(settle_one, store, one)

    assert await counts(store) == (0, 10, 0)


async def settle_one(store: Store, one: OutboxRecord) -> None:
    await store.settle_signals("acme", forwarded((one,)), now=NOW)


async def test_tenants_with_signals_come_longest_waiting_first(store: Store):
    """P6: none is starved by its name."""
    for tenant in ("zeta", "alpha", "mid"):
        lease = await leased(store, tenant)
        await settled(store, lease, (1, 1))

    assert await store.tenants_with_signals(limit=2) == ("zeta", "alpha")
    waiting = await store.next_signals("zeta", limit=9)
    await store.settle_signals("zeta", forwarded(waiting), now=NOW)
    assert await store.tenants_with_signals(limit=9) == ("alpha", "mid")


async def receipts_of(store: Store, number: int, tenant_id: str = "acme") -> list[UUID]:
    """As many receipts, by creating as many connections."""
    made = []
    for _ in range(number):
        await connected(store, tenant_id)
        made.append(uuid4())
    return made


async def test_receipts_are_batched_in_order_with_increasing_stamps(store: Store):
    await receipts_of(store, 5)
    batch_id = uuid4()

    batch = await store.receipt_batch("acme", batch_id=batch_id, limit=3, now=NOW)

    assert batch is not None
    assert (batch.batch_id, len(batch.receipts)) == (batch_id, 3)
    stamps = [one.stamped_at for one in batch.receipts]
    assert stamps[0] == NOW
    assert all(early < late for early, late in pairwise(stamps))
    assert batch.receipts[0].operation == "connection.created"


async def test_an_unsent_batch_is_kept_as_it_was(store: Store):
    await receipts_of(store, 2)
    first = await store.receipt_batch("acme", batch_id=uuid4(), limit=1, now=NOW)

    again = await store.receipt_batch("acme", batch_id=uuid4(), limit=9, now=NOW + DAY)

    assert first is not None
    assert again == first
    assert again.receipts[0].body == first.receipts[0].body


async def test_stamps_increase_for_ever_even_when_the_clock_goes_back(store: Store):
    """Also after the receipts that carried them are forgotten."""
    last = None
    for now in (NOW, NOW - DAY, NOW - 2 * DAY, NOW + DAY):
        await receipts_of(store, 2)
        batch = await store.receipt_batch("acme", batch_id=uuid4(), limit=9, now=now)
        assert batch is not None
        stamps = [one.stamped_at for one in batch.receipts]
        assert last is None or stamps[0] > last
        assert stamps[0] < stamps[1]
        assert stamps[0] >= now
        last = stamps[-1]
        await store.settle_receipts("acme", batch.batch_id)
        await store.sweep(replay_before=NOW, forget_before=NOW + DAY, limit=100)


async def test_a_batch_that_is_at_eris_is_over(store: Store):
    await receipts_of(store, 1)
    batch = await store.receipt_batch("acme", batch_id=uuid4(), limit=9, now=NOW)
    assert batch is not None

    await store.settle_receipts("other", batch.batch_id)
    kept = await store.receipt_batch("acme", batch_id=uuid4(), limit=9, now=NOW)
    await store.settle_receipts("acme", batch.batch_id)

    assert kept == batch
    assert await store.receipt_batch("acme", batch_id=uuid4(), limit=9, now=NOW) is None
    assert await store.tenants_with_receipts(limit=9) == ()


async def test_concurrent_callers_get_one_batch(store: Store):
    """Two nodes must not fork the tenant's chain."""
    await receipts_of(store, 3)
    batches = []

    async def fetch() -> None:
        batches.append(await store.receipt_batch("acme", batch_id=uuid4(), limit=2, now=NOW))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(fetch)

    assert len(set(batches)) == 1


async def test_receipts_belong_to_their_tenant(store: Store):
    """P6."""
    await receipts_of(store, 1, "zeta")
    await receipts_of(store, 1, "alpha")

    assert await store.tenants_with_receipts(limit=9) == ("zeta", "alpha")
    batch = await store.receipt_batch("alpha", batch_id=uuid4(), limit=9, now=NOW)
    assert batch is not None
    assert [one.tenant_id for one in batch.receipts] == ["alpha"]
    assert await store.receipt_batch("nobody", batch_id=uuid4(), limit=9, now=NOW) is None


async def test_the_sweep_forgets_what_is_over_and_keeps_the_rest(store: Store):
    lease = await leased(store)
    lease, _ = await settled(store, lease, (1, 2))
    refused = delivery(lease, "refused")
    await store.accept([delivery(lease, "pending"), refused])
    await store.settle(
        lease, [SettledDelivery(delivery_id=refused.delivery_id, parked="why")], now=NOW
    )
    signals = await store.next_signals("acme", limit=2)
    await store.settle_signals("acme", forwarded(signals), now=NOW)
    before = await counts(store)

    early = await store.sweep(replay_before=NOW, forget_before=NOW, limit=10)
    touched = await store.sweep(replay_before=NOW, forget_before=NOW + SECOND, limit=10)

    assert (early, touched) == (0, 3)
    assert await counts(store) == before == (1, 1, 1)
    (ledger,) = await store.accounting()
    assert ledger.pending == 1
    assert len(await store.parked("acme", lease.connection_id, limit=9)) == 1
    rest = await store.next_signals("acme", limit=9)
    await store.settle_signals("acme", forwarded(rest), now=NOW)
    assert await counts(store) == (0, 2, 1)


async def test_the_sweep_is_bounded(store: Store):
    """P7."""
    lease = await leased(store)
    deliveries = [delivery(lease, replay_digest=bytes([n]) * 32) for n in range(5)]
    await store.accept(deliveries)
    ends = [SettledDelivery(delivery_id=one.delivery_id) for one in deliveries]
    await store.settle(lease, ends, now=NOW)

    touched = await store.sweep(replay_before=NOW + SECOND, forget_before=NOW + SECOND, limit=2)

    assert touched == 4  # two replay windows, two deliveries


async def test_envelopes_come_back_byte_for_byte(store: Store):
    lease = await leased(store)
    one = delivery(lease)
    await store.accept([one])
    odd = orjson.dumps({"z": "a\x00b", "a": 1.0, "list": [1, {"k": "é"}]})
    numbered = signal(1)
    ends = [
        SettledDelivery(
            delivery_id=one.delivery_id,
            signals=(
                type(numbered)(
                    signal_id="s", sequence_no=1, signal_type="pr_opened", envelope=odd
                ),
            ),
        )
    ]

    await store.settle(lease, ends, now=NOW)

    (waiting,) = await store.next_signals("acme", limit=1)
    assert waiting.envelope == odd


async def test_a_receipt_body_survives_what_jsonb_refuses(store: Store):
    """Its escapes of U+0000 are replaced; an escaped backslash before them is none."""
    made = connection()
    body = rb'{"a": "x\u0000y", "b": "x\\u0000y"}'

    await store.create_connection(made, endpoint(made), (), receipt(body=body))

    batch = await store.receipt_batch("acme", batch_id=uuid4(), limit=1, now=NOW)
    assert batch is not None
    assert orjson.loads(batch.receipts[0].body) == {"a": "x\ufffdy", "b": "x\\u0000y"}


@pytest.mark.parametrize("body", [b"no json", b'{"lone": "\\ud800"}'])
async def test_a_receipt_that_is_no_json_is_refused_by_both_engines(store: Store, body: bytes):
    made = connection()

    with pytest.raises(ValueError, match=r"."):
        await store.create_connection(made, endpoint(made), (), receipt(body=body))

    assert await store.connection("acme", made.connection_id) is None
