"""From claimed deliveries to settled ones: normalise, number, park what can not be. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen

from actors import codec
from adapters.contract import Webhooks
from adapters.envelope import Origin, SignalEnvelope, envelope
from adapters.errors import PayloadError
from persistence.records import DeliveryRecord, NewSignal, SettledDelivery

MOST_ATTEMPTS = 3
"""A delivery claimed this often without being settled has killed its actor each time: it is poison."""


@frozen(kw_only=True)
class Source:
    """Whose deliveries these are."""

    adapter: Webhooks
    provider_id: str
    environment: str


def settle(
    records: Sequence[DeliveryRecord],
    *,
    source: Source,
    sequence_no: int,
    known: frozenset[str] = frozenset(),
) -> tuple[SettledDelivery, ...]:
    """Settle a batch in order; signals are numbered from ``sequence_no + 1`` without gaps (P5).

    What can not be normalised is parked with its reason and takes no number, so it blocks nothing. A signal that is
    ``known``, or that the batch has already, is made once only, though two deliveries tell of it (P2).
    """
    return tuple(_settled(records, source, sequence_no, set(known)))


def _settled(
    records: Sequence[DeliveryRecord], source: Source, sequence_no: int, made: set[str]
) -> Iterator[SettledDelivery]:
    for record in records:
        if record.attempts > MOST_ATTEMPTS:
            yield _parked(record, f"its actor died {MOST_ATTEMPTS} times on it")
            continue
        try:
            signals = [each for each in _signals(record, source) if each.signal_id not in made]
        except PayloadError as error:
            yield _parked(record, str(error))
            continue
        made.update(each.signal_id for each in signals)
        yield SettledDelivery(
            delivery_id=record.delivery_id, signals=_numbered(signals, sequence_no)
        )
        sequence_no += len(signals)


def _signals(record: DeliveryRecord, source: Source) -> tuple[SignalEnvelope, ...]:
    if record.event_kind == codec.ENVELOPE_KIND:
        return (codec.envelope_of(record),)
    origin = Origin(
        backfilled=record.origin == "backfill",
        tenant_id=record.tenant_id,
        connection_id=record.connection_id,
        provider_id=source.provider_id,
        environment=source.environment,
        event_id=record.event_id,
        event_kind=record.event_kind,
        received_at=record.received_at,
    )
    signals = source.adapter.normalise(codec.delivery(record))
    return tuple(
        envelope(signal, origin=origin, index=index) for index, signal in enumerate(signals)
    )


def _numbered(signals: Sequence[SignalEnvelope], sequence_no: int) -> tuple[NewSignal, ...]:
    return tuple(
        codec.new_signal(signal, sequence_no=number)
        for number, signal in enumerate(signals, start=sequence_no + 1)
    )


def _parked(record: DeliveryRecord, reason: str) -> SettledDelivery:
    return SettledDelivery(delivery_id=record.delivery_id, parked=reason)
