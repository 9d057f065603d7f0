"""What a URL may ask for: each parameter of its type, once, and none that is not known."""

from __future__ import annotations

from uuid import UUID

import pytest

from adapters.manifest import Category
from http_edge.errors import InvalidError
from http_edge.queries import (
    ActionQuery,
    CallbackQuery,
    ConnectionQuery,
    NoQuery,
    ProviderQuery,
    read_query,
)
from persistence.records import ActionState, ConnectionState

ID = UUID("01920000-0000-7000-8000-000000000001")


def test_a_whole_query_is_read_by_type() -> None:
    text = f"provider_id=github&status=active&status=error&tag=a%3Ab:c&tag=d:&limit=7&cursor={ID}"

    query = read_query(text, ConnectionQuery)

    assert query == ConnectionQuery(
        provider_id="github",
        status=(ConnectionState.ACTIVE, ConnectionState.ERROR),
        tag=("a:b:c", "d:"),
        limit=7,
        cursor=ID,
    )


def test_what_is_left_out_has_its_default() -> None:
    assert read_query("", ConnectionQuery) == ConnectionQuery()
    assert ConnectionQuery().limit == 50


def test_other_queries_are_read_by_the_same_rules() -> None:
    actions = read_query(f"connection_id={ID}&status=unsure", ActionQuery)
    providers = read_query("category=scm&capability=webhook", ProviderQuery)

    assert actions == ActionQuery(connection_id=ID, status=(ActionState.UNSURE,))
    assert providers == ProviderQuery(category=Category.SCM, capability=("webhook",))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        *((f"limit={limit}", "limit") for limit in ("0", "201", "ten", "-1", "", "1.0", "%D9%A1")),
        ("limit=99999999999999999999", "limit"),
        ("limit=1&limit=1", "limit"),
        ("cursor=here", "cursor"),
        ("cursor=", "cursor"),
        ("status=asleep", "status[0]"),
        ("tag=loose", "tag[0]"),
        ("tag=:empty", "tag[0]"),
        ("provider_id=", "provider_id"),
        (f"provider_id={'x' * 201}", "provider_id"),
        ("colour=red", "colour"),
        ("provider_id=a&provider_id=b", "provider_id"),
    ],
)
def test_a_wrong_parameter_is_named(text: str, field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        read_query(text, ConnectionQuery)

    assert refused.value.status == 400
    assert refused.value.details == {"field": field}


@pytest.mark.parametrize("text", ["provider_id=%ff", "&".join(["a=b"] * 101)])
def test_what_is_no_query_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="can not be read"):
        read_query(text, ConnectionQuery)


def test_a_route_without_parameters_takes_none_unless_it_is_tolerant() -> None:
    assert read_query("probe=1", NoQuery, tolerant=True) == NoQuery()
    with pytest.raises(InvalidError, match="probe: is not known here"):
        read_query("probe=1", NoQuery)


def test_what_an_authorization_server_adds_is_passed_over() -> None:
    """RFC 6749, 4.1.2: a client ignores response parameters it does not know."""
    found = read_query("state=s&code=c&session_state=1&iss=x", CallbackQuery, tolerant=True)

    assert found == CallbackQuery(state="s", code="c")
