"""The proof of an export: whatever is changed in it is found."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest
from attrs import evolve

from http_edge.commands.chain_lines import (
    LineError,
    Proof,
    parsed,
    proven,
    proven_lines,
    summary,
    written,
)
from persistence.changes import ChainedReceipt
from tests.persistence.test_chain import chain


def exported(length: int) -> list[bytes]:
    return [written(receipt) for receipt in chain(length)]


def without_what_is_left_out(receipt: ChainedReceipt) -> ChainedReceipt:
    return evolve(receipt, tenant_id="", connection_id=None, sent=False)


def test_what_is_written_is_read_back_the_same():
    for receipt in chain(3):
        assert parsed(written(receipt)) == without_what_is_left_out(receipt)


def test_a_line_says_all_that_the_digest_covers_and_nothing_else():
    said = orjson.loads(exported(1)[0])

    assert set(said) == {
        "sequence_no",
        "stamped_at",
        "receipt_id",
        "operation",
        "body",
        "previous",
        "digest",
    }


def test_a_whole_export_is_proven_from_its_beginning():
    proof = proven_lines(exported(4))

    assert proof.trouble is None
    assert (proof.first and proof.first.sequence_no, proof.last and proof.last.sequence_no) == (
        1,
        4,
    )
    said = summary(proof)
    assert said.startswith("whole from 1 to 4 (the first of their tenant); ")
    assert said.endswith(f"its digest {chain(4)[-1].digest.hex()}")


def test_an_export_that_begins_later_says_so():
    proof = proven_lines(exported(5)[2:])

    assert proof.trouble is None
    assert "whole from 3 to 5 (older ones are not here" in summary(proof)


def test_every_single_byte_counts():
    """Each byte of the file, one after the other: changed, it is found in the line it stands in, or right behind it."""
    lines = exported(3)
    whole = b"".join(lines)

    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 0x01
        proof = proven_lines(bytes(changed).splitlines(keepends=True))
        assert proof.trouble is not None, (at, bytes(changed[at - 20 : at + 20]))
        intact = whole[:at].count(b"\n")
        assert (proof.last.sequence_no if proof.last else 0) in {intact - 1, intact}, at


def test_every_single_byte_that_is_missing_counts():
    whole = b"".join(exported(2))

    for at in range(len(whole)):
        changed = whole[:at] + whole[at + 1 :]
        assert proven_lines(changed.splitlines(keepends=True)).trouble is not None, at


CHANGES = {
    "body": lambda one: evolve(one, body=one.body.replace(b"number", b"nubmer")),
    "operation": lambda one: evolve(one, operation="connection.verified"),
    "stamp": lambda one: evolve(one, stamped_at=one.stamped_at + timedelta(microseconds=1)),
    "id": lambda one: evolve(one, receipt_id=type(one.receipt_id)(int=77)),
    "number": lambda one: evolve(one, sequence_no=one.sequence_no + 1),
    "previous": lambda one: evolve(one, previous=b"p" * 32),
    "digest": lambda one: evolve(one, digest=b"d" * 32),
}


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("change", CHANGES)
def test_the_first_receipt_that_was_changed_is_named(change: str, place: int):
    receipts = chain(5)
    receipts[place] = CHANGES[change](receipts[place])

    proof = proven_lines(written(one) for one in receipts)

    assert proof.trouble is not None
    assert proof.trouble.startswith(f"receipt {receipts[place].sequence_no} ")
    assert (proof.last.sequence_no if proof.last else 0) == place


def test_receipts_that_are_missing_swapped_or_doubled_are_found():
    lines = exported(5)

    missing = proven_lines([*lines[:2], *lines[3:]])
    swapped = proven_lines([lines[0], lines[2], lines[1], *lines[3:]])
    doubled = proven_lines([*lines[:2], *lines[1:]])

    assert (missing.trouble or "").startswith("receipt 4 ")
    assert (swapped.trouble or "").startswith("receipt 3 ")
    assert (doubled.trouble or "").startswith("receipt 2 ")


def test_a_chain_that_claims_to_begin_where_it_does_not_is_found():
    lines = exported(3)
    moved = orjson.loads(lines[1])
    moved["previous"] = "00" * 32

    proof = proven_lines([orjson.dumps(moved) + b"\n", lines[2]])

    assert (proof.trouble or "").startswith("receipt 2 ")


ODD = {
    "no JSON": b"receipt\n",
    "no object": b"[]\n",
    "an empty line": b"\n",
    "a doubled key": exported(1)[0].replace(b'"body":', b'"body":"{}","body":'),
    "another key": exported(1)[0].replace(b'"body":', b'"sent":true,"body":'),
    "other spacing": exported(1)[0].replace(b'"body":', b'"body": '),
    "another spelling of the stamp": exported(1)[0].replace(b"+00:00", b"Z"),
    "a stamp beyond all years": orjson.dumps(
        {**orjson.loads(exported(1)[0]), "stamped_at": "0001-01-01T00:00:00+23:59"}
    )
    + b"\n",
    "a digest in capitals": orjson.dumps(
        {**orjson.loads(exported(1)[0]), "digest": chain(1)[0].digest.hex().upper()}
    )
    + b"\n",
    "no line end": exported(1)[0][:-1],
}


@pytest.mark.parametrize("odd", ODD)
def test_a_line_that_is_not_as_it_was_exported_is_found(odd: str):
    with pytest.raises(LineError):
        parsed(ODD[odd])

    proof = proven_lines([*exported(2), ODD[odd]])

    assert (proof.trouble or "").startswith("line 3 is no")
    assert proof.last is not None
    assert proof.last.sequence_no == 2


def test_nothing_is_no_proof():
    assert proven_lines([]) == Proof()
    assert summary(Proof()) == "no receipt is proven"


async def test_rows_are_proven_up_to_the_first_that_is_broken():
    read: list[int] = []

    async def rows():
        receipts = chain(5)
        receipts[2] = evolve(receipts[2], body=b"{}")
        for receipt in receipts:
            read.append(receipt.sequence_no)
            yield receipt

    stream = rows()
    proof = await proven(stream)
    await stream.aclose()

    assert (proof.trouble or "").startswith("receipt 3 ")
    assert read == [1, 2, 3]
