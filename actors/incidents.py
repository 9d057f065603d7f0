"""Incidents of a connection: opened once when something goes bad, closed once when it is well again (FR-8)."""

from __future__ import annotations

from actors.ports import Ports
from persistence.changes import NewIncident
from persistence.records import ActionRecord, ConnectionRecord

CIRCUIT_OPEN, NEEDS_LOGIN, ACTION_UNSURE, GAVE_UP, WEBHOOK_LOST, WEBHOOKS_SILENT = (
    "circuit_open",
    "needs_login",
    "action_unsure",
    "actor_gave_up",
    "webhook_lost",
    "webhooks_silent",
)
"""The kinds; one of each can be open per connection, but of unsure actions one each."""

_AT_ONCE = 100
_SEVERITY = {CIRCUIT_OPEN: "P2", NEEDS_LOGIN: "P1", ACTION_UNSURE: "P1", GAVE_UP: "P1"}


async def opened(ports: Ports, connection: ConnectionRecord, kind: str, summary: str) -> bool:
    """Open an incident; False if it is open already (also: by a write whose answer was lost).

    ``summary`` holds no payload and no secret.
    """
    fresh = await ports.store.open_incident(
        NewIncident(
            incident_id=ports.ids(),
            tenant_id=connection.tenant_id,
            connection_id=connection.connection_id,
            provider_id=connection.provider_id,
            kind=kind,
            severity=_SEVERITY.get(kind, "P2"),
            summary=summary[:500],
            opened_at=ports.clock.now(),
        )
    )
    ports.wake.incidents(connection.tenant_id)
    return fresh


async def closed(ports: Ports, about: ConnectionRecord | ActionRecord, kind: str) -> bool:
    """Close the connection's open incident of that kind; False if there is none."""
    done = await ports.store.close_incident(
        about.tenant_id, about.connection_id, kind, now=ports.clock.now()
    )
    if done:
        ports.wake.incidents(about.tenant_id)
    return done


def of_action(record: ActionRecord, ports: Ports, *, summary: str) -> NewIncident:
    """The incident that an action of unknown effect is, for the transaction that ends it."""
    return NewIncident(
        incident_id=ports.ids(),
        tenant_id=record.tenant_id,
        connection_id=record.connection_id,
        provider_id=record.provider_id,
        kind=unsure_kind(record),
        severity=_SEVERITY[ACTION_UNSURE],
        summary=f"{record.canonical_type} {record.action_id}: {summary}"[:500],
        opened_at=ports.clock.now(),
    )


def unsure_kind(record: ActionRecord) -> str:
    """The kind of an unsure action's incident: each is one of its own, settled by its own resolution."""
    return f"{ACTION_UNSURE}:{record.action_id}"


async def close_all(ports: Ports, connection: ConnectionRecord) -> None:
    """Close what is open: the connection is deleted, and with it its troubles."""
    place = (connection.tenant_id, connection.connection_id)
    while True:
        known = await ports.store.incidents(*place, limit=_AT_ONCE)
        left = [record for record in known if record.resolved_at is None]
        for record in left:
            await closed(ports, connection, record.kind)
        if len(left) < _AT_ONCE:
            return
