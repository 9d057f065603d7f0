"""M35: calls are paid for once, in a block, and every word it has for no is understood."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import jwt
import orjson
import pytest
import trio
import trio.testing
from attrs import define

from actors.platform.budgets import (
    Budgets,
    BudgetTerms,
    Grant,
    M35Budgets,
    Taken,
    Withheld,
    resource_type,
    tenant_uuid,
)
from actors.platform.embedded.budgets import BudgetService
from actors.platform.errors import (
    PlatformMisconfiguredError,
    PlatformRefusedError,
    PlatformUnavailableError,
)
from actors.platform.tokens import MintedTokens
from adapters.contract import Response, Secret
from tests.actors.platform.world import (
    EPOCH,
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

CONNECTION = UUID(int=77)
ACME = str(tenant_uuid("acme"))
TERMS = BudgetTerms()
WITH_COSTS = BudgetTerms(costs={"github": Decimal("0.25")})


def client(answering: Answering, terms: BudgetTerms = TERMS) -> M35Budgets:
    return M35Budgets(answering.sibling("M35"), minted(), terms)


async def take(budgets: Budgets, tenant_id: str = "acme", **changes: Any) -> Grant:
    asked = {
        "connection_id": CONNECTION,
        "provider_id": "github",
        "calls": 10,
        "work": "live",
    }
    return await budgets.take(tenant_id, **{**asked, **changes})


@define
class M35:
    budgets: Budgets
    server: Served

    async def checks(self, tenant: str = ACME) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.server.control(f"checks?tenant_id={tenant}"))[
            "checks"
        ]
        return rows

    async def limit(self, number: int, *, window_s: int = 60) -> None:
        wish = {"tenant_id": ACME, "resource_type": "integration.github"}
        await self.server.control("limits", {**wish, "limit": number, "window_s": window_s})


@asynccontextmanager
async def m35(
    terms: BudgetTerms = TERMS, tokens: MintedTokens | None = None
) -> AsyncIterator[M35]:
    async with served(BudgetService(SHARED_SECRET).handle, name="M35") as server:
        yield M35(M35Budgets(server.sibling, tokens or minted(), terms), server)


async def test_a_block_of_calls_is_one_question_and_one_spending() -> None:
    async with m35() as world:
        await world.limit(25)
        grants = [await take(world.budgets) for _ in range(3)]
        checks = await world.checks()

    assert grants[:2] == [Taken(), Taken()]
    assert grants[2] == Withheld(retry_after=timedelta(seconds=60), reason="rate limit")
    assert [check["request_count"] for check in checks] == [10, 10, 10]


async def test_a_refusal_is_a_200_that_says_not_allowed() -> None:
    async with m35() as world:
        await world.server.control("withhold", {"times": 2, "retry_after": 90})
        grants = [await take(world.budgets) for _ in range(3)]

        assert await world.server.counts() == {"200": 3}
    held = Withheld(retry_after=timedelta(seconds=90), reason="rate limit")
    assert grants == [held, held, Taken()]


@pytest.mark.parametrize(
    ("work", "priority"), [("actions", "high"), ("live", "normal"), ("backfill", "low")]
)
async def test_the_class_of_the_work_is_its_priority(work: str, priority: str) -> None:
    async with m35() as world:
        await take(world.budgets, work=work)
        [check] = await world.checks()

    assert check["priority"] == priority


async def test_each_connection_has_its_own_counter_p6() -> None:
    async with m35() as world:
        await world.limit(10)
        first = await take(world.budgets)
        other = await take(world.budgets, connection_id=UUID(int=78))
        again = await take(world.budgets)

    assert (first, other) == (Taken(), Taken())
    assert isinstance(again, Withheld)


async def test_a_tenant_that_is_no_uuid_is_known_by_one_or_m35_would_crash() -> None:
    async with m35() as world:
        await take(world.budgets, "acme")
        await take(world.budgets, "globex")

        assert len(await world.checks()) == 1
        assert len(await world.checks(str(tenant_uuid("globex")))) == 1


def test_a_tenant_s_uuid_is_its_own_and_always_the_same_p6() -> None:
    own = "0b3c5b0e-65b5-4d6b-9d3c-0f0d8e5f6a11"
    spellings = [own, own.upper(), own.replace("-", ""), f"urn:uuid:{own}", "acme", "Acme", ""]

    assert str(tenant_uuid(own)) == own
    assert len({tenant_uuid(spelling) for spelling in spellings}) == len(spellings)
    assert str(tenant_uuid("acme")) == "d7871932-8203-5387-bd90-6f0341c6222c"


async def test_a_cost_is_asked_only_of_providers_that_have_one_and_after_the_calls() -> None:
    async with m35(WITH_COSTS) as world:
        await world.server.control("budgets", {"tenant_id": ACME, "amount": "5.00"})
        grants = [await take(world.budgets) for _ in range(3)]
        free = await take(world.budgets, provider_id="slack")
        checks = await world.checks()

    assert grants[:2] == [Taken(), Taken()]
    assert grants[2] == Withheld(retry_after=WITH_COSTS.look_again, reason="cost")
    assert free == Taken()
    assert [check.get("estimated_cost") for check in checks] == [None, "2.50"] * 3 + [None]


async def test_calls_that_may_not_be_made_cost_nothing() -> None:
    async with m35(WITH_COSTS) as world:
        await world.server.control("withhold", {"times": 1, "retry_after": 5})
        await take(world.budgets)

        [check] = await world.checks()
    assert "estimated_cost" not in check


async def test_a_soft_budget_that_is_overdrawn_is_an_outage_to_us() -> None:
    async with m35(WITH_COSTS) as world:
        await world.server.control("budgets", {"tenant_id": ACME, "amount": "3", "soft": True})
        assert await take(world.budgets) == Taken()
        for _ in range(2):
            with pytest.raises(PlatformUnavailableError):
                await take(world.budgets)

        assert await world.server.counts() == {"200": 4, "500": 2}


@pytest.mark.parametrize(
    "tokens",
    [
        minted(Secret(value=b"another secret that is long enough!!")),
        minted(audience="zeroui"),
        minted(lifetime=timedelta(0)),
    ],
)
async def test_a_token_that_m35_does_not_take_is_a_500_and_no_leave(tokens: MintedTokens) -> None:
    """Wrong secret, an audience it does not expect, expired: nothing tells them from an outage."""
    async with m35(tokens=tokens) as world:
        with pytest.raises(PlatformUnavailableError, match="500"):
            await take(world.budgets)


async def test_an_outage_is_told_and_nothing_is_taken_for_granted() -> None:
    async with m35() as world:
        await world.server.control("down", {"status": 503, "retry_after": 7})
        with pytest.raises(PlatformUnavailableError) as caught:
            await take(world.budgets)
        await world.server.control("up", {})

        assert await take(world.budgets) == Taken()
    assert caught.value.retry_after == timedelta(seconds=7)


async def test_the_token_names_the_tenant_and_m35_the_limit() -> None:
    answering = always(200, {"allowed": True})

    await take(client(answering))

    [request] = answering.asked
    token = request.headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(
        token,
        SHARED_SECRET.value,
        algorithms=["HS256"],
        options={"verify_exp": False, "verify_iat": False},
    )
    assert (claims["tenant_id"], claims["sub"]) == ("acme", "acme:ia")
    assert claims["exp"] > EPOCH.timestamp()
    assert orjson.loads(request.content) == {
        "tenant_id": ACME,
        "resource_type": resource_type("github"),
        "resource_key": str(CONNECTION),
        "request_count": 10,
        "priority": "normal",
    }


@pytest.mark.parametrize(
    ("given", "waits"),
    [
        ("30", 30),
        ("2.5", 2.5),
        ("0", 1),
        ("0.01", 1),
        ("1" + "0" * 400, 86_400),
        ("null", 300),
        ('"30"', 300),
        ("-1", 300),
        ("NaN", 300),
        ("Infinity", 300),
    ],
)
async def test_a_wait_is_bounded_whatever_m35_says(given: str, waits: float) -> None:
    body = f'{{"allowed": false, "retry_after": {given}}}'
    answering = Answering(lambda _: httpx.Response(200, text=body))

    grant = await take(client(answering))

    assert grant == Withheld(retry_after=timedelta(seconds=waits), reason="rate limit")


@pytest.mark.parametrize(
    ("status", "document", "expected"),
    [
        (200, {}, PlatformUnavailableError),
        (200, {"allowed": "yes"}, PlatformUnavailableError),
        (200, {"allowed": 1.5}, PlatformUnavailableError),
        (200, [], PlatformUnavailableError),
        (422, {"detail": [{"loc": ["body", "tenant_id"]}]}, PlatformRefusedError),
        (404, {"detail": "Not Found"}, PlatformMisconfiguredError),
        (400, {"detail": {"error_code": "POLICY_GONE"}}, PlatformRefusedError),
    ],
)
async def test_an_answer_that_says_neither_is_no_leave(
    status: int, document: object, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        await take(client(always(status, document)))


@pytest.mark.parametrize("wrong", [{"calls": 0}, {"calls": -1}, {"work": "poetry"}])
async def test_what_makes_no_sense_is_not_asked(wrong: dict[str, Any]) -> None:
    answering = always(200, {"allowed": True})

    with pytest.raises(ValueError, match="at least one"):
        await take(client(answering), **wrong)

    assert answering.asked == []


async def test_an_answer_that_does_not_come_is_not_waited_for_long(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(PlatformUnavailableError, match="no answer in 2 s"):
        await take(client(silent()))

    assert trio.current_time() == pytest.approx(2)


def check(service: BudgetService, document: object = None, **more: Any) -> Response:
    token = minted().token("acme").value.decode()
    headers = more.pop("headers", {"authorization": f"Bearer {token}"})
    url = more.pop("url", "/budget/v1/rate-limits/check")
    return ask(service, "POST", url, document, headers=headers, **more)


QUESTION = {"tenant_id": ACME, "resource_type": "integration.github"}


def test_m35_s_own_traps() -> None:
    service = BudgetService(SHARED_SECRET)

    assert check(service, {**QUESTION, "tenant_id": "acme"}).status == 500
    crash = check(service, QUESTION, headers={})
    assert (crash.status, crash.body) == (500, b"Internal Server Error")
    assert ask(service, "GET", "/budget/v1/health").status == 200
    assert check(service, QUESTION, url="/v1/rate-limits/check").status == 404
    assert check(service, {**QUESTION, "priority": "urgent"}).status == 422
    assert check(service, {**QUESTION, "request_count": "1"}).status == 422
    assert check(service, {"tenant_id": ACME}).status == 422
    cost = "/budget/v1/budgets/check"
    for wrong in (-1, "much", None, "NaN"):
        assert check(service, {**QUESTION, "estimated_cost": wrong}, url=cost).status == 422
    unlimited = read(check(service, {**QUESTION, "estimated_cost": 1}, url=cost))
    assert (unlimited["allowed"], unlimited["remaining_budget"]) == (True, "999999999")
    echoed = check(
        service,
        QUESTION,
        headers={
            "authorization": f"Bearer {minted().token('acme').value.decode()}",
            "x-correlation-id": "c-1",
        },
    )
    assert read(echoed)["correlation_id"] == "c-1"


def test_m35_s_own_limit_is_a_500_too() -> None:
    service = BudgetService(SHARED_SECRET)

    answers = [check(service, QUESTION).status for _ in range(1001)]

    assert answers == [200] * 1000 + [500]
    assert check(service, QUESTION, now=EPOCH + timedelta(minutes=1)).status == 200


def test_a_window_of_m35_begins_anew_when_it_is_over() -> None:
    service = BudgetService(SHARED_SECRET)
    limit = {**QUESTION, "limit": 1, "window_s": 60}
    assert ask(service, "POST", "/_sim/limits", limit).status == 201

    first, second = (read(check(service, QUESTION)) for _ in range(2))
    later = read(check(service, QUESTION, now=EPOCH + timedelta(seconds=60)))

    assert (first["allowed"], second["allowed"], later["allowed"]) == (True, False, True)
    assert second["retry_after"] == 60
    assert "+" not in second["reset_time"]
