"""No body ends M35, EPC-4 or EPC-5 as simulated: each field of a good one in turn is missing, or is what it should not be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actors.platform.embedded.alerting import AlertingService
from actors.platform.embedded.budgets import BudgetService
from actors.platform.embedded.health import HealthService
from tests.actors.platform.test_budgets import QUESTION
from tests.actors.platform.test_health import ADMIN, NAMED, PLAIN, TOLD
from tests.actors.platform.test_incidents import ALERT
from tests.actors.platform.world import SHARED_SECRET, ask, minted

MINTED = {
    "authorization": f"Bearer {minted().token('acme').value.decode()}",
    "x-tenant-id": "acme",
}
EPC1 = {"authorization": f"Bearer {ADMIN}"}
PLAIN1 = {"authorization": f"Bearer {PLAIN}"}
RATE = {**QUESTION, "resource_key": "k", "request_count": 1, "priority": "low"}
COST = {**QUESTION, "estimated_cost": "1.5"}
ODD: tuple[Any, ...] = (None, True, -1, 1.5, 2**63, "", "x", "\x00", [], [[]], {}, {"a": [1]})


def m35() -> BudgetService:
    return BudgetService(SHARED_SECRET)


def epc4() -> AlertingService:
    return AlertingService(SHARED_SECRET, mended=True)


@pytest.mark.parametrize(
    ("make", "path", "good", "headers"),
    [
        (m35, "/budget/v1/rate-limits/check", RATE, MINTED),
        (m35, "/budget/v1/budgets/check", COST, MINTED),
        (epc4, "/v1/alerts", ALERT, MINTED),
        (HealthService, "/v1/health/components", NAMED, EPC1),
        (HealthService, "/v1/health/telemetry", {**TOLD, "tenant_id": "acme"}, EPC1),
        (HealthService, "/v1/health/telemetry", {**TOLD, "tenant_id": "tenant-default"}, PLAIN1),
    ],
)
def test_no_odd_field_ends_a_simulator(
    make: Callable[[], Any], path: str, good: dict[str, Any], headers: dict[str, str]
) -> None:
    whole = ask(make(), "POST", path, good, headers=headers)
    assert whole.status < 300
    for name in good:
        rest = {key: value for key, value in good.items() if key != name}
        for document in (rest, *({**good, name: odd} for odd in ODD)):
            answer = ask(make(), "POST", path, document, headers=headers)
            # A tenant id that is no UUID crashes M35: that 500 is its own.
            assert answer.status < 500 or name == "tenant_id", (name, document)
