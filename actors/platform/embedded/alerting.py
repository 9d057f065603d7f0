"""EPC-4 (alerting) for development and tests.

Like the real one: it stores an alert, or its resolution, and then answers 500, as shipped; an alert with the key of an
earlier one, whichever tenant's, is written over that one and answered with its id; alerts of a tenant and plane within
ten minutes are one incident; and what a caller may do stands in headers that it believes.

Controls of its own: GET ``/_sim/alerts?tenant_id=`` (in order of arrival) and POST ``/_sim/mended`` (``{"mended": true}``:
no more 500 after the row is written).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from attrs import define

from actors.platform.embedded.answers import body_of, crashed, demand, detail, fault, unprocessable
from actors.platform.embedded.bearers import claims_of
from actors.platform.embedded.controls import Controls, matching, query_of
from adapters.contract import Request, Response, Secret
from adapters.simulation import Reply, as_json

_DEMANDED = (
    "alert_id",
    "tenant_id",
    "source_module",
    "plane",
    "environment",
    "component_id",
    "severity",
    "category",
    "summary",
    "started_at",
    "dedup_key",
)
_WINDOW_MINUTES = {"reliability": 10, "security": 5, "P0": 1, "P1": 5}
_OTHER_WINDOW_MINUTES = 15
_ONE_INCIDENT = timedelta(minutes=10)
_ONE = re.compile(r"/v1/alerts/(?P<alert_id>[^/]+)(?P<verb>/resolve|/ack)?")
_OF_THE_FIRST = ("alert_id", "tenant_id", "started_at")


@define(kw_only=True)
class _Row:
    """An alert as it is now, and when it was last written."""

    fields: dict[str, Any]
    written_at: datetime


class AlertingService:
    """EPC-4's state: its alerts by id, in order of arrival."""

    def __init__(self, secret: Secret, *, mended: bool = False) -> None:
        """Let in tokens that are signed with ``secret``; not ``mended``, it fails as shipped."""
        self._secret = secret
        self._mended = mended
        self._rows: dict[str, _Row] = {}
        own = {("GET", "/_sim/alerts"): self._show, ("POST", "/_sim/mended"): self._mend}
        self._controls = Controls(self._perform, own)

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer as EPC-4 does."""
        return self._controls.handle(request, now=now)

    def _perform(self, request: Request, now: datetime) -> Response:
        path = urlsplit(request.url).path
        if request.method == "GET" and path in {"/healthz", "/metrics"}:
            return as_json(200, {"status": "ok"})
        tenants = self._admit(request, now)
        if (request.method, path) == ("POST", "/v1/alerts"):
            return self._take(request, tenants, now)
        one = _ONE.fullmatch(path)
        if one is None:
            raise detail(404, "Not Found")
        row = self._rows.get(unquote(one["alert_id"]))
        if row is None or not _covers(tenants, row.fields["tenant_id"]):
            raise detail(404, "Alert not found")
        match request.method, one["verb"]:
            case "GET", None:
                return as_json(200, row.fields)
            case "POST", "/resolve":
                return self._settle(row, "resolved", request, now)
            case "POST", "/ack":
                return self._settle(row, "acknowledged", request, now)
            case _:
                raise detail(405, "Method Not Allowed")

    def _admit(self, request: Request, now: datetime) -> frozenset[str]:
        """Whose alerts the caller may touch; its headers widen that, on trust."""
        claims = claims_of(request, self._secret, demanded=("sub", "tenant_id"), now=now)
        if claims is None:
            raise detail(401, "Invalid authentication credentials")
        tenant_id = request.header("x-tenant-id")
        if tenant_id is None:
            raise detail(400, "X-Tenant-ID header required")
        if tenant_id != claims["tenant_id"]:
            raise detail(403, "Tenant mismatch")
        is_global = "global_admin" in _headed(request, "x-roles")
        more = ("*",) if is_global else _headed(request, "x-allow-tenants")
        return frozenset({tenant_id, *more})

    def _take(self, request: Request, tenants: frozenset[str], now: datetime) -> Response:
        alert = body_of(request)
        demand(alert, **dict.fromkeys(_DEMANDED, str))
        _check_time(alert)
        if not _covers(tenants, alert["tenant_id"]):
            raise detail(403, "Tenant access denied")
        row = self._earlier(alert, now)
        if row is None:
            made = {"status": "open", **alert, "incident_id": self._incident(alert, now)}
            self._rows[alert["alert_id"]] = row = _Row(fields=made, written_at=now)
        else:
            changed = {name: value for name, value in alert.items() if name not in _OF_THE_FIRST}
            row.fields |= {"status": "open", **changed}
            row.written_at = now
        return self._answer(row)

    def _earlier(self, alert: dict[str, Any], now: datetime) -> _Row | None:
        """The row of that id, or one of that key within its window: any tenant's."""
        if alert["alert_id"] in self._rows:
            return self._rows[alert["alert_id"]]
        since = now - _window(alert)
        return next(
            (
                row
                for row in self._rows.values()
                if row.fields["dedup_key"] == alert["dedup_key"] and row.written_at > since
            ),
            None,
        )

    def _incident(self, alert: dict[str, Any], now: datetime) -> str:
        """One for all that comes from a tenant and plane within ten minutes."""
        for row in self._rows.values():
            same = all(row.fields[name] == alert[name] for name in ("tenant_id", "plane"))
            if same and row.written_at > now - _ONE_INCIDENT:
                return str(row.fields["incident_id"])
        return f"inc-{alert['alert_id']}"

    def _settle(self, row: _Row, status: str, request: Request, now: datetime) -> Response:
        wish = body_of(request)
        demand(wish, actor=str)
        row.fields |= {"status": status}
        row.written_at = now
        return self._answer(row)

    def _answer(self, row: _Row) -> Response:
        """The row is written by now, whatever comes out."""
        if not self._mended:
            raise crashed()
        told = ("alert_id", "status", "incident_id")
        return as_json(200, {name: row.fields[name] for name in told})

    def _show(self, request: Request) -> Response:
        rows = [row.fields for row in self._rows.values()]
        return as_json(200, {"alerts": matching(rows, query_of(request))})

    def _mend(self, request: Request) -> Response:
        wish = body_of(request)
        demand(wish, mended=bool)
        self._mended = wish["mended"]
        return as_json(200, {"mended": self._mended})


def _window(alert: dict[str, Any]) -> timedelta:
    by_severity = _WINDOW_MINUTES.get(alert["severity"], _OTHER_WINDOW_MINUTES)
    return timedelta(minutes=_WINDOW_MINUTES.get(alert["category"], by_severity))


def _check_time(alert: dict[str, Any]) -> None:
    try:
        datetime.fromisoformat(alert["started_at"])
    except ValueError as reason:
        message = "Input should be a valid datetime"
        wrong = fault("datetime_parsing", ("started_at",), message, alert["started_at"])
        raise unprocessable([wrong]) from reason


def _covers(tenants: frozenset[str], tenant_id: object) -> bool:
    return "*" in tenants or tenant_id in tenants


def _headed(request: Request, name: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in (request.header(name) or "").split(","))
