"""Where a connection may point: a base URL given by a tenant, checked before it is kept."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from http_edge.errors import InvalidError

_FIELD = "base_url"
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]|\\")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)


def checked_base_url(url: str, *, development: bool) -> str:
    """The URL without a trailing slash, if a connection may point there.

    Only https, no credentials, query or fragment, no address literal that is not public. In development loopback is
    allowed, with http too. Names are ASCII (IDNA's form for others). What a name resolves to is not looked at here.

    Raises:
        InvalidError: naming ``base_url``.
    """
    parts = _split(url)
    loopback = _is_loopback(parts)
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise InvalidError("must be an absolute https URL", field=_FIELD)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidError("must have no credentials, query or fragment", field=_FIELD)
    if loopback:
        if not development:
            raise InvalidError("must not point to this machine", field=_FIELD)
    elif parts.scheme != "https":
        raise InvalidError("must be https", field=_FIELD)
    elif _is_private(parts):
        raise InvalidError("must not point into a private network", field=_FIELD)
    return url.rstrip("/")


def _split(url: str) -> SplitResult:
    if _UNPRINTABLE.search(url):
        raise InvalidError("must be printable ASCII without blanks", field=_FIELD)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidError("is no URL", field=_FIELD) from error
    return parts


def _address(parts: SplitResult) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return None


def _is_loopback(parts: SplitResult) -> bool:
    address = _address(parts)
    host = (parts.hostname or "").rstrip(".")
    return (
        host == "localhost" or host.endswith(".localhost") or bool(address and address.is_loopback)
    )


def _is_private(parts: SplitResult) -> bool:
    address = _address(parts)
    host = (parts.hostname or "").rstrip(".")
    if address is not None:
        return address.is_multicast or not address.is_global
    # A name without a dot is no public one. One that ends in a number is an address to many resolvers:
    # 2130706433, 127.1 and 0x7f.0.0.1 are all 127.0.0.1.
    return "." not in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None
