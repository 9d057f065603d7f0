"""What callers may send: the first wrong field is named, and a wrong value is never repeated."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapters.manifest import AuthMethod
from http_edge.bodies import (
    AUTH_TYPES,
    ActionBody,
    AppAuth,
    Auth,
    ClientAuth,
    ConnectionBody,
    LoginAuth,
    NoBody,
    TokenAuth,
)
from http_edge.errors import InvalidError, TooLargeError
from http_edge.reading import BODY_LIMIT_BYTES, auth_of, parse_json, structure

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
    assert body.capabilities == ["webhook"]
    assert auth_of(body.auth) == TokenAuth(token="ghp_x")
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
        ({"provider_id": 7}, "provider_id", "expected `str`, got `int`"),
        ({"provider_id": None}, "provider_id", "expected `str`, got `null`"),
        ({"provider_id": ["x"]}, "provider_id", "expected `str`, got `array`"),
        ({"provider_id": ""}, "provider_id", "expected `str` of length >= 1"),
        ({"display_name": "x" * 201}, "display_name", "expected `str` of length <= 200"),
        ({"base_url": "x" * 2001}, "base_url", "expected `str` of length <= 2000"),
        ({"capabilities": "webhook"}, "capabilities", "expected `array | null`, got `str`"),
        ({"capabilities": [1]}, "capabilities[0]", "expected `str`, got `int`"),
        (
            {"capabilities": {"webhook": 1}},
            "capabilities",
            "expected `array | null`, got `object`",
        ),
        ({"auth": "secret-value"}, "auth", "expected `object | null`, got `str`"),
        ({"auth": ["secret-value"]}, "auth", "expected `object | null`, got `array`"),
        ({"auth": True}, "auth", "expected `object | null`, got `bool`"),
        ({"settings": []}, "settings", "expected `object`, got `array`"),
        ({"network": {"proxy": 1}}, "network.proxy", "expected `str | null`, got `int`"),
        ({"webhook": {"secret": "x" * 7}}, "webhook.secret", "expected `str` of length >= 8"),
        ({"tags": []}, "tags", "expected `object`, got `array`"),
        ({"tags": {"a": 1}}, "tags[...]", "expected `str`, got `int`"),
        ({"tags": None}, "tags", "expected `object`, got `null`"),
        ({"tags": {str(n): "" for n in range(51)}}, "tags", "expected `object` of length <= 50"),
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
    with pytest.raises(InvalidError, match="expected `object`") as refused:
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


AUTHS: list[tuple[dict[str, Any], Auth]] = [
    ({"token": "t"}, TokenAuth(token="t")),
    ({"method": "token", "token": "t"}, TokenAuth(token="t")),
    (
        {"method": "client_credentials", "client_id": "c", "client_secret": "s"},
        ClientAuth(method="client_credentials", client_id="c", client_secret="s"),
    ),
    (
        {"method": "app", "app_id": "1", "installation_id": "2", "private_key": "k"},
        AppAuth(method="app", app_id="1", installation_id="2", private_key="k"),
    ),
    ({"method": "oauth2"}, LoginAuth(method="oauth2")),
    ({"method": "oauth2", "client_id": "c"}, LoginAuth(method="oauth2", client_id="c")),
]


@pytest.mark.parametrize(("document", "auth"), AUTHS)
def test_credentials_are_read_by_their_method_and_never_shown(
    document: dict[str, Any], auth: Auth
) -> None:
    """P8. A token alone is what it always was."""
    found = auth_of(document)

    assert found == auth
    for name in ("token", "client_secret", "private_key"):
        assert f"{name}=" not in repr(found)


def test_the_contract_names_every_method_of_the_registry() -> None:
    assert set(AUTH_TYPES) == set(AuthMethod)
    assert auth_of(None) is None


@pytest.mark.parametrize(
    ("document", "field", "message"),
    [
        ({}, "auth.token", "is required"),
        ({"token": 7}, "auth.token", "expected `str`, got `int`"),
        ({"token": ""}, "auth.token", "expected `str` of length >= 1"),
        ({"token": "x", "kind": "y"}, "auth.kind", "is not known here"),
        (
            {"method": "magic"},
            "auth.method",
            "must be one of token, client_credentials, app, oauth2",
        ),
        (
            {"method": ["token"]},
            "auth.method",
            "must be one of token, client_credentials, app, oauth2",
        ),
        ({"method": "app", "app_id": "1"}, "auth.installation_id", "is required"),
        ({"method": "oauth2", "token": "x"}, "auth.token", "is not known here"),
    ],
)
def test_wrong_credentials_name_their_field(
    document: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        auth_of(document)

    assert refused.value.details == {"field": field}
    assert str(refused.value) == f"{field}: {message}"


@pytest.mark.parametrize(("open_", "close"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("depth", [100, 101, 1000])
def test_how_deep_a_document_may_be_nested(open_: bytes, close: bytes, depth: int) -> None:
    """The rest is told of its first field, and nothing of it is too deep to be written again."""
    levels = depth - 1  # the body itself is one
    raw = b'{"settings":' + open_ * levels + b"1" + close * levels + b"}"

    if depth <= 100:
        assert isinstance(parse_json(raw), dict)
        return
    with pytest.raises(InvalidError, match="settings: is nested too deeply") as refused:
        parse_json(raw)
    assert refused.value.status == 422


def test_no_body_is_an_empty_one() -> None:
    assert structure(b"", NoBody) == structure(b"{}", NoBody) == NoBody()
    with pytest.raises(InvalidError, match="provider_id: is required"):
        structure(b"", ConnectionBody)


def test_p8_a_body_never_shows_its_secrets() -> None:
    shown = repr(structure(orjson.dumps(CONNECTION), ConnectionBody))

    assert "ghp_x" not in shown
    assert "long enough" not in shown
