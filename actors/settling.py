"""From the inbox to the outbox: a connection's deliveries, batch by batch, in one transaction each."""

from __future__ import annotations

from datetime import timedelta

from actors import codec, inbound
from actors.holding import Holding
from adapters.registry import WEBHOOK
from persistence.errors import ConflictError
from persistence.records import DeliveryRecord, NewSignal, SettledDelivery

_LATE = timedelta(minutes=5)
"""A webhook that has not come after so long is taken for missed."""
_OVERTAKEN = timedelta(seconds=5)
"""So long a webhook may have been on its way to the inbox when a poll that found the same was faster."""


class Settler:
    """Settles the deliveries of one connection; its actor owns it."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._claimed: tuple[DeliveryRecord, ...] = ()

    async def settle(self) -> bool:
        """Settle one batch; True if there was one, so there may be more.

        Raises:
            FencedError, ChangedError, StoreUnavailableError: what was claimed is kept for the next try.
        """
        holding, store = self._holding, self._holding.ports.store
        again = bool(self._claimed)
        # Claimed again, they would count as having killed their actor, though it was the store that failed.
        self._claimed = self._claimed or await store.claim_deliveries(
            holding.lease, limit=holding.ports.pace.deliveries_at_once
        )
        if not self._claimed:
            return False
        settled = self._normalised(self._claimed)
        now = holding.ports.clock.now()
        clash: ConflictError | None = None
        try:
            holding.lease = await store.settle(holding.lease, settled, now=now)
        except ConflictError as error:
            clash = error
        known = frozenset[str]() if clash is None else await self._known(settled)
        if known:
            settled = self._normalised(self._claimed, known)
            holding.lease = await store.settle(holding.lease, settled, now=now)
        elif clash is not None and not again:
            raise clash
        # Else the try before had happened, and only its answer was lost (no signal in it, or the lease would be behind).
        self._tell(self._claimed, settled)
        records, self._claimed = self._claimed, ()
        holding.ports.wake.signals(holding.tenant_id)
        if WEBHOOK in holding.connection.capabilities:
            await self._compare(records, settled)
        return True

    async def _compare(
        self, records: tuple[DeliveryRecord, ...], settled: tuple[SettledDelivery, ...]
    ) -> None:
        """See what polling found that no webhook had brought, and that webhooks come again."""
        holding = self._holding
        if holding.unheard and any(record.origin == "webhook" for record in records):
            holding.ports.wake.polls(holding.tenant_id, holding.connection_id)
        found = _found(records, settled)
        if found:
            self._tell_missed([signal for _, signal in found])
            holding.unheard_at = max(
                min(codec.occurred_at(signal), record.received_at) for record, signal in found
            )
            at = max(record.received_at for record, _ in found) - _OVERTAKEN
            await holding.ports.store.seen_news(holding.lease, now=at)

    def _tell_missed(self, found: list[NewSignal]) -> None:
        """What is old would have been missed."""
        holding = self._holding
        before = holding.ports.clock.now() - _LATE
        missed = sum(codec.occurred_at(signal) < before for signal in found)
        labels = (holding.connection.provider_id, holding.tenant_id)
        holding.ports.metrics.healed.labels(*labels, "polling").inc(missed)
        if missed:
            holding.log.info("signals.healed", number=missed)

    async def _known(self, settled: tuple[SettledDelivery, ...]) -> frozenset[str]:
        """Which of these signals another delivery has made before: the provider told of one event twice."""
        holding = self._holding
        wanted = [signal.signal_id for delivery in settled for signal in delivery.signals]
        return await holding.ports.store.known_signals(holding.lease, wanted)

    def _normalised(
        self, records: tuple[DeliveryRecord, ...], known: frozenset[str] = frozenset()
    ) -> tuple[SettledDelivery, ...]:
        holding = self._holding
        source = inbound.Source(
            adapter=holding.adapter,
            provider_id=holding.connection.provider_id,
            environment=holding.ports.environment,
        )
        return inbound.settle(
            records, source=source, sequence_no=holding.lease.sequence_no, known=known
        )

    def _tell(
        self, records: tuple[DeliveryRecord, ...], settled: tuple[SettledDelivery, ...]
    ) -> None:
        holding = self._holding
        labels = (holding.connection.provider_id, holding.tenant_id)
        holding.ports.metrics.normalised.labels(*labels).inc(len(records))
        for delivery, record in zip(settled, records, strict=True):
            if delivery.parked is not None:
                holding.log.warning(
                    "delivery.parked", correlation_id=record.event_id, reason=delivery.parked
                )


def _found(
    records: tuple[DeliveryRecord, ...], settled: tuple[SettledDelivery, ...]
) -> list[tuple[DeliveryRecord, NewSignal]]:
    """The signals that polling alone brought, each with its delivery."""
    return [
        (record, signal)
        for record, delivery in zip(records, settled, strict=True)
        if record.origin == "poll"
        for signal in delivery.signals
    ]
