"""The sockets to providers: real TLS, a real proxy, names that change their mind, and pools that make room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpcore
import httpx
import pytest
import trio
import trio.testing

from actors.errors import MaybeSentError, NotSentError, RouteError
from actors.network import Network
from actors.pools import _HTTPX, Pool, Pools, provider_pools
from actors.transport import ANSWER_LIMIT_BYTES, Transport
from adapters.contract import Request, Response
from tests.fakes.certificates import Authority
from tests.fakes.names import Names
from tests.fakes.origins import Origin, Proxy, serve

HOST = "gitlab.test"
HERE = ("127.0.0.1",)
GET = Request(method="GET", url="/things")

Send = Callable[..., Awaitable[Response]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def origin(authority: Authority, nursery: trio.Nursery) -> Origin:
    """A provider of a tenant's own, certified by nobody else."""
    server = Origin(tls=authority.server(HOST))
    await nursery.start(serve, server)
    return server


@pytest.fixture
async def pools(names: Names) -> AsyncIterator[Pools]:
    async with aclosing(provider_pools(names.look_up)) as opened:
        yield opened


@pytest.fixture
def names() -> Names:
    return Names({host: [HERE] for host in (HOST, "proxy.test", "other.test")})


@pytest.fixture
def send(pools: Pools, origin: Origin) -> Send:
    """Send to ``origin``, or another host and port."""
    transport = Transport(pools=pools, deadline=timedelta(seconds=10))

    async def sending(network: Network, host: str = HOST, port: int | None = None) -> Response:
        base_url = f"https://{host}:{port or origin.port}"
        return await transport.send(GET, base_url=base_url, network=network)

    return sending


async def test_a_provider_with_its_own_authority_is_reached_by_its_ca_bundle(
    authority: Authority, origin: Origin, send: Send, names: Names
) -> None:
    """The socket leads to a checked address; TLS and HTTP are the name's."""
    response = await send(Network(ca_bundle=authority.pem, development=True))

    assert (response.status, response.body) == (200, b"hello")
    assert origin.asked == [("GET", "/things", f"{HOST}:{origin.port}")]
    assert names.asked == [HOST]


async def test_a_kept_socket_needs_no_look_up(
    authority: Authority, origin: Origin, send: Send, names: Names
) -> None:
    for _ in range(5):
        await send(Network(ca_bundle=authority.pem, development=True))

    assert len(origin.asked) == 5
    assert (origin.connects, len(names.asked)) == (1, 1)


async def test_sec_certificates_are_always_checked(
    authority: Authority, tmp_path: Path, origin: Origin, send: Send
) -> None:
    """P4: a handshake that fails sends nothing."""
    stranger = Authority(tmp_path, "a stranger")
    for network, host in (
        (Network(development=True), HOST),
        (Network(ca_bundle=stranger.pem, development=True), HOST),
        (Network(ca_bundle=authority.pem, development=True), "other.test"),
    ):
        with pytest.raises(NotSentError, match="ConnectError"):
            await send(network, host)

    assert origin.asked == []


async def test_sec_a_name_that_turns_private_is_not_followed(
    authority: Authority, nursery: trio.Nursery
) -> None:
    """DNS rebinding on real sockets: the kept one goes on to where it was checked to lead, no new one is made."""
    origin = Origin(tls=authority.server(HOST), keeps=2)
    await nursery.start(serve, origin)
    names = Names({HOST: [HERE, ("10.0.0.1",)]})
    network = Network(ca_bundle=authority.pem, development=True)
    async with aclosing(provider_pools(names.look_up)) as pools:
        transport = Transport(pools=pools, deadline=timedelta(seconds=10))
        send = partial(
            transport.send, GET, base_url=f"https://{HOST}:{origin.port}", network=network
        )

        await send()
        await send()
        with pytest.raises(RouteError, match="not public"):
            await send()

    assert (len(origin.asked), len(names.asked)) == (2, 2)


async def test_sec_outside_development_a_name_that_leads_here_is_refused(
    authority: Authority, origin: Origin, send: Send
) -> None:
    with pytest.raises(RouteError, match="not public"):
        await send(Network(ca_bundle=authority.pem))

    assert origin.connects == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_carries_what_it_can_not_read_and_resolves_the_name(
    authority: Authority,
    origin: Origin,
    send: Send,
    names: Names,
    nursery: trio.Nursery,
    scheme: str,
) -> None:
    proxy = Proxy(to=origin, tls=authority.server("proxy.test") if scheme == "https" else None)
    await nursery.start(serve, proxy)
    network = Network(
        ca_bundle=authority.pem, proxy=f"{scheme}://proxy.test:{proxy.port}", development=True
    )

    first, second = await send(network, port=443), await send(network, port=443)

    assert (first.body, second.body) == (b"hello", b"hello")
    assert proxy.asked == [f"CONNECT {HOST}:443"]
    assert names.asked == ["proxy.test"]


async def test_a_proxy_that_refuses_has_sent_nothing(
    authority: Authority, origin: Origin, send: Send, nursery: trio.Nursery
) -> None:
    proxy = Proxy(to=origin, refuses=b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
    await nursery.start(serve, proxy)
    network = Network(
        ca_bundle=authority.pem, proxy=f"http://proxy.test:{proxy.port}", development=True
    )

    with pytest.raises(NotSentError, match="ProxyError"):
        await send(network)

    assert origin.asked == []


async def test_sec_a_proxy_must_be_public_too(origin: Origin, send: Send, names: Names) -> None:
    with pytest.raises(RouteError, match="not public"):
        await send(Network(proxy="http://proxy.test:3128"))

    assert names.asked == ["proxy.test"]
    assert origin.connects == 0


async def test_the_environment_s_proxies_and_certificates_are_not_ours(
    authority: Authority, origin: Origin, send: Send, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "trusted.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    response = await send(Network(ca_bundle=authority.pem, development=True))
    with pytest.raises(NotSentError, match="ConnectError"):
        await send(Network(development=True))

    assert response.status == 200
    assert len(origin.asked) == 1


async def test_a_ca_bundle_that_can_not_be_read_any_more_sends_nothing(
    send: Send, origin: Origin
) -> None:
    with pytest.raises(RouteError, match="the CA bundle must be certificates in PEM form"):
        await send(Network(ca_bundle="spoilt", development=True))

    assert origin.connects == 0


async def test_an_answer_over_the_limit_is_cut_off_on_the_wire(
    authority: Authority, origin: Origin, send: Send
) -> None:
    """P7; and the socket is not used again."""
    network = Network(ca_bundle=authority.pem, development=True)
    origin.says = b"x" * (ANSWER_LIMIT_BYTES * 2)
    with pytest.raises(MaybeSentError, match="over 10000000 bytes"):
        await send(network)

    origin.says = b"short"
    response = await send(network)

    assert response.body == b"short"
    assert origin.connects == 2


class Silent(httpcore.AsyncNetworkBackend):
    """Connects, and never hears anything."""

    async def connect_tcp(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        await trio.lowlevel.checkpoint()
        return _SilentStream()


class _SilentStream(httpcore.AsyncNetworkStream):
    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        await trio.sleep(float("inf"))
        return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_wait_for_a_socket_has_a_deadline_and_sends_nothing(autojump_clock) -> None:
    """P7, P4: all sockets of the pool wait for answers."""
    pool = Pool(httpcore.AsyncConnectionPool(max_connections=1, network_backend=Silent()))
    transport = Transport(pools=Pools(lambda _: pool), deadline=timedelta(seconds=30))
    send = partial(
        transport.send,
        GET,
        base_url="http://127.0.0.1",
        network=Network(development=True),
    )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        begun = trio.current_time()
        with pytest.raises(NotSentError, match="PoolTimeout"):
            await send()
        assert trio.current_time() - begun == pytest.approx(5.0)
        nursery.cancel_scope.cancel()


def test_every_error_of_httpcore_is_told_as_its_namesake() -> None:
    """A new one in a new version must be looked at."""
    kinds = {
        kind
        for name in httpcore.__all__
        if isinstance(kind := getattr(httpcore, name), type) and issubclass(kind, Exception)
    }
    roots = {kind for kind in kinds if any(kind in other.__bases__ for other in kinds)} | {
        httpcore.ConnectionNotAvailable
    }  # within a pool only

    assert set(_HTTPX) == kinds - roots
    assert all(ours.__name__ == theirs.__name__ for theirs, ours in _HTTPX.items())


class Counted(httpx.AsyncBaseTransport):
    """A pool that tells whether it was closed."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1
        await trio.lowlevel.checkpoint()


class Made:
    """Makes pools and remembers them."""

    def __init__(self) -> None:
        self.all: list[Counted] = []

    def __call__(self, network: Network) -> Counted:
        self.all.append(Counted(network))
        return self.all[-1]

    @property
    def open(self) -> list[str | None]:
        return [pool.network.proxy for pool in self.all if not pool.closed]


def way(name: str) -> Network:
    return Network(proxy=name)


async def use(pools: Pools, *ways: str) -> None:
    for name in ways:
        async with pools.lease(way(name)):
            pass


async def test_the_pool_that_was_not_asked_for_longest_makes_room() -> None:
    """P7: the pools are bounded."""
    made = Made()
    pools = Pools(made, most=2)

    await use(pools, "a", "b", "a", "c")

    assert made.open == ["a", "c"]
    assert [pool.network.proxy for pool in made.all] == ["a", "b", "c"]
    await use(pools, "b")
    assert made.open == ["c", "b"]


async def test_a_pool_is_not_closed_under_a_request() -> None:
    made = Made()
    pools = Pools(made, most=1)

    async with pools.lease(way("a")):
        async with pools.lease(way("a")):
            await use(pools, "b", "c")
            assert made.open == ["a", "c"]
        assert made.open == ["a", "c"]

    assert made.open == ["c"]
    assert [pool.closed for pool in made.all] == [1, 1, 0]


async def test_a_pool_that_is_given_up_is_closed_though_its_last_user_is_cancelled() -> None:
    made = Made()
    pools = Pools(made, most=1)

    with trio.CancelScope() as scope:
        async with pools.lease(way("a")):
            await use(pools, "b")
            scope.cancel()
            await trio.sleep_forever()

    assert scope.cancelled_caught
    assert made.open == ["b"]


async def test_a_request_is_answered_though_its_pool_made_room(
    authority: Authority, names: Names, nursery: trio.Nursery
) -> None:
    hold = trio.Event()
    origin = Origin(tls=authority.server(HOST), hold=hold)
    await nursery.start(serve, origin)
    answers: list[bytes] = []
    async with aclosing(provider_pools(names.look_up, most=1)) as pools:
        transport = Transport(pools=pools, deadline=timedelta(seconds=10))

        async def send() -> None:
            network = Network(ca_bundle=authority.pem, development=True)
            base_url = f"https://{HOST}:{origin.port}"
            answers.append((await transport.send(GET, base_url=base_url, network=network)).body)

        async with trio.open_nursery() as sending:
            sending.start_soon(send)
            await origin.noticed.wait()
            async with pools.lease(Network()):
                hold.set()

    assert answers == [b"hello"]


async def test_all_pools_are_closed_in_the_end() -> None:
    made = Made()

    async with aclosing(Pools(made)) as pools:
        await use(pools, "a", "b", "c")

    assert made.open == []


async def test_closing_a_pool_does_not_wait_for_ever(autojump_clock) -> None:
    """P7: cleanup is bounded."""

    class Stuck(httpx.AsyncBaseTransport):
        async def aclose(self) -> None:
            await trio.sleep_forever()

    pools = Pools(lambda _: Stuck(), most=1)
    begun = trio.current_time()

    await use(pools, "a", "b")

    assert trio.current_time() - begun == pytest.approx(5.0)
