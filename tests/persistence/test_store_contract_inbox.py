"""What every store promises about what came in, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
import trio
from attrs import evolve

from persistence.errors import ConflictError, FencedError, MissingError
from persistence.records import ConnectionState, Lease, SettledDelivery
from persistence.store import Store
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    action,
    connected,
    delivery,
    leased,
    settled,
    signal,
)


async def drained(store: Store, lease: Lease) -> list[str]:
    """Claim and forward all that is pending; the event ids in the order they came."""
    seen = []
    while claimed := await store.claim_deliveries(lease, limit=100):
        seen += [one.event_id for one in claimed]
        ends = [SettledDelivery(delivery_id=one.delivery_id) for one in claimed]
        lease = await store.settle(lease, ends, now=NOW)
    return seen


async def test_an_event_is_accepted_once(store: Store):
    """P2."""
    at = await connected(store)

    first = await store.accept([delivery(at, "e1")])
    again = await store.accept([delivery(at, "e1"), delivery(at, "e2")])

    assert first == (True,)
    assert again == (False, True)
    (ledger,) = await store.accounting()
    assert (ledger.accepted, ledger.duplicate, ledger.pending) == (2, 1, 2)


async def test_of_duplicates_in_one_call_the_first_wins(store: Store):
    """P2."""
    lease = await leased(store)
    twice = delivery(lease, "twice", body=b"[1]")

    accepted = await store.accept([twice, evolve(twice, delivery_id=uuid4(), body=b"[2]"), twice])

    assert accepted == (True, False, False)
    (claimed,) = await store.claim_deliveries(lease, limit=10)
    assert claimed.body == b"[1]"
    (ledger,) = await store.accounting()
    assert (ledger.accepted, ledger.duplicate) == (1, 2)


async def test_a_replayed_body_is_a_duplicate_until_its_window_ends(store: Store):
    """P2."""
    at = await connected(store)
    digest = b"r" * 32

    first = await store.accept([delivery(at, replay_digest=digest, received_at=NOW)])
    replayed = await store.accept([delivery(at, replay_digest=digest)])
    await store.sweep(replay_before=NOW + SECOND, forget_before=NOW - DAY, limit=10)
    later = await store.accept([delivery(at, replay_digest=digest)])

    assert (first, replayed, later) == ((True,), (False,), (True,))


async def test_deliveries_without_a_digest_are_no_replays_of_each_other(store: Store):
    at = await connected(store)

    assert await store.accept([delivery(at), delivery(at)]) == (True, True)


async def test_concurrent_accepts_of_one_event_make_one_delivery(store: Store):
    """P2: whoever comes first, in different orders."""
    at = await connected(store)
    ids = [f"e{number}" for number in range(8)]
    answers: list[tuple[bool, ...]] = []

    async def accept(order: list[str]) -> None:
        answers.append(await store.accept([delivery(at, one) for one in order]))

    async with trio.open_nursery() as nursery:
        for turn in range(6):
            nursery.start_soon(accept, ids if turn % 2 else ids[::-1])

    assert sum(sum(answer) for answer in answers) == len(ids)
    (ledger,) = await store.accounting()
    assert (ledger.accepted, ledger.duplicate, ledger.pending) == (8, 40, 8)


async def test_connections_and_tenants_do_not_share_event_ids_or_digests(store: Store):
    """P6."""
    here, there = await connected(store), await connected(store)
    other = await connected(store, "other")
    digest = b"r" * 32

    accepted = await store.accept(
        [delivery(at, "same", replay_digest=digest) for at in (here, there, other)]
    )

    assert accepted == (True, True, True)


async def test_accepting_for_an_unknown_connection_writes_nothing(store: Store):
    at = await connected(store)

    with pytest.raises(MissingError):
        await store.accept([delivery(at), evolve(delivery(at), connection_id=uuid4())])
    with pytest.raises(MissingError):
        await store.accept([evolve(delivery(at), tenant_id="other")])

    assert await store.pending_count() == 0


async def test_accepting_nothing_is_nothing(store: Store):
    assert await store.accept([]) == ()


async def test_text_that_no_index_can_hold_is_kept_in_a_form_that_dedupes(store: Store):
    """P6: one odd delivery must not spoil its neighbours' batch."""
    lease = await leased(store)
    odd = "id\x00" + "x" * 9000

    first = await store.accept([delivery(lease, odd), delivery(lease, odd + "y")])
    again = await store.accept([delivery(lease, odd)])

    assert (first, again) == ((True, True), (False,))
    claimed = await store.claim_deliveries(lease, limit=10)
    assert all(len(one.event_id) <= 512 for one in claimed)


async def test_bodies_come_back_byte_for_byte(store: Store):
    lease = await leased(store)
    body = bytes(range(256)) * 40

    await store.accept([delivery(lease, "e1", body=body), delivery(lease, "e2", body=b"")])

    claimed = await store.claim_deliveries(lease, limit=10)
    assert [one.body for one in claimed] == [body, b""]
    assert claimed[0].received_at == NOW
    assert type(claimed[0].delivery_id) is UUID


async def test_deliveries_are_claimed_in_the_order_they_were_accepted(store: Store):
    """P5."""
    lease = await leased(store)
    ids = [f"e{number}" for number in range(7)]

    await store.accept([delivery(lease, one) for one in ids[:3]])
    await store.accept([delivery(lease, one) for one in ids[3:]])

    assert await drained(store, lease) == ids


async def test_order_survives_forgetting_the_newest_rows(store: Store):
    """P5: a position is not given again while older deliveries wait."""
    lease = await leased(store)
    old, new, late = delivery(lease, "old"), delivery(lease, "new"), delivery(lease, "late")
    await store.accept([old, new])
    await store.settle(lease, [SettledDelivery(delivery_id=new.delivery_id)], now=NOW)

    await store.sweep(replay_before=NOW, forget_before=NOW + DAY, limit=10)
    await store.accept([late])

    assert await drained(store, lease) == ["old", "late"]


async def test_a_claim_takes_at_most_its_limit_and_counts_the_attempt(store: Store):
    """P7."""
    lease = await leased(store)
    await store.accept([delivery(lease) for _ in range(5)])

    claimed = await store.claim_deliveries(lease, limit=2)

    assert [one.attempts for one in claimed] == [1, 1]


async def test_what_was_claimed_before_comes_one_at_a_time(store: Store):
    """P5: the poisonous delivery is found without its neighbours."""
    lease = await leased(store)
    await store.accept([delivery(lease, f"e{number}") for number in range(4)])
    await store.claim_deliveries(lease, limit=2)
    lease = await store.claim_connection(lease.tenant_id, lease.connection_id, owner=uuid4())
    turns = []

    while claimed := await store.claim_deliveries(lease, limit=10):
        turns.append([(one.event_id, one.attempts) for one in claimed])
        ends = [SettledDelivery(delivery_id=one.delivery_id) for one in claimed]
        lease = await store.settle(lease, ends, now=NOW)

    assert turns == [[("e0", 2)], [("e1", 2)], [("e2", 1), ("e3", 1)]]


async def test_fresh_deliveries_are_not_claimed_past_one_that_was_tried(store: Store):
    """P5."""
    lease = await leased(store)
    tried, fresh = delivery(lease, "tried"), delivery(lease, "fresh")
    await store.accept([fresh, tried])
    await store.claim_deliveries(lease, limit=2)
    await store.settle(lease, [], now=NOW)
    first = await store.claim_deliveries(lease, limit=2)
    await store.settle(lease, [SettledDelivery(delivery_id=fresh.delivery_id)], now=NOW)
    await store.accept([delivery(lease, "new")])

    second = await store.claim_deliveries(lease, limit=9)

    assert [one.event_id for one in first] == ["fresh"]
    assert [one.event_id for one in second] == ["tried"]


async def test_a_claim_ends_before_one_that_was_tried(store: Store):
    """P5: fresh ones may precede it when another node committed them late."""
    lease = await leased(store)
    await store.accept([delivery(lease, "a"), delivery(lease, "b"), delivery(lease, "c")])
    await store.claim_deliveries(lease, limit=1)

    claimed = await store.claim_deliveries(lease, limit=9)

    assert [(one.event_id, one.attempts) for one in claimed] == [("a", 2)]


async def test_claiming_a_connection_grows_its_epoch_and_keeps_its_sequence(store: Store):
    """P10."""
    first = await leased(store)
    after, _ = await settled(store, first, (1, 1))

    second = await store.claim_connection(first.tenant_id, first.connection_id, owner=uuid4())

    assert second.epoch == first.epoch + 1
    assert second.sequence_no == after.sequence_no == 2


async def test_claiming_a_connection_of_another_tenant_is_missing(store: Store):
    """P6."""
    lease = await leased(store)

    with pytest.raises(MissingError):
        await store.claim_connection("other", lease.connection_id, owner=uuid4())


async def test_settle_writes_outbox_and_states_together(store: Store):
    """P5, P9."""
    lease = await leased(store)
    deliveries = [delivery(lease, f"e{number}") for number in range(3)]
    await store.accept(deliveries)

    after = await store.settle(
        lease,
        [
            SettledDelivery(delivery_id=deliveries[0].delivery_id, signals=(signal(1), signal(2))),
            SettledDelivery(delivery_id=deliveries[1].delivery_id),
            SettledDelivery(delivery_id=deliveries[2].delivery_id, parked="payload"),
        ],
        now=NOW,
    )

    assert after == evolve(lease, sequence_no=2)
    waiting = await store.next_signals("acme", limit=10)
    assert [(one.sequence_no, one.envelope) for one in waiting] == [
        (1, b'{"sequence_no":1}'),
        (2, b'{"sequence_no":2}'),
    ]
    (ledger,) = await store.accounting()
    assert (ledger.pending, ledger.settled, ledger.forwarded, ledger.parked) == (0, 1, 1, 1)
    assert ledger.difference == 0
    (parked,) = await store.parked("acme", lease.connection_id, limit=5)
    assert (parked.event_id, parked.reason) == ("e2", "payload")


async def test_settling_what_is_not_pending_writes_nothing(store: Store):
    """P2, P5: no second set of signals for a delivery."""
    lease = await leased(store)
    after, (done,) = await settled(store, lease, (1,))
    fresh = delivery(lease)
    await store.accept([fresh])

    for ids in ([fresh.delivery_id, done], [uuid4()], [fresh.delivery_id, fresh.delivery_id]):
        with pytest.raises(ConflictError):
            await store.settle(after, [SettledDelivery(delivery_id=one) for one in ids], now=NOW)

    (ledger,) = await store.accounting()
    assert (ledger.pending, ledger.settled, ledger.forwarded) == (1, 1, 0)
    assert len(await store.next_signals("acme", limit=9)) == 1


async def test_a_signal_id_is_sent_once(store: Store):
    """P2: and the failed settle leaves no trace."""
    lease = await leased(store)
    one, two = delivery(lease), delivery(lease)
    await store.accept([one, two])
    ends = [SettledDelivery(delivery_id=one.delivery_id, signals=(signal(1, "s"),))]
    after = await store.settle(lease, ends, now=NOW)

    with pytest.raises(ConflictError):
        await store.settle(
            after,
            [SettledDelivery(delivery_id=two.delivery_id, signals=(signal(2, "s"),))],
            now=NOW,
        )

    retried = [SettledDelivery(delivery_id=two.delivery_id, signals=(signal(2, "t"),))]
    assert (await store.settle(after, retried, now=NOW)).sequence_no == 2


@pytest.mark.parametrize("numbers", [(2,), (1, 3), (1, 1), (0,)])
async def test_signals_must_go_on_without_gaps(store: Store, numbers: tuple[int, ...]):
    """P5."""
    lease = await leased(store)
    one = delivery(lease)
    await store.accept([one])

    with pytest.raises(ValueError, match="sequence_no"):
        await store.settle(
            lease,
            [
                SettledDelivery(
                    delivery_id=one.delivery_id, signals=tuple(signal(n) for n in numbers)
                )
            ],
            now=NOW,
        )

    assert await store.pending_count() == 1


async def test_a_parked_delivery_has_no_signals(store: Store):
    lease = await leased(store)
    one = delivery(lease)
    await store.accept([one])

    with pytest.raises(ValueError, match="parked"):
        await store.settle(
            lease,
            [SettledDelivery(delivery_id=one.delivery_id, signals=(signal(1),), parked="x")],
            now=NOW,
        )

    (ledger,) = await store.accounting()
    assert (ledger.pending, ledger.difference) == (1, 0)
    lease = await store.claim_connection(lease.tenant_id, lease.connection_id, owner=uuid4())
    assert lease.sequence_no == 0


async def test_a_lease_that_is_behind_is_fenced(store: Store):
    """P5, P10: a settle whose answer was lost is not repeated."""
    lease = await leased(store)
    await settled(store, lease, (1,))
    again = delivery(lease)
    await store.accept([again])

    with pytest.raises(FencedError):
        await store.settle(
            lease,
            [SettledDelivery(delivery_id=again.delivery_id, signals=(signal(1),))],
            now=NOW,
        )


async def test_work_is_found_where_deliveries_or_due_actions_wait(store: Store):
    idle, inbound, outbound, later = [await connected(store) for _ in range(4)]
    suspended = await connected(store, state=ConnectionState.SUSPENDED)
    other = await connected(store, "other")
    await store.accept([delivery(inbound), delivery(other), delivery(suspended)])
    await store.enqueue(action(outbound))
    await store.enqueue(action(later, created_at=NOW + DAY))

    found = await store.connections_with_work(now=NOW, after=None, limit=10)

    expected = [(one.tenant_id, one.connection_id) for one in (inbound, outbound, other)]
    assert list(found) == sorted(expected, key=lambda one: one[1])
    assert (idle.tenant_id, idle.connection_id) not in found
    first = await store.connections_with_work(now=NOW, after=None, limit=1)
    rest = await store.connections_with_work(now=NOW, after=first[0][1], limit=10)
    assert first + rest == found


async def test_an_action_blocked_by_an_older_one_is_no_work(store: Store):
    lease = await leased(store)
    older, newer = action(lease), action(lease)
    await store.enqueue(older)
    await store.enqueue(newer)
    await store.postpone_action(
        lease, older.action_id, not_before=NOW + DAY, reason="later", now=NOW
    )

    assert await store.connections_with_work(now=NOW, after=None, limit=10) == ()


async def test_parked_deliveries_are_listed_newest_first_within_their_tenant(store: Store):
    """P6."""
    lease = await leased(store)
    deliveries = [delivery(lease, f"e{number}") for number in range(3)]
    await store.accept(deliveries)
    ends = [SettledDelivery(delivery_id=one.delivery_id, parked="why\x00") for one in deliveries]
    await store.settle(lease, ends, now=NOW)

    newest = await store.parked("acme", lease.connection_id, limit=2)

    assert [one.event_id for one in newest] == ["e2", "e1"]
    assert newest[0].reason == "why\N{REPLACEMENT CHARACTER}"
    assert await store.parked("other", lease.connection_id, limit=2) == ()


async def test_rejected_deliveries_leave_their_number(store: Store):
    """P9."""
    one, two = await connected(store), await connected(store, "other")

    for _ in range(2):
        await store.count_rejected(
            {("acme", one.connection_id): 3, ("other", two.connection_id): 1}
        )
    await store.count_rejected({})

    assert [ledger.rejected for ledger in await store.accounting()] == [6, 2]
    with pytest.raises(MissingError):
        await store.count_rejected({("acme", two.connection_id): 1})


async def test_every_connection_is_in_the_ledger(store: Store):
    """P9."""
    at = await connected(store)

    (ledger,) = await store.accounting()

    assert ledger.connection_id == at.connection_id
    assert (ledger.accepted, ledger.rejected, ledger.difference) == (0, 0, 0)


async def test_pending_deliveries_are_counted_over_all_tenants(store: Store):
    """P7."""
    one, two = await connected(store), await connected(store, "other")

    await store.accept([delivery(one), delivery(two), delivery(two)])

    assert await store.pending_count() == 3
