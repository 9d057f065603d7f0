"""SEC-IA-02: two tenants, every route of the table, every id swapped. A new route is tried here without being named."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from attrs import frozen

from http_edge.auth import PERMISSIONS
from http_edge.bodies import (
    ActionBody,
    BackfillBody,
    ConnectionBody,
    ConnectionEdits,
    CursorResetBody,
    LoginBody,
    PollBody,
    ReasonBody,
    ResolutionBody,
    RotationBody,
    SignalBody,
)
from http_edge.route import Guarded, Route
from http_edge.routes import ROUTES
from persistence.polls import NewBackfill
from persistence.store import Store
from tests.http_edge.scene import (
    CONNECTIONS,
    EXECUTE,
    Connected,
    Scene,
    beyond_the_moment,
    error_of,
)

pytestmark = pytest.mark.thorough

GUARDED = [route for route in ROUTES if isinstance(route.door, Guarded)]
OTHERS = "globex"


@frozen(kw_only=True)
class Things:
    """The ids of what a tenant has."""

    connection: Connected
    ids: Mapping[str, str]


async def things_of(scene: Scene, tenant: str) -> Things:
    connection = await scene.active(tenant, display_name=f"the rocket of {tenant}")
    body = scene.action_body(connection, "theirs", correlation_id=f"of-{tenant}")
    made = await scene.call("module", "POST", EXECUTE, body, tenant=tenant)
    return Things(
        connection=connection,
        ids={
            "connection_id": connection.connection_id,
            "action_id": made.json()["action_id"],
            "backfill_id": str(await backfill_of(scene, connection)),
            "provider_id": "github",
        },
    )


async def backfill_of(scene: Scene, connection: Connected) -> UUID:
    """A backfill that waits for its time."""
    now = scene.clock.now()
    new = NewBackfill(
        backfill_id=uuid4(),
        tenant_id=connection.tenant_id,
        connection_id=UUID(connection.connection_id),
        resource="issues:acme/rocket",
        since=now - timedelta(days=1),
        until=now,
        created_at=now + timedelta(days=1),
    )
    return (await cast("Store", scene.store).begin_backfill(new)).backfill_id


def bodies(scene: Scene, connection: Connected) -> dict[type | None, Any]:
    """A right body of each kind, about a connection."""
    return {
        None: None,
        ConnectionBody: scene.connection_body(display_name="mine"),
        ConnectionEdits: {"display_name": "mine now"},
        RotationBody: {"webhook_url": True},
        LoginBody: {},
        ActionBody: scene.action_body(connection, "mine"),
        SignalBody: scene.envelope(connection, tenant_id="acme"),
        BackfillBody: {"resource": "issues:acme/rocket", "since": "2026-01-01T00:00:00Z"},
        CursorResetBody: {"resource": "issues:acme/rocket"},
        PollBody: {},
        ReasonBody: {"reason": "not mine"},
        ResolutionBody: {"status": "done", "reason": "not mine"},
    }


async def asked(
    scene: Scene, route: Route, ids: Mapping[str, str], body: object
) -> httpx.Response:
    """Ask as somebody of acme who may."""
    assert isinstance(route.door, Guarded)
    permission = route.door.permission
    role = next(role for role, held in PERMISSIONS.items() if permission in held)
    return await scene.call(role, route.method, route.path.format(**ids), body)


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.name)
async def test_sec_ia_02_another_tenants_ids_lead_nowhere(scene: Scene, route: Route) -> None:
    """P6: what is another's is answered like what is not there, and nothing of it changes or is told."""
    theirs = await things_of(scene, OTHERS)
    nobodys = Things(
        connection=Connected(
            connection_id=str(uuid4()),
            webhook_url="",
            tenant_id="acme",
            secret=theirs.connection.secret,
        ),
        ids={
            "connection_id": str(uuid4()),
            "action_id": str(uuid4()),
            "backfill_id": str(uuid4()),
            "provider_id": "gopher",
        },
    )
    before = await everything_of(scene, theirs)

    swapped = await asked(scene, route, theirs.ids, bodies(scene, theirs.connection)[route.body])
    missing = await asked(scene, route, nobodys.ids, bodies(scene, nobodys.connection)[route.body])

    told = swapped.text + str(swapped.headers)
    assert OTHERS not in told
    assert theirs.ids["action_id"] not in told
    assert theirs.ids["backfill_id"] not in told
    if {"connection_id", "action_id"} & set(route.names) or route.body is ActionBody:
        assert swapped.status_code == 404
        assert beyond_the_moment(swapped) == beyond_the_moment(missing)
    if route.body is SignalBody:
        assert error_of(swapped)["details"]["field"] == "producer_id"
        assert beyond_the_moment(swapped) == beyond_the_moment(missing)
    assert await everything_of(scene, theirs) == before


async def everything_of(scene: Scene, theirs: Things) -> list[Any]:
    """What the other tenant sees of its own things."""
    shown = []
    one = f"{CONNECTIONS}/{theirs.connection.connection_id}"
    for path in (CONNECTIONS, one, f"{one}/backfills"):
        answer = await scene.call("tenant_admin", "GET", path, tenant=OTHERS)
        assert answer.status_code == 200
        shown.append((answer.json(), answer.headers.get("etag")))
    return shown


async def test_sec_ia_02_ids_in_a_query_lead_nowhere_either(scene: Scene) -> None:
    theirs = await things_of(scene, OTHERS)

    for path in (
        f"/internal/integrations/actions?connection_id={theirs.ids['connection_id']}",
        f"/internal/integrations/actions?cursor={theirs.ids['action_id']}",
        f"/internal/integrations/actions?correlation_id=of-{OTHERS}",
        f"{CONNECTIONS}?cursor={'0' * 8}-0000-0000-0000-{'0' * 12}",
    ):
        answer = await scene.call("tenant_admin", "GET", path)
        assert answer.status_code == 200
        assert [] in answer.json().values()


async def test_sec_ia_02_an_idempotency_key_is_the_tenants_own(scene: Scene) -> None:
    """The answer to another tenant's request is never given again to this one."""
    headers = {"idempotency-key": "same"}
    body = scene.connection_body()

    theirs = await scene.call(
        "tenant_admin", "POST", CONNECTIONS, body, tenant=OTHERS, headers=headers
    )
    mine = await scene.call("tenant_admin", "POST", CONNECTIONS, body, headers=headers)

    assert theirs.status_code == mine.status_code == 201
    assert theirs.json()["connection_id"] != mine.json()["connection_id"]
    assert "idempotent-replayed" not in mine.headers
