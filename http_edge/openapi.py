"""The API as an OpenAPI 3.1 document, made of the table of routes and the types it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from adapters.schema import json_schema
from http_edge.idempotency import KEY
from http_edge.preconditions import IF_MATCH
from http_edge.route import Guarded, Open, Route
from http_edge.views import ErrorAnswer

VERSION = "1.0.0"
"""Of the API; grows with what callers see."""

_JSON = "application/json"
_IDS = frozenset({"connection_id", "action_id", "backfill_id"})
_RETRY = frozenset({409, 429, 503})
_HEADER_TEXT = {"schema": {"type": "string"}}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document of the routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Integration Adapters",
            "version": VERSION,
            "description": (
                "Verified webhooks in, single-effect actions out (M10). "
                "`X-Correlation-Id` is taken on every request and told in every error."
            ),
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {name: _schema(kind) for name, kind in sorted(_kinds(routes).items())},
            "securitySchemes": {
                "iam": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of IAM (M21) with `tenant_id` and `roles`.",
                }
            },
        },
    }


def error_statuses(route: Route) -> tuple[int, ...]:
    """Every error the route can answer with: what follows from what it takes, and its own."""
    found = set(route.errors)
    if isinstance(route.door, Guarded):
        found |= {400, 401, 403, 503}
    if isinstance(route.door, Open) and route.door.permission is not None:
        found |= {401, 403}
    if route.names:
        found.add(404)
    if route.body is not None or route.method == "POST":
        found |= {400, 408, 413}
    if route.body is not None or route.keyed:
        found.add(422)  # nested too deeply; a key that was used for another request
    if route.keyed:
        found.add(409)
    if route.versioned:
        found.add(412)
    return tuple(sorted(found))


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [_group(route)],
        "security": _security(route),
        "responses": {
            **{str(status): _answer(route, status) for status in route.answers},
            **{
                str(status): _error(status)
                for status in error_statuses(route)
                if status not in route.answers
            },
        },
    }
    if isinstance(route.door, Guarded):
        operation["description"] = f"Needs the permission `{route.door.permission.value}`."
    parameters = list(_parameters(route))
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": bool(_schema(route.body).get("required")),
            "content": {_JSON: {"schema": _reference(route.body)}},
        }
    elif route.raw:
        operation["requestBody"] = {
            "required": True,
            "content": {"*/*": {"schema": {}}},
            "description": "What the provider sends; the signature covers its bytes.",
        }
    return operation


def _group(route: Route) -> str:
    parts = route.path.strip("/").split("/")
    return parts[2] if len(parts) > 2 else "node"


def _security(route: Route) -> list[dict[str, list[str]]]:
    match route.door:
        case Guarded():
            return [{"iam": []}]
        case Open(permission=permission):
            return [] if permission is None else [{"iam": []}, {}]


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in route.names:
        schema = {"type": "string", "format": "uuid"} if name in _IDS else {"type": "string"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    asked = _schema(route.query)
    for name, schema in asked["properties"].items():
        yield {
            "name": name,
            "in": "query",
            "required": name in asked["required"],
            "schema": _given(schema),
        }
    if route.keyed:
        yield _header("Idempotency-Key", KEY, "The same answer again, for a day.")
    if route.prefers:
        yield _header("Prefer", None, "`wait=n`: answer when it has ended, or after n seconds.")
    if route.versioned:
        yield _header("If-Match", IF_MATCH, "Only if the connection still has this version.")
    if 304 in route.answers:
        yield _header("If-None-Match", None, "304, if the connection still has this version.")


def _header(name: str, pattern: str | None, description: str) -> dict[str, Any]:
    schema = {"type": "string"} if pattern is None else {"type": "string", "pattern": pattern}
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": schema,
        "description": description,
    }


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema: there is no null in a URL, only leaving it out."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        return {**kinds[0]}
    return schema


def _answer(route: Route, status: int) -> dict[str, Any]:
    kind = route.answers[status]
    headers: dict[str, Any] = {}
    if route.tagged:
        headers["ETag"] = {**_HEADER_TEXT, "description": "The version of the connection."}
    if status in route.located:
        headers["Location"] = _HEADER_TEXT
    if route.keyed:
        headers["Idempotent-Replayed"] = {**_HEADER_TEXT, "description": "An answer given again."}
    if route.prefers:
        headers["Preference-Applied"] = _HEADER_TEXT
    answer: dict[str, Any] = {"description": _phrase(status)}
    if headers:
        answer["headers"] = headers
    if kind is not None:
        answer["content"] = {_JSON: {"schema": _reference(kind)}}
    elif status == 200:
        schema = {"type": "object"} if route.media == _JSON else {"type": "string"}
        answer["content"] = {route.media: {"schema": schema}}
    return answer


def _error(status: int) -> dict[str, Any]:
    error: dict[str, Any] = {
        "description": _phrase(status),
        "content": {_JSON: {"schema": _reference(ErrorAnswer)}},
    }
    if status in _RETRY:
        error["headers"] = {
            "Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}
        }
    return error


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _kinds(routes: Iterable[Route]) -> dict[str, type]:
    """The types that stand in the document, by name."""
    found: dict[str, type] = {ErrorAnswer.__name__: ErrorAnswer}
    for route in routes:
        for kind in (route.body, *route.answers.values()):
            if kind is not None:
                found[kind.__name__] = kind
    return found


def _reference(kind: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _schema(kind: type) -> dict[str, Any]:
    schema = json_schema(kind)
    if "description" in schema:
        schema["description"] = schema["description"].replace("``", "`")
    return schema
