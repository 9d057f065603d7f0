"""What callers may send: the first wrong field is named, and a wrong value is never repeated."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from http_edge.bodies import (
    BODY_LIMIT_BYTES,
    ActionBody,
    ConnectionBody,
    parse_json,
    structure,
)
from http_edge.errors import InvalidError, TooLargeError

CONNECTION: dict[str, Any] = {
    "provider_id": "github",
    "display_name": "rocket",
    "base_url": "https://api.github.com",
    "capabilities": ["webhook"],
    "auth": {"token": "ghp_x"},
    "webhook": {"secret": "long enough"},
    "tags": {"team": "engines"},
}
ACTION: dict[str, Any] = {
    "connection_id": "c",
    "canonical_type": "comment_on_pr",
    "target": {"pr": {"n": 1}},
    "payload": {},
    "idempotency_key": "k",
}


def test_a_whole_connection_is_read() -> None:
    body = structure(orjson.dumps(CONNECTION), ConnectionBody)

    assert body.provider_id == "github"
    assert body.capabilities == ("webhook",)
    assert body.auth is not None
    assert body.auth.token == "ghp_x"
    assert body.tags == {"team": "engines"}


def test_what_may_be_left_out_may_also_be_null() -> None:
    short = {"provider_id": "github", "display_name": "rocket"}
    nulls = {**short, "base_url": None, "capabilities": None, "auth": None, "webhook": None}

    assert structure(orjson.dumps(short), ConnectionBody) == structure(
        orjson.dumps(nulls), ConnectionBody
    )


def test_an_actions_target_and_payload_are_taken_as_they_are() -> None:
    body = structure(orjson.dumps(ACTION), ActionBody)

    assert body.target == {"pr": {"n": 1}}
    assert body.tenant_id is None


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"provider_id": 7}, "provider_id", "must be a string"),
        ({"provider_id": None}, "provider_id", "must be a string"),
        ({"provider_id": ["x"]}, "provider_id", "must be a string"),
        ({"provider_id": ""}, "provider_id", "must have 1 to 200 characters"),
        ({"display_name": "x" * 201}, "display_name", "must have 1 to 200 characters"),
        ({"base_url": "x" * 2001}, "base_url", "must have 1 to 2000 characters"),
        ({"capabilities": "webhook"}, "capabilities", "must be a list of strings"),
        ({"capabilities": [1]}, "capabilities", "must be a list of strings"),
        ({"capabilities": {"webhook": True}}, "capabilities", "must be a list of strings"),
        ({"auth": "secret-value"}, "auth", "must be an object"),
        ({"auth": ["secret-value"]}, "auth", "must be an object"),
        ({"auth": 7}, "auth", "must be an object"),
        ({"auth": True}, "auth", "must be an object"),
        ({"auth": {}}, "auth.token", "is required"),
        ({"auth": {"token": 7}}, "auth.token", "must be a string"),
        ({"auth": {"token": ""}}, "auth.token", "must have 1 to 10000 characters"),
        ({"auth": {"token": "x", "kind": "y"}}, "auth.kind", "is not known here"),
        ({"webhook": {"secret": "x" * 7}}, "webhook.secret", "must have 8 to 1000 characters"),
        ({"tags": []}, "tags", "must be an object of strings"),
        ({"tags": {"a": 1}}, "tags", "must be an object of strings"),
        ({"tags": None}, "tags", "must be an object of strings"),
        ({"colour": "secret-value"}, "colour", "is not known here"),
        ({"auth": None, "colour": 1, "size": 2}, "colour", "is not known here"),
    ],
)
def test_the_first_wrong_field_is_named(changes: dict[str, Any], field: str, message: str) -> None:
    """P8: without the value, which may be a secret in the wrong place."""
    raw = orjson.dumps({**CONNECTION, **changes})

    with pytest.raises(InvalidError) as refused:
        structure(raw, ConnectionBody)

    assert refused.value.details == {"field": field}
    assert str(refused.value) == f"{field}: {message}"
    assert refused.value.status == 400


@pytest.mark.parametrize("name", ["provider_id", "display_name"])
def test_a_missing_field_is_required(name: str) -> None:
    raw = orjson.dumps({key: value for key, value in CONNECTION.items() if key != name})

    with pytest.raises(InvalidError, match="is required") as refused:
        structure(raw, ConnectionBody)

    assert refused.value.details == {"field": name}


@pytest.mark.parametrize("name", ["target", "payload"])
@pytest.mark.parametrize("value", [[], "x", 1, None])
def test_an_action_without_objects_is_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidError, match="must be an object") as refused:
        structure(orjson.dumps({**ACTION, name: value}), ActionBody)

    assert refused.value.details == {"field": name}


@pytest.mark.parametrize("raw", [b"[]", b"7", b"null", b'"x"'])
def test_a_document_that_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidError, match="JSON object"):
        structure(raw, ConnectionBody)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"{}{}", b'"\\ud800"', b"[" * 100_000])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidError, match="not JSON"):
        parse_json(raw)


def test_the_limit_is_a_megabyte() -> None:
    just = b'"' + b"x" * (BODY_LIMIT_BYTES - 2) + b'"'

    assert isinstance(parse_json(just), str)
    with pytest.raises(TooLargeError):
        parse_json(just + b" ")


def test_p8_a_body_never_shows_its_secrets() -> None:
    shown = repr(structure(orjson.dumps(CONNECTION), ConnectionBody))

    assert "ghp_x" not in shown
    assert "long enough" not in shown
