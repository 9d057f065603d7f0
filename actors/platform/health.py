"""Health (EPC-5): how a tenant's connections to one provider fare, all of them together.

Connections are too many to be components there, so their family is one. Telemetry is answered with 202 whatever
comes of it: that of a component it does not know is dropped. A plain token may speak for one tenant only.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson
from attrs import field, frozen
from attrs.validators import and_, ge, le, optional

from actors.platform.memory import Memory
from actors.platform.sibling import Answer, Ask, Sibling
from actors.platform.tokens import TokenSource, bearer

_COMPONENTS = "/v1/health/components"
_TELEMETRY = "/v1/health/telemetry"
_LONGEST_ID = 128
_REMEMBERED = 10_000
_share = and_(ge(0.0), le(1.0))


@frozen(kw_only=True)
class HealthReport:
    """How a tenant's connections to a provider fared until ``at``; what is None was not measured.

    ``error_rate`` and ``saturation`` are shares from 0 to 1: of the calls that failed, of the budget that is spent.
    ``latency_p95`` above 250 ms is DEGRADED there, ``error_rate`` above 0.02 FAILED. ``heartbeat_lag`` is the age of
    the last sign of life. ``labels`` name nothing secret. Two reports of one moment are one there.
    """

    tenant_id: str
    provider_id: str
    at: datetime
    sample_window: timedelta
    error_rate: float | None = field(default=None, validator=optional(_share))
    latency_p95: timedelta | None = None
    heartbeat_lag: timedelta | None = None
    saturation: float | None = field(default=None, validator=optional(_share))
    labels: tuple[tuple[str, str], ...] = ()


class HealthReports(Protocol):
    """The port to whoever watches that the parts of ZeroUI are well."""

    async def report(self, report: HealthReport) -> None:
        """Hand over a report; sent again, it is the same one.

        Raises:
            PlatformUnavailableError: no answer; it may be there. A report that is late is worth little: send the next.
            PlatformRefusedError: it does not understand the report.
            PlatformMisconfiguredError: the token is wrong, or may not speak for this tenant, or the address is wrong.
        """
        ...


@frozen(kw_only=True)
class HealthTerms:
    """How this installation is known in EPC-5.

    ``tenant`` is EPC-5's name of a tenant: ``{tenant}`` in it is replaced by our tenant's id. Where the token may
    speak for one tenant only, it is that one (``tenant-default`` as shipped); components tell ours apart all the same.
    ``policy`` is named by every component, as its numbers count for nothing without. ``enrolled`` is how long we
    believe that EPC-5 still knows a component, as it would not tell.
    """

    environment: str
    tenant: str = "{tenant}"
    plane: str = "Shared"
    owner_team: str = "integration-adapters"
    policy: str = "integration-adapters"
    enrolled: timedelta = timedelta(days=1)
    within: timedelta = timedelta(seconds=5)


class Epc5Health:
    """EPC-5 over HTTP."""

    def __init__(self, epc5: Sibling, tokens: TokenSource, terms: HealthTerms) -> None:
        """Report to ``epc5`` on ``terms``."""
        self._epc5 = epc5
        self._tokens = tokens
        self._terms = terms
        self._enrolled: Memory[str, bool] = Memory(limit=_REMEMBERED)

    async def report(self, report: HealthReport) -> None:
        """See ``HealthReports.report``; a component that it may not know is enrolled first."""
        component = component_id(report.tenant_id, report.provider_id)
        if not self._enrolled.get(component, now=report.at):
            await self._send(report, _COMPONENTS, self._component(report, component), 201)
            self._enrolled.keep(component, True, until=report.at + self._terms.enrolled)
        await self._send(report, _TELEMETRY, self._telemetry(report, component), 202)

    async def _send(
        self, report: HealthReport, path: str, document: dict[str, Any], hoped_for: int
    ) -> None:
        ask = Ask(
            method="POST",
            path=path,
            headers=bearer(self._tokens, report.tenant_id),
            body=orjson.dumps(document),
        )
        answer: Answer = await self._epc5.ask(ask, within=self._terms.within)
        if answer.status != hoped_for:
            raise answer.refusal()

    def _component(self, report: HealthReport, component: str) -> dict[str, Any]:
        return {
            "component_id": component,
            "name": f"{report.provider_id} connections of {report.tenant_id}",
            "component_type": "dependency",
            "plane": self._terms.plane,
            "environment": self._terms.environment,
            "tenant_scope": "tenant",
            "dependencies": [],
            "metrics_profile": ["GOLDEN_SIGNALS"],
            "health_policies": [self._terms.policy],
            "owner_team": self._terms.owner_team,
        }

    def _telemetry(self, report: HealthReport, component: str) -> dict[str, Any]:
        labels = {"provider_id": report.provider_id, "tenant_id": report.tenant_id}
        return {
            "component_id": component,
            "tenant_id": self._terms.tenant.replace("{tenant}", report.tenant_id),
            "plane": self._terms.plane,
            "environment": self._terms.environment,
            "timestamp": report.at.isoformat(),
            "metrics": _metrics(report),
            "labels": {**dict(report.labels), **labels},
            "telemetry_type": "metrics",
        }


def component_id(tenant_id: str, provider_id: str) -> str:
    """What EPC-5 calls a tenant's connections to a provider; of a tenant's id that is too long, a digest."""
    whole = f"m10.{provider_id}.{tenant_id}"
    if len(whole) <= _LONGEST_ID:
        return whole
    return f"m10.{provider_id}.sha256-{hashlib.sha256(tenant_id.encode()).hexdigest()}"


def _metrics(report: HealthReport) -> dict[str, float]:
    """What was measured, under EPC-5's names and in its units."""
    lag, latency, saturation = report.heartbeat_lag, report.latency_p95, report.saturation
    measured = {
        "error_rate": report.error_rate,
        "latency_p95_ms": None if latency is None else latency / timedelta(milliseconds=1),
        "heartbeat_lag_sec": None if lag is None else lag.total_seconds(),
        "saturation_pct": None if saturation is None else saturation * 100,
        "sample_window_sec": report.sample_window.total_seconds(),
    }
    return {name: value for name, value in measured.items() if value is not None}
