"""Where a connection may point, and by which way: what a tenant gives is checked before it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from actors.errors import RouteError
from actors.network import Network, check_base_url, check_proxy, own_tls
from actors.transport import Transport
from http_edge.errors import InvalidError

_BASE_URL = "base_url"
_PROXY = "network.proxy"
_CA_BUNDLE = "network.ca_bundle"


def checked_base_url(url: str, *, development: bool) -> str:
    """The URL without a trailing slash, if a connection may point there as far as the URL itself says.

    Raises:
        InvalidError: naming ``base_url``.
    """
    with _told_of(_BASE_URL):
        check_base_url(url, development=development)
    return url.rstrip("/")


def checked_network(ca_bundle: str | None, proxy: str | None, *, development: bool) -> Network:
    """The way to a provider, if its CA bundle can be read and its proxy used.

    Raises:
        InvalidError: 422, naming ``network.ca_bundle`` or ``network.proxy``.
    """
    if ca_bundle is not None:
        with _told_of(_CA_BUNDLE, status=422):
            own_tls(ca_bundle)
    if proxy is not None:
        with _told_of(_PROXY, status=422):
            check_proxy(proxy, development=development)
    return Network(ca_bundle=ca_bundle, proxy=proxy, development=development)


async def check_reach(base_url: str, network: Network, transport: Transport) -> None:
    """Resolve the name that will be connected to, the proxy's where there is one, and judge its addresses.

    Raises:
        InvalidError: 422, naming ``base_url`` or ``network.proxy``: no such host, or not one for a connection.
    """
    with _told_of(_BASE_URL if network.proxy is None else _PROXY, status=422):
        await transport.check(base_url, network=network)


@contextmanager
def _told_of(field: str, *, status: int = 400) -> Iterator[None]:
    try:
        yield
    except RouteError as error:
        raise InvalidError(error.reason, field=field, status=status) from error
