"""PM-3 (signal ingestion) for development and tests.

Like the real one: 200 even when all is refused, a 422 costs the batch, duplicates are "rejected" without a code,
the fourth failure of a signal is its DLQ, producers are shared by all tenants, and a restart forgets everything.
Unlike it: any token ``valid_token_<tenant>`` is good for that tenant, and data contracts exist from the start, as
nothing can create them over HTTP.

Controls of its own: GET ``/_sim/signals?tenant_id=`` (accepted, in order), POST ``/_sim/forget`` (a restart), POST
``/_sim/contracts`` (``{"signal_type", "required_fields"?, "disallowed_fields"?}``).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from actors.platform.embedded.answers import (
    body_of,
    demand,
    detail,
    fault,
    unprocessable,
)
from actors.platform.embedded.controls import Controls, matching, query_of
from actors.platform.embedded.signal_model import KINDS, PLANES, as_model, faults_of
from adapters.contract import Request, Response
from adapters.simulation import Reply, as_json

_TOKEN = "valid_token_"  # noqa: S105 - the prefix PM-3's own mock looks for
_REMEMBERED = timedelta(hours=24)
_TRIES = 3
_MOST_SIGNALS = 1000
_KEPT = 100_000
_PRODUCERS = "/v1/producers/"
_NON_EMPTY = ("signal_id", "tenant_id", "producer_id", "signal_type", "payload")


class SignalIngestion:
    """PM-3's state: contracts, producers, what it accepted, what it set aside."""

    def __init__(
        self,
        signal_types: Iterable[str],
        *,
        ids: Callable[[], UUID],
        contract_version: str = "1.0.0",
    ) -> None:
        """Start with a contract of ``contract_version`` for each of ``signal_types``."""
        self._ids = ids
        self._version = contract_version
        self._contracts: dict[tuple[str, str], Mapping[str, Any]] = {
            (signal_type, contract_version): {} for signal_type in signal_types
        }
        self._accepted: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._forget()
        own = {
            ("GET", "/_sim/signals"): self._show_signals,
            ("POST", "/_sim/forget"): self._restart,
            ("POST", "/_sim/contracts"): self._set_contract,
        }
        self._controls = Controls(self._perform, own)

    @property
    def accepted(self) -> tuple[Mapping[str, Any], ...]:
        """The last 100,000 signals it accepted, in order; kept over a simulated restart."""
        return tuple(self._accepted)

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer as PM-3 does."""
        return self._controls.handle(request, now=now)

    def _forget(self) -> None:
        self._producers: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, datetime] = {}
        self._highest: dict[str, int] = {}
        self._failures: Counter[str] = Counter()
        self._dlq: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def _perform(self, request: Request, now: datetime) -> Response:
        path = urlsplit(request.url).path
        if request.method == "GET" and path in {"/health", "/ready", "/v1/health", "/v1/ready"}:
            return as_json(200, {"status": "healthy"})
        tenant_id = _tenant(request)
        match request.method, path:
            case "POST", "/v1/signals/ingest":
                return self._ingest(request, tenant_id, now)
            case "GET", "/v1/signals/dlq":
                return self._show_dlq(request, tenant_id)
            case "POST", "/v1/producers/register":
                return self._register(request)
            case (("GET" | "PUT"), _) if path.startswith(_PRODUCERS):
                return self._producer(request, unquote(path.removeprefix(_PRODUCERS)))
            case _:
                raise detail(404, "Not Found")

    def _ingest(self, request: Request, tenant_id: str, now: datetime) -> Response:
        signals = body_of(request).get("signals")
        if not isinstance(signals, list) or not 1 <= len(signals) <= _MOST_SIGNALS:
            message = f"List should have 1 to {_MOST_SIGNALS} items"
            raise unprocessable([fault("list_type", ("signals",), message, None)])
        faults = [wrong for at, signal in enumerate(signals) for wrong in faults_of(signal, at)]
        if faults:
            raise unprocessable(faults)
        results = [self._judge(as_model(signal), tenant_id, now) for signal in signals]
        counted = Counter(result["status"] for result in results)
        summary = {"total": len(results)}
        summary |= {name: counted[name] for name in ("accepted", "rejected", "dlq")}
        return as_json(200, {"results": results, "summary": summary})

    def _judge(self, signal: dict[str, Any], tenant_id: str, now: datetime) -> dict[str, Any]:
        """One signal's result; the first step that fails decides."""
        if signal["tenant_id"] != tenant_id:
            return _result(
                signal, "rejected", "TENANT_ISOLATION_VIOLATION", "Signal of another tenant"
            )
        key = _identity(signal)
        if now - self._seen.get(key, now - _REMEMBERED) < _REMEMBERED:
            return _result(signal, "rejected", None, "Duplicate signal discarded")
        failure = self._failure(signal)
        if failure is not None:
            return self._failed(signal, failure, now)
        warnings = self._order(signal)
        self._prune(now)
        self._seen.pop(key, None)
        self._seen[key] = now
        self._accepted.append(signal)
        return {**_result(signal, "accepted", None, None), "warnings": warnings}

    def _prune(self, now: datetime) -> None:
        while self._seen and now - next(iter(self._seen.values())) >= _REMEMBERED:
            self._seen.pop(next(iter(self._seen)))

    def _order(self, signal: dict[str, Any]) -> list[str]:
        number, producer_id = signal.get("sequence_no"), signal["producer_id"]
        if number is None:
            return []
        last = self._highest.get(producer_id, -1)
        self._highest[producer_id] = max(number, last)
        return [f"Out-of-order signal: sequence_no {number} <= last {last}"] * (number <= last)

    def _failure(self, signal: dict[str, Any]) -> tuple[str, str] | None:
        empty = [name for name in _NON_EMPTY if not signal[name]]
        if empty:
            return "SCHEMA_VIOLATION", f"{empty[0]} is empty"
        producer = self._producers.get(signal["producer_id"])
        if producer is None:
            return "PRODUCER_NOT_REGISTERED", f"Producer {signal['producer_id']} not registered"
        signal_type = signal["signal_type"]
        if (
            signal["signal_kind"] not in producer["allowed_signal_kinds"]
            or signal_type not in producer["allowed_signal_types"]
        ):
            return "SIGNAL_TYPE_NOT_ALLOWED", f"Signal type {signal_type} not allowed"
        version = producer["contract_versions"].get(signal_type)
        return _breach(self._contracts.get((signal_type, version)), signal["payload"])

    def _failed(
        self, signal: dict[str, Any], failure: tuple[str, str], now: datetime
    ) -> dict[str, Any]:
        """The counter goes by bare signal_id, for all tenants, and is never cleared."""
        code, message = failure
        self._failures[signal["signal_id"]] += 1
        tries = self._failures[signal["signal_id"]]
        if tries <= _TRIES:
            return _result(signal, "rejected", code, message)
        entry = {
            "dlq_id": str(self._ids()),
            **{name: signal[name] for name in _NON_EMPTY[:-1]},
            "original_signal": signal,
            "error_code": code,
            "error_message": message,
            "retry_count": tries - 1,
            "created_at": now.isoformat(),
        }
        self._dlq.append(entry)
        return {**_result(signal, "dlq", code, message), "dlq_id": entry["dlq_id"]}

    def _show_dlq(self, request: Request, tenant_id: str) -> Response:
        if query_of(request).get("tenant_id", tenant_id) != tenant_id:
            raise detail(403, "Access denied to other tenant's DLQ")
        entries = [entry for entry in self._dlq if entry["tenant_id"] == tenant_id]
        return as_json(200, {"entries": entries, "total": len(entries)})

    def _register(self, request: Request) -> Response:
        producer = _producer_in(request)
        if producer["producer_id"] in self._producers:
            raise detail(400, f"Producer {producer['producer_id']} already registered")
        self._keep(producer)
        return as_json(201, _registered(producer, "registered"))

    def _producer(self, request: Request, producer_id: str) -> Response:
        """Any tenant's token reads and overwrites any tenant's producer."""
        if request.method == "GET":
            if producer_id not in self._producers:
                raise detail(404, f"Producer {producer_id} not found")
            return as_json(200, {"producer": self._producers[producer_id]})
        producer = _producer_in(request)
        if producer["producer_id"] != producer_id or producer_id not in self._producers:
            raise detail(400, f"Producer {producer_id} not found")
        self._keep(producer)
        return as_json(200, _registered(producer, "updated"))

    def _keep(self, producer: dict[str, Any]) -> None:
        for signal_type, version in producer["contract_versions"].items():
            if (signal_type, str(version)) not in self._contracts:
                raise detail(400, f"Contract {signal_type}:{version} not found")
        self._producers[producer["producer_id"]] = producer

    def _show_signals(self, request: Request) -> Response:
        return as_json(200, {"signals": matching(self._accepted, query_of(request))})

    def _restart(self, request: Request) -> Response:
        self._forget()
        return as_json(200, {"producers": 0})

    def _set_contract(self, request: Request) -> Response:
        contract = body_of(request)
        demand(contract, signal_type=str)
        self._contracts[contract["signal_type"], self._version] = contract
        return as_json(200, {"contracts": len(self._contracts)})


def _tenant(request: Request) -> str:
    token = (request.header("authorization") or "").removeprefix("Bearer ").strip()
    if not token.startswith(_TOKEN) or token == _TOKEN:
        raise detail(401, "Invalid or expired token")
    return token.removeprefix(_TOKEN)


def _identity(signal: Mapping[str, Any]) -> str:
    """What makes a signal the same: with another sequence_no it is another one."""
    number = signal.get("sequence_no")
    tail = "" if number is None else f":{number}"
    return f"{signal['signal_id']}:{signal['producer_id']}{tail}"


def _breach(
    contract: Mapping[str, Any] | None, payload: Mapping[str, Any]
) -> tuple[str, str] | None:
    if contract is None:
        return "SCHEMA_VIOLATION", "No data contract for the signal type"
    missing = [name for name in contract.get("required_fields", ()) if name not in payload]
    if missing:
        return "SCHEMA_VIOLATION", f"Required field missing: {missing[0]}"
    disallowed = [name for name in contract.get("disallowed_fields", ()) if name in payload]
    return ("SCHEMA_VIOLATION", f"Disallowed field: {disallowed[0]}") if disallowed else None


def _result(
    signal: Mapping[str, Any], status: str, code: str | None, message: str | None
) -> dict[str, Any]:
    return {
        "signal_id": signal["signal_id"],
        "status": status,
        "error_code": code,
        "error_message": message,
        "dlq_id": None,
        "warnings": [],
    }


def _producer_in(request: Request) -> dict[str, Any]:
    body = body_of(request)
    demand(body, producer=dict)
    producer: dict[str, Any] = body["producer"]
    demand(
        producer,
        producer_id=str,
        name=str,
        plane=str,
        owner=str,
        allowed_signal_kinds=list,
        allowed_signal_types=list,
        contract_versions=dict,
    )
    if producer["plane"] not in PLANES or any(
        kind not in KINDS for kind in producer["allowed_signal_kinds"]
    ):
        raise unprocessable([fault("enum", ("producer",), "Input is not valid", None)])
    return producer


def _registered(producer: Mapping[str, Any], status: str) -> dict[str, str]:
    return {
        "producer_id": producer["producer_id"],
        "status": status,
        "message": f"Producer {status} successfully",
    }
