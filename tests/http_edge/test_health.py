"""Alive, ready, counted, and how one connection is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import orjson
import pytest

from actors.conditions import Condition
from adapters.contract import Secret
from http_edge import health
from http_edge.node import new_id
from http_edge.sending import signed
from http_edge.surroundings import REPOSITORY
from persistence.changes import NewIncident
from persistence.errors import SchemaError, StoreUnavailableError
from persistence.store import Store
from tests.http_edge.scene import WEBHOOK_SECRET, Opened, Scene, error_of, running

SETTINGS = {"repositories": [REPOSITORY]}


def health_path(connection_id: str) -> str:
    return f"/internal/integrations/connections/{connection_id}/health"


async def test_a_running_node_is_live_and_ready_without_a_token(scene: Scene) -> None:
    live = await scene.http.get(f"{scene.url}/health/live")
    ready = await scene.http.get(f"{scene.url}/health/ready")

    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "checks": {"store": True, "tree": True}}


@pytest.mark.parametrize("error", [StoreUnavailableError("gone"), SchemaError("at another")])
async def test_without_its_store_a_node_is_live_but_not_ready(
    scene: Scene, error: Exception
) -> None:
    scene.store.failing["ping"] = error

    live = await scene.http.get(f"{scene.url}/health/live")
    ready = await scene.http.get(f"{scene.url}/health/ready")

    assert live.status_code == 200
    assert ready.status_code == 503
    assert ready.json() == {"status": "not_ready", "checks": {"store": False, "tree": True}}


async def test_p7_a_store_that_does_not_answer_in_time_is_not_ready(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_PATIENCE", timedelta(seconds=0.2))
    scene.store.hold("ping")

    ready = await scene.http.get(f"{scene.url}/health/ready")

    assert ready.status_code == 503
    assert ready.json()["checks"]["store"] is False


async def test_p11_a_node_that_stops_is_not_ready_any_more(scene: Scene) -> None:
    """P11: a balancer sends no more work while it drains."""
    await scene.node.system.stop(drain=timedelta(seconds=5), reason="test")

    ready = await scene.http.get(f"{scene.url}/health/ready")

    assert ready.status_code == 503
    assert ready.json()["checks"] == {"store": True, "tree": False}


async def test_p9_the_metrics_count_every_delivery_and_the_difference_is_0(scene: Scene) -> None:
    """P9: accepted, duplicate, rejected, parked, forwarded; they add up."""
    connection = await scene.active()
    request = scene.delivery(connection)
    for headers in ({}, {}, {"x_hub_signature_256": "sha256=0"}):
        await scene.post(connection.webhook_url, request, **headers)
    await scene.post(connection.webhook_url, unusable())
    await scene.arrived(1)

    async def all_counted() -> bool:
        ledger = await scene.ledger()
        return ledger["rejected"] == ledger["parked"] == 1

    await scene.until(all_counted)
    answer = await scene.http.get(f"{scene.url}/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    prefix = f'integration_adapters_deliveries{{connection="{connection.connection_id}"'
    for state, count in (
        ("accepted", 2),
        ("duplicate", 1),
        ("rejected", 1),
        ("forwarded", 1),
        ("parked", 1),
        ("pending", 0),
        ("settled", 0),
    ):
        line = f'{prefix},provider="github",state="{state}",tenant="acme"}} {count}.0'
        assert line in answer.text
    assert "integration_adapters_accounting_difference 0.0" in answer.text
    for status, count in (("accepted", 2), ("duplicate", 1), ("rejected", 1)):
        label = f'{{provider="github",status="{status}",tenant="acme"}} {count}.0'
        assert label in answer.text


def unusable():
    """A well-signed pull request without its number: verified, and of no use."""
    body = orjson.dumps({"action": "opened", "pull_request": {"title": "x"}})
    secret = Secret(value=WEBHOOK_SECRET.encode())
    return signed("github", "pull_request", body, secret=secret, event_id=str(new_id()))


async def test_metrics_need_an_operators_token_unless_they_are_open(opened: Opened) -> None:
    async with running(opened, opened.settings(metrics_open=False)) as scene:
        bare = await scene.http.get(f"{scene.url}/metrics")
        tenants = await scene.call("tenant_admin", "GET", "/metrics")
        operators = await scene.call("operator", "GET", "/metrics")

    assert bare.status_code == 401
    assert tenants.status_code == 403
    assert operators.status_code == 200


async def test_metrics_without_the_store_are_503(scene: Scene) -> None:
    scene.store.failing["accounting"] = StoreUnavailableError("gone")

    answer = await scene.http.get(f"{scene.url}/metrics")

    assert answer.status_code == 503
    error_of(answer)


async def test_the_health_of_a_connection_tells_its_ledger_what_was_parked_and_its_actor(
    scene: Scene,
) -> None:
    """PRD 11.4: what operators and modules ask when a connection is quiet."""
    connection, other = await scene.active(settings=SETTINGS), await scene.active()
    await scene.deliver(connection)
    await scene.deliver(other)
    await scene.post(connection.webhook_url, unusable())
    await scene.arrived(2)

    answer = await scene.call("operator", "GET", health_path(connection.connection_id.upper()))

    assert answer.status_code == 200
    document = answer.json()
    assert document["connection_id"] == connection.connection_id
    assert document["status"] == "active"
    assert document["reason"] is None
    assert document["last_verified_at"] is not None
    assert document["deliveries"] == {
        "accepted": 2,
        "duplicate": 0,
        "rejected": 0,
        "forwarded": 1,
        "parked": 1,
        "pending": 0,
        "settled": 0,
    }
    (parked,) = document["parked"]
    assert parked["event_kind"] == "pull_request.opened"
    assert parked["reason"]
    assert document["actor"][0]["restarts"] == 0
    assert document["degraded"] is False
    assert datetime.fromisoformat(document["webhooks"]["last_at"]) <= scene.clock.now()
    assert document["webhooks"]["silent_since"] is None


async def test_a_connection_that_was_never_used_is_healthy_too(scene: Scene) -> None:
    connection = await scene.create()

    document = (await scene.call("module", "GET", health_path(connection.connection_id))).json()

    assert document["status"] == "pending_verification"
    assert document["last_verified_at"] is None
    assert set(document["deliveries"].values()) == {0}
    assert document["parked"] == document["actor"] == []
    assert document["webhooks"] == {"last_at": None, "silent_since": None}
    assert document["degraded"] is False


async def test_the_health_of_a_connection_says_since_when_its_webhooks_are_silent(
    scene: Scene,
) -> None:
    """FR-5: polling has found what none has brought; with the next one it is over."""
    connection = await scene.active(capabilities=["webhook", "polling"], settings=SETTINGS)
    place = (connection.tenant_id, UUID(connection.connection_id))
    store = cast("Store", scene.store)

    async def read() -> bool:
        known = await store.cursors(*place)
        return bool(known) and all(cursor.last_polled_at for cursor in known)

    await scene.until(read)
    found_at = scene.clock.now()
    lease = await store.claim_connection(*place, owner=new_id())
    await store.seen_news(lease, now=found_at)

    silent = (await scene.call("operator", "GET", health_path(connection.connection_id))).json()
    await scene.deliver(connection)
    heard = (await scene.call("operator", "GET", health_path(connection.connection_id))).json()

    assert silent["webhooks"]["last_at"] is None
    since = datetime.fromisoformat(silent["webhooks"]["silent_since"])
    assert abs(since - found_at) < timedelta(milliseconds=1)
    assert heard["webhooks"]["silent_since"] is None
    assert heard["webhooks"]["last_at"] is not None


async def test_a_connection_with_an_open_incident_or_an_open_breaker_is_degraded(
    scene: Scene,
) -> None:
    connection = await scene.create()  # nobody works for it yet
    place = (connection.tenant_id, UUID(connection.connection_id))
    store, path = cast("Store", scene.store), health_path(connection.connection_id)

    async def degraded() -> bool:
        answer = await scene.call("operator", "GET", path)
        return bool(answer.json()["degraded"])

    await store.open_incident(
        NewIncident(
            incident_id=new_id(),
            tenant_id=place[0],
            connection_id=place[1],
            provider_id="github",
            kind="webhooks_silent",
            severity="P2",
            summary="none comes",
            opened_at=scene.clock.now(),
        )
    )
    assert await degraded()
    await store.close_incident(*place, "webhooks_silent", now=scene.clock.now())
    assert not await degraded()

    conditions = scene.node.ports.conditions
    conditions.put(*place, Condition(circuit="half_open"))
    assert await degraded()
