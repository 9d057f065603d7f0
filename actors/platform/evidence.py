"""What a receipt says (PRD, FR-13), cleaned so that no secret and none of ERIS's forbidden words is in it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

_FORBIDDEN = re.compile("password|secret|token|api_key|ssn|credit_card", re.IGNORECASE)
_EMITTER = "integration-adapters"  # ERIS demands a repo_id of every actor
_MASK = "***"
_HIDDEN = "[redacted]"
_LONGEST_TEXT = 1000
_MOST_ENTRIES = 100
_DEEPEST = 8
_LARGEST_WHOLE = 2**53


def receipt_document(  # noqa: PLR0913 - FR-13's list
    *,
    tenant_id: str,
    connection_id: UUID | None,
    provider_id: str,
    operation: str,
    request: Mapping[str, Any],
    result: Mapping[str, Any],
    correlation_id: str | None,
    succeeded: bool,
) -> bytes:
    """The JSON body of a ``NewReceipt``: inputs, result, decision and actor as ERIS names them, cleaned.

    ``request`` and ``result`` are metadata: ids, statuses, sizes; never bodies. ``correlation_id`` links back to
    what asked for it. Values under keys that sound like secrets are dropped and the words themselves masked
    everywhere; long texts, long lists and deep nesting are cut.
    """
    inputs = {
        "tenant_id": tenant_id,
        "connection_id": None if connection_id is None else str(connection_id),
        "provider_id": provider_id,
        "operation": operation,
        "request": request,
        "correlation_id": correlation_id,
    }
    document = {
        "inputs": _clean(inputs, _DEEPEST),
        "result": _clean({**result, "succeeded": succeeded}, _DEEPEST),
        "decision": {
            "status": "pass" if succeeded else "warn",  # nothing was blocked by a gate of ours
            "rationale": _clean_text(f"{operation} {'succeeded' if succeeded else 'failed'}"),
            "badges": [],
        },
        "actor": {"repo_id": _EMITTER, "type": "service"},
    }
    return orjson.dumps(document)


def _clean(value: object, depth: int) -> Any:  # noqa: ANN401 - JSON
    match value:
        case str():
            return _clean_text(value)
        case None | bool():
            return value
        case int() | float():
            return _clean_number(value)
        case Mapping() if depth:
            entries = list(value.items())[:_MOST_ENTRIES]
            return dict(_clean_entry(str(key), entry, depth) for key, entry in entries)
        case list() | tuple() if depth:
            return [_clean(entry, depth - 1) for entry in value[:_MOST_ENTRIES]]
        case _:
            return _HIDDEN


def _clean_entry(key: str, value: object, depth: int) -> tuple[str, Any]:
    if _FORBIDDEN.search(key):
        return _clean_text(key), _HIDDEN
    return _clean_text(key), _clean(value, depth - 1)


def _clean_text(text: str) -> str:
    """Without forbidden words, NUL and lone surrogates (PostgreSQL's jsonb refuses both), and not too long."""
    masked = _FORBIDDEN.sub(_MASK, text)[:_LONGEST_TEXT]
    return masked.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _clean_number(number: float) -> int | float | str:
    """As text where JSON readers disagree: no number, or a whole one beyond 53 bits (the Merkle root needs one answer)."""
    fits = math.isfinite(number) and abs(number) <= _LARGEST_WHOLE
    return number if fits else str(number)
