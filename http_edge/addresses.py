"""Where a connection may point: a base URL given by a tenant, checked before it is kept."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from http_edge.errors import InvalidError

_FIELD = "base_url"


def checked_base_url(url: str, *, development: bool) -> str:
    """The URL without a trailing slash, if a connection may point there.

    Only https, no credentials, query or fragment, no address literal that is not public. In development loopback is
    allowed, with http too. What a name resolves to is not looked at here.

    Raises:
        InvalidError: naming ``base_url``.
    """
    try:
        parts = urlsplit(url)
        loopback = _is_loopback(parts)
        _ = parts.port
    except ValueError as error:
        raise InvalidError("is no URL", field=_FIELD) from error
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
    # A name without a dot, or all digits (2130706433 is 127.0.0.1 to many resolvers), is no public one.
    odd = address is None and ("." not in host or host.replace(".", "").isdigit())
    return odd or bool(address and not address.is_global)
