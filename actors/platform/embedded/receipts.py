"""ERIS (evidence) for development and tests: courier batches, search and chain verification.

Like the real one: it asks IAM twice for each call and passes IAM's rate limit on as a 401, wants a scope that names
a role, trusts the tenant in the body, says "completed" even when single receipts failed, stores a batch and a
receipt once, and its hash chain forks where two receipts have the same time.

Control of its own: GET ``/_sim/receipts?tenant_id=`` (stored, in order).
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from itertools import pairwise
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from actors.platform.embedded.answers import (
    bare_error,
    body_of,
    crashed,
    demand,
    detail,
    error,
)
from actors.platform.embedded.controls import Controls, matching, query_of
from actors.platform.embedded.limits import RateLimit
from adapters.contract import Request, Response
from adapters.simulation import Reply, as_json

_BASE = "/v1/evidence"
_OPEN = frozenset({f"{_BASE}/health", f"{_BASE}/metrics", f"{_BASE}/config"})
_ROLES = ("admin", "product_ops", "tenant_admin")
_LARGEST_PAGE = 1000


class Iam(Protocol):
    """What ERIS needs of IAM."""

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer as IAM does."""
        ...


class EvidenceService:
    """ERIS's state: receipts with their place in the chain, by tenant and receipt id."""

    def __init__(self, iam: Iam) -> None:
        """Ask ``iam``, in process, who calls and what it may."""
        self._iam = iam
        self._batches: set[str] = set()
        self._receipts: dict[tuple[str, str], dict[str, Any]] = {}
        self._chain_ends: dict[str, dict[str, Any]] = {}
        """By chain: the row with the greatest time, which the next one follows."""
        self._limit = RateLimit((1000, 10))
        self._controls = Controls(self._perform, {("GET", "/_sim/receipts"): self._show})

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer as ERIS does."""
        return self._controls.handle(request, now=now)

    def _perform(self, request: Request, now: datetime) -> Response:
        path = urlsplit(request.url).path
        if path in _OPEN:
            return as_json(200, {"status": "healthy"})
        scope = self._verify(request, now)
        if not self._limit.admits(path, now=now):
            raise bare_error(429, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded", retry_after=10)
        match request.method, path.removeprefix(_BASE):
            case "POST", "/receipts/courier-batch":
                self._decide(scope, "evidence:write", now)
                return self._take(request)
            case "POST", "/search":
                self._decide(scope, "evidence:read", now)
                return self._search(request)
            case "POST", "/verify_range":
                self._decide(scope, "evidence:read", now)
                return self._verify_range(request)
            case _:
                raise detail(404, "Not Found")

    def _verify(self, request: Request, now: datetime) -> list[str]:
        token = (request.header("authorization") or "").removeprefix("Bearer ").strip()
        if not token:
            raise bare_error(401, "UNAUTHENTICATED", "Authorization required")
        status, answer = self._ask("verify", {"token": token}, now)
        if status != 200:
            raise bare_error(401, "UNAUTHENTICATED", f"IAM verification failed: {status}")
        return [str(entry) for entry in answer["scope"]]

    def _decide(self, scope: list[str], action: str, now: datetime) -> None:
        roles = [entry for entry in scope if entry in _ROLES or entry.startswith("role:")]
        wish = {
            "subject": {"sub": "eris", "roles": roles},
            "action": action,
            "resource": "evidence",
        }
        status, answer = self._ask("decision", wish, now)
        if status != 200:
            raise detail(403, f"Access denied: IAM decision failed: {status}")
        if answer["decision"] != "ALLOW":
            raise detail(403, f"Access denied: {answer['reason']}")

    def _ask(
        self, what: str, document: dict[str, Any], now: datetime
    ) -> tuple[int, dict[str, Any]]:
        request = Request(
            method="POST",
            url=f"/iam/v1/{what}",
            headers=(("x-client-id", "eris"),),
            body=orjson.dumps(document),
        )
        response = self._iam.handle(request, now=now).response
        if response is None:
            return 503, {}
        return response.status, orjson.loads(response.body)

    def _take(self, request: Request) -> Response:
        batch = _parsed(request)
        demand(
            batch,
            batch_id=str,
            tenant_id=str,
            emitter_service=str,
            sequence_numbers=list,
            merkle_root=str,
            receipts=list,
            timestamp=str,
        )
        if not _is_uuid(batch["batch_id"]):
            raise crashed()
        expected = merkle(batch["receipts"])
        if batch["merkle_root"] != expected:
            message = f"Merkle root mismatch: expected {expected}, got {batch['merkle_root']}"
            raise error(400, "VALIDATION_ERROR", message)
        if batch["batch_id"] not in self._batches:
            self._batches.add(batch["batch_id"])
            for receipt in filter(_is_object, batch["receipts"]):
                self._keep(batch["tenant_id"], receipt)
        answer = {"batch_id": batch["batch_id"], "status": "completed"}
        answer |= {"timestamp": batch["timestamp"]}
        return as_json(201, {**answer, "receipt_count": len(batch["receipts"])})

    def _keep(self, tenant_id: str, receipt: dict[str, Any]) -> None:
        """A receipt that fails leaves no word of it."""
        key = (tenant_id, str(receipt.get("receipt_id")))
        if (
            not _is_uuid(key[1])
            or not isinstance(receipt.get("timestamp_utc"), str)
            or key in self._receipts
        ):
            return
        emitter = receipt.get("emitter_service", receipt.get("gate_id", "unknown"))
        place = f"{receipt.get('plane', 'unknown')}:{receipt.get('environment', 'unknown')}"
        chain_id = f"{tenant_id}:{place}:{emitter}"
        last = self._chain_ends.get(chain_id)
        row = self._receipts[key] = {
            **receipt,
            "tenant_id": tenant_id,
            "chain_id": chain_id,
            "hash": _sha256(_canonical(receipt)),
            "prev_hash": None if last is None else last["hash"],
            "signature_verification_status": "not_present",
        }
        if last is None or row["timestamp_utc"] > last["timestamp_utc"]:
            self._chain_ends[chain_id] = row

    def _search(self, request: Request) -> Response:
        wish = body_of(request)
        demand(wish, tenant_id=str)
        limit, cursor = wish.pop("limit", 100), str(wish.pop("cursor", None) or 0)
        if not isinstance(limit, int) or not 1 <= limit <= _LARGEST_PAGE or not cursor.isdecimal():
            raise error(400, "VALIDATION_ERROR", "limit must be from 1 to 1000, cursor a page's")
        start = int(cursor)
        found = matching(self._receipts.values(), wish)
        page = found[start : start + limit]
        after = str(start + limit) if start + limit < len(found) else None
        return as_json(200, {"receipts": page, "next_cursor": after, "total_count": len(found)})

    def _verify_range(self, request: Request) -> Response:
        """Follow the chain by time: each names the hash of the one before."""
        wish = body_of(request)
        demand(wish, tenant_id=str, chain_id=str, from_timestamp=str, to_timestamp=str)
        rows = sorted(
            (
                row
                for row in self._receipts.values()
                if row["chain_id"] == wish["chain_id"]
                and wish["from_timestamp"] <= row["timestamp_utc"] <= wish["to_timestamp"]
            ),
            key=_time_of,
        )
        gaps = [
            row["receipt_id"]
            for before, row in pairwise(rows)
            if row["prev_hash"] != before["hash"]
        ]
        return as_json(200, {"valid": not gaps, "receipt_count": len(rows), "gaps": gaps})

    def _show(self, request: Request) -> Response:
        rows = matching(self._receipts.values(), query_of(request))
        return as_json(200, {"receipts": rows})


def merkle(receipts: list[Any]) -> str:
    """ERIS's own reckoning of the root, from what JSON parsing gives back."""
    layer = [_sha256(_canonical(receipt)) for receipt in receipts] or [_sha256("")]
    while len(layer) > 1:
        pairs, odd = divmod(len(layer), 2)
        above = [_sha256(layer[2 * at] + layer[2 * at + 1]) for at in range(pairs)]
        layer = above + ([_sha256(layer[-1])] if odd else [])
    return layer[0]


def _time_of(row: dict[str, Any]) -> str:
    return str(row["timestamp_utc"])


def _canonical(receipt: object) -> str:
    return json.dumps(receipt, sort_keys=True, default=str)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _parsed(request: Request) -> dict[str, Any]:
    """As Python's own parser reads it: numbers as the Merkle root will write them."""
    body_of(request)
    parsed: dict[str, Any] = json.loads(request.body)
    return parsed


def _is_object(receipt: object) -> bool:
    return isinstance(receipt, dict)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
