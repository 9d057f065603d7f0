"""Reading JSON: errors say where, and nothing else is raised."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from adapters.document import (
    bounded,
    find,
    instant,
    objects,
    optional,
    parse,
    parse_list,
    read,
    read_object,
)
from adapters.errors import PayloadError

DOCUMENT = {"a": {"b": {"c": 7, "on": True, "items": [{"n": 1}], "none": None, "x": 1.5}}}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"null", b'{"a":NaN}', b'"\xff"', b"{} x"]
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        parse(body)

    assert caught.value.__cause__ is None


def test_a_deeply_nested_body_is_refused_not_fatal() -> None:
    with pytest.raises(PayloadError):
        parse(b'{"a":' * 100_000)


@pytest.mark.parametrize("body", [b"{", b"{}", b"null", b"[1]"])
def test_what_is_no_list_of_objects_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadError):
        parse_list(body)


def test_a_value_is_read_by_path_and_type() -> None:
    assert read(DOCUMENT, "a.b.c", int) == 7
    assert read(DOCUMENT, "a.b.on", bool) is True
    assert read_object(DOCUMENT, "a.b")["c"] == 7
    assert objects(DOCUMENT, "a.b.items") == ({"n": 1},)
    assert parse_list(b'[{"n":1}]') == ({"n": 1},)


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("a.b.c", str, "a.b.c: must be a string"),
        ("a.b.on", int, "a.b.on: must be a whole number"),
        ("a.b.x", bool, "a.b.x: must be true or false"),
        ("a.b.none", int, "a.b.none: is missing"),
        ("a.missing.c", dict, "a.missing.c: is missing"),
        ("a.b.c.d", list, "a.b.c.d: is missing"),
    ],
)
def test_an_error_says_where(path: str, kind: type, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        read(DOCUMENT, path, kind)

    assert str(caught.value) == message
    assert caught.value.path == path


def test_what_is_missing_or_null_may_be_missing() -> None:
    assert optional(DOCUMENT, "a.b.none", int) is None
    assert find(DOCUMENT, "a.b.c.d") is None
    assert objects(DOCUMENT, "a.nothing") == ()
    assert instant(DOCUMENT, "a.nothing") is None


def test_an_error_in_a_list_says_which() -> None:
    with pytest.raises(PayloadError, match=r"a\[1\]: must be an object"):
        objects({"a": [{}, 3]}, "a")


@pytest.mark.parametrize(
    "value", ["2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", 1772366400]
)
def test_times_are_read_in_utc(value: object) -> None:
    time = instant({"at": value}, "at")

    assert time == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert time.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "2026-03-01T12:00:00",
        10**30,
        -(10**14),
        True,
        1.5,
        [],
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_what_is_no_time_is_a_payload_error(value: object) -> None:
    with pytest.raises(PayloadError, match="at: must be"):
        instant({"at": value}, "at")


@given(text=st.text(), limit=st.integers(10, 50))
def test_a_bounded_text_says_that_it_was_cut(text: str, limit: int) -> None:
    short = bounded(text, limit=limit)

    assert short is not None
    assert len(short) <= limit
    assert short == text if len(text) <= limit else short.endswith("[cut]")
