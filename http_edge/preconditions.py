"""A connection's version as its ETag, and what callers say about it (RFC 9110, 8.8.3 and 13.1)."""

from __future__ import annotations

import re

from adapters.contract import Headers
from http_edge.errors import InvalidError

IF_MATCH = r'^(\*|"[0-9]{1,18}")$'
_IF_MATCH = re.compile(r'\*|"(?P<version>[0-9]{1,18})"', re.ASCII)
_OPAQUE = re.compile(r'(?:W/)?("[^"]*")')


def etag(version: int) -> str:
    """The entity tag of that version."""
    return f'"{version}"'


def tagged(version: int) -> Headers:
    """The header that names the version."""
    return (("etag", etag(version)),)


def expected_version(if_match: str | None) -> int | None:
    """The version the caller saw last; None: it is to be done whatever the version.

    Raises:
        InvalidError: it is no entity tag of ours.
    """
    if if_match is None:
        return None
    found = _IF_MATCH.fullmatch(if_match.strip())
    if found is None:
        raise InvalidError("must be one entity tag of ours, or *", field="If-Match")
    return None if found["version"] is None else int(found["version"])


def is_known(if_none_match: str | None, version: int) -> bool:
    """Whether the caller has that version already (compared weakly, as RFC 9110 wants it here)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag(version) in _OPAQUE.findall(if_none_match)
