"""A tenant's receipts as lines of JSON, with all that their digests cover and nothing else; and the proof of them."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import orjson
from attrs import evolve, frozen
from msgspec import Meta

from adapters.schema import ShapeError, read
from persistence.chain import START, verify_chain
from persistence.changes import ChainedReceipt

LONGEST_LINE_BYTES = 1_000_000
_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class LineError(Exception):
    """A line is not as an export writes it, so it was changed, or is no receipt at all."""


@frozen(kw_only=True)
class ReceiptLine:
    """One line. ``body`` is the receipt's own JSON as it is kept, as a text: its digest is over its bytes."""

    sequence_no: Annotated[int, Meta(ge=1)]
    stamped_at: Annotated[datetime, Meta(tz=True)]
    receipt_id: UUID
    operation: str
    body: str
    previous: _Digest
    digest: _Digest


@frozen(kw_only=True)
class Proof:
    """What is proven of a chain so far: ``first`` to ``last`` are whole; ``trouble``: what does not follow from them."""

    first: ChainedReceipt | None = None
    last: ChainedReceipt | None = None
    trouble: str | None = None


def written(receipt: ChainedReceipt) -> bytes:
    """The receipt's line, with its end."""
    return orjson.dumps(
        {
            "sequence_no": receipt.sequence_no,
            "stamped_at": receipt.stamped_at.astimezone(UTC),
            "receipt_id": receipt.receipt_id,
            "operation": receipt.operation,
            "body": receipt.body.decode(),
            "previous": receipt.previous.hex(),
            "digest": receipt.digest.hex(),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def parsed(line: bytes) -> ChainedReceipt:
    """The receipt that ``line`` (with its end) says.

    Raises:
        LineError: it is not, byte for byte, what ``written`` makes of a receipt.
    """
    try:
        said = read(orjson.loads(line), ReceiptLine)
    except (ValueError, ShapeError) as error:
        raise LineError("is no receipt") from error
    receipt = ChainedReceipt(
        receipt_id=said.receipt_id,
        tenant_id="",  # in its body, where the digest covers it
        connection_id=None,
        operation=said.operation,
        sequence_no=said.sequence_no,
        stamped_at=said.stamped_at,
        previous=bytes.fromhex(said.previous),
        digest=bytes.fromhex(said.digest),
        body=said.body.encode(),
        sent=False,
    )
    if not _is_of(receipt, line):
        raise LineError("is not as it was exported")
    return receipt


def _is_of(receipt: ChainedReceipt, line: bytes) -> bool:
    try:
        return written(receipt) == line
    except OverflowError:  # a stamp that UTC has no year for
        return False


def further(proof: Proof, receipt: ChainedReceipt) -> Proof:
    """What is proven with the receipt that comes next."""
    before = () if proof.last is None else (proof.last,)
    if verify_chain((*before, receipt)) is not None:
        said = f"receipt {receipt.sequence_no} ({receipt.receipt_id})"
        return evolve(proof, trouble=f"{said} was changed, or does not follow the one before it")
    return evolve(proof, first=proof.first or receipt, last=receipt)


def proven_lines(lines: Iterable[bytes]) -> Proof:
    """The proof of an export, up to its first trouble."""
    proof = Proof()
    for number, line in enumerate(lines, 1):
        try:
            receipt = parsed(line)
        except LineError as error:
            return evolve(proof, trouble=f"line {number} {error}")
        proof = further(proof, receipt)
        if proof.trouble is not None:
            break
    return proof


async def proven(receipts: AsyncIterable[ChainedReceipt]) -> Proof:
    """The proof of a chain, up to its first trouble."""
    proof = Proof()
    async for receipt in receipts:
        proof = further(proof, receipt)
        if proof.trouble is not None:
            break
    return proof


def summary(proof: Proof) -> str:
    """What is proven, in a line."""
    first, last = proof.first, proof.last
    if first is None or last is None:
        return "no receipt is proven"
    begins = (
        "the first of their tenant"
        if first.previous == START
        else "older ones are not here, and what these follow is believed"
    )
    return (
        f"whole from {first.sequence_no} to {last.sequence_no} ({begins}); "
        f"the last is of {last.stamped_at.isoformat()}, its digest {last.digest.hex()}"
    )
