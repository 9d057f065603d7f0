"""Is it alive, is it ready, what does it count, and how is one connection (PRD 11.4)."""

from __future__ import annotations

from datetime import timedelta

import trio

from actors.platform.identity import Caller
from actors.ports import Ports
from actors.silence import silent_since
from adapters.contract import Response
from adapters.registry import WEBHOOK
from http_edge.answers import json_response
from http_edge.auth import Permission, admit
from http_edge.edge import Edge
from http_edge.health_views import (
    ActorView,
    Checks,
    HealthView,
    LedgerView,
    Live,
    ParkedView,
    Ready,
    WebhooksView,
    condition_view,
    incident_view,
    is_degraded,
)
from http_edge.management import owned
from http_edge.route import Asked
from persistence.errors import StoreError
from persistence.records import LEDGER, ConnectionRecord

_PATIENCE = timedelta(seconds=3)
_MOST_PARKED = 20
_MOST_INCIDENTS = 20
METRICS_MEDIA = "text/plain; version=0.0.4; charset=utf-8"


async def live(_asked: Asked, _edge: Edge) -> Response:
    """The process answers: no more is said."""
    await trio.lowlevel.checkpoint()
    return json_response(Live(status="live"))


async def ready(_asked: Asked, edge: Edge) -> Response:
    """Whether to send it work: the store answers at the right revision, and the tree is up. 503 if not."""
    system = edge.system
    checks = Checks(
        store=await _store_answers(edge.ports), tree=system.started and not system.stopping
    )
    good = checks.store and checks.tree
    return json_response(
        Ready(status="ready" if good else "not_ready", checks=checks), status=200 if good else 503
    )


async def metrics(asked: Asked, edge: Edge) -> Response:
    """All counters, and the ledger of P9 as it stands now; for operators, unless the settings open it to all."""
    if not edge.metrics_open:
        authorization = asked.request.header("authorization")
        await admit(edge.identity, authorization, Permission.READ_METRICS)
    ledger = await edge.ports.store.accounting()
    return Response(
        status=200,
        headers=(("content-type", METRICS_MEDIA),),
        body=edge.ports.metrics.exposition(ledger),
    )


async def connection(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """How one connection of the caller's tenant does: its provider, its ledger, what was parked, its actor."""
    ports = edge.ports
    record = await owned(caller, asked.id_of("connection"), ports)
    place = (record.tenant_id, record.connection_id)
    ledger = await ports.store.ledger(*place)
    parked = await ports.store.parked(*place, limit=_MOST_PARKED)
    incidents = await ports.store.incidents(*place, limit=_MOST_INCIDENTS)
    condition = ports.conditions.of(*place)
    address = f"/connections/{record.tenant_id}/{record.connection_id}"
    return json_response(
        HealthView(
            connection_id=record.connection_id,
            status=record.state,
            reason=record.reason,
            degraded=is_degraded(condition, incidents),
            last_verified_at=record.verified_at,
            provider=None if condition is None else condition_view(condition),
            webhooks=await _webhooks(record, ports),
            incidents=tuple(incident_view(each) for each in incidents),
            deliveries=LedgerView(**{name: getattr(ledger, name, 0) for name in LEDGER}),
            parked=tuple(
                ParkedView(
                    event_id=entry.event_id,
                    event_kind=entry.event_kind,
                    received_at=entry.received_at,
                    reason=entry.reason,
                )
                for entry in parked
            ),
            actor=tuple(
                ActorView(state=each.state.value, restarts=each.restarts)
                for each in edge.system.snapshot(under=address)
            ),
        )
    )


async def _webhooks(record: ConnectionRecord, ports: Ports) -> WebhooksView:
    place = (record.tenant_id, record.connection_id)
    last_at = await ports.store.last_webhook_at(*place)
    cursors = await ports.store.cursors(*place) if WEBHOOK in record.capabilities else ()
    return WebhooksView(last_at=last_at, silent_since=silent_since(cursors, last_at))


async def _store_answers(ports: Ports) -> bool:
    try:
        with trio.fail_after(_PATIENCE.total_seconds()):
            await ports.store.ping()
    except (StoreError, trio.TooSlowError):
        return False
    return True
