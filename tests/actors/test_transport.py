"""One request and its answer: every failure says whether it may have happened (UT-IA-06), and nothing leaves its origin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import trio

from actors.errors import MaybeSentError, NotSentError, RouteError, TransportError
from actors.network import Network
from actors.pools import Pools
from actors.transport import ANSWER_LIMIT_BYTES, Transport
from adapters.contract import Request, Response

BASE = "https://api.provider.test/api/v3"
SECRET = "a-token-that-nobody-may-read"
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
MAYBE_SENT = (
    httpx.ReadError,
    httpx.ReadTimeout,
    httpx.WriteError,
    httpx.WriteTimeout,
    httpx.CloseError,
    httpx.RemoteProtocolError,
    httpx.DecodingError,
)


class Wire:
    """The other side: gives its answers one after the other and remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception, wait: float = 0) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self._wait = wait
        self.networks: list[Network] = []

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        await trio.sleep(self._wait)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _open(self, network: Network) -> httpx.AsyncBaseTransport:
        self.networks.append(network)
        return httpx.MockTransport(self._answer)

    async def send(
        self, request: Request, *, base_url: str = BASE, network: Network | None = None
    ) -> Response:
        transport = Transport(pools=Pools(self._open), deadline=timedelta(seconds=30))
        return await transport.send(request, base_url=base_url, network=network)


def post(url: str = "/things?key=1") -> Request:
    headers = (("authorization", f"Bearer {SECRET}"), ("x-mark", "caf\xe9"))
    return Request(method="POST", url=url, headers=headers, body=b"the body", writes=True)


def get(url: str = "/things") -> Request:
    return Request(method="GET", url=url, headers=(("authorization", f"Bearer {SECRET}"),))


def moved(status: int, to: str) -> httpx.Response:
    return httpx.Response(status, headers={"location": to})


async def test_a_request_goes_out_as_it_is_and_its_answer_comes_back_whole():
    answer = httpx.Response(
        201, headers=[("X-Made", "1"), ("Set-Thing", "a"), ("Set-Thing", "b")], content=b"made"
    )
    wire = Wire(answer)

    response = await wire.send(post())

    (asked,) = wire.asked
    assert (asked.method, str(asked.url)) == ("POST", f"{BASE}/things?key=1")
    assert asked.content == b"the body"
    assert asked.headers["authorization"] == f"Bearer {SECRET}"
    assert (b"x-mark", b"caf\xe9") in asked.headers.raw
    assert response.status == 201
    assert response.body == b"made"
    assert [pair for pair in response.headers if pair[0] == "set-thing"] == [
        ("set-thing", "a"),
        ("set-thing", "b"),
    ]
    assert response.header("x-made") == "1"


async def test_an_absolute_url_of_the_same_origin_is_taken_as_it_is():
    wire = Wire(httpx.Response(200))

    await wire.send(get("https://api.provider.test:443/repositories/7?page=2"))

    assert wire.asked[0].url.path == "/repositories/7"


@pytest.mark.parametrize("error", NOT_SENT)
async def test_what_failed_before_the_provider_could_read_it_was_not_sent(error):
    wire = Wire(error(f"Bearer {SECRET} in the driver's words"))

    with pytest.raises(NotSentError) as caught:
        await wire.send(post())

    assert str(caught.value) == f"not sent: {error.__name__}"


@pytest.mark.parametrize("error", MAYBE_SENT)
async def test_what_failed_later_may_have_been_sent(error):
    wire = Wire(error(f"Bearer {SECRET} in the driver's words"))

    with pytest.raises(MaybeSentError) as caught:
        await wire.send(post())

    assert str(caught.value) == f"no answer: {error.__name__}"


def test_every_error_of_httpx_is_judged():
    """A new one in a new version must be looked at."""

    def leaves(kind: type[Exception]) -> set[type[Exception]]:
        return (
            {kind}
            if not kind.__subclasses__()
            else set().union(*map(leaves, kind.__subclasses__()))
        )

    ours = {*NOT_SENT, *MAYBE_SENT}
    never_here = {httpx.TooManyRedirects, httpx.HTTPStatusError}
    assert {kind for kind in leaves(httpx.HTTPError) if kind.__module__ == "httpx"} == (
        ours | never_here
    )


async def test_an_answer_that_breaks_off_may_have_been_sent():
    class Broken(httpx.AsyncByteStream):
        def __init__(self) -> None:
            self.parts = [b"half"]

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            await trio.lowlevel.checkpoint()
            if self.parts:
                return self.parts.pop()
            raise httpx.ReadError("broken")

    wire = Wire(httpx.Response(201, stream=Broken()))

    with pytest.raises(MaybeSentError, match="ReadError"):
        await wire.send(post())


async def test_an_answer_that_is_compressed_unasked_is_not_unpacked():
    """P7: what is small on the wire may be large in memory."""
    answer = httpx.Response(
        200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"small")
    )
    wire = Wire(answer)

    with pytest.raises(MaybeSentError, match="compressed"):
        await wire.send(post())
    assert wire.asked[0].headers["accept-encoding"] == "identity"


async def test_an_answer_over_the_limit_is_cut_off_and_may_have_been_sent():
    """P7: the answer of a provider is bounded."""
    fits, too_long = b"x" * ANSWER_LIMIT_BYTES, b"x" * (ANSWER_LIMIT_BYTES + 1)

    assert len((await Wire(httpx.Response(200, content=fits)).send(get())).body) == len(fits)
    with pytest.raises(MaybeSentError, match="over 10000000 bytes"):
        await Wire(httpx.Response(200, content=too_long)).send(get())


async def test_the_deadline_bounds_the_whole_exchange(autojump_clock):
    """P7: every wait has a deadline."""
    wire = Wire(httpx.Response(200), wait=31)
    begun = trio.current_time()

    with pytest.raises(MaybeSentError, match="no answer within 30 s"):
        await wire.send(post())

    assert trio.current_time() - begun == pytest.approx(30)


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_on_the_same_origin_is_repeated_with_method_and_body(status):
    """A repository that was renamed."""
    wire = Wire(moved(status, "https://api.provider.test/repositories/7"), httpx.Response(201))

    response = await wire.send(post())

    assert response.status == 201
    first, second = wire.asked
    assert (second.method, second.content) == (first.method, first.content)
    assert second.headers["authorization"] == f"Bearer {SECRET}"
    assert second.url.path == "/repositories/7"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_read_follows_every_redirect_and_a_relative_one_too(status):
    wire = Wire(moved(status, "../other?page=1"), httpx.Response(200))

    await wire.send(get("/a/b/c"))

    assert str(wire.asked[1].url) == f"{BASE}/a/other?page=1"


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_write_is_not_repeated_where_a_redirect_may_lead_to_what_it_made(status):
    """P4 one-effect: POST, then 302 to the new page, is how many services say that it is done."""
    wire = Wire(moved(status, "/things/1"), httpx.Response(201))

    response = await wire.send(post())

    assert response.status == status
    assert len(wire.asked) == 1


async def test_a_redirect_without_a_target_is_the_answer():
    assert (await Wire(httpx.Response(307)).send(post())).status == 307


@pytest.mark.parametrize(
    "target",
    [
        "https://elsewhere.test/things",
        "http://api.provider.test/things",
        "https://api.provider.test:8443/things",
        "//elsewhere.test/things",
        "https://api.provider.test@elsewhere.test/",
        "file:///etc/passwd",
    ],
)
async def test_credentials_never_follow_a_redirect_to_another_origin(target):
    """P8 no-secret."""
    wire = Wire(moved(307, target), httpx.Response(200))

    with pytest.raises(NotSentError, match="another origin"):
        await wire.send(post())
    assert len(wire.asked) == 1


@pytest.mark.parametrize(
    "target",
    [
        "https://api.provider.test:99999/x",
        "http://[::1",
        "https://api.provider.test:port/x",
    ],
)
async def test_a_redirect_that_can_not_be_read_was_not_followed(target):
    """It says that nothing was done (RFC 9110, 15.4.8), and not where it would be."""
    with pytest.raises(NotSentError, match="can not be read"):
        await Wire(moved(307, target)).send(post())


@pytest.mark.parametrize("url", ["https://elsewhere.test/", "ftp://api.provider.test/", "x/y"])
async def test_a_plan_can_not_send_to_another_origin(url):
    wire = Wire(httpx.Response(200))

    with pytest.raises(NotSentError, match="another origin"):
        await wire.send(get(url))
    assert wire.asked == []


async def test_a_path_stays_below_the_base_url_whatever_it_begins_with():
    wire = Wire(httpx.Response(200))

    await wire.send(get("//elsewhere.test/x"))

    assert str(wire.asked[0].url) == f"{BASE}//elsewhere.test/x"


async def test_a_url_that_httpx_does_not_read_was_not_sent():
    with pytest.raises(NotSentError, match="InvalidURL"):
        await Wire(httpx.Response(200)).send(get("/things\x00"))


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.provider.test",
        "https://10.0.0.1",
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1",
        "https://localhost",
        "https://user:word@api.provider.test",
    ],
)
@pytest.mark.parametrize("proxy", [None, "http://proxy.example.com:3128"])
async def test_sec_nothing_goes_where_a_connection_may_not_lead_by_a_proxy_neither(
    base_url, proxy
):
    """A base URL that was kept before the rule, or got past the door."""
    wire = Wire(httpx.Response(200))

    with pytest.raises(RouteError) as refused:
        await wire.send(get(), base_url=base_url, network=Network(proxy=proxy))

    assert wire.asked == []
    assert "word" not in str(refused.value)


async def test_in_development_loopback_may_be_reached_without_tls():
    wire = Wire(httpx.Response(200))

    await wire.send(get(), base_url="http://127.0.0.1:8105", network=Network(development=True))

    assert str(wire.asked[0].url) == "http://127.0.0.1:8105/things"


async def test_each_request_goes_by_the_way_of_its_connection():
    wire, own = Wire(httpx.Response(200)), Network(proxy="http://proxy.example.com:3128")

    await wire.send(get(), network=own)
    await wire.send(get())

    assert wire.networks == [own, Network()]


async def test_connecting_and_waiting_for_a_socket_are_bounded_apart():
    """P7: what took too long before it was connected was certainly not sent."""
    wire = Wire(httpx.Response(200))

    await wire.send(get())

    patience = wire.asked[0].extensions["timeout"]
    assert patience == {"connect": 5.0, "pool": 5.0, "read": None, "write": None}


async def looked_up(host: str) -> tuple[str, ...]:
    await trio.lowlevel.checkpoint()
    return {"public.test": ("8.8.8.8",), "mixed.test": ("8.8.8.8", "10.0.0.1")}[host]


@pytest.mark.parametrize(
    ("base_url", "proxy", "said"),
    [
        ("https://public.test", None, None),
        ("https://elsewhere.test", "http://public.test:3128", None),
        ("https://mixed.test:8443/x", None, "leads to an address that is not public"),
        ("https://public.test", "http://mixed.test", "leads to an address that is not public"),
        ("http://public.test", None, "must be https"),
    ],
)
async def test_sec_where_a_name_leads_can_be_asked_before_anything_is_sent(base_url, proxy, said):
    """Behind a proxy it is the proxy's name; the other is the proxy's to resolve."""
    transport = Transport(
        pools=Pools(lambda _: httpx.MockTransport(lambda _: httpx.Response(200))),
        deadline=timedelta(seconds=30),
        look_up=looked_up,
    )

    if said is None:
        await transport.check(base_url, network=Network(proxy=proxy))
    else:
        with pytest.raises(RouteError, match=said):
            await transport.check(base_url, network=Network(proxy=proxy))


async def test_redirects_come_to_an_end():
    """P7: every retry has an end."""
    wire = Wire(moved(307, "/round"))

    with pytest.raises(NotSentError, match="too many redirects"):
        await wire.send(post())
    assert len(wire.asked) == 6


async def test_what_one_tenant_s_answer_sets_does_not_go_out_with_another_s_request():
    """P6 isolated: cookies are kept by nobody."""
    wire = Wire(httpx.Response(200, headers={"set-cookie": "session=of-acme; Path=/"}))

    await wire.send(get())
    await wire.send(get())

    assert all("cookie" not in asked.headers for asked in wire.asked)


def test_the_errors_say_one_of_two_things():
    assert set(TransportError.__subclasses__()) == {NotSentError, MaybeSentError}
