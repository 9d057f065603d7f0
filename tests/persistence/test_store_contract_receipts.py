"""What every store promises about receipts: a chain for each tenant, and batches of it for ERIS."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID, uuid4

import orjson
import pytest
import trio
from attrs import evolve

from persistence.chain import START, link, verify_chain
from persistence.changes import ChainedReceipt
from persistence.errors import ConflictError
from persistence.records import ActionState, Lease, ReceiptRecord
from persistence.store import Store
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    action,
    connected,
    connection,
    endpoint,
    leased,
    receipt,
)


async def receipts_of(store: Store, number: int, tenant_id: str = "acme") -> None:
    """As many receipts, by creating as many connections."""
    for _ in range(number):
        await connected(store, tenant_id)


async def chain(store: Store, tenant_id: str = "acme") -> tuple[ChainedReceipt, ...]:
    return await store.chained_receipts(tenant_id, after=0, limit=999)


async def test_receipts_form_a_chain_from_the_first(store: Store):
    await receipts_of(store, 4)

    kept = await chain(store)

    assert [one.sequence_no for one in kept] == [1, 2, 3, 4]
    assert kept[0].previous == START
    assert verify_chain(kept) is None
    assert kept[0].stamped_at == NOW
    assert {len(one.digest) for one in kept} == {32}
    assert not any(one.sent for one in kept)


async def test_the_chain_is_read_in_pages_within_its_tenant(store: Store):
    """P6."""
    await receipts_of(store, 3)
    await receipts_of(store, 2, "other")

    first = await store.chained_receipts("acme", after=0, limit=2)
    rest = await store.chained_receipts("acme", after=first[-1].sequence_no, limit=2)

    assert first + rest == await chain(store)
    assert [one.sequence_no for one in await chain(store, "other")] == [1, 2]
    assert {one.tenant_id for one in await chain(store, "other")} == {"other"}
    assert await chain(store, "nobody") == ()


async def test_many_connections_that_settle_at_once_do_not_fork_the_chain(store: Store):
    leases = [await leased(store) for _ in range(6)]
    async with trio.open_nursery() as nursery:
        for lease in leases:
            nursery.start_soon(end_some, store, lease)

    kept = await chain(store)
    assert len(kept) == 6 + 6 * 4
    assert verify_chain(kept) is None


async def end_some(store: Store, lease: Lease) -> None:
    for _ in range(4):
        asked = action(lease)
        await store.enqueue(asked)
        await store.settle_action(
            lease,
            asked.action_id,
            state=ActionState.DONE,
            reason=None,
            outcome=b"{}",
            receipt=receipt(),
            now=NOW,
        )


async def test_a_transaction_that_fails_leaves_no_gap_in_the_chain(store: Store):
    made = await connected(store)
    again = evolve(connection(), connection_id=made.connection_id)

    with pytest.raises(ConflictError):
        await store.create_connection(again, endpoint(again), (), receipt())
    await connected(store)

    kept = await chain(store)
    assert [one.sequence_no for one in kept] == [1, 2]
    assert verify_chain(kept) is None


async def test_a_body_is_hashed_and_comes_back_as_it_is_kept(store: Store):
    """Sorted, and no number changes its spelling on any engine."""
    made = connection()
    body = b'{ "z": 1.0, "a": {"d": 1e3, "c": [1, 2.50]}, "e": "\xc3\xa9" }'

    await store.create_connection(made, endpoint(made), (), receipt(body=body))

    (kept,) = await chain(store)
    assert kept.body == '{"a":{"c":[1,2.5],"d":1000.0},"e":"é","z":1.0}'.encode()
    assert kept.digest == link(1, NOW, kept.receipt_id, kept.operation, kept.body, START)
    batch = await store.receipt_batch("acme", batch_id=uuid4(), limit=1, now=NOW)
    assert batch is not None
    assert batch.receipts[0].body == kept.body


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("body", """'{"result":"never"}'"""),
        ("operation", "'connection.deleted'"),
        ("stamped_at", "'2026-03-01T12:00:00.123999+00:00'"),
        ("previous", "digest"),
    ],
)
async def test_what_is_changed_in_the_database_is_found(store: Store, rows_of, column, value):
    await receipts_of(store, 3)
    second = (await chain(store))[1]

    await rows_of(f"UPDATE receipts SET {column} = {value} WHERE sequence_no = 2 RETURNING 1")  # noqa: S608

    broken = verify_chain(await chain(store))
    assert broken is not None
    assert broken.receipt_id == second.receipt_id


async def test_what_is_deleted_in_the_middle_is_found(store: Store, rows_of):
    await receipts_of(store, 4)

    await rows_of("DELETE FROM receipts WHERE sequence_no = 2 RETURNING 1")

    broken = verify_chain(await chain(store))
    assert broken is not None
    assert broken.sequence_no == 3


async def test_receipts_are_batched_in_the_order_of_their_chain(store: Store):
    await receipts_of(store, 5)
    batch_id = uuid4()

    batch = await store.receipt_batch("acme", batch_id=batch_id, limit=3, now=NOW)

    assert batch is not None
    assert batch.batch_id == batch_id
    kept = await chain(store)
    assert batch.receipts == tuple(in_a_batch(one) for one in kept[:3])
    stamps = [one.stamped_at for one in batch.receipts]
    assert stamps[0] == NOW
    assert all(early < late for early, late in pairwise(stamps))
    assert batch.receipts[0].operation == "connection.created"


def in_a_batch(one: ChainedReceipt) -> ReceiptRecord:
    return ReceiptRecord(
        receipt_id=one.receipt_id,
        tenant_id=one.tenant_id,
        connection_id=one.connection_id,
        operation=one.operation,
        body=one.body,
        sequence_no=one.sequence_no,
        stamped_at=one.stamped_at,
        previous=one.previous,
        digest=one.digest,
    )


async def test_an_unsent_batch_is_kept_as_it_was(store: Store):
    await receipts_of(store, 2)
    first = await store.receipt_batch("acme", batch_id=uuid4(), limit=1, now=NOW)
    await receipts_of(store, 1)

    again = await store.receipt_batch("acme", batch_id=uuid4(), limit=9, now=NOW + DAY)

    assert first is not None
    assert again == first


async def test_stamps_increase_for_ever_even_when_the_clock_goes_back(store: Store):
    """Also after the receipts that carried them are forgotten; and the chain goes on."""
    digest, last, number = START, None, 0
    for now in (NOW, NOW - DAY, NOW + DAY, NOW - 2 * DAY):
        made = connection()
        written = evolve(receipt(), created_at=now)
        await store.create_connection(made, endpoint(made), (), written)
        batch = await store.receipt_batch("acme", batch_id=uuid4(), limit=9, now=now)
        assert batch is not None
        (one,) = batch.receipts
        assert last is None or one.stamped_at > last
        assert one.stamped_at >= now
        assert (one.previous, one.sequence_no) == (digest, number + 1)
        last, digest, number = one.stamped_at, one.digest, one.sequence_no
        await store.settle_receipts("acme", batch.batch_id)
        await store.sweep(replay_before=NOW, forget_before=NOW + 9 * DAY, limit=100)
        assert await chain(store) == ()


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
    assert [one.sent for one in await chain(store)] == [True]


async def test_concurrent_callers_get_one_batch(store: Store):
    """Two nodes must not send a tenant's receipts out of order, whatever each asks for."""
    await receipts_of(store, 3)
    batches = []

    async def fetch(limit: int) -> None:
        batches.append(await store.receipt_batch("acme", batch_id=uuid4(), limit=limit, now=NOW))

    async with trio.open_nursery() as nursery:
        for limit in (1, 2, 3, 9):
            nursery.start_soon(fetch, limit)

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


async def test_old_receipts_are_forgotten_from_the_start_of_their_chain(store: Store):
    """Though their clocks said otherwise: the one that was made last may be stamped as if it were old."""
    moments = [NOW, NOW + 2 * DAY, NOW + SECOND, NOW + 4 * DAY]
    for moment in moments:
        made = connection()
        await store.create_connection(
            made, endpoint(made), (), evolve(receipt(), created_at=moment)
        )
    batch = await store.receipt_batch("acme", batch_id=uuid4(), limit=3, now=NOW)
    assert batch is not None
    unsent = await store.sweep(replay_before=NOW, forget_before=NOW + 9 * DAY, limit=9)
    await store.settle_receipts("acme", batch.batch_id)

    touched = await store.sweep(replay_before=NOW, forget_before=NOW + DAY, limit=9)

    kept = await chain(store)
    assert (unsent, touched) == (0, 1)
    assert [one.sequence_no for one in kept] == [2, 3, 4]
    assert verify_chain(kept) is None
    await store.sweep(replay_before=NOW, forget_before=NOW + 9 * DAY, limit=1)
    assert [one.sequence_no for one in await chain(store)] == [3, 4]
    await store.sweep(replay_before=NOW, forget_before=NOW + 9 * DAY, limit=9)
    assert [one.sequence_no for one in await chain(store)] == [4]
    await connected(store)
    assert verify_chain(await chain(store)) is None


async def test_a_receipt_body_survives_what_jsonb_refuses(store: Store):
    """Its escapes of U+0000 are replaced; an escaped backslash before them is none."""
    made = connection()
    body = rb'{"a": "x\u0000y", "b": "x\\u0000y"}'

    await store.create_connection(made, endpoint(made), (), receipt(body=body))

    (kept,) = await chain(store)
    assert orjson.loads(kept.body) == {"a": "x\ufffdy", "b": "x\\u0000y"}


@pytest.mark.parametrize("body", [b"no json", b'{"lone": "\\ud800"}'])
async def test_a_receipt_that_is_no_json_is_refused_by_both_engines(store: Store, body: bytes):
    made = connection()

    with pytest.raises(ValueError, match=r"."):
        await store.create_connection(made, endpoint(made), (), receipt(body=body))

    assert await store.connection("acme", made.connection_id) is None
    assert await chain(store) == ()


async def test_ids_of_receipts_are_plain(store: Store):
    await receipts_of(store, 1)

    (kept,) = await chain(store)

    assert type(kept.receipt_id) is UUID
