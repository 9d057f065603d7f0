"""The contract is true: schemathesis asks the running node what the OpenAPI document allows, and what it forbids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
import schemathesis
import trio
from attrs import define, field
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from http_edge.auth import PERMISSIONS
from http_edge.openapi import document
from http_edge.queries import NoQuery
from http_edge.route import Guarded, Route
from http_edge.routes import ROUTES
from http_edge.surroundings import REPOSITORY
from tests.http_edge.scene import CONNECTIONS, EXECUTE, Scene

pytestmark = pytest.mark.thorough

POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
REFUSALS = ["400", "404", "408", "413", "422"]
ROLES = ("tenant_admin", "module", "operator")
bounded = settings(
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


async def known(scene: Scene) -> dict[str, Any]:
    """What is there or may be, so that not every example ends at the door."""
    connection = await scene.active(settings={"repositories": [REPOSITORY]})
    body = scene.action_body(connection, connection.connection_id)
    made = await scene.call("module", "POST", EXECUTE, body)
    past = {"resource": f"issues:{REPOSITORY}", "since": "2026-01-01T00:00:00Z", "until": None}
    path = f"{CONNECTIONS}/{connection.connection_id}/backfill"
    filled = {**past, "resource": f"comments:{REPOSITORY}"}
    begun = await scene.call("tenant_admin", "POST", path, filled)
    return {
        "connection_id": connection.connection_id,
        "action_id": made.json()["action_id"],
        "backfill_id": begun.json()["backfill_id"],
        **past,
        "provider_id": "github",
        "base_url": scene.around.github_url,
        "auth": {"token": scene.around.github_token.value.decode()},
        "webhook": {},
        "settings": {},
        "network": None,
        "capabilities": None,
        "tenant_id": "acme",
        **{name: body[name] for name in ("canonical_type", "target", "payload")},
    }


@define
class Asker:
    """Asks one route many things and checks every answer."""

    url: str
    headers: dict[str, str]
    mode: GenerationMode
    known: dict[str, Any]
    statuses: Counter[int] = field(factory=Counter)

    def ask(self, contract: dict[str, Any], route: Route) -> None:
        """Ask what the contract makes up; the same each time."""
        schema = schemathesis.openapi.from_dict(contract)
        schema.config.checks.negative_data_rejection.expected_statuses = REFUSALS
        cases = schema[route.path][route.method].as_strategy(generation_mode=self.mode)

        @bounded
        @given(case=cases, led=strategies.integers(0, 3))
        def one(case: Case[Any], led: int) -> None:
            if led and self.mode is POSITIVE:
                self._lead(case)
            self._check(case)

        one()

    def _lead(self, case: Case[Any]) -> None:
        for place in (case.path_parameters, case.body):
            if isinstance(place, dict):
                place.update({name: self.known[name] for name in self.known if name in place})

    def _check(self, case: Case[Any]) -> None:
        checks = [*CHECKS, negative_data_rejection] if self.mode is NEGATIVE else CHECKS
        answer = case.call_and_validate(
            base_url=self.url, headers=self.headers, checks=checks, allow_redirects=False
        )
        self.statuses[answer.status_code] += 1


async def ask_all(
    scene: Scene, contract: dict[str, Any], routes: Iterable[Route], mode: GenerationMode
) -> Counter[int]:
    """Ask the routes many things each; gives the statuses that came."""
    statuses: Counter[int] = Counter()
    for route in routes:
        asker = Asker(scene.url, headers_of(scene, route), mode, await known(scene), statuses)
        # In a thread, as schemathesis waits for each answer, and the node answers here.
        await trio.to_thread.run_sync(asker.ask, contract, route)
    return statuses


def headers_of(scene: Scene, route: Route) -> dict[str, str]:
    if not isinstance(route.door, Guarded):
        return {}
    role = next(role for role in ROLES if route.door.permission in PERMISSIONS[role])
    return {"authorization": f"Bearer {scene.token(role)}"}


def without_security(contract: dict[str, Any]) -> dict[str, Any]:
    """The contract as it is for somebody whose token is good: what a bad one gets is tried elsewhere."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(contract))
    for operations in found["paths"].values():
        for operation in operations.values():
            operation["security"] = []
    return found


async def test_what_the_contract_allows_is_answered_as_it_says(scene: Scene) -> None:
    """No 5xx, and no answer whose status, headers or document the contract does not name."""
    statuses = await ask_all(scene, document(ROUTES), ROUTES, POSITIVE)

    assert {200, 201, 202, 400, 404, 409, 422} <= set(statuses)


async def test_what_the_contract_forbids_is_refused(scene: Scene) -> None:
    """What a parameter, a header or a body may not be is answered 4xx, in the shape of errors."""
    refusing = [
        route for route in ROUTES if route.body or route.query is not NoQuery or route.keyed
    ]

    statuses = await ask_all(scene, without_security(document(ROUTES)), refusing, NEGATIVE)

    assert statuses[400] > len(refusing)


@pytest.mark.parametrize("lie", ["status", "field"])
async def test_a_contract_that_lies_is_caught(scene: Scene, lie: str) -> None:
    """The proof that the two above can fail."""
    contract = without_security(document(ROUTES))
    if lie == "status":
        del contract["paths"][CONNECTIONS]["get"]["responses"]["400"]
    else:
        contract["components"]["schemas"]["ConnectionPage"]["required"].append("total")
    (listing,) = [route for route in ROUTES if route.name == "list_connections"]

    with pytest.raises((FailureGroup, ExceptionGroup)):
        await ask_all(scene, contract, [listing], POSITIVE if lie == "field" else NEGATIVE)
