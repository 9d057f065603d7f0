"""EPC-5 (health) for development and tests.

Like the real one: any token that starts with ``valid_epc1_`` is good, for ``tenant-default`` alone unless ``admin`` or
``cross`` stands in it, and for reading alone where ``readonly`` does; telemetry is answered with 202 and dropped later
if its component is unknown; a component's numbers count only if it names a policy; two reports of one moment are one.

Controls of its own: GET ``/_sim/telemetry?tenant_id=`` and GET ``/_sim/dropped`` (what came, in order, of known and of
unknown components), POST ``/_sim/forget`` (the components are gone, as after a loss of its database).
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from actors.platform.embedded.answers import (
    body_of,
    demand,
    detail,
    fault,
    unprocessable,
)
from actors.platform.embedded.bearers import bearer_of
from actors.platform.embedded.controls import Controls, matching, query_of
from adapters.contract import Request, Response
from adapters.simulation import Reply, as_json

_BASE = "/v1/health"
_TOKEN = "valid_epc1_"  # noqa: S105 - the prefix EPC-5's own mock looks for
_DEFAULT_TENANT = "tenant-default"
_WORDS = {
    "component_type": ("service", "agent", "dependency", "plane", "composite_group"),
    "plane": ("Laptop", "Tenant", "Product", "Shared"),
    "environment": ("dev", "test", "stage", "prod"),
    "tenant_scope": ("tenant", "global", "shared"),
    "telemetry_type": ("metrics", "probe", "heartbeat"),
}
_MOST_METRICS, _MOST_LABELS = 64, 100
_DEGRADED_MS, _FAILED_RATE = 250, 0.02
_KEPT = 10_000


class HealthService:
    """EPC-5's state: components, and the telemetry that came, by component and time."""

    def __init__(self) -> None:
        """Start without components."""
        self._components: dict[str, dict[str, Any]] = {}
        self._snapshots: dict[tuple[str, str], dict[str, Any]] = {}
        self._dropped: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        own = {
            ("GET", "/_sim/telemetry"): self._show,
            ("GET", "/_sim/dropped"): self._show_dropped,
            ("POST", "/_sim/forget"): self._forget,
        }
        self._controls = Controls(self._perform, own)

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer as EPC-5 does."""
        return self._controls.handle(request, now=now)

    def _perform(self, request: Request, now: datetime) -> Response:
        path = urlsplit(request.url).path
        if request.method == "GET" and path in {"/healthz", "/metrics"}:
            return as_json(200, {"status": "ok"})
        token = _token(request)
        match request.method, path.removeprefix(_BASE):
            case "POST", "/components":
                return self._enrol(request, token)
            case "POST", "/telemetry":
                return self._take(request, token)
            case "GET", "/components":
                return as_json(200, list(self._components.values()))
            case "GET", below if below.startswith("/components/"):
                return self._show_component(unquote(below.removeprefix("/components/")))
            case _:
                raise detail(404, "Not Found")

    def _enrol(self, request: Request, token: str) -> Response:
        _may_write(token)
        component = body_of(request)
        demand(component, component_id=str, name=str, metrics_profile=list, health_policies=list)
        _check_words(component, "component_type", "plane", "environment", "tenant_scope")
        component_id = component["component_id"]
        if not 3 <= len(component_id) <= 128:
            message = "String should have 3 to 128 characters"
            wrong = fault("string_length", ("component_id",), message, component_id)
            raise unprocessable([wrong])
        self._components[component_id] = component
        answer = {"component_id": component_id, "enrolled": True, "message": "enrolled"}
        return as_json(201, answer)

    def _take(self, request: Request, token: str) -> Response:
        _may_write(token)
        report = body_of(request)
        demand(report, component_id=str, timestamp=str, metrics=dict, labels=dict)
        _check_words(report, "plane", "environment", "telemetry_type")
        _check_measures(report)
        report["tenant_id"] = _tenant(report.get("tenant_id"), token)
        if report["component_id"] in self._components:
            self._snapshots[report["component_id"], report["timestamp"]] = report
        else:
            self._dropped.append(report)
        return as_json(202, {"accepted": 1})

    def _show_component(self, below: str) -> Response:
        component_id, _, what = below.partition("/")
        component = self._components.get(component_id)
        if component is None or what not in {"", "status"}:
            raise detail(404, "Component not found")
        if not what:
            return as_json(200, component)
        reports = matching(self._snapshots.values(), {"component_id": component_id})
        counted = reports if component["health_policies"] else []
        latest = max(counted, key=_time_of, default=None)
        state = "UNKNOWN" if latest is None else _judged(latest["metrics"])
        return as_json(200, {"component_id": component_id, "state": state})

    def _show(self, request: Request) -> Response:
        rows = matching(self._snapshots.values(), query_of(request))
        return as_json(200, {"telemetry": rows})

    def _show_dropped(self, request: Request) -> Response:
        return as_json(200, {"telemetry": matching(self._dropped, query_of(request))})

    def _forget(self, request: Request) -> Response:
        self._components.clear()
        return as_json(200, {"components": 0})


def _token(request: Request) -> str:
    if request.header("authorization") is None:
        missing = {"type": "missing", "loc": ["header", "authorization"], "msg": "Field required"}
        raise unprocessable([{**missing, "input": None}])
    token = bearer_of(request) or ""
    if not token.startswith(_TOKEN):
        raise detail(401, "Invalid token")
    return token


def _may_write(token: str) -> None:
    if "readonly" in token:
        raise detail(403, "Permission denied")


def _tenant(named: object, token: str) -> str:
    if any(word in token for word in ("admin", "cross")):
        return str(named or _DEFAULT_TENANT)
    if named is not None and named != _DEFAULT_TENANT:
        raise detail(403, "Tenant access denied")
    return _DEFAULT_TENANT


def _check_words(document: dict[str, Any], *names: str) -> None:
    wrong = [
        fault("literal_error", (name,), f"Input should be {_WORDS[name]}", document.get(name))
        for name in names
        if document.get(name) not in _WORDS[name]
    ]
    if wrong:
        raise unprocessable(wrong)


def _check_measures(report: dict[str, Any]) -> None:
    metrics, labels = report["metrics"], report["labels"]
    numbers = all(isinstance(value, int | float) for value in metrics.values())
    texts = all(isinstance(value, str) for value in labels.values())
    if not numbers or len(metrics) > _MOST_METRICS:
        raise unprocessable([fault("float_type", ("metrics",), "Input is not valid", None)])
    if not texts or len(labels) > _MOST_LABELS:
        raise unprocessable([fault("string_type", ("labels",), "Input is not valid", None)])


def _judged(metrics: dict[str, float]) -> str:
    if metrics.get("error_rate", 0) > _FAILED_RATE:
        return "FAILED"
    return "DEGRADED" if metrics.get("latency_p95_ms", 0) > _DEGRADED_MS else "OK"


def _time_of(report: dict[str, Any]) -> str:
    return str(report["timestamp"])
