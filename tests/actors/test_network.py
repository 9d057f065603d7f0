"""By which way a connection may reach its provider: every range that is not public, proxies, CA bundles."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from actors.errors import NotSentError, RouteError
from actors.network import (
    CA_BUNDLE_LIMIT_BYTES,
    Network,
    check_base_url,
    check_proxy,
    may_lead_to,
    own_tls,
    usual_tls,
)
from tests.fakes.certificates import Authority

# First and last address of every special range, and what cloud machines ask for their secrets.
SPECIAL = {
    "this network": ("0.0.0.0", "0.255.255.255"),
    "private 10": ("10.0.0.0", "10.255.255.255"),
    "private 172.16": ("172.16.0.0", "172.31.255.255"),
    "private 192.168": ("192.168.0.0", "192.168.255.255"),
    "CGNAT": ("100.64.0.0", "100.127.255.255"),
    "link-local": ("169.254.0.0", "169.254.255.255"),
    "metadata": ("169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
    "metadata by IPv6": ("fd00:ec2::254", "fe80::a9fe:a9fe", "fd20:ce::254"),
    "protocol assignments": ("192.0.0.0", "192.0.0.255", "192.0.0.9"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.255"),
    "6to4 relays": ("192.88.99.0", "192.88.99.255"),
    "benchmarks": ("198.18.0.0", "198.19.255.255"),
    "multicast": ("224.0.0.0", "239.255.255.255"),
    "reserved": ("240.0.0.0", "255.255.255.255"),
    "unspecified by IPv6": ("::",),
    "IPv4-compatible": ("::127.0.0.1", "::8.8.8.8"),
    "IPv4-mapped": ("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8"),
    "IPv4-translated": ("::ffff:0:10.0.0.1",),
    "NAT64": ("64:ff9b::", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b::ffff:ffff"),
    "NAT64 of the place": ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
    "discard": ("100::", "100::ffff:ffff:ffff:ffff"),
    "protocol assignments by IPv6": ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "Teredo": ("2001:0:808:808::1",),
    "ORCHID": ("2001:10::1", "2001:20::1"),
    "documentation by IPv6": ("2001:db8::1", "3fff::1", "3fff:fff:ffff::"),
    "6to4": ("2002::", "2002:7f00:1::", "2002:808:808::1", "2002:ffff::"),
    "segment routing": ("5f00::1",),
    "not handed out": ("1fff::1", "4000::1", "8000::1"),
    "unique local": ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "link-local by IPv6": ("fe80::1", "febf::1", "fe80::1%eth0"),
    "site-local": ("fec0::1", "feff::1"),
    "multicast by IPv6": ("ff00::", "ff02::1", "ff0e::1"),
}
LOOPBACK = ("127.0.0.0", "127.0.0.1", "127.255.255.255", "::1")
PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "140.82.112.3",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "3ffe::1",
)


@pytest.mark.parametrize("development", [False, True])
@pytest.mark.parametrize("address", PUBLIC)
def test_a_connection_may_lead_to_a_public_address(address: str, development: bool) -> None:
    assert may_lead_to(address, development=development)


@pytest.mark.parametrize("development", [False, True])
@pytest.mark.parametrize(
    "address",
    [pytest.param(one, id=f"{kind}: {one}") for kind in SPECIAL for one in SPECIAL[kind]],
)
def test_sec_no_connection_leads_into_a_special_range(address: str, development: bool) -> None:
    assert not may_lead_to(address, development=development)


@pytest.mark.parametrize("address", LOOPBACK)
def test_sec_a_connection_leads_to_this_machine_in_development_only(address: str) -> None:
    assert may_lead_to(address, development=True)
    assert not may_lead_to(address, development=False)


@pytest.mark.parametrize("address", [one for group in SPECIAL.values() for one in group])
def test_sec_a_literal_is_judged_as_what_a_name_resolves_to(address: str) -> None:
    host = f"[{address}]" if ":" in address else address

    for check, scheme in ((check_base_url, "https"), (check_proxy, "http")):
        with pytest.raises(RouteError):
            check(f"{scheme}://{host}:8443", development=True)


def test_what_is_wrong_with_the_way_was_certainly_not_sent() -> None:
    """P4: it says so, and to a person what to change."""
    with pytest.raises(RouteError) as refused:
        check_base_url("http://github.example.com", development=False)

    assert isinstance(refused.value, NotSentError)
    assert str(refused.value) == "not sent: the URL must be https"
    assert refused.value.reason == "must be https"


@pytest.mark.parametrize(
    "url",
    [
        "http://proxy.example.com:3128",
        "https://proxy.example.com",
        "https://proxy.example.com/",
        "http://8.8.8.8:8080",
    ],
)
def test_a_proxy_is_a_public_host_and_may_be_plain(url: str) -> None:
    check_proxy(url, development=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy.example.com:3128",
        "http://proxy.example.com :3128",
        "socks5://proxy.example.com",
        "http://user:word@proxy.example.com",
        "http://proxy.example.com/path",
        "http://proxy.example.com?x=1",
        "http://proxy.example.com:99999",
        "http://localhost:3128",
        "http://127.0.0.1:3128",
        "http://10.0.0.1:3128",
        "http://proxy",
    ],
)
def test_sec_a_proxy_that_is_private_odd_or_has_credentials_is_refused(url: str) -> None:
    with pytest.raises(RouteError) as refused:
        check_proxy(url, development=False)

    assert "word" not in str(refused.value)


def test_in_development_a_proxy_may_be_on_this_machine() -> None:
    check_proxy("http://127.0.0.1:3128", development=True)


def test_certificates_are_checked_with_the_bundle_alone(tmp_path: Path) -> None:
    own, usual = Authority(tmp_path).pem, usual_tls()

    theirs = own_tls(f"# ours\n{own}\n# and another\n{Authority(tmp_path).pem}")

    assert len(theirs.get_ca_certs()) == 2
    assert len(usual.get_ca_certs()) > 50
    for context in (theirs, usual):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_ca_bundle_that_can_not_be_used_is_refused_and_not_shown(tmp_path: Path) -> None:
    """P8 no-secret: a key pasted by mistake is not kept."""
    authority = Authority(tmp_path)
    good, key = authority.pem, authority.key_pem()
    for bundle, said in (
        ("", "must be certificates in PEM form"),
        ("no certificate", "must be certificates in PEM form"),
        ("\u2014" + good, "must be certificates in PEM form"),
        (good.replace("CERTIFICATE", "PUBLIC KEY"), "must be certificates in PEM form"),
        (good + key, "must not hold a private key"),
        (good[:200], "can not be read"),
        (good + good[:200], "can not be read"),
        (good.replace("M", "-"), "can not be read"),
        (good * 200, f"at most {CA_BUNDLE_LIMIT_BYTES} bytes"),
    ):
        with pytest.raises(RouteError, match=said) as refused:
            own_tls(bundle)

        assert key[100:150] not in str(refused.value)


def test_two_ways_are_one_if_they_say_the_same() -> None:
    assert Network(proxy="http://a.test") == Network(proxy="http://a.test")
    assert len({Network(), Network(development=True), Network(ca_bundle="x")}) == 3
    assert "CERTIFICATE" not in repr(Network(ca_bundle="-----BEGIN CERTIFICATE-----"))
