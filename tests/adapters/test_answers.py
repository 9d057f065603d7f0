"""What statuses mean, how long to wait, and where the next page is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from adapters.answers import MAX_RETRY_AFTER, ending, retry_after
from adapters.contract import Later, NeedsLogin, Refused, Request, Response
from adapters.paging import next_url

READ = Request(method="GET", url="/things?page=1")
WRITE = Request(method="POST", url="/things", writes=True)
NOON = ("date", "Sun, 01 Mar 2026 12:00:00 GMT")


@pytest.mark.parametrize("status", [200, 201, 204])
def test_success_goes_on(status: int) -> None:
    assert ending(Response(status=status), request=WRITE) is None


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_write_that_may_have_been_carried_out_says_so(status: int) -> None:
    """P4."""
    assert ending(Response(status=status), request=WRITE) == Later(
        reason=f"answered {status}", maybe_sent=True
    )
    assert ending(Response(status=status), request=READ) == Later(reason=f"answered {status}")


@pytest.mark.parametrize("status", [425, 429])
def test_a_write_that_was_put_off_has_no_effect(status: int) -> None:
    assert ending(Response(status=status), request=WRITE) == Later(reason=f"answered {status}")


@pytest.mark.parametrize("status", [304, 400, 403, 404, 409, 410, 422])
def test_a_clear_no_is_final(status: int) -> None:
    outcome = ending(Response(status=status), request=WRITE, message="no")

    assert outcome == Refused(reason=f"{status}: no", status=status)


def test_refused_credentials_need_a_person() -> None:
    assert isinstance(ending(Response(status=401), request=WRITE), NeedsLogin)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((("retry-after", "30"),), 30),
        ((("retry-after", " 0 "),), 0),
        ((("retry-after", "9" * 500),), MAX_RETRY_AFTER.total_seconds()),
        ((NOON, ("retry-after", "Sun, 01 Mar 2026 12:02:00 GMT")), 120),
        ((NOON, ("retry-after", "Sun, 01 Mar 2026 11:00:00 GMT")), 0),
        ((NOON, ("retry-after", "Sun, 01 Mar 2036 11:00:00 GMT")), 86_400),
    ],
)
def test_the_wait_is_the_providers(headers: tuple[tuple[str, str], ...], seconds: float) -> None:
    wait = retry_after(Response(status=429, headers=headers))

    assert wait == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("retry-after", "soon"),),
        (("retry-after", "-1"),),
        (("retry-after", "²"),),
        (("retry-after", "Sun, 01 Mar 2026 12:02:00 GMT"),),
        (("date", "yesterday"), ("retry-after", "Sun, 01 Mar 2026 12:02:00 GMT")),
        (NOON, ("retry-after", "Sun, 01 Mar 2026 12:02:00 -0000")),
        (NOON, ("retry-after", "Sun, 99 Mar 99999999999 12:02:00 GMT")),
    ],
)
def test_an_unreadable_wait_is_none(headers: tuple[tuple[str, str], ...]) -> None:
    assert retry_after(Response(status=429, headers=headers)) is None


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ('<https://a.example/x?page=2>; rel="next"', "https://a.example/x?page=2"),
        ("<?page=2>; rel=next", "/things?page=2"),
        ('</a,b?p=1;2>; title="x, <y>; rel=last"; rel="prev NEXT"', "/a,b?p=1;2"),
        ('<a>; rel="last", <b>; REL="next"', "/b"),
        ('<a>; title="; rel=next"; rel=prev', None),
        ('<a>; title="\\"; rel=next', None),
        ("<a>", None),
        ("<a>; rel", None),
        ('<a>; rel="last"; rel="next"', None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_next_page_is_found_as_rfc_8288_writes_it(link: str, url: str | None) -> None:
    response = Response(status=200, headers=(("date", "x"), ("link", link)))

    assert next_url(response, request=READ) == url


def test_several_link_headers_are_one_list() -> None:
    response = Response(status=200, headers=(("link", "<a>; rel=prev"), ("link", "<b>; rel=next")))

    assert next_url(response, request=READ) == "/b"


@given(link=st.text(alphabet='<>;,="\\relnxt ab', max_size=60))
def test_no_link_header_is_an_error(link: str) -> None:
    found = next_url(Response(status=200, headers=(("link", link),)), request=READ)

    assert found is None or isinstance(found, str)
