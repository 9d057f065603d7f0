"""Adapters' values to persistence's records and back: the one place that knows both shapes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from attrs import frozen

from adapters.contract import (
    Action,
    Delivery,
    Done,
    Headers,
    NeedsLogin,
    Refused,
    Request,
    Response,
    Unsure,
)
from adapters.envelope import SignalEnvelope, from_document, to_json
from persistence.records import (
    ActionRecord,
    ActionState,
    DeliveryRecord,
    ExchangeRecord,
    ExchangeState,
    NewDelivery,
    NewSignal,
)

ENVELOPE_KIND = "signal_envelope"
"""The event kind of an envelope that a module handed us ready-made (PRD 11.3)."""


def delivery(record: DeliveryRecord) -> Delivery:
    """A delivery out of the inbox, where only verified ones are (P3)."""
    return Delivery(
        event_kind=record.event_kind,
        event_id=record.event_id,
        replay_key=None,
        received_at=record.received_at,
        body=record.body,
    )


def new_delivery(
    verified: Delivery,
    *,
    delivery_id: UUID,
    tenant_id: str,
    connection_id: UUID,
    body: bytes,
    origin: str = "webhook",
) -> NewDelivery:
    """What is stored of a delivery that was verified, or read at the provider; ``body`` is the redacted one.

    Of the signature only a digest is kept, enough to know it again (P8).
    """
    key = verified.replay_key
    return NewDelivery(
        delivery_id=delivery_id,
        tenant_id=tenant_id,
        connection_id=connection_id,
        event_kind=verified.event_kind,
        event_id=verified.event_id,
        replay_digest=None if key is None else hashlib.sha256(key.encode()).digest(),
        received_at=verified.received_at,
        body=body,
        origin=origin,
    )


def ready_made(
    signal: SignalEnvelope, *, delivery_id: UUID, connection_id: UUID, now: datetime
) -> NewDelivery:
    """An envelope that a module handed us, as a delivery of its connection: same inbox, same order."""
    return NewDelivery(
        delivery_id=delivery_id,
        tenant_id=signal.tenant_id,
        connection_id=connection_id,
        event_kind=ENVELOPE_KIND,
        event_id=f"signal:{signal.signal_id}",
        replay_digest=None,
        received_at=now,
        body=to_json(signal),
        origin="module",
    )


def occurred_at(signal: NewSignal) -> datetime:
    """When it happened, by the envelope that was made of it."""
    return datetime.fromisoformat(orjson.loads(signal.envelope)["occurred_at"])


def envelope_of(record: DeliveryRecord) -> SignalEnvelope:
    """The envelope of a delivery of kind ``ENVELOPE_KIND``."""
    return from_document(orjson.loads(record.body))


def new_signal(signal: SignalEnvelope, *, sequence_no: int) -> NewSignal:
    """A signal as it goes to the outbox; its number never changes again."""
    return NewSignal(
        signal_id=signal.signal_id,
        sequence_no=sequence_no,
        signal_type=signal.signal_type,
        envelope=to_json(signal.numbered(sequence_no)),
    )


def action(record: ActionRecord, journal: Sequence[ExchangeRecord]) -> Action:
    """An action as its plan sees it, with when a write of it may first have reached the provider."""
    sent = [entry.sent_at for entry in journal if entry.state is not ExchangeState.VOID]
    return Action(
        action_id=str(record.action_id),
        canonical_type=record.canonical_type,
        target=record.target,
        payload=record.payload,
        first_sent_at=min(sent, default=None),
    )


def request_digest(request: Request) -> bytes:
    """What identifies a write in the journal; it never holds credentials, they are added later."""
    head = f"{request.method} {request.url}\n".encode()
    return hashlib.sha256(head + request.body).digest()


def headers_json(headers: Headers) -> bytes:
    """Headers as the journal keeps them."""
    return orjson.dumps([list(pair) for pair in headers])


def response_of(entry: ExchangeRecord) -> Response:
    """The answer that the journal kept of a write that was taken."""
    pairs: list[list[str]] = orjson.loads(entry.headers or b"[]")
    return Response(
        status=entry.status or 0,
        headers=tuple((name, value) for name, value in pairs),
        body=entry.body or b"",
    )


@frozen(kw_only=True)
class Ending:
    """How an action ends: its state, why, and what a caller reads of it (a JSON object)."""

    state: ActionState
    reason: str | None
    outcome: bytes


def ending(outcome: Done | Refused | Unsure | NeedsLogin) -> Ending:
    """The final state of an outcome."""
    match outcome:
        case Done(reference=reference, details=details):
            document: dict[str, Any] = {"details": orjson.Fragment(details)}
            if reference is not None:
                document["reference"] = {"id": reference.id, "url": reference.url}
            return Ending(state=ActionState.DONE, reason=None, outcome=orjson.dumps(document))
        case Refused(reason=reason, status=status):
            return Ending(
                state=ActionState.REFUSED,
                reason=reason,
                outcome=orjson.dumps({"provider_status": status}),
            )
        case Unsure(reason=reason):
            return Ending(state=ActionState.UNSURE, reason=reason, outcome=b"{}")
        case NeedsLogin(reason=reason):
            return Ending(state=ActionState.NEEDS_LOGIN, reason=reason, outcome=b"{}")
