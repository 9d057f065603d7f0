"""What brings a tenant's waiting rows to a neighbour: one batch at a time, waiting longer while it is down."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime, timedelta

import trio
from attrs import frozen

from actors.platform.errors import PlatformError, PlatformUnavailableError
from actors.ports import Ports
from persistence.errors import StoreUnavailableError
from runtime import Actor, Context


@frozen
class Carry:
    """There may be something to bring; look."""


class Courier(Actor):
    """Keyed by tenant. Being refused or unanswered is a state (a timer), told once and once when it is over."""

    name: str

    def __init__(self, key: str, ports: Ports) -> None:
        self.tenant_id = key
        self.ports = ports
        self.log = ports.log.bind(tenant=key, courier=self.name)
        self._failures = 0
        self._not_before: datetime | None = None

    async def on_start(self, context: Context) -> None:
        """Remember the context; what waits is in the store."""
        await trio.lowlevel.checkpoint()
        self._context = context

    async def on_message(self, message: object) -> object:
        """Bring one batch, unless it is too early after a failure."""
        if self._not_before is not None and self.ports.clock.now() < self._not_before:
            await trio.lowlevel.checkpoint()
            return None
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

    def _failed(self, error: Exception) -> None:
        asked = error.retry_after if isinstance(error, PlatformUnavailableError) else None
        if self._failures == 0:
            self.log.warning("courier.waiting", reason=str(error))
        self.ports.metrics.errors.labels(f"{self.name}_{type(error).__name__}").inc()
        self._failures += 1
        delay = self.ports.pace.neighbour.delay(
            self._failures, jitter=self._context.random.random(), retry_after=asked
        )
        self._not_before = self.ports.clock.now() + max(delay, timedelta(milliseconds=10))
        self._context.after(self._not_before - self.ports.clock.now(), Carry())

    def _recovered(self) -> None:
        if self._failures:
            self.log.info("courier.recovered", tries=self._failures)
        self._failures = 0
        self._not_before = None


class ReceiptCourier(Courier):
    """Brings the receipts of one tenant to ERIS; a batch keeps its id and stamps across tries."""

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
        return True
