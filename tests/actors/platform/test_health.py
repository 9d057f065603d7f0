"""EPC-5: a tenant's connections to a provider are one component, which it is told of before it is told of its health."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson
import pytest
import trio
import trio.testing
from attrs import define, evolve

from actors.platform.embedded.health import HealthService
from actors.platform.errors import (
    PlatformMisconfiguredError,
    PlatformRefusedError,
    PlatformUnavailableError,
)
from actors.platform.health import (
    Epc5Health,
    HealthReports,
    HealthTerms,
    component_id,
)
from actors.platform.tokens import TenantTokens
from adapters.contract import Response, Secret
from tests.actors.platform.world import (
    EPOCH,
    REPORT,
    Answering,
    Served,
    always,
    ask,
    read,
    served,
    silent,
)

TERMS = HealthTerms(environment="dev")
ADMIN, PLAIN = "valid_epc1_admin_m10", "valid_epc1_m10"
COMPONENT = "m10.github.acme"
NEXT = evolve(REPORT, at=EPOCH + timedelta(minutes=1), error_rate=0.0)


def client(
    answering: Answering | Served, *, token: str = ADMIN, terms: HealthTerms = TERMS
) -> Epc5Health:
    tokens = TenantTokens(template=Secret(value=token.encode()))
    sibling = answering.sibling if isinstance(answering, Served) else answering.sibling("EPC-5")
    return Epc5Health(sibling, tokens, terms)


@define
class Epc5:
    reports: HealthReports
    server: Served

    async def telemetry(self, **wanted: str) -> list[dict[str, Any]]:
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        rows: list[dict[str, Any]] = (await self.server.control(f"telemetry?{query}"))["telemetry"]
        return rows

    async def read(self, path: str) -> Any:
        url = f"{self.server.url}/v1/health/{path}"
        headers = {"authorization": f"Bearer {ADMIN}"}
        return (await self.server.http.get(url, headers=headers)).json()

    async def state(self) -> str:
        told: str = (await self.read(f"components/{COMPONENT}/status"))["state"]
        return told


@asynccontextmanager
async def epc5(*, token: str = ADMIN, terms: HealthTerms = TERMS) -> AsyncIterator[Epc5]:
    async with served(HealthService().handle, name="EPC-5") as server:
        yield Epc5(client(server, token=token, terms=terms), server)


async def test_a_report_arrives_in_epc_5_s_words_and_units() -> None:
    async with epc5() as world:
        await world.reports.report(REPORT)
        [row] = await world.telemetry(tenant_id="acme")

    assert row["metrics"] == {
        "error_rate": 0.5,
        "latency_p95_ms": 120.0,
        "heartbeat_lag_sec": 3.0,
        "saturation_pct": 25.0,
        "sample_window_sec": 60.0,
    }
    assert row["labels"] == {"cause": "circuit_open", "provider_id": "github", "tenant_id": "acme"}
    assert (row["component_id"], row["timestamp"]) == (COMPONENT, "2026-03-01T12:00:00+00:00")


async def test_what_was_not_measured_is_not_told() -> None:
    async with epc5() as world:
        unmeasured = evolve(
            REPORT, error_rate=None, latency_p95=None, heartbeat_lag=None, saturation=None
        )
        await world.reports.report(unmeasured)
        [row] = await world.telemetry()

    assert row["metrics"] == {"sample_window_sec": 60.0}


async def test_its_numbers_count_as_the_component_names_a_policy() -> None:
    """Without one, EPC-5 takes them and thinks nothing of it."""
    async with epc5() as world:
        await world.reports.report(REPORT)
        assert await world.state() == "FAILED"

        await world.reports.report(evolve(NEXT, latency_p95=timedelta(milliseconds=251)))
        assert await world.state() == "DEGRADED"

        await world.reports.report(evolve(NEXT, at=EPOCH + timedelta(minutes=2)))
        assert await world.state() == "OK"


async def test_a_component_is_enrolled_once_and_by_family() -> None:
    async with epc5() as world:
        for report in (REPORT, NEXT, evolve(REPORT, tenant_id="globex")):
            await world.reports.report(report)
        components = await world.read("components")

        assert await world.server.counts() == {"200": 1, "201": 2, "202": 3}
    assert [one["component_id"] for one in components] == [COMPONENT, "m10.github.globex"]
    assert {one["component_type"] for one in components} == {"dependency"}


async def test_a_component_that_epc_5_lost_is_enrolled_again_the_next_day() -> None:
    """It says 202 to what it drops, so nothing tells us."""
    async with epc5() as world:
        await world.reports.report(REPORT)
        await world.server.control("forget", {})
        await world.reports.report(NEXT)
        tomorrow = evolve(REPORT, at=EPOCH + TERMS.enrolled)
        await world.reports.report(tomorrow)

        dropped = (await world.server.control("dropped"))["telemetry"]
        kept = await world.telemetry()
    assert [row["timestamp"] for row in dropped] == [NEXT.at.isoformat()]
    assert [row["timestamp"] for row in kept] == [at.isoformat() for at in (EPOCH, tomorrow.at)]


async def test_a_component_that_could_not_be_enrolled_is_tried_again() -> None:
    async with epc5() as world:
        await world.server.control("faults", {"status": 503, "path": "components"})
        with pytest.raises(PlatformUnavailableError):
            await world.reports.report(REPORT)
        assert await world.telemetry() == []

        await world.reports.report(REPORT)
        assert len(await world.telemetry()) == 1


async def test_a_plain_token_may_not_speak_for_another_tenant() -> None:
    async with epc5(token=PLAIN) as world:
        with pytest.raises(PlatformMisconfiguredError, match="403"):
            await world.reports.report(REPORT)


async def test_a_plain_token_speaks_for_its_own_tenant_and_ours_stay_apart_p6() -> None:
    terms = evolve(TERMS, tenant="tenant-default")
    async with epc5(token=PLAIN, terms=terms) as world:
        for tenant in ("acme", "globex"):
            await world.reports.report(evolve(REPORT, tenant_id=tenant))
        rows = await world.telemetry(tenant_id="tenant-default")

    assert [row["labels"]["tenant_id"] for row in rows] == ["acme", "globex"]
    assert [row["component_id"] for row in rows] == [COMPONENT, "m10.github.globex"]


@pytest.mark.parametrize("token", ["epc1", "valid_epc1_readonly_admin"])
async def test_a_token_that_may_not_write_is_the_operator_s_to_mend(token: str) -> None:
    async with epc5(token=token) as world:
        with pytest.raises(PlatformMisconfiguredError):
            await world.reports.report(REPORT)


async def test_a_label_of_a_report_hides_neither_tenant_nor_provider() -> None:
    answering = always(201)
    reports = client(answering)

    with pytest.raises(PlatformMisconfiguredError):  # 201 is no answer to telemetry
        await reports.report(evolve(REPORT, labels=(("tenant_id", "globex"),)))

    assert orjson.loads(answering.asked[1].content)["labels"]["tenant_id"] == "acme"


async def test_a_report_it_does_not_understand_is_refused() -> None:
    with pytest.raises(PlatformRefusedError):
        await client(always(422, {"detail": []})).report(REPORT)


@pytest.mark.parametrize("name", ["error_rate", "saturation"])
@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_from_0_to_1(name: str, share: float) -> None:
    wrong: Any = {name: share}

    with pytest.raises(ValueError, match=name):
        evolve(REPORT, **wrong)


def test_a_component_s_id_fits_and_is_its_own_p6() -> None:
    long = "t" * 200

    assert component_id("acme", "github") == COMPONENT
    assert len(component_id("t" * 117, "github")) == 128
    assert len({component_id(tenant, "github") for tenant in (long, long + "x")}) == 2
    assert len(component_id(long, "azure_devops")) <= 128


async def test_an_answer_that_does_not_come_is_not_waited_for_long(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(PlatformUnavailableError):
        await client(silent()).report(REPORT)

    assert trio.current_time() == pytest.approx(5)


NAMED: dict[str, Any] = {
    "component_id": COMPONENT,
    "name": "n",
    "component_type": "dependency",
    "plane": "Shared",
    "environment": "dev",
    "tenant_scope": "tenant",
    "metrics_profile": [],
    "health_policies": [],
}
TOLD: dict[str, Any] = {
    "component_id": COMPONENT,
    "plane": "Shared",
    "environment": "dev",
    "timestamp": "t",
    "metrics": {},
    "labels": {},
    "telemetry_type": "metrics",
}


def call(service: HealthService, path: str, document: object, token: str = ADMIN) -> Response:
    headers = {"authorization": f"Bearer {token}"}
    return ask(service, "POST", f"/v1/health/{path}", document, headers=headers)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("components", {**NAMED, "component_id": "ab"}),
        ("components", {**NAMED, "component_id": "c" * 129}),
        ("components", {**NAMED, "plane": "shared"}),
        ("components", {**NAMED, "environment": "staging"}),
        ("components", {"component_id": COMPONENT}),
        ("telemetry", {**TOLD, "metrics": {"error_rate": "much"}}),
        ("telemetry", {**TOLD, "metrics": {f"m{n}": 1 for n in range(65)}}),
        ("telemetry", {**TOLD, "labels": {"a": 1}}),
        ("telemetry", {**TOLD, "labels": {f"l{n}": "x" for n in range(101)}}),
        ("telemetry", {**TOLD, "telemetry_type": "rumour"}),
    ],
)
def test_epc_5_refuses_what_is_not_in_its_words(path: str, document: object) -> None:
    assert call(HealthService(), path, document).status == 422


def test_epc_5_s_own_traps() -> None:
    service = HealthService()
    get = {"authorization": f"Bearer {ADMIN}"}

    assert ask(service, "GET", "/healthz").status == 200
    assert ask(service, "GET", "/v1/health/components").status == 422
    assert ask(service, "GET", "/v1/health/nothing", headers=get).status == 404
    status = f"/v1/health/components/{COMPONENT}/status"
    assert ask(service, "GET", status, headers=get).status == 404
    assert call(service, "components", NAMED).status == 201
    assert read(ask(service, "GET", status, headers=get))["state"] == "UNKNOWN"
    assert ask(service, "GET", f"{status}/slo", headers=get).status == 404
    one = ask(service, "GET", status.removesuffix("/status"), headers=get)
    assert read(one)["name"] == "n"
    assert call(service, "telemetry", {**TOLD, "tenant_id": "acme"}, PLAIN).status == 403
    for rate in (0.5, 0.9):
        assert call(service, "telemetry", {**TOLD, "metrics": {"error_rate": rate}}).status == 202
    rows = read(ask(service, "GET", "/_sim/telemetry"))["telemetry"]
    assert [row["metrics"]["error_rate"] for row in rows] == [0.9]
    assert [row["tenant_id"] for row in rows] == ["tenant-default"]
    assert read(ask(service, "GET", status, headers=get))["state"] == "UNKNOWN"
