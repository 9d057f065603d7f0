"""ERIS (evidence): receipts go out in courier batches, whose Merkle root proves that they arrived as they left.

The single route can not succeed there as shipped, and drops ``tenant_id``. ERIS asks IAM twice for each call and
has about ten calls a second for all tenants together: hence batches.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from attrs import frozen

from actors.platform.errors import PlatformUnavailableError
from actors.platform.evidence import receipt_document
from actors.platform.sibling import Answer, Ask, Sibling
from actors.platform.tokens import TokenSource, bearer
from persistence.records import ReceiptBatch, ReceiptRecord

__all__ = [
    "CourierReceipts",
    "CourierTerms",
    "Receipts",
    "merkle_root",
    "receipt_document",
]

LARGEST_BATCH = 1000
_PATH = "/v1/evidence/receipts/courier-batch"
_SCHEMA_VERSION = "1.0.0"
_IAM_IS_BUSY = re.compile(r"\b(?:429|5[0-9]{2})\b")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Receipts(Protocol):
    """The port to whoever keeps evidence."""

    async def send(self, batch: ReceiptBatch) -> None:
        """Hand over the batch; sent again under the same id, nothing is stored twice.

        One batch of a tenant at a time, in order: its receipts form one hash chain there, which concurrent batches
        would fork.

        Raises:
            PlatformUnavailableError: no answer, or busy; the batch may be there.
            PlatformRefusedError: the batch is wrong (VALIDATION_ERROR).
            PlatformMisconfiguredError: the token or the address is wrong.
            ValueError: the batch is empty or has more than 1,000 receipts.
        """
        ...


@frozen(kw_only=True)
class CourierTerms:
    """How this installation signs its receipts in ERIS, and how long an answer may take."""

    environment: str
    plane: str = "shared_services"
    module_id: str = "M10"
    emitter_service: str = "integration-adapters"
    call: timedelta = timedelta(seconds=10)
    receipt: timedelta = timedelta(milliseconds=100)


class CourierReceipts:
    """ERIS over HTTP."""

    def __init__(self, eris: Sibling, tokens: TokenSource, terms: CourierTerms) -> None:
        """Speak to ``eris``; it lets in tokens whose scope contains ``admin``."""
        self._eris = eris
        self._tokens = tokens
        self._terms = terms

    async def send(self, batch: ReceiptBatch) -> None:
        """See ``Receipts.send``."""
        if not 1 <= len(batch.receipts) <= LARGEST_BATCH:
            raise ValueError(f"a batch has 1 to {LARGEST_BATCH} receipts")
        ask = Ask(
            method="POST",
            path=_PATH,
            headers=bearer(self._tokens, batch.tenant_id),
            body=json.dumps(self._batch_document(batch)).encode("ascii"),
        )
        within = self._terms.call + len(batch.receipts) * self._terms.receipt
        answer = await self._eris.ask(ask, within=within)
        if answer.status != 201:
            raise _no_batch(answer)
        if answer.document().get("batch_id") != str(batch.batch_id):
            raise answer.senseless()

    def _batch_document(self, batch: ReceiptBatch) -> dict[str, Any]:
        """The same for every try: nothing in it is of the moment."""
        receipts = [self._receipt(receipt) for receipt in batch.receipts]
        return {
            "batch_id": str(batch.batch_id),
            "tenant_id": batch.tenant_id,
            "emitter_service": self._terms.emitter_service,
            "sequence_numbers": [str(_microseconds(entry.stamped_at)) for entry in batch.receipts],
            "merkle_root": merkle_root(receipts),
            "receipts": receipts,
            "timestamp": _stamp(batch.receipts[-1].stamped_at),
        }

    def _receipt(self, receipt: ReceiptRecord) -> dict[str, Any]:
        digest = hashlib.sha256(receipt.body).hexdigest()
        return {
            **json.loads(receipt.body),
            "receipt_id": str(receipt.receipt_id),
            "tenant_id": receipt.tenant_id,
            "plane": self._terms.plane,
            "environment": self._terms.environment,
            "module_id": self._terms.module_id,
            "emitter_service": self._terms.emitter_service,
            "gate_id": receipt.operation,
            "evaluation_point": "post-deploy",  # ERIS has no word for run time
            "policy_version_ids": [],
            "snapshot_hash": f"sha256:{digest}",
            "signature": f"sha256:{digest}",  # demanded, free text, verified by nobody
            "schema_version": _SCHEMA_VERSION,
            "timestamp_utc": _stamp(receipt.stamped_at),
            "timestamp_monotonic_ms": _microseconds(receipt.stamped_at) // 1000,
            "evidence_handles": [],
        }


def merkle_root(receipts: Sequence[dict[str, Any]]) -> str:
    """ERIS's Merkle root: leaves are SHA-256 of Python's sorted JSON, parents of the hex texts, odd ones of themselves.

    Raises:
        ValueError: there are no receipts.
    """
    if not receipts:
        raise ValueError("a Merkle tree needs a leaf")
    level = [_sha256(json.dumps(receipt, sort_keys=True, default=str)) for receipt in receipts]
    while len(level) > 1:
        level = [_sha256("".join(level[at : at + 2])) for at in range(0, len(level), 2)]
    return level[0]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _no_batch(answer: Answer) -> Exception:
    """A 401 or 403 whose text says 429 is IAM's rate limit, passed on as if we were nobody."""
    _, text = answer.complaint()
    if answer.status in {401, 403} and _IAM_IS_BUSY.search(text):
        return PlatformUnavailableError("ERIS could not ask IAM: too busy", retry_after=None)
    return answer.refusal()


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
