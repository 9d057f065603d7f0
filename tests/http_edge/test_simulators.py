"""Simulators over real HTTP: what they plan is what the wire does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

import httpx
import pytest
import trio
from attrs import define, field

from adapters.contract import Request, Response
from adapters.simulation import Reply
from http_edge.simulators import Handle, ServeLimits, serve_simulator
from runtime.clock import TrioClock

EPOCH = datetime(2026, 3, 1, 12, tzinfo=UTC)


@define
class Scripted:
    """Answers as the path says, and keeps what it was asked."""

    asked: list[tuple[Request, datetime]] = field(factory=list)

    def handle(self, request: Request, *, now: datetime) -> Response | Reply:
        self.asked.append((request, now))
        plain = Response(status=200, headers=(("x-mine", "1"),), body=request.body or b"hello")
        scripted: dict[str, Response | Reply] = {
            "/dropped": Reply(response=None),
            "/cut": Reply(response=plain, cut_at=2),
            "/late": Reply(response=plain, delay=timedelta(milliseconds=50)),
            "/drip": Reply(response=plain, drip=timedelta(milliseconds=10)),
            "/drip/empty": Reply(response=Response(status=204), drip=timedelta(hours=1)),
            "/empty": Response(status=204),
        }
        return scripted.get(request.url, plain)


@asynccontextmanager
async def serving(
    handle: Handle, limits: ServeLimits | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    async with trio.open_nursery() as nursery:
        serve = partial(serve_simulator, handle, clock=TrioClock(EPOCH), limits=limits)
        url = await nursery.start(serve)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            with trio.fail_after(20):
                yield client
        nursery.cancel_scope.cancel()


async def say(client: httpx.AsyncClient, data: bytes) -> bytes:
    """Send bytes as they are and read until the server closes."""
    address = urlsplit(str(client.base_url))
    stream = await trio.open_tcp_stream(str(address.hostname), address.port or 0)
    async with stream:
        if data:
            await stream.send_all(data)
        return b"".join([chunk async for chunk in stream])


async def test_a_request_arrives_as_data_and_its_answer_goes_back() -> None:
    scripted = Scripted()
    async with serving(scripted.handle) as client:
        answer = await client.post("/a?b=1", content=b"body", headers={"X-Upper": "V"})

    [(request, now)] = scripted.asked
    assert (request.method, request.url, request.body) == ("POST", "/a?b=1", b"body")
    assert request.header("x-upper") == "V"
    assert now >= EPOCH
    assert (answer.status_code, answer.headers["x-mine"], answer.content) == (200, "1", b"body")


async def test_a_connection_serves_many_requests() -> None:
    scripted = Scripted()
    async with serving(scripted.handle) as client:
        streams = set()
        for _ in range(3):
            answer = await client.get("/")
            streams.add(id(answer.extensions["network_stream"]))

    assert len(scripted.asked) == 3
    assert len(streams) == 1


async def test_a_dropped_connection_is_one_without_an_answer_and_the_next_is_fine() -> None:
    scripted = Scripted()
    async with serving(scripted.handle) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/dropped")

        assert (await client.get("/")).status_code == 200


async def test_an_answer_cut_off_was_promised_in_full() -> None:
    async with serving(Scripted().handle) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="2 bytes, expected 5"):
            await client.get("/cut")


async def test_an_answer_can_be_late() -> None:
    async with serving(Scripted().handle) as client:
        start = trio.current_time()
        await client.get("/late")

    assert trio.current_time() - start >= 0.05


async def test_an_answer_can_drip_byte_by_byte_and_is_whole_in_the_end() -> None:
    pieces = []
    async with serving(Scripted().handle) as client:
        start = trio.current_time()
        async with client.stream("GET", "/drip") as answer:
            async for piece in answer.aiter_raw():
                pieces.append((trio.current_time() - start, piece))  # noqa: PERF401
        after = await client.get("/")

    assert b"".join(piece for _, piece in pieces) == b"hello"
    assert pieces[-1][0] - pieces[0][0] >= 0.02
    assert after.status_code == 200


async def test_an_answer_that_drips_too_long_breaks_off() -> None:
    limits = ServeLimits(exchange=timedelta(milliseconds=30))
    async with serving(Scripted().handle, limits) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="expected 1000"):
            await client.post("/drip", content=b"x" * 1000)


async def test_an_answer_without_a_body_has_nothing_to_drip() -> None:
    async with serving(Scripted().handle) as client:
        assert (await client.get("/drip/empty")).status_code == 204


async def test_answers_without_a_body_have_none() -> None:
    async with serving(Scripted().handle) as client:
        empty = await client.get("/empty")
        head = await client.head("/")
        after = await client.get("/")

    assert (empty.status_code, empty.content) == (204, b"")
    assert "content-length" not in empty.headers
    assert (head.content, head.headers["content-length"]) == (b"", "5")
    assert after.content == b"hello"


async def test_a_body_that_is_too_large_is_refused_p7() -> None:
    scripted = Scripted()
    async with serving(scripted.handle, ServeLimits(body_bytes=10)) as client:
        answer = await client.post("/", content=b"x" * 11)

    assert answer.status_code == 413
    assert scripted.asked == []


async def test_what_is_no_http_is_refused() -> None:
    scripted = Scripted()
    async with serving(scripted.handle) as client:
        answer = await say(client, b"\x16\x03\x01 hello\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400")
    assert scripted.asked == []


async def test_a_client_that_says_nothing_or_stops_half_way_is_let_go_p7() -> None:
    limits = ServeLimits(idle=timedelta(milliseconds=40), exchange=timedelta(milliseconds=30))
    scripted = Scripted()
    async with serving(scripted.handle, limits) as client:
        silent = await say(client, b"")
        half_a_head = await say(client, b"GET / HT")
        half_a_body = await say(
            client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"
        )

    assert (silent, half_a_head, half_a_body) == (b"", b"", b"")
    assert scripted.asked == []


async def test_a_client_that_hangs_up_in_its_body_hurts_nobody() -> None:
    scripted = Scripted()
    async with serving(scripted.handle) as client:
        address = urlsplit(str(client.base_url))
        stream = await trio.open_tcp_stream(str(address.hostname), address.port or 0)
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
        await stream.send_eof()
        answer = b"".join([chunk async for chunk in stream])
        await stream.aclose()

        assert (await client.get("/")).status_code == 200

    assert answer.startswith(b"HTTP/1.1 400")
    assert len(scripted.asked) == 1


async def test_a_client_that_hangs_up_while_it_waits_hurts_nobody() -> None:
    def flood(request: Request, *, now: datetime) -> Reply:
        large = Response(status=200, body=b"x" * 10_000_000)
        return Reply(response=large, delay=timedelta(milliseconds=20))

    async with serving(flood) as client:
        address = urlsplit(str(client.base_url))
        for _ in range(3):
            stream = await trio.open_tcp_stream(str(address.hostname), address.port or 0)
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await stream.aclose()

        assert len((await client.get("/")).content) == 10_000_000


async def test_who_waits_for_a_word_to_go_on_gets_it() -> None:
    async with serving(Scripted().handle) as client:
        address = urlsplit(str(client.base_url))
        stream = await trio.open_tcp_stream(str(address.hostname), address.port or 0)
        async with stream:
            await stream.send_all(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
                b"Connection: close\r\n\r\n"
            )
            word = await stream.receive_some()
            await stream.send_all(b"ok")
            answer = b"".join([chunk async for chunk in stream])

    assert word.startswith(b"HTTP/1.1 100")
    assert answer.endswith(b"ok")


async def test_a_pipelined_request_waits_for_its_turn() -> None:
    scripted = Scripted()
    async with serving(scripted.handle) as client:
        one = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
        two = b"GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        answer = await say(client, one + two)

    assert [request.url for request, _ in scripted.asked] == ["/1", "/2"]
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_connections_beyond_the_bound_wait_for_a_free_place_p7() -> None:
    limits = ServeLimits(connections=1)
    async with serving(Scripted().handle, limits) as client:
        answers = []

        async def get() -> None:
            answers.append(await client.get("/", headers={"connection": "close"}))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(get)

    assert [answer.status_code for answer in answers] == [200] * 5


async def test_only_this_machine_is_served() -> None:
    async with serving(Scripted().handle) as client:
        assert client.base_url.host == "127.0.0.1"


async def test_a_bug_in_a_simulator_ends_the_server_loudly() -> None:
    def broken(request: Request, *, now: datetime) -> Response:
        raise LookupError(request.url)

    with pytest.RaisesGroup(LookupError, flatten_subgroups=True, allow_unwrapped=True):
        async with serving(broken) as client:
            with pytest.raises(httpx.TransportError):
                await client.get("/")
            await trio.sleep_forever()  # until the server's end ends this too
