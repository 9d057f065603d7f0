"""What every store promises about signals on their way out."""

from __future__ import annotations

import orjson
import trio

from persistence.records import OutboxRecord, RelayedSignal, SettledDelivery
from persistence.store import Store
from tests.persistence.samples import (
    NOW,
    SECOND,
    delivery,
    leased,
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
