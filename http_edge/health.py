"""Is it alive, is it ready, what does it count, and how is one connection (PRD 11.4)."""

from __future__ import annotations

from datetime import timedelta

import trio
from attrs import frozen

from actors.platform.identity import Caller
from actors.ports import Ports
from adapters.contract import Response
from http_edge.answers import json_response
from http_edge.management import owned
from persistence.errors import StoreError
from persistence.records import LEDGER
from runtime import System

_PATIENCE = timedelta(seconds=3)
_MOST_PARKED = 20
_TEXT = (("content-type", "text/plain; version=0.0.4; charset=utf-8"),)


@frozen(kw_only=True)
class Health:
    """What the health endpoints look at."""

    ports: Ports
    system: System


def live() -> Response:
    """The process answers: no more is said."""
    return json_response({"status": "live"})


async def ready(over: Health) -> Response:
    """Whether to send it work: the store answers at the right revision, and the tree is up. 503 if not."""
    store = await _store_answers(over.ports)
    system = over.system
    checks = {"store": store, "tree": system.started and not system.stopping}
    good = all(checks.values())
    return json_response(
        {"status": "ready" if good else "not_ready", "checks": checks}, status=200 if good else 503
    )


async def metrics(over: Health) -> Response:
    """All counters, and the ledger of P9 as it stands now."""
    ledger = await over.ports.store.accounting()
    return Response(status=200, headers=_TEXT, body=over.ports.metrics.exposition(ledger))


async def connection(caller: Caller, connection_id: str, over: Health) -> Response:
    """How one connection of the caller's tenant is: its ledger, what was parked, its actor."""
    record = await owned(caller, connection_id, over.ports)
    ledger = await over.ports.store.ledger(record.tenant_id, record.connection_id)
    parked = await over.ports.store.parked(
        record.tenant_id, record.connection_id, limit=_MOST_PARKED
    )
    address = f"/connections/{record.tenant_id}/{record.connection_id}"
    return json_response(
        {
            "connection_id": str(record.connection_id),
            "status": record.state.value,
            "reason": record.reason,
            "last_verified_at": record.verified_at and record.verified_at.isoformat(),
            "deliveries": {name: getattr(ledger, name, 0) for name in LEDGER},
            "parked": [
                {
                    "event_id": entry.event_id,
                    "event_kind": entry.event_kind,
                    "received_at": entry.received_at.isoformat(),
                    "reason": entry.reason,
                }
                for entry in parked
            ],
            "actor": [
                {"state": place.state.value, "restarts": place.restarts}
                for place in over.system.snapshot(under=address)
            ],
        }
    )


async def _store_answers(ports: Ports) -> bool:
    try:
        with trio.fail_after(_PATIENCE.total_seconds()):
            await ports.store.ping()
    except (StoreError, trio.TooSlowError):
        return False
    return True
