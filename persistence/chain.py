"""A tenant's receipts as a hash chain: how a receipt is bound to the one before it, and how that is proven."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from persistence.changes import ChainedReceipt

START = bytes(32)
"""What the first receipt of a chain has for ``previous``."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


def link(
    sequence_no: int,
    stamped_at: datetime,
    receipt_id: UUID,
    operation: str,
    body: bytes,
    previous: bytes,
) -> bytes:
    """The digest of a receipt: SHA-256, 32 bytes, over six fields in the order of the parameters.

    Each field is preceded by its length in bytes, as four bytes, big-endian. The fields are:

    1. ``sequence_no`` in decimal digits (ASCII); 1 is the tenant's first;
    2. ``stamped_at`` as whole microseconds since 1970-01-01T00:00:00Z in decimal digits (ASCII), no leap seconds;
    3. ``receipt_id`` as its 16 bytes, most significant first (RFC 9562);
    4. ``operation`` in UTF-8;
    5. ``body`` byte for byte as it is kept: JSON in UTF-8 (written with sorted keys and no white space);
    6. ``previous``: the digest of the receipt before it, or 32 zero bytes for the first.

    It never changes: every chain that was ever written is verified by it.
    """
    fields = (
        b"%d" % sequence_no,
        b"%d" % ((stamped_at - _EPOCH) // _INSTANT),
        receipt_id.bytes,
        operation.encode(),
        body,
        previous,
    )
    return hashlib.sha256(b"".join(measured(field) for field in fields)).digest()


def measured(field: bytes) -> bytes:
    """A field of what is hashed, behind its length."""
    return len(field).to_bytes(4, "big") + field


def following(last: datetime | None, wanted: datetime) -> datetime:
    """The stamp of the next receipt: when it was made, but always later than the one before."""
    return wanted if last is None else max(wanted, last + _INSTANT)


def verify_chain(receipts: Iterable[ChainedReceipt]) -> ChainedReceipt | None:
    """The first receipt that does not follow from the ones before it, or None: the chain holds.

    ``receipts`` are one tenant's, by ascending ``sequence_no``. They may begin anywhere, because old receipts are
    forgotten; what the first of them follows can then not be known and is believed.
    """
    kept = tuple(receipts)
    if kept and not _begins(kept[0]):
        return kept[0]
    for before, receipt in pairwise(kept):
        if not (_holds(receipt) and _follows(before, receipt)):
            return receipt
    return None


def _begins(receipt: ChainedReceipt) -> bool:
    is_first = receipt.sequence_no == 1
    return _holds(receipt) and is_first == (receipt.previous == START)


def _follows(before: ChainedReceipt, receipt: ChainedReceipt) -> bool:
    return (
        receipt.tenant_id == before.tenant_id
        and receipt.sequence_no == before.sequence_no + 1
        and receipt.stamped_at > before.stamped_at
        and receipt.previous == before.digest
    )


def _holds(receipt: ChainedReceipt) -> bool:
    return receipt.digest == link(
        receipt.sequence_no,
        receipt.stamped_at,
        receipt.receipt_id,
        receipt.operation,
        receipt.body,
        receipt.previous,
    )
