"""Alerting (EPC-4): people are told once when something goes bad, and once when it is over.

As shipped it stores an alert and then answers 500, to a resolution too; so after a failure it is asked what it has.
It looks for an earlier alert of the same key across all tenants, and updates that one instead: the tenant is part of
the key.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypeAlias
from uuid import UUID

import orjson
from attrs import frozen

from actors.platform.errors import PlatformMisconfiguredError, PlatformUnavailableError
from actors.platform.memory import Memory
from actors.platform.sibling import Answer, Ask, Sibling
from actors.platform.tokens import TokenSource, bearer
from adapters.redaction import redact_text

_ALERTS = "/v1/alerts"
_LONGEST_SUMMARY = 300
_REMEMBERED = 10_000
_REMEMBERED_FOR = timedelta(days=30)

Severity: TypeAlias = Literal["P0", "P1", "P2", "P3"]
"""EPC-4 wakes somebody for P0 and P1 and sends mail for the rest."""


@frozen(kw_only=True)
class Incident:
    """Something about a connection that a person should know of, or that is over again (``resolved_at``).

    ``kind`` is what goes bad (``circuit_open``, ``needs_login``, ``action_unsure`` ...). ``alert_id`` is kept from
    try to try and from opening to resolution. ``summary`` is one line of our own: no payload, no secret; what looks
    like one is masked.
    """

    alert_id: UUID
    tenant_id: str
    connection_id: UUID
    provider_id: str
    kind: str
    severity: Severity
    summary: str
    opened_at: datetime
    resolved_at: datetime | None = None

    @property
    def dedup_key(self) -> str:
        """What EPC-4 recognises the same trouble by, within minutes."""
        return f"m10:{self.tenant_id}:{self.connection_id}:{self.kind}"


class Incidents(Protocol):
    """The port to whoever wakes people."""

    async def tell(self, incident: Incident) -> None:
        """Tell of the incident, or, when it is resolved, that it is over; told again, it is one incident.

        Raises:
            PlatformUnavailableError: no answer, or one that may mean anything; tell again with the same ``alert_id``.
            PlatformRefusedError: it does not understand the alert.
            PlatformMisconfiguredError: the token, the tenant's id or the address is wrong.
        """
        ...


@frozen(kw_only=True)
class AlertTerms:
    """How this installation signs its alerts in EPC-4."""

    environment: str
    plane: str = "shared_services"
    source_module: str = "M10"
    category: str = "reliability"
    service: str = "integration-adapters"
    within: timedelta = timedelta(seconds=5)


class Epc4Incidents:
    """EPC-4 over HTTP."""

    def __init__(self, epc4: Sibling, tokens: TokenSource, terms: AlertTerms) -> None:
        """Tell ``epc4``, whose header must name the tenant that the token does."""
        self._epc4 = epc4
        self._tokens = tokens
        self._terms = terms
        self._kept_as: Memory[str, str] = Memory(limit=_REMEMBERED)
        """By dedup key: the alert that EPC-4 put ours into, which may be an earlier one."""

    async def tell(self, incident: Incident) -> None:
        """See ``Incidents.tell``."""
        if incident.resolved_at is None or not await self._resolve(incident):
            await self._post(incident)

    async def _post(self, incident: Incident) -> None:
        answer = await self._write(incident, _ALERTS, self._alert(incident))
        if answer is None:
            return
        if answer.status != 200:
            raise answer.refusal()
        alert_id = answer.document().get("alert_id")
        if not isinstance(alert_id, str):
            raise answer.senseless()
        self._remember(incident, alert_id)

    async def _resolve(self, incident: Incident) -> bool:
        """False: EPC-4 has no such alert, as it never came or went into an earlier one; its key may still find it."""
        path = f"{_ALERTS}/{self._places(incident)[-1]}/resolve"
        done = {"actor": self._terms.service, "reason": _clean(incident.summary)}
        answer = await self._write(incident, path, done)
        if answer is None or answer.status == 200:
            return True
        if answer.status != 404:
            raise answer.refusal()
        return False

    async def _write(
        self, incident: Incident, path: str, document: dict[str, Any]
    ) -> Answer | None:
        """The answer; None where there was none that says anything, and EPC-4 has it all the same."""
        try:
            return await self._ask(incident, "POST", path, orjson.dumps(document))
        except PlatformUnavailableError as error:
            failure = error
        for alert_id in self._places(incident):
            if await self._stands(incident, alert_id):
                self._remember(incident, alert_id)
                return None
        raise failure

    async def _stands(self, incident: Incident, alert_id: str) -> bool:
        """Whether that alert is there, and open or resolved as the incident is."""
        answer = await self._ask(incident, "GET", f"{_ALERTS}/{alert_id}")
        if answer.status == 404:
            return False
        if answer.status != 200:
            raise answer.refusal()
        is_over = answer.document().get("status") == "resolved"
        return is_over == (incident.resolved_at is not None)

    def _places(self, incident: Incident) -> tuple[str, ...]:
        """Where the incident may stand: under its own id, and in the alert where its key was last."""
        own = str(incident.alert_id)
        earlier = self._kept_as.get(incident.dedup_key, now=_told_at(incident))
        return (own,) if earlier in {None, own} else (own, str(earlier))

    def _remember(self, incident: Incident, alert_id: str) -> None:
        until = _told_at(incident) + _REMEMBERED_FOR
        self._kept_as.keep(incident.dedup_key, alert_id, until=until)

    async def _ask(self, incident: Incident, method: str, path: str, body: bytes = b"") -> Answer:
        tenant_id = incident.tenant_id
        if not tenant_id.isascii() or not tenant_id.isprintable():
            raise PlatformMisconfiguredError(f"no header can carry the tenant's id {tenant_id!r}")
        headers = {**bearer(self._tokens, tenant_id), "x-tenant-id": tenant_id}
        ask = Ask(method=method, path=path, headers=headers, body=body)
        return await self._epc4.ask(ask, within=self._terms.within)

    def _alert(self, incident: Incident) -> dict[str, Any]:
        """Every field that EPC-4 demands; the same for every try."""
        over = incident.resolved_at
        return {
            "schema_version": "1.0.0",
            "alert_id": str(incident.alert_id),
            "tenant_id": incident.tenant_id,
            "source_module": self._terms.source_module,
            "plane": self._terms.plane,
            "environment": self._terms.environment,
            "component_id": f"{self._terms.service}.{incident.provider_id}",
            "severity": incident.severity,
            "category": self._terms.category,
            "summary": _clean(incident.summary),
            "started_at": incident.opened_at.isoformat(),
            "dedup_key": incident.dedup_key,
            "status": "open" if over is None else "resolved",
            "ended_at": None if over is None else over.isoformat(),
            "labels": {
                "provider_id": incident.provider_id,
                "connection_id": str(incident.connection_id),
                "kind": incident.kind,
            },
        }


def _told_at(incident: Incident) -> datetime:
    return incident.resolved_at or incident.opened_at


def _clean(summary: str) -> str:
    """Masked before it is cut: half a token is not recognised as one."""
    return redact_text(summary)[:_LONGEST_SUMMARY]
