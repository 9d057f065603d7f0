"""Actions as callers see them: what became of each and what was sent for it; bodies are never shown."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import orjson
from attrs import frozen
from msgspec import Meta

from http_edge.views import Moment
from persistence.records import ActionRecord, ActionState, ExchangeRecord, ExchangeState


@frozen(kw_only=True)
class ReferenceView:
    """What the provider calls the effect, and where a person can see it."""

    id: str
    url: str | None


@frozen(kw_only=True)
class ActionView:
    """An action. ``attempts`` counts the tries; ``not_before``: when it is tried next, while it is queued."""

    action_id: UUID
    tenant_id: str
    connection_id: UUID
    provider_id: str
    canonical_type: str
    idempotency_key: str
    correlation_id: str | None
    status: ActionState
    reason: str | None
    reference: ReferenceView | None
    details: dict[str, Any]
    attempts: int
    created_at: Moment
    updated_at: Moment
    not_before: Moment | None
    expires_at: Moment
    ended_at: Moment | None


@frozen(kw_only=True)
class ExchangeView:
    """One write that was sent, or may have been. ``status`` is the provider's answer, where the plan went on from it.

    The last one stays ``intended``: the action's own status says what became of it.
    """

    step: int
    digest: Annotated[str, Meta(description="SHA-256 of the request, without credentials.")]
    state: ExchangeState
    sent_at: Moment
    status: int | None


@frozen(kw_only=True)
class ActionDetails(ActionView):
    """An action with what was sent for it."""

    exchanges: tuple[ExchangeView, ...]


@frozen(kw_only=True)
class ActionPage:
    """Actions, newest first. ``next_cursor`` is where the next page begins, null on the last."""

    actions: tuple[ActionView, ...]
    next_cursor: UUID | None


@frozen(kw_only=True)
class CanonicalAction:
    """What a canonical action does, and the JSON Schemas (2020-12) of its target and payload."""

    summary: str
    target: dict[str, Any]
    payload: dict[str, Any]


@frozen(kw_only=True)
class CanonicalActions:
    """Every canonical action, by name; which of them a provider can do stands with the provider."""

    actions: dict[str, CanonicalAction]


def action_fields(record: ActionRecord) -> dict[str, Any]:
    """The fields of ``ActionView``, for those that have more."""
    outcome = orjson.loads(record.outcome) if record.outcome is not None else {}
    reference = outcome.get("reference")
    queued = record.state is ActionState.QUEUED
    return {
        "action_id": record.action_id,
        "tenant_id": record.tenant_id,
        "connection_id": record.connection_id,
        "provider_id": record.provider_id,
        "canonical_type": record.canonical_type,
        "idempotency_key": record.idempotency_key,
        "correlation_id": record.correlation_id,
        "status": record.state,
        "reason": record.reason,
        "reference": reference and ReferenceView(id=reference["id"], url=reference.get("url")),
        "details": outcome.get("details", {}),
        "attempts": record.attempts,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "not_before": record.not_before if queued else None,
        "expires_at": record.expires_at,
        "ended_at": record.ended_at,
    }


def exchange_view(exchange: ExchangeRecord) -> ExchangeView:
    """One write, without what was in it."""
    return ExchangeView(
        step=exchange.step,
        digest=exchange.digest.hex(),
        state=exchange.state,
        sent_at=exchange.sent_at,
        status=exchange.status,
    )
