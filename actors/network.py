"""By which way a connection may reach its provider: which URLs and addresses, whose certificates, which proxy."""

from __future__ import annotations

import ipaddress
import re
import ssl
from urllib.parse import SplitResult, urlsplit

import httpx
from attrs import field, frozen

from actors.errors import RouteError

CA_BUNDLE_LIMIT_BYTES = 100_000
URL = "the URL"
_PROXY = "the proxy"
_CA_BUNDLE = "the CA bundle"
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]|\\")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
# Our own tables, because what ``ipaddress`` holds for global has changed between versions of Python.
# https://www.iana.org/assignments/iana-ipv4-special-registry
_NOT_PUBLIC_4 = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT; also 100.100.100.200, Alibaba's metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's host, with its metadata, on an address like any other
            "169.254.0.0/16",  # link-local, with 169.254.169.254, the metadata of most clouds
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments; also 192.0.0.192, Oracle's metadata
            "192.0.2.0/24",
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",
        ),
    )
)
# Only what is handed out for use: that leaves out ::, ::1, IPv4-mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96 and
# 64:ff9b:1::/48), unique local, link-local, site-local and multicast, without naming each.
# https://www.iana.org/assignments/iana-ipv6-special-registry
_HANDED_OUT = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    map(
        ipaddress.ip_network,
        (
            "2001::/23",  # protocol assignments; also Teredo, which carries IPv4 addresses
            "2001:db8::/32",
            "2002::/16",  # 6to4, which carries IPv4 addresses
            "3fff::/20",
        ),
    )
)


@frozen(kw_only=True)
class Network:
    """The way to one provider. Connections of the same way share their sockets.

    Attributes:
        ca_bundle: Certificates (PEM) that its own and its https proxy's are checked with, instead of the usual
            ones; None: the usual ones.
        proxy: All goes through it (http or https URL, without credentials); None: directly. It resolves the
            provider's name, so what that leads to is its owner's to judge.
        development: Loopback is allowed.
    """

    ca_bundle: str | None = field(default=None, repr=False)
    proxy: str | None = None
    development: bool = False


def check_base_url(url: str, *, development: bool) -> None:
    """Check what can be seen of ``url`` itself, without resolving its name.

    Only https, no credentials, query or fragment, no address literal that is not public. In development loopback is
    allowed, with http too. Names are ASCII (IDNA's form for others).

    Raises:
        RouteError: a connection may not lead there.
    """
    parts = _split(url, URL)
    loopback = _checked_host(parts.hostname or "", URL, development=development)
    if parts.scheme != "https" and not loopback:
        raise RouteError(URL, "must be https")


def check_proxy(url: str, *, development: bool) -> None:
    """As ``check_base_url``, for a proxy: it may be http, because what goes through it is TLS, and has no path.

    Raises:
        RouteError: it can not be used.
    """
    parts = _split(url, _PROXY)
    _checked_host(parts.hostname or "", _PROXY, development=development)
    if parts.path not in {"", "/"}:
        raise RouteError(_PROXY, "must have no path")


def may_lead_to(address: str, *, development: bool) -> bool:
    """Whether a connection may be made to an IP address: a public one, in development also loopback."""
    parsed = ipaddress.ip_address(address)
    return _is_public(parsed) or (development and _is_among(parsed, _LOOPBACK))


def usual_tls() -> ssl.SSLContext:
    """Check names, and certificates by Mozilla's list; from TLS 1.2 on. It takes some 25 ms to make: share it."""
    return _modern(httpx.create_ssl_context(trust_env=False))


def own_tls(ca_bundle: str) -> ssl.SSLContext:
    """As ``usual_tls``, but certificates are checked by those of ``ca_bundle`` alone.

    Raises:
        RouteError: it can not be used.
    """
    if len(ca_bundle) > CA_BUNDLE_LIMIT_BYTES:
        raise RouteError(_CA_BUNDLE, f"must be at most {CA_BUNDLE_LIMIT_BYTES} bytes")
    if "PRIVATE KEY" in ca_bundle:
        raise RouteError(_CA_BUNDLE, "must not hold a private key")
    # An empty one would not be an error: ``ssl`` would trust what the machine trusts.
    if not ca_bundle.isascii() or "BEGIN CERTIFICATE" not in ca_bundle:
        raise RouteError(_CA_BUNDLE, "must be certificates in PEM form")
    try:
        return _modern(ssl.create_default_context(cadata=ca_bundle))
    except ssl.SSLError as error:
        raise RouteError(_CA_BUNDLE, "holds a certificate that can not be read") from error


def _modern(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _split(url: str, what: str) -> SplitResult:
    if _UNPRINTABLE.search(url):
        raise RouteError(what, "must be printable ASCII without blanks")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise RouteError(what, "is no URL") from error
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise RouteError(what, "must be an absolute URL of http or https")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise RouteError(what, "must have no credentials, query or fragment")
    return parts


def _checked_host(host: str, what: str, *, development: bool) -> bool:
    """Whether it is this machine, where it may be."""
    literal, name = _literal(host), host.rstrip(".")
    if _is_loopback(literal, name):
        if not development:
            raise RouteError(what, "must not point to this machine")
        return True
    if _is_private(literal, name):
        raise RouteError(what, "must not point into a private network")
    return False


def _is_loopback(literal: _Address | None, name: str) -> bool:
    if literal is not None:
        return _is_among(literal, _LOOPBACK)
    return name == "localhost" or name.endswith(".localhost")


def _is_private(literal: _Address | None, name: str) -> bool:
    if literal is not None:
        return not _is_public(literal)
    # A name without a dot is no public one. One that ends in a number is an address to many resolvers:
    # 2130706433, 127.1 and 0x7f.0.0.1 are all 127.0.0.1.
    return "." not in name or _NUMBER.fullmatch(name.rpartition(".")[2]) is not None


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not _is_among(address, _NOT_PUBLIC_4)
    return address in _HANDED_OUT and not _is_among(address, _NOT_PUBLIC_6)


def _is_among(
    address: _Address, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
) -> bool:
    return any(address in network for network in networks)
