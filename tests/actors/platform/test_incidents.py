"""EPC-4: people are told once, though it stores an alert and then says that it crashed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import trio
import trio.testing
from attrs import define, evolve

from actors.platform.embedded.alerting import AlertingService
from actors.platform.errors import (
    PlatformMisconfiguredError,
    PlatformRefusedError,
    PlatformUnavailableError,
)
from actors.platform.incidents import AlertTerms, Epc4Incidents, Incident, Incidents
from adapters.contract import Response, Secret
from tests.actors.platform.world import (
    EPOCH,
    INCIDENT,
    SHARED_SECRET,
    Answering,
    Served,
    always,
    ask,
    minted,
    read,
    served,
    silent,
)

TERMS = AlertTerms(environment="dev")
OVER = evolve(INCIDENT, resolved_at=EPOCH + timedelta(minutes=3))
AGAIN = evolve(INCIDENT, alert_id=UUID(int=2), opened_at=EPOCH + timedelta(minutes=5))


def client(answering: Answering) -> Epc4Incidents:
    return Epc4Incidents(answering.sibling("EPC-4"), minted(), TERMS)


@define
class Epc4:
    incidents: Incidents
    server: Served

    async def alerts(self, tenant: str = "acme") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.server.control(f"alerts?tenant_id={tenant}"))[
            "alerts"
        ]
        return rows

    async def standing(self) -> list[tuple[str, str]]:
        return [(alert["alert_id"][-1], alert["status"]) for alert in await self.alerts()]


@asynccontextmanager
async def epc4(*, mended: bool, secret: Secret = SHARED_SECRET) -> AsyncIterator[Epc4]:
    service = AlertingService(SHARED_SECRET, mended=mended)
    async with served(service.handle, name="EPC-4") as server:
        yield Epc4(Epc4Incidents(server.sibling, minted(secret), TERMS), server)


BOTH = pytest.mark.parametrize("mended", [False, True], ids=["as shipped", "mended"])


@BOTH
async def test_an_incident_is_told_and_then_over(mended: bool) -> None:
    """As shipped, each is stored and answered with a 500."""
    async with epc4(mended=mended) as world:
        await world.incidents.tell(INCIDENT)
        assert await world.standing() == [("1", "open")]

        await world.incidents.tell(OVER)
        assert await world.standing() == [("1", "resolved")]


@BOTH
async def test_told_again_it_is_one_alert(mended: bool) -> None:
    async with epc4(mended=mended) as world:
        for incident in (INCIDENT, INCIDENT, OVER, OVER):
            await world.incidents.tell(incident)

        assert await world.standing() == [("1", "resolved")]


@BOTH
async def test_trouble_that_comes_back_within_minutes_is_found_in_its_first_alert(
    mended: bool,
) -> None:
    """EPC-4 puts it there by its key: the new id stands nowhere, and is neither told for ever nor left open."""
    async with epc4(mended=mended) as world:
        for incident in (INCIDENT, OVER, AGAIN):
            await world.incidents.tell(incident)
        assert await world.standing() == [("1", "open")]

        await world.incidents.tell(evolve(AGAIN, resolved_at=EPOCH + timedelta(minutes=6)))
        assert await world.standing() == [("1", "resolved")]


async def test_the_end_of_what_another_node_told_is_found_by_its_key() -> None:
    """A node that never told of it knows no other id than its own."""
    async with epc4(mended=True) as world:
        await world.incidents.tell(INCIDENT)
        restarted = Epc4Incidents(world.server.sibling, minted(), TERMS)

        await restarted.tell(evolve(AGAIN, resolved_at=EPOCH + timedelta(minutes=6)))

        [alert] = await world.alerts()
    assert (alert["alert_id"], alert["status"]) == (str(INCIDENT.alert_id), "resolved")
    assert alert["ended_at"] == "2026-03-01T12:06:00+00:00"


async def test_an_alert_says_all_that_epc_4_demands() -> None:
    async with epc4(mended=False) as world:
        await world.incidents.tell(INCIDENT)
        [alert] = await world.alerts()

    assert alert["dedup_key"] == f"m10:acme:{UUID(int=77)}:circuit_open"
    assert alert["started_at"] == "2026-03-01T12:00:00+00:00"
    assert alert["labels"] == {
        "provider_id": "github",
        "connection_id": str(UUID(int=77)),
        "kind": "circuit_open",
    }
    assert (alert["severity"], alert["category"]) == ("P1", "reliability")
    assert (alert["source_module"], alert["environment"]) == ("M10", "dev")
    assert alert["component_id"] == "integration-adapters.github"


async def test_the_same_trouble_of_two_tenants_is_two_alerts_p6() -> None:
    """EPC-4's own look-up by key knows no tenants."""
    async with epc4(mended=False) as world:
        await world.incidents.tell(INCIDENT)
        await world.incidents.tell(evolve(INCIDENT, alert_id=UUID(int=9), tenant_id="globex"))

        assert len(await world.alerts("acme")) == len(await world.alerts("globex")) == 1


async def test_a_failure_that_stored_nothing_is_to_be_told_again_and_then_is_once() -> None:
    async with epc4(mended=True) as world:
        await world.server.control("faults", {"status": 500, "effect": "none"})
        with pytest.raises(PlatformUnavailableError):
            await world.incidents.tell(INCIDENT)
        assert await world.alerts() == []

        await world.incidents.tell(INCIDENT)
        assert await world.standing() == [("1", "open")]


async def test_a_lost_answer_costs_no_second_alert() -> None:
    async with epc4(mended=True) as world:
        await world.server.control("faults", {"dropped": True, "effect": "now"})
        await world.incidents.tell(INCIDENT)

        assert await world.standing() == [("1", "open")]
        assert (await world.server.counts())["200"] == 1  # it was looked for, not sent twice


async def test_a_resolution_that_was_lost_is_not_taken_for_told() -> None:
    """The alert is there, but open: seeing it proves nothing."""
    async with epc4(mended=True) as world:
        await world.incidents.tell(INCIDENT)
        await world.server.control("faults", {"status": 500, "effect": "none"})
        with pytest.raises(PlatformUnavailableError):
            await world.incidents.tell(OVER)

        assert await world.standing() == [("1", "open")]


async def test_while_it_is_down_nothing_is_taken_for_told() -> None:
    async with epc4(mended=False) as world:
        await world.server.control("down", {"refuse": True})
        with pytest.raises(PlatformUnavailableError):
            await world.incidents.tell(INCIDENT)


async def test_a_secret_in_a_summary_does_not_leave_p8() -> None:
    token = "ghp_" + "a" * 36
    async with epc4(mended=False) as world:
        await world.incidents.tell(evolve(INCIDENT, summary=f"{'x' * 280} {token}"))
        await world.incidents.tell(evolve(OVER, summary=f"over with {token}"))
        [alert] = await world.alerts()

    assert "ghp_" not in str(alert)
    assert len(alert["summary"]) <= 300


async def test_no_reason_of_a_resolution_shows_a_secret_p8() -> None:
    answering = always(200, {"alert_id": "1"})

    await client(answering).tell(evolve(OVER, summary="ghp_" + "a" * 36))

    [request] = answering.asked
    assert request.url.path.endswith("/resolve")
    assert b"ghp_" not in request.content


async def test_every_try_sends_the_same_bytes() -> None:
    answering = always(200, {"alert_id": str(INCIDENT.alert_id)})
    incidents = client(answering)

    await incidents.tell(INCIDENT)
    await incidents.tell(INCIDENT)

    first, second = answering.asked
    assert first.content == second.content
    assert first.headers["x-tenant-id"] == "acme"


@pytest.mark.parametrize(
    ("status", "document", "expected"),
    [
        (200, {}, PlatformUnavailableError),
        (200, {"alert_id": 7}, PlatformUnavailableError),
        (401, {"detail": "Invalid authentication credentials"}, PlatformMisconfiguredError),
        (403, {"detail": "Tenant mismatch"}, PlatformMisconfiguredError),
        (404, {"detail": "Not Found"}, PlatformMisconfiguredError),
        (422, {"detail": []}, PlatformRefusedError),
    ],
)
async def test_its_noes_are_sorted_by_who_must_act(
    status: int, document: object, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        await client(always(status, document)).tell(INCIDENT)


@pytest.mark.parametrize("incident", [INCIDENT, OVER])
async def test_a_look_that_is_refused_is_the_operator_s_to_mend(incident: Incident) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500 if request.method == "POST" else 403)

    with pytest.raises(PlatformMisconfiguredError):
        await client(Answering(answer)).tell(incident)


async def test_a_resolution_that_is_refused_is_not_told_by_another_way() -> None:
    answering = always(403, {"detail": "Tenant mismatch"})

    with pytest.raises(PlatformMisconfiguredError):
        await client(answering).tell(OVER)

    assert len(answering.asked) == 1


async def test_the_wrong_secret_is_the_operator_s_to_mend() -> None:
    async with epc4(
        mended=False, secret=Secret(value=b"another secret that is long enough!!")
    ) as world:
        with pytest.raises(PlatformMisconfiguredError):
            await world.incidents.tell(INCIDENT)


@pytest.mark.parametrize("tenant", ["ac\u00e9me", "acme\nx-roles: global_admin"])
async def test_a_tenant_that_no_header_can_carry_is_not_told_of(tenant: str) -> None:
    answering = always(200, {"alert_id": "1"})

    with pytest.raises(PlatformMisconfiguredError):
        await client(answering).tell(evolve(INCIDENT, tenant_id=tenant))

    assert answering.asked == []


async def test_an_answer_that_does_not_come_is_not_waited_for_long(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(PlatformUnavailableError):
        await client(silent()).tell(INCIDENT)

    assert trio.current_time() == pytest.approx(10)  # the alert and the look for it


ALERT = {
    "alert_id": "a-1",
    "tenant_id": "acme",
    "source_module": "m",
    "plane": "p",
    "environment": "dev",
    "component_id": "c",
    "severity": "P1",
    "category": "other",
    "summary": "first",
    "started_at": "2026-03-01T12:00:00Z",
    "dedup_key": "k",
}


def tell(service: AlertingService, document: object = None, **more: Any) -> Response:
    tenant = more.pop("tenant", "acme")
    token = minted(lifetime=timedelta(days=1)).token(tenant).value.decode()
    own = {"authorization": f"Bearer {token}", "x-tenant-id": tenant}
    headers = {**own, **more.pop("headers", {})}
    url, method = more.pop("url", "/v1/alerts"), more.pop("method", "POST")
    return ask(service, method, url, document, headers=headers, **more)


def test_epc_4_asks_for_token_and_tenant_and_believes_its_headers() -> None:
    service = AlertingService(SHARED_SECRET, mended=True)
    bare = {"authorization": f"Bearer {minted().token('acme').value.decode()}"}

    assert ask(service, "GET", "/healthz").status == 200
    assert ask(service, "POST", "/v1/alerts", ALERT).status == 401
    assert ask(service, "POST", "/v1/alerts", ALERT, headers=bare).status == 400
    assert tell(service, ALERT, headers={"x-tenant-id": "globex"}).status == 403
    assert tell(service, ALERT, tenant="globex").status == 403
    trusted = {"x-roles": "viewer, global_admin"}
    assert tell(service, ALERT, tenant="globex", headers=trusted).status == 200
    allowed = {"x-allow-tenants": "acme"}
    url = "/v1/alerts/a-1"
    assert tell(service, method="GET", url=url, tenant="globex").status == 404
    assert tell(service, method="GET", url=url, tenant="globex", headers=allowed).status == 200


def test_epc_4_writes_one_tenant_s_alert_over_another_s_of_the_same_key() -> None:
    service = AlertingService(SHARED_SECRET, mended=True)
    tell(service, ALERT)
    theirs = {**ALERT, "alert_id": "b-1", "tenant_id": "globex", "summary": "second"}

    answer = read(tell(service, theirs, tenant="globex"))
    kept = read(tell(service, method="GET", url="/v1/alerts/a-1"))

    assert (answer["alert_id"], answer["incident_id"]) == ("a-1", "inc-a-1")
    assert (kept["tenant_id"], kept["summary"]) == ("acme", "second")


@pytest.mark.parametrize(
    ("category", "severity", "minutes"),
    [
        ("reliability", "P1", 10),
        ("security", "P1", 5),
        ("other", "P0", 1),
        ("other", "P1", 5),
        ("other", "P2", 15),
    ],
)
def test_epc_4_knows_a_key_for_minutes(category: str, severity: str, minutes: int) -> None:
    service = AlertingService(SHARED_SECRET, mended=True)
    alert = {**ALERT, "category": category, "severity": severity}
    tell(service, alert)

    later = timedelta(minutes=minutes)
    again = tell(service, {**alert, "alert_id": "a-2"}, now=EPOCH + later)
    within = tell(
        service,
        {**alert, "alert_id": "a-3"},
        now=EPOCH + 2 * later - timedelta(seconds=1),
    )

    assert read(again)["alert_id"] == "a-2"
    assert read(within)["alert_id"] == "a-2"


def test_epc_4_s_other_routes_and_words() -> None:
    service = AlertingService(SHARED_SECRET, mended=True)
    tell(service, ALERT)

    acked = tell(service, {"actor": "ada"}, url="/v1/alerts/a-1/ack")
    assert read(acked)["status"] == "acknowledged"
    assert tell(service, {}, url="/v1/alerts/a-1/resolve").status == 422
    assert tell(service, {"actor": "a"}, url="/v1/alerts/a-9/resolve").status == 404
    assert tell(service, method="DELETE", url="/v1/alerts/a-1").status == 405
    assert tell(service, url="/v1/incidents/inc-a-1/resolve").status == 404
    assert tell(service, {**ALERT, "started_at": "yesterday"}).status == 422
    assert tell(service, {"alert_id": "a-1"}).status == 422
    other = tell(service, {**ALERT, "alert_id": "a-2", "dedup_key": "k2", "component_id": "d"})
    assert read(other)["incident_id"] == "inc-a-1"
    much_later = EPOCH + timedelta(hours=1)
    third = tell(service, {**ALERT, "alert_id": "a-3", "dedup_key": "k3"}, now=much_later)
    assert read(third)["incident_id"] == "inc-a-3"


def test_epc_4_can_be_mended() -> None:
    service = AlertingService(SHARED_SECRET)

    assert tell(service, ALERT).status == 500
    assert read(ask(service, "POST", "/_sim/mended", {"mended": True})) == {"mended": True}
    assert tell(service, ALERT).status == 200
