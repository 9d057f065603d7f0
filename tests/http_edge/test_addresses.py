"""Where a connection may point: no address that a tenant could use to reach what is ours."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from actors.network import Network
from actors.pools import Pools
from actors.transport import Transport
from http_edge.addresses import check_reach, checked_base_url, checked_network
from http_edge.errors import InvalidError
from tests.fakes.certificates import Authority
from tests.fakes.names import Names

PUBLIC = (
    "https://api.github.com",
    "https://github.example.com/api/v3",
    "https://github.example.com:8443/api/v3",
    "https://8.8.8.8",
    "https://[2606:4700::1111]/x",
    "https://xn--bcher-kva.example",
    "https://1e100.net",
    "https://10.example.com",
)
OURS = (
    "https://localhost",
    "https://LOCALHOST./",
    "https://api.localhost",
    "https://127.0.0.1",
    "https://127.9.9.9",
    "https://[::1]",
)
PRIVATE = (
    "https://10.0.0.1",
    "https://172.16.3.4",
    "https://192.168.1.1",
    "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1",
    "https://0.0.0.0",
    "https://224.0.0.1",
    "https://255.255.255.255",
    "https://[fd00::1]",
    "https://[fe80::1]",
    "https://[ff02::1]",
    "https://[::]",
    "https://[::ffff:127.0.0.1]",
    "https://[::ffff:10.0.0.1]",
    "https://[::ffff:8.8.8.8]",
    "https://[64:ff9b::808:808]",
    "https://[64:ff9b:1::1]",
    "https://[2002:808:808::1]",
    "https://[2001:0:808:808::1]",
    "https://[fec0::1]",
    "https://168.63.129.16",
    "https://2130706433",
    "https://017700000001",
    "https://0x7f000001",
    "https://0x7f.0.0.1",
    "https://0177.0.0.1",
    "https://127.1",
    "https://127.0.0.1.",
    "https://10.0.0.0x1",
    "https://999.999.999.999",
    "https://kubernetes",
    "https://metadata",
)
NO_URLS = (
    "",
    "github",
    "//api.github.com",
    "https://",
    "https:///api",
    "ftp://api.github.com",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://[::1",
    "https://api.github.com:99999",
    "https://api.github.com:http",
    "https://user@api.github.com",
    "https://user:password@api.github.com",
    "https://:password@api.github.com",
    "https://api.github.com@127.0.0.1",
    "https://api.github.com?x=1",
    "https://api.github.com#x",
    "https://api github.com",
    "https://api.github\n.com",
    "https://api.github.com\t",
    " https://api.github.com",
    "https://127.0.0.1\\.example.com",
    "https://example.com\x00",
    "https://127\u30020\u30020\u30021",
    "https://127\u30020.0\u30021",
    "https://\uff11\uff12\uff17.0.0.1",
    "https://b\u00fccher.example",
)


@pytest.mark.parametrize("development", [False, True])
@pytest.mark.parametrize("url", PUBLIC)
def test_a_public_https_url_is_kept(url: str, development: bool) -> None:
    assert checked_base_url(f"{url}/", development=development) == url


@pytest.mark.parametrize("development", [False, True])
@pytest.mark.parametrize("url", [*PRIVATE, *NO_URLS])
def test_sec_no_private_odd_or_decorated_address_is_ever_kept(url: str, development: bool) -> None:
    with pytest.raises(InvalidError) as refused:
        checked_base_url(url, development=development)

    assert refused.value.details == {"field": "base_url"}
    assert "password" not in str(refused.value)


@pytest.mark.parametrize("url", OURS)
def test_sec_loopback_is_for_development_only(url: str) -> None:
    with pytest.raises(InvalidError, match="this machine"):
        checked_base_url(url, development=False)

    assert checked_base_url(url, development=True) == url.rstrip("/")


def test_plain_http_is_for_loopback_in_development_only() -> None:
    assert checked_base_url("http://127.0.0.1:8105", development=True) == "http://127.0.0.1:8105"
    for url, development in (
        ("http://127.0.0.1:8105", False),
        ("http://api.github.com", True),
        ("http://10.0.0.1", True),
    ):
        with pytest.raises(InvalidError):
            checked_base_url(url, development=development)


def test_a_way_of_its_own_is_taken_as_given(tmp_path: Path) -> None:
    pem, proxy = Authority(tmp_path).pem, "http://proxy.example.com:3128"

    assert checked_network(None, None, development=False) == Network()
    assert checked_network(pem, proxy, development=True) == Network(
        ca_bundle=pem, proxy=proxy, development=True
    )


@pytest.mark.parametrize(
    ("ca_bundle", "proxy", "field", "said"),
    [
        ("", None, "network.ca_bundle", "must be certificates in PEM form"),
        ("not a certificate", None, "network.ca_bundle", "must be certificates in PEM form"),
        ("-----BEGIN CERTIFICATE-----\nAAAA", None, "network.ca_bundle", "can not be read"),
        (None, "", "network.proxy", "must be an absolute URL"),
        (None, "http://10.0.0.1:3128", "network.proxy", "private network"),
        (None, "http://localhost:3128", "network.proxy", "this machine"),
        (None, "http://user:word@proxy.example.com", "network.proxy", "no credentials"),
    ],
)
def test_sec_a_way_that_can_not_be_used_is_told_at_the_door(
    ca_bundle: str | None, proxy: str | None, field: str, said: str
) -> None:
    with pytest.raises(InvalidError, match=said) as refused:
        checked_network(ca_bundle, proxy, development=False)

    assert (refused.value.status, refused.value.details) == (422, {"field": field})
    assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    ("base_url", "proxy", "field"),
    [
        ("https://public.test", None, None),
        ("https://private.test", None, "base_url"),
        ("https://private.test", "http://public.test", None),
        ("https://public.test", "http://private.test", "network.proxy"),
    ],
)
async def test_sec_where_a_name_leads_is_told_at_the_door(
    base_url: str, proxy: str | None, field: str | None
) -> None:
    names = Names({"public.test": [("8.8.8.8",)], "private.test": [("8.8.8.8", "10.0.0.1")]})
    transport = Transport(
        pools=Pools(lambda _: httpx.MockTransport(lambda _: httpx.Response(200))),
        deadline=timedelta(seconds=30),
        look_up=names.look_up,
    )

    if field is None:
        await check_reach(base_url, Network(proxy=proxy), transport)
    else:
        with pytest.raises(InvalidError, match="not public") as refused:
            await check_reach(base_url, Network(proxy=proxy), transport)

        assert (refused.value.status, refused.value.details) == (422, {"field": field})
