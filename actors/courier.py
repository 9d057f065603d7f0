"""What brings a tenant's waiting rows to a neighbour: one batch at a time, waiting longer while it is down."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import MappingProxyType

import trio
from attrs import frozen

from actors.platform.errors import (
    PlatformError,
    PlatformRefusedError,
    PlatformUnavailableError,
)
from actors.platform.health import HealthReport
from actors.platform.incidents import Incident, Severity
from actors.ports import Ports
from persistence.changes import IncidentRecord
from persistence.errors import StoreUnavailableError
from runtime import Actor, Context

_SEVERITY: Mapping[str, Severity] = MappingProxyType(
    {"P0": "P0", "P1": "P1", "P2": "P2", "P3": "P3"}
)
_SAMPLE = timedelta(minutes=1)
"""What a health report at the turn of an incident speaks of."""


@frozen
class Carry:
    """There may be something to bring; look."""


@frozen
class Rested:
    """The courier has waited long enough."""


class Courier(Actor):
    """Keyed by tenant. Being refused or unanswered is a state (a timer), told once and once when it is over.

    While it waits, hints are dropped: it looks when the time is over.
    """

    name: str

    def __init__(self, key: str, ports: Ports) -> None:
        self.tenant_id = key
        self.ports = ports
        self.log = ports.log.bind(tenant=key, courier=self.name)
        self._failures = 0
        self._waits = False

    async def on_start(self, context: Context) -> None:
        """Remember the context; what waits is in the store."""
        await trio.lowlevel.checkpoint()
        self._context = context

    async def on_message(self, message: object) -> object:
        """Bring one batch, unless it is too early after a failure or the last one."""
        if self._waits and not isinstance(message, Rested):
            await trio.lowlevel.checkpoint()
            return None
        self._waits = False
        try:
            more = await self.carry()
        except (PlatformError, StoreUnavailableError) as error:
            self._failed(error)
        else:
            self._recovered()
            if more:
                self._context.tell_self(Carry())
        return None

    @abstractmethod
    async def carry(self) -> bool:
        """Bring one batch; True if there may be more."""

    def wait(self, pause: timedelta) -> None:
        """Bring nothing before so long; then look."""
        self._waits = True
        self._context.after(pause, Rested())

    def _failed(self, error: Exception) -> None:
        asked = error.retry_after if isinstance(error, PlatformUnavailableError) else None
        if self._failures == 0:
            self.log.warning("courier.waiting", reason=str(error))
        self.ports.metrics.errors.labels(f"{self.name}_{type(error).__name__}").inc()
        self._failures += 1
        delay = self.ports.pace.neighbour.delay(
            self._failures, jitter=self._context.random.random(), retry_after=asked
        )
        self.wait(max(delay, timedelta(milliseconds=10)))

    def _recovered(self) -> None:
        if self._failures:
            self.log.info("courier.recovered", tries=self._failures)
        self._failures = 0


class ReceiptCourier(Courier):
    """Brings the receipts of one tenant to ERIS; a batch keeps its id and stamps across tries.

    After a batch that was not full it lets some come together: ERIS has about ten calls a second for all tenants.
    """

    name = "receipts"

    async def carry(self) -> bool:
        """Send one batch; True if there may be more."""
        ports, most = self.ports, self.ports.pace.receipts_at_once
        batch = await ports.store.receipt_batch(
            self.tenant_id, batch_id=ports.ids(), limit=most, now=ports.clock.now()
        )
        if batch is None:
            return False
        await ports.receipts.send(batch)
        await ports.store.settle_receipts(self.tenant_id, batch.batch_id)
        if len(batch.receipts) == most:
            return True
        self.wait(ports.pace.receipts_every)
        return False


class IncidentCourier(Courier):
    """Tells EPC-4 and EPC-5 what goes bad and what is well again; where neither is configured, the log has it."""

    name = "incidents"

    async def carry(self) -> bool:
        """Tell one batch of incidents; True if there may be more."""
        store, most = self.ports.store, self.ports.pace.incidents_at_once
        records = await store.incidents_to_tell(self.tenant_id, limit=most)
        for record in records:
            await self._unless_refused(self._alert, record)
            await self._unless_refused(self._report, record)
            told = "open" if record.resolved_at is None else "resolved"
            await store.incident_told(self.tenant_id, record.incident_id, told=told)
            self.log.warning(
                "incident.told",
                state=told,
                connection=str(record.connection_id),
                kind=record.kind,
                reason=record.summary,
            )
        return len(records) == most

    async def _unless_refused(
        self, tell: Callable[[IncidentRecord], Awaitable[None]], record: IncidentRecord
    ) -> None:
        """Tell; asked again, who says no would say no again, and those behind it would wait for ever."""
        try:
            await tell(record)
        except PlatformRefusedError as error:
            self.log.warning("incident.refused", kind=record.kind, reason=str(error))

    async def _alert(self, record: IncidentRecord) -> None:
        if self.ports.incidents is None:
            return
        await self.ports.incidents.tell(
            Incident(
                alert_id=record.incident_id,
                tenant_id=record.tenant_id,
                connection_id=record.connection_id,
                provider_id=record.provider_id,
                kind=record.kind,
                severity=_SEVERITY.get(record.severity, "P2"),
                summary=record.summary,
                opened_at=record.opened_at,
                resolved_at=record.resolved_at,
            )
        )

    async def _report(self, record: IncidentRecord) -> None:
        if self.ports.health is None:
            return
        await self.ports.health.report(
            HealthReport(
                tenant_id=record.tenant_id,
                provider_id=record.provider_id,
                at=record.resolved_at or record.opened_at,
                sample_window=_SAMPLE,
                error_rate=1.0 if record.resolved_at is None else 0.0,
                labels=(("kind", record.kind.partition(":")[0]),),
            )
        )
