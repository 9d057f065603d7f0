"""What PM-3's model takes for a SignalEnvelope: types only; one that does not fit is a 422 for the whole batch.

Unknown fields are dropped without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from actors.platform.embedded.answers import fault

_TEXTS = ("signal_id", "tenant_id", "producer_id", "signal_type", "schema_version")
_OPTIONAL_TEXTS = ("actor_id", "trace_id", "span_id", "correlation_id")
_RESOURCE_TEXTS = (
    "service_name",
    "repository",
    "branch",
    "commit",
    "module",
    "file_path",
    "environment",
    "deployment_id",
)
KINDS = ("event", "metric", "log", "trace")
PLANES = ("edge", "tenant_cloud", "product_cloud", "shared_services")

Check = Callable[[Any], str | None]
"""What is wrong with a value: the framework's name for it, or None."""


def _is_text(value: object) -> str | None:
    return None if isinstance(value, str) else "string_type"


def _is_object(value: object) -> str | None:
    return None if isinstance(value, dict) else "dict_type"


def _is_time(value: object) -> str | None:
    """ISO 8601 or a number of seconds; naive ones too."""
    if isinstance(value, int | float):
        return None
    try:
        datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        return "datetime_from_date_parsing"
    return None


def _is_whole(value: object) -> str | None:
    """Whole numbers, also as text: the framework is lax about them."""
    try:
        int(str(value))
    except ValueError:
        return "int_parsing"
    return None


def _is_one_of(*allowed: str) -> Check:
    def check(value: object) -> str | None:
        return None if value in allowed else "enum"

    return check


_REQUIRED: Mapping[str, Check] = {
    **dict.fromkeys(_TEXTS, _is_text),
    "environment": _is_one_of("dev", "stage", "prod"),
    "signal_kind": _is_one_of(*KINDS),
    "occurred_at": _is_time,
    "ingested_at": _is_time,
    "payload": _is_object,
}
_OPTIONAL: Mapping[str, Check] = {
    **dict.fromkeys(_OPTIONAL_TEXTS, _is_text),
    "resource": _is_object,
    "sequence_no": _is_whole,
}
_RESOURCE: Mapping[str, Check] = {
    **dict.fromkeys(_RESOURCE_TEXTS, _is_text),
    "plane": _is_one_of(*PLANES),
    "pr_id": _is_whole,
}


def faults_of(signal: object, index: int) -> list[dict[str, Any]]:
    """What keeps ``signals[index]`` from being an envelope; empty if nothing does."""
    place: tuple[str | int, ...] = ("signals", index)
    if not isinstance(signal, dict):
        return [fault("model_attributes_type", place, "Input should be an object", signal)]
    missing = [
        fault("missing", (*place, name), "Field required", signal)
        for name in _REQUIRED
        if name not in signal
    ]
    required = {name: value for name, value in signal.items() if name in _REQUIRED}
    optional = {name: value for name, value in signal.items() if value is not None}
    found = missing + _wrong(required, _REQUIRED, place) + _wrong(optional, _OPTIONAL, place)
    resource = signal.get("resource")
    if isinstance(resource, dict):
        given = {name: value for name, value in resource.items() if value is not None}
        found += _wrong(given, _RESOURCE, (*place, "resource"))
    return found


def as_model(signal: Mapping[str, Any]) -> dict[str, Any]:
    """The envelope as the model keeps it: without unknown fields, whole numbers as numbers."""
    kept = {
        name: value for name, value in signal.items() if name in _REQUIRED or name in _OPTIONAL
    }
    if kept.get("sequence_no") is not None:
        kept["sequence_no"] = int(str(kept["sequence_no"]))
    if kept.get("resource") is not None:
        kept["resource"] = {
            name: value for name, value in kept["resource"].items() if name in _RESOURCE
        }
    return kept


def _wrong(
    values: Mapping[str, Any], checks: Mapping[str, Check], place: tuple[str | int, ...]
) -> list[dict[str, Any]]:
    return [
        fault(kind, (*place, name), "Input is not valid", value)
        for name, value in values.items()
        if name in checks and (kind := checks[name](value)) is not None
    ]
