"""The chain of receipts: its form is fixed, and nothing in it can be changed unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from attrs import evolve

from persistence.chain import START, following, link, verify_chain
from persistence.changes import ChainedReceipt

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


def chain(length: int, *, tenant_id: str = "acme") -> list[ChainedReceipt]:
    receipts: list[ChainedReceipt] = []
    previous = START
    for number in range(1, length + 1):
        place = (number, NOW + number * INSTANT, UUID(int=number), "connection.created")
        body = b'{"number":%d}' % number
        digest = link(*place, body, previous)
        receipts.append(
            ChainedReceipt(
                receipt_id=place[2],
                tenant_id=tenant_id,
                connection_id=None,
                operation=place[3],
                sequence_no=number,
                stamped_at=place[1],
                previous=previous,
                digest=digest,
                body=body,
                sent=False,
            )
        )
        previous = digest
    return receipts


def relinked(receipt: ChainedReceipt) -> ChainedReceipt:
    """As somebody would who knows the form but can not change the receipts before and after."""
    digest = link(
        receipt.sequence_no,
        receipt.stamped_at,
        receipt.receipt_id,
        receipt.operation,
        receipt.body,
        receipt.previous,
    )
    return evolve(receipt, digest=digest)


def test_the_form_is_what_its_docstring_says():
    """Written out by hand: an offline verifier that does the same agrees for ever."""
    receipt_id = UUID("01234567-89ab-cdef-0123-456789abcdef")
    spelled = (
        b"\x00\x00\x00\x02" + b"42"
        b"\x00\x00\x00\x10" + b"1772366400123456"
        b"\x00\x00\x00\x10"
        + bytes.fromhex("0123456789abcdef0123456789abcdef")
        + b"\x00\x00\x00\x05"
        b"caf\xc3\xa9"
        b"\x00\x00\x00\x07"
        b'{"a":1}'
        b"\x00\x00\x00\x20" + b"p" * 32
    )

    digest = link(42, NOW, receipt_id, "café", b'{"a":1}', b"p" * 32)

    assert digest == hashlib.sha256(spelled).digest()
    assert digest.hex() == "d9ce6689d8e6c5691a2f3ca92a847e38dc4d0731e0840050324e91062db259ea"


def test_the_time_zone_that_a_stamp_is_written_in_does_not_matter():
    elsewhere = NOW.astimezone(datetime.strptime("+0530", "%z").tzinfo)

    assert link(1, elsewhere, UUID(int=1), "o", b"{}", START) == link(
        1, NOW, UUID(int=1), "o", b"{}", START
    )


def test_fields_do_not_run_into_each_other():
    one = link(1, NOW, UUID(int=1), "ab", b"c", START)

    assert link(1, NOW, UUID(int=1), "a", b"bc", START) != one


@pytest.mark.parametrize("first", [0, 1, 4])
def test_a_chain_holds_from_wherever_its_oldest_were_forgotten(first: int):
    assert verify_chain(chain(5)[first:]) is None


def test_nothing_and_a_stream_can_be_verified():
    assert verify_chain([]) is None
    assert verify_chain(one for one in chain(3)) is None


CHANGES: dict[str, Callable[[ChainedReceipt], ChainedReceipt]] = {
    "body": lambda one: evolve(one, body=one.body + b" "),
    "operation": lambda one: evolve(one, operation="connection.deleted"),
    "id": lambda one: evolve(one, receipt_id=UUID(int=99)),
    "stamp": lambda one: evolve(one, stamped_at=one.stamped_at + INSTANT),
    "digest": lambda one: evolve(one, digest=bytes(32)),
    "previous": lambda one: evolve(one, previous=b"x" * 32),
    "relinked_previous": lambda one: relinked(evolve(one, previous=b"x" * 32)),
    "relinked_number": lambda one: relinked(evolve(one, sequence_no=one.sequence_no + 1)),
    "relinked_stamp": lambda one: relinked(evolve(one, stamped_at=one.stamped_at - INSTANT)),
    "tenant": lambda one: evolve(one, tenant_id="other"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_first_receipt_that_was_changed_is_named(change: str):
    receipts = chain(5)
    receipts[2] = CHANGES[change](receipts[2])

    assert verify_chain(receipts) == receipts[2]


def test_a_receipt_that_was_rewritten_whole_breaks_the_one_behind_it():
    receipts = chain(5)
    receipts[2] = relinked(evolve(receipts[2], body=b"{}"))

    assert verify_chain(receipts) == receipts[3]


def test_a_receipt_that_is_missing_or_moved_is_seen():
    receipts = chain(5)

    assert verify_chain([*receipts[:2], *receipts[3:]]) == receipts[3]
    assert verify_chain([receipts[0], receipts[2], receipts[1]]) == receipts[2]
    assert verify_chain([receipts[0], receipts[0]]) == receipts[0]


def test_where_a_chain_begins_is_not_believed_blindly():
    first, second = chain(2)

    assert verify_chain([relinked(evolve(first, previous=b"x" * 32))]) is not None
    assert verify_chain([relinked(evolve(second, previous=START))]) is not None
    assert verify_chain([evolve(first, body=b"{}")]) is not None


def test_stamps_go_on_whatever_the_clock_says():
    assert following(None, NOW) == NOW
    assert following(NOW, NOW + INSTANT) == NOW + INSTANT
    assert following(NOW, NOW) == NOW + INSTANT
    assert following(NOW, NOW - timedelta(days=1)) == NOW + INSTANT
