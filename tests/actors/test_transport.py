"""One request and its answer: every failure says whether it may have happened (UT-IA-06), and nothing leaves its origin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import trio

from actors.errors import MaybeSentError, NotSentError, TransportError
from actors.transport import ANSWER_LIMIT_BYTES, Transport
from adapters.contract import Request, Response

BASE = "https://api.provider.test/api/v3"
SECRET = "a-token-that-nobody-may-read"
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
MAYBE_SENT = (
    httpx.ReadError,
    httpx.ReadTimeout,
    httpx.WriteError,
    httpx.WriteTimeout,
    httpx.CloseError,
    httpx.ProxyError,
    httpx.RemoteProtocolError,
    httpx.DecodingError,
)


class Wire:
    """The other side: gives its answers one after the other and remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception, wait: float = 0) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self._wait = wait
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        await trio.sleep(self._wait)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def send(self, request: Request, *, base_url: str = BASE) -> Response:
        transport = Transport(client=self.client, deadline=timedelta(seconds=30))
        return await transport.send(request, base_url=base_url)


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


async def test_a_redirect_to_a_port_that_can_not_be_was_not_sent():
    with pytest.raises(NotSentError, match="can not be read"):
        await Wire(moved(307, "https://api.provider.test:99999/x")).send(post())


@pytest.mark.parametrize("target", ["http://[::1", "https://api.provider.test:port/x"])
async def test_an_answer_that_httpx_can_not_read_may_have_been_sent(target):
    with pytest.raises(MaybeSentError, match="RemoteProtocolError"):
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
