"""A connection's version as its ETag (RFC 9110, 8.8.3, 13.1)."""

from __future__ import annotations

import pytest

from http_edge.errors import InvalidError
from http_edge.preconditions import etag, expected_version, is_known


@pytest.mark.parametrize(
    ("if_match", "version"), [(None, None), ("*", None), ('"7"', 7), (' "7" ', 7)]
)
def test_the_version_a_caller_saw(if_match: str | None, version: int | None) -> None:
    assert expected_version(if_match) == version


@pytest.mark.parametrize(
    "if_match", ["", "7", '"seven"', 'W/"7"', '"7", "8"', '"-1"', f'"{"9" * 19}"', '"\u0661"']
)
def test_what_is_no_tag_of_ours_is_malformed(if_match: str) -> None:
    """A weak tag never matches here (RFC 9110, 13.1.1), and we give none."""
    with pytest.raises(InvalidError) as refused:
        expected_version(if_match)

    assert (refused.value.status, refused.value.details) == (400, {"field": "If-Match"})


@pytest.mark.parametrize(
    ("if_none_match", "known"),
    [
        (None, False),
        ("*", True),
        ('"7"', True),
        ('W/"7"', True),
        ('"6", "7"', True),
        ('"77"', False),
        ("7", False),
        ("", False),
    ],
)
def test_whether_a_caller_has_the_version_already(if_none_match: str | None, known: bool) -> None:
    assert is_known(if_none_match, 7) is known
    assert etag(7) == '"7"'
