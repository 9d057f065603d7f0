"""Health as callers see it: of the node, and of one connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from attrs import frozen

from actors.conditions import Condition
from http_edge.views import Moment
from persistence.changes import IncidentRecord
from persistence.records import ConnectionState
from runtime import Phase


@frozen(kw_only=True)
class Live:
    """The process answers."""

    status: Literal["live"]


@frozen(kw_only=True)
class Checks:
    """What readiness looks at."""

    store: bool
    tree: bool


@frozen(kw_only=True)
class Ready:
    """Whether to send it work."""

    status: Literal["ready", "not_ready"]
    checks: Checks


@frozen(kw_only=True)
class LimitView:
    """What is left of a limit of the provider, or of ours; ``full_at``: when it is whole again."""

    name: str
    remaining: float
    capacity: float
    full_at: Moment | None


@frozen(kw_only=True)
class ConditionView:
    """How its provider treats the connection, as its actor on this node last saw it; counts are since it started.

    ``circuit`` is closed, open or half_open. ``free_at``: nothing is sent before, and ``waiting_for`` says for what.
    """

    circuit: str
    waiting_for: str | None
    free_at: Moment | None
    succeeded: int
    failed: int
    last_succeeded_at: Moment | None
    last_failed_at: Moment | None
    last_error: str | None
    limits: tuple[LimitView, ...]
    running: int


@frozen(kw_only=True)
class IncidentView:
    """Something that a person should know of; open until ``resolved_at``."""

    incident_id: UUID
    kind: str
    severity: str
    summary: str
    opened_at: Moment
    resolved_at: Moment | None


@frozen(kw_only=True)
class LedgerView:
    """Deliveries by what became of them."""

    accepted: int
    duplicate: int
    rejected: int
    forwarded: int
    parked: int
    pending: int
    settled: int


@frozen(kw_only=True)
class ParkedView:
    """A delivery that was set aside, and why."""

    event_id: str
    event_kind: str
    received_at: Moment
    reason: str


@frozen(kw_only=True)
class ActorView:
    """The connection's actor on this node."""

    state: str
    restarts: int


@frozen(kw_only=True)
class WebhooksView:
    """When a webhook last came; ``silent_since``: when polling first found what none has brought since."""

    last_at: Moment | None
    silent_since: Moment | None


@frozen(kw_only=True)
class HealthView:
    """How one connection does. ``provider`` is null while no actor of it works on this node.

    ``degraded``: its circuit breaker is not closed, or an incident of it is open.
    """

    connection_id: UUID
    status: ConnectionState
    reason: str | None
    degraded: bool
    last_verified_at: Moment | None
    provider: ConditionView | None
    webhooks: WebhooksView
    incidents: tuple[IncidentView, ...]
    deliveries: LedgerView
    parked: tuple[ParkedView, ...]
    actor: tuple[ActorView, ...]


def condition_view(condition: Condition) -> ConditionView:
    """A condition as callers see it."""
    return ConditionView(
        circuit=condition.circuit,
        waiting_for=condition.waiting_for,
        free_at=condition.free_at,
        succeeded=condition.succeeded,
        failed=condition.failed,
        last_succeeded_at=condition.last_succeeded_at,
        last_failed_at=condition.last_failed_at,
        last_error=condition.last_error,
        limits=tuple(
            LimitView(
                name=each.name,
                remaining=each.remaining,
                capacity=each.capacity,
                full_at=each.full_at,
            )
            for each in condition.limits
        ),
        running=condition.running,
    )


def incident_view(incident: IncidentRecord) -> IncidentView:
    """An incident as callers see it."""
    return IncidentView(
        incident_id=incident.incident_id,
        kind=incident.kind,
        severity=incident.severity,
        summary=incident.summary,
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
    )


def is_degraded(condition: Condition | None, incidents: Sequence[IncidentRecord]) -> bool:
    """Whether something is not as it should be."""
    is_open = any(incident.resolved_at is None for incident in incidents)
    return is_open or (condition is not None and condition.circuit != Phase.CLOSED)
