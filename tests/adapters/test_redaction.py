"""No planted secret survives, and nothing else changes (P8)."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from adapters.errors import PayloadError
from adapters.redaction import (
    KEY_ENDINGS,
    KEYS,
    REDACTED,
    Rules,
    Shape,
    redact,
    redact_text,
)

TOKENS = (
    "ghp_" + "aB3" * 12,
    "gho_" + "aB3" * 12,
    "ghs_" + "eyJhbGciOi.J9aa_bb-" * 4,
    "ghu_" + "0" * 36,
    "github_pat_" + "11ABC_xyz" * 5,
    "glpat-" + "a1_b-" * 5,
    "AKIA" + "ABCDEFGH12345678",
    "xoxb-123456789012-abcdef",
    "xapp-1-A0123-456",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE/ow+IBA\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nMIIE never ended",
)
SECRET_KEYS = (
    "password",
    "db_password",
    "Password",
    "client_secret",
    "clientSecret",
    "CLIENT-SECRET",
    "private_key",
    "api_key",
    "x-api-key",
    "apiKey",
    "access_token",
    "refreshToken",
    "Authorization",
    "set-cookie",
    "token",
    "smtp.password",
)
INNOCENT_KEYS = (
    "token_type",
    "total_tokens",
    "next_page_token",
    "secret_scanning",
    "secret_scanning_push_protection",
    "access_tokens_url",
    "password_changed_at",
    "keys_url",
    "key",
    "tokens",
    "cookies_accepted",
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("key", SECRET_KEYS)
@pytest.mark.parametrize("value", ["hush", 1234, {"deep": ["hush"]}, ["hush"]])
def test_what_stands_under_a_secret_key_is_replaced_whole(key: str, value: object) -> None:
    body = json.dumps({"a": [{key: value}], "kept": 1}).encode()

    assert orjson.loads(redact(body)) == {"a": [{key: REDACTED}], "kept": 1}


@pytest.mark.parametrize("name", [*KEY_ENDINGS, *KEYS])
def test_every_name_in_the_rules_is_found_in_raw_json(name: str) -> None:
    spaced = b'{"%s" \n : "hush"}' % name.upper().encode()

    assert orjson.loads(redact(spaced)) == {name.upper(): REDACTED}


@pytest.mark.parametrize("key", INNOCENT_KEYS)
def test_an_innocent_key_keeps_its_value(key: str) -> None:
    body = json.dumps({key: "value"}).encode()

    assert redact(body) is body


@pytest.mark.parametrize("value", [None, True, False, ""])
def test_a_value_that_says_nothing_is_kept(value: object) -> None:
    body = json.dumps({"password": value}).encode()

    assert redact(body) is body


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_in_a_text_is_cut_out_of_it(token: str) -> None:
    body = orjson.dumps({"message": f"deploy with {token}"})

    assert orjson.loads(redact(body)) == {"message": f"deploy with {REDACTED}"}
    assert redact_text(f"see {token}") == f"see {REDACTED}"


def test_a_token_used_as_a_key_is_cut_out_too() -> None:
    assert orjson.loads(redact(orjson.dumps({TOKENS[0]: 1}))) == {REDACTED: 1}


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


@pytest.mark.parametrize("token", TOKENS)
def test_an_escaped_token_is_found(token: str) -> None:
    body = f'{{"message":"{escaped(token)}"}}'.encode()

    assert orjson.loads(redact(body)) == {"message": REDACTED}


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_an_escaped_key_is_found(key: str) -> None:
    body = f'{{"{escaped(key[:2])}{key[2:]}":"hush"}}'.encode()

    assert orjson.loads(redact(body)) == {key: REDACTED}


def test_a_key_behind_an_escaped_quote_is_found() -> None:
    body = b'{"a\\"password":"hush","x\\\\y_password":"hush"}'

    assert b"hush" not in redact(body)


def test_a_key_longer_than_the_search_window_is_found() -> None:
    body = orjson.dumps({"x" * 5_000 + "_password": "hush"})

    assert b"hush" not in redact(body)


def planted(document: Any, secret: str, at: int) -> Any:
    """The document with ``secret`` put somewhere in it, ``at`` choosing where."""
    if isinstance(document, list):
        return (
            [*document, secret]
            if at % 2
            else [planted(item, secret, at // 2) for item in document] + [secret]
        )
    if isinstance(document, dict):
        return {**document, "text": f"before {secret} after"}
    return {"password": secret} if at % 2 else [f"{secret}"]


@given(
    document=json_values,
    token=st.sampled_from(TOKENS),
    at=st.integers(0, 50),
    ascii_only=st.booleans(),
)
def test_a_planted_secret_never_survives(
    document: Any, token: str, at: int, ascii_only: bool
) -> None:
    body = json.dumps(planted(document, token, at), ensure_ascii=ascii_only).encode()

    assert token not in json.dumps(orjson.loads(redact(body)), ensure_ascii=False)
    assert json.dumps(token)[1:-1] not in redact(body).decode()


@given(document=json_values, token=st.sampled_from(TOKENS), at=st.integers(0, 50))
def test_redacting_twice_is_redacting_once(document: Any, token: str, at: int) -> None:
    once = redact(json.dumps(planted(document, token, at)).encode())

    assert redact(once) is once


@given(text=st.text(), token=st.sampled_from(TOKENS), rest=st.text())
def test_cleaning_a_text_twice_is_cleaning_it_once(text: str, token: str, rest: str) -> None:
    once = redact_text(text + token + rest)

    assert redact_text(once) == once
    assert token not in once


@given(document=json_values)
def test_a_body_without_secrets_is_the_very_same_object(document: Any) -> None:
    body = orjson.dumps(document)

    assert redact(body) is body


@given(body=st.binary(max_size=200))
def test_any_bytes_are_kept_or_refused(body: bytes) -> None:
    try:
        kept = redact(body)
    except PayloadError:
        return
    assert kept is body or orjson.loads(kept) is not None


def test_suspicious_bytes_that_are_no_json_are_refused() -> None:
    with pytest.raises(PayloadError) as caught:
        redact(b'{"password": "hush"')

    assert "hush" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_suspicious_document_that_is_too_deep_is_refused() -> None:
    body = b'{"password":"hush","a":' + b"[" * 300 + b"]" * 300 + b"}"

    with pytest.raises(PayloadError, match="deeper"):
        redact(body)


def test_a_tenant_can_have_rules_of_its_own() -> None:
    rules = Rules(
        endings=("card_number",),
        keys=("iban",),
        shapes=(Shape(name="badge", pattern=r"BADGE-\d+", traces=(b"BADGE-",)),),
    )

    body = orjson.dumps({"cardNumber": 1, "iban": "x", "note": "BADGE-12!", "password": "kept"})

    assert orjson.loads(redact(body, rules)) == {
        "cardNumber": REDACTED,
        "iban": REDACTED,
        "note": f"{REDACTED}!",
        "password": "kept",
    }
    assert redact(body) == redact(body, Rules()) != redact(body, rules)
