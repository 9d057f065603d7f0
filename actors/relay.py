"""One per tenant: brings the outbox to PM-3, in order and in batches, until PM-3 has it or says no.

PM-3 down costs a growing wait; nothing is lost and no more than one batch is in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from actors.courier import Courier
from actors.platform.errors import BatchMalformedError, PlatformRefusedError
from actors.platform.signals import Accepted, Duplicate, Producer, RejectedSignal, Verdict
from actors.ports import Ports
from adapters.errors import UnknownProviderError
from persistence.records import OutboxRecord, RelayedSignal

_UNREGISTERED = "PRODUCER_NOT_REGISTERED"


class SignalRelay(Courier):
    """Sends what waits in the outbox of one tenant. See ``Courier`` for how it waits and comes back."""

    name = "signals"

    async def carry(self) -> bool:
        """Send one batch and record PM-3's word on each signal; True if there may be more."""
        store, most = self.ports.store, self.ports.pace.signals_at_once
        records = await store.next_signals(self.tenant_id, limit=most)
        if not records:
            return False
        verdicts = await self._ingest(records)
        again = [record for record in records if _unregistered(verdicts[record.outbox_id])]
        if again and await self._register(again):
            verdicts = {**verdicts, **await self._ingest(again)}
        relayed = tuple(
            RelayedSignal(outbox_id=record.outbox_id, parked=_refusal(verdicts[record.outbox_id]))
            for record in records
        )
        await store.settle_signals(self.tenant_id, relayed, now=self.ports.clock.now())
        self._tell(records, relayed, verdicts)
        return len(records) == most

    async def _ingest(self, records: Sequence[OutboxRecord]) -> Mapping[UUID, Verdict]:
        """PM-3's word on each; where it calls a whole batch malformed, halve it until the culprit is alone."""
        envelopes = [record.envelope for record in records]
        try:
            verdicts = await self.ports.signals.ingest(self.tenant_id, envelopes)
        except BatchMalformedError as error:
            if len(records) == 1:
                verdict = RejectedSignal(code="MALFORMED", message=str(error))
                return {records[0].outbox_id: verdict}
            half = len(records) // 2
            first = await self._ingest(records[:half])
            return {**first, **await self._ingest(records[half:])}
        return {
            record.outbox_id: verdict for record, verdict in zip(records, verdicts, strict=True)
        }

    async def _register(self, records: Sequence[OutboxRecord]) -> bool:
        """Register the producers again: PM-3 forgets them when it restarts. True if any was."""
        registered = False
        for connection_id in sorted({record.connection_id for record in records}):
            producer = await producer_of(self.ports, self.tenant_id, connection_id)
            if producer is None:
                continue
            try:
                await self.ports.signals.register(self.tenant_id, producer)
            except PlatformRefusedError as error:
                self.log.warning(
                    "producer.refused", connection=str(connection_id), reason=str(error)
                )
            else:
                registered = True
        return registered

    def _tell(
        self,
        records: Sequence[OutboxRecord],
        relayed: Sequence[RelayedSignal],
        verdicts: Mapping[UUID, Verdict],
    ) -> None:
        """Count and tell; of a refusal the code only, PM-3's text may quote the signal (P8)."""
        parked = [signal for signal in relayed if signal.parked is not None]
        counted = self.ports.metrics.forwarded
        counted.labels(self.tenant_id, "forwarded").inc(len(relayed) - len(parked))
        counted.labels(self.tenant_id, "parked").inc(len(parked))
        for record in records:
            verdict = verdicts[record.outbox_id]
            if isinstance(verdict, RejectedSignal):
                self.log.warning(
                    "signal.parked",
                    connection=str(record.connection_id),
                    signal_id=record.signal_id,
                    code=verdict.code,
                )


async def producer_of(ports: Ports, tenant_id: str, connection_id: UUID) -> Producer | None:
    """The connection as PM-3 knows it: a producer of the signal types its adapter can make."""
    connection = await ports.store.connection(tenant_id, connection_id)
    if connection is None:
        return None
    try:
        manifest = ports.registry.get(connection.provider_id).manifest
    except UnknownProviderError:
        return None
    return Producer(
        producer_id=str(connection_id),
        name=connection.display_name,
        signal_types=manifest.signal_types,
    )


def _unregistered(verdict: Verdict) -> bool:
    return isinstance(verdict, RejectedSignal) and verdict.code == _UNREGISTERED


def _refusal(verdict: Verdict) -> str | None:
    match verdict:
        case Accepted() | Duplicate():
            return None
        case RejectedSignal(code=code, message=message):
            return f"PM-3 refused it: {code}: {message}"
