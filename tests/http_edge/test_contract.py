"""The OpenAPI document: valid, checked in as it is served, and complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from http_edge.answers import as_json
from http_edge.openapi import document, error_statuses
from http_edge.route import Guarded, Open
from http_edge.routes import ROUTES, contract
from tests.http_edge.scene import Scene

ROOT = Path(__file__).parents[2]


def test_the_checked_in_document_is_the_one_that_is_served() -> None:
    """`integration-adapters openapi > docs/openapi.json` brings it up to date."""
    assert (ROOT / "docs" / "openapi.json").read_bytes() == contract()


def test_the_document_is_valid_openapi_3_1() -> None:
    found: dict[str, Any] = orjson.loads(contract())

    jsonschema_rs.validator_for(OPENAPI_31).validate(found)
    assert found["openapi"].startswith("3.1")
    for schema in found["components"]["schemas"].values():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )


def test_the_validator_can_tell() -> None:
    broken = {**orjson.loads(contract()), "paths": {"no/slash": {}}}

    assert not jsonschema_rs.validator_for(OPENAPI_31).is_valid(broken)


def test_every_reference_leads_somewhere_and_every_name_is_unique() -> None:
    found = orjson.loads(contract())
    names = [
        operation["operationId"]
        for operations in found["paths"].values()
        for operation in operations.values()
    ]

    def references(part: Any) -> set[str]:
        match part:
            case dict():
                here = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
                return here.union(*(references(each) for each in part.values()))
            case list():
                return set[str]().union(*(references(each) for each in part))
            case _:
                return set()

    known = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert references(found) == known
    assert len(set(names)) == len(names) == len(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_says_who_may_and_what_can_go_wrong(route: Any) -> None:
    operation = document(ROUTES)["paths"][route.path][route.method.lower()]
    told = set(operation["responses"])

    assert told == {str(status) for status in (*route.answers, *error_statuses(route))}
    match route.door:
        case Guarded(permission=permission):
            assert operation["security"] == [{"iam": []}]
            assert permission.value in operation["description"]
            assert {"400", "401", "403", "503"} <= told
        case Open(permission=None):
            assert operation["security"] == []
        case Open():
            assert {"iam": []} in operation["security"]
    for status in ("409", "429", "503"):
        if status in told and int(status) not in route.answers:
            assert "Retry-After" in operation["responses"][status]["headers"]


async def test_the_document_is_open_to_all(scene: Scene) -> None:
    answer = await scene.http.get(f"{scene.url}/openapi.json")

    assert answer.status_code == 200
    assert answer.content == contract()
    assert answer.headers["content-type"] == "application/json"


def test_only_what_has_a_shape_is_an_answer() -> None:
    """So that nothing leaves that the document does not name."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        as_json(object())
