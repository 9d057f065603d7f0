"""SignalEnvelope, exactly PM-3's: built from a Signal, read from a caller, written for the wire.

PM-3 refuses a whole batch for one malformed envelope and silently drops what it does not know, so everything is
checked here first, stricter than it would.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from attrs import asdict, evolve, field, fields, frozen

from adapters.contract import Resource, Signal, SignalKind
from adapters.errors import PayloadError

SCHEMA_VERSION = "1.0.0"
ENVIRONMENTS = ("dev", "stage", "prod")
PLANES = ("edge", "tenant_cloud", "product_cloud", "shared_services")
_REQUIRED_TEXT = (
    "signal_id",
    "tenant_id",
    "environment",
    "producer_id",
    "signal_kind",
    "signal_type",
    "schema_version",
)
_OPTIONAL_TEXT = ("actor_id", "trace_id", "span_id", "correlation_id")
_RESOURCE_FIELDS = tuple(attribute.name for attribute in fields(Resource))
_MAX_TEXT = 512


@frozen(kw_only=True)
class SignalEnvelope:
    """One signal as PM-3 takes it. ``payload`` is a non-empty JSON object as bytes."""

    signal_id: str
    tenant_id: str
    environment: str
    producer_id: str
    signal_kind: SignalKind
    signal_type: str
    occurred_at: datetime
    ingested_at: datetime
    payload: bytes = field(repr=False)
    schema_version: str = SCHEMA_VERSION
    actor_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    correlation_id: str | None = None
    resource: Resource | None = None
    sequence_no: int | None = None

    def numbered(self, sequence_no: int) -> SignalEnvelope:
        """The same signal as number ``sequence_no`` of its producer."""
        return evolve(self, sequence_no=sequence_no)


@frozen(kw_only=True)
class Origin:
    """What an envelope needs to know beyond the signal: whose delivery it came from, and whether it is from the past."""

    tenant_id: str
    connection_id: uuid.UUID
    provider_id: str
    environment: str
    event_id: str
    event_kind: str
    received_at: datetime
    backfilled: bool = False


def signal_id(connection_id: uuid.UUID, event_id: str, index: int) -> str:
    """The id of the ``index``-th signal of an event: the same whenever and wherever it is made (P2)."""
    return str(uuid.uuid5(connection_id, f"{event_id}/{index}"))


def keyed_signal_id(connection_id: uuid.UUID, event_key: str) -> str:
    """The id of the signal of an event that has a key of its own: the same whichever way it was found (P2)."""
    # No ``signal_id`` is made of such a name: an index is a number.
    return str(uuid.uuid5(connection_id, f"{event_key}/key"))


def envelope(signal: Signal, *, origin: Origin, index: int) -> SignalEnvelope:
    """Put a signal in its envelope (PRD 10.1); ``sequence_no`` is given when it is settled."""
    payload = {
        "provider_metadata": {
            "provider_id": origin.provider_id,
            "connection_id": str(origin.connection_id),
            "event_kind": origin.event_kind,
            **({"backfilled": True} if origin.backfilled else {}),
        },
        "provider_event_id": origin.event_id,
        "canonical_keys": orjson.Fragment(signal.canonical_keys),
        **orjson.loads(signal.payload),
    }
    return SignalEnvelope(
        signal_id=_id(signal, origin, index),
        tenant_id=origin.tenant_id,
        environment=origin.environment,
        producer_id=str(origin.connection_id),
        signal_kind=signal.kind,
        signal_type=signal.signal_type,
        occurred_at=signal.occurred_at,
        ingested_at=origin.received_at,
        payload=orjson.dumps(payload),
        actor_id=signal.actor_id,
        correlation_id=origin.event_id,
        resource=signal.resource,
    )


def _id(signal: Signal, origin: Origin, index: int) -> str:
    if signal.event_key is None:
        return signal_id(origin.connection_id, origin.event_id, index)
    return keyed_signal_id(origin.connection_id, signal.event_key)


def to_json(signal: SignalEnvelope) -> bytes:
    """The envelope as PM-3 reads it: JSON, without the fields that are None."""
    document: dict[str, Any] = {
        attribute.name: value
        for attribute in fields(SignalEnvelope)
        if (value := getattr(signal, attribute.name)) is not None
    }
    document["payload"] = orjson.Fragment(signal.payload)
    if signal.resource is not None:
        document["resource"] = {
            name: value for name, value in asdict(signal.resource).items() if value is not None
        }
    return orjson.dumps(document)


def from_document(document: object) -> SignalEnvelope:
    """Read and fully check an envelope that a caller sent.

    Raises:
        PayloadError: with the path of the first field that is wrong.
    """
    if not isinstance(document, Mapping):
        raise PayloadError("must be a JSON object")
    unknown = sorted(set(document) - {attribute.name for attribute in fields(SignalEnvelope)})
    if unknown:
        raise PayloadError("is no field of a SignalEnvelope", path=str(unknown[0]))
    texts = {name: _text(document, name) for name in _REQUIRED_TEXT}
    kind = _one_of(texts["signal_kind"], tuple(SignalKind), "signal_kind")
    _one_of(texts["environment"], ENVIRONMENTS, "environment")
    payload = document.get("payload")
    if not isinstance(payload, Mapping) or not payload:
        raise PayloadError("must be a non-empty object", path="payload")
    try:
        payload_json = orjson.dumps(payload)
    except orjson.JSONEncodeError:
        # orjson reads deeper documents than it writes.
        raise PayloadError("is nested too deeply", path="payload") from None
    return SignalEnvelope(
        signal_id=texts["signal_id"],
        tenant_id=texts["tenant_id"],
        environment=texts["environment"],
        producer_id=texts["producer_id"],
        signal_kind=SignalKind(kind),
        signal_type=texts["signal_type"],
        schema_version=texts["schema_version"],
        occurred_at=_instant(document, "occurred_at"),
        ingested_at=_instant(document, "ingested_at"),
        payload=payload_json,
        resource=_resource(document.get("resource")),
        sequence_no=_whole(document, "sequence_no"),
        **{name: _optional_text(document, name) for name in _OPTIONAL_TEXT},
    )


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value.strip():
        raise PayloadError("must be a non-empty string", path=name)
    if len(value) > _MAX_TEXT:
        raise PayloadError(f"is longer than {_MAX_TEXT} characters", path=name)
    return value


def _optional_text(document: Mapping[str, Any], name: str, *, under: str = "") -> str | None:
    value = document.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > _MAX_TEXT):
        raise PayloadError(
            f"must be a string of at most {_MAX_TEXT} characters", path=f"{under}{name}"
        )
    return value


def _whole(document: Mapping[str, Any], name: str, *, under: str = "") -> int | None:
    value = document.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise PayloadError("must be a whole number, not negative", path=f"{under}{name}")
    return value


def _one_of(value: str, allowed: tuple[str, ...], path: str) -> str:
    if value not in allowed:
        raise PayloadError(f"must be one of {', '.join(allowed)}", path=path)
    return value


def _instant(document: Mapping[str, Any], name: str) -> datetime:
    value = document.get(name)
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise PayloadError("must be an ISO 8601 time with an offset", path=name)
    return instant


def _resource(value: object) -> Resource | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise PayloadError("must be an object", path="resource")
    unknown = sorted(set(value) - set(_RESOURCE_FIELDS))
    if unknown:
        raise PayloadError("is no field of a Resource", path=f"resource.{unknown[0]}")
    if value.get("plane") is not None:
        _one_of(str(value["plane"]), PLANES, "resource.plane")
    texts = {
        name: _optional_text(value, name, under="resource.")
        for name in _RESOURCE_FIELDS
        if name != "pr_id"
    }
    return Resource(pr_id=_whole(value, "pr_id", under="resource."), **texts)
