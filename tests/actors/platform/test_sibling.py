"""One call to a sibling: the deadline, and what each ending means."""

from __future__ import annotations

from datetime import datetime, timedelta

import httpx
import pytest
import trio
import trio.testing

from actors.platform import sibling as module
from actors.platform.errors import (
    PlatformError,
    PlatformMisconfiguredError,
    PlatformRefusedError,
    PlatformUnavailableError,
)
from actors.platform.sibling import Answer, Ask, Sibling
from adapters.contract import Request, Response
from tests.actors.platform.world import Answering, always, served

SOON = timedelta(seconds=5)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_not_now_is_unavailable_with_the_time_to_come_back(status: int) -> None:
    sibling = always(status, {}, **{"retry-after": "7"}).sibling()

    with pytest.raises(PlatformUnavailableError) as caught:
        await sibling.ask(Ask(method="GET", path="/"), within=SOON)

    assert caught.value.retry_after == timedelta(seconds=7)
    assert str(status) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", timedelta()),
        ("99999999999999999999", timedelta(days=1)),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("", None),
    ],
)
async def test_a_strange_retry_after_does_no_harm(value: str, expected: timedelta | None) -> None:
    sibling = always(503, {}, **{"retry-after": value}).sibling()

    with pytest.raises(PlatformUnavailableError) as caught:
        await sibling.ask(Ask(method="GET", path="/"), within=SOON)

    assert caught.value.retry_after == expected


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.PoolTimeout]
)
async def test_a_broken_line_is_unavailable_and_tells_no_more_than_its_kind(
    error: type[httpx.TransportError],
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error("https://user:hunter2@sibling.test/?key=hunter2")

    with pytest.raises(PlatformUnavailableError) as caught:
        await Answering(fail).sibling().ask(Ask(method="GET", path="/"), within=SOON)

    assert str(caught.value) == f"sibling can not be reached: {error.__name__}"


async def test_no_answer_within_the_deadline_is_unavailable_p7(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    start = trio.current_time()
    with pytest.raises(PlatformUnavailableError, match="no answer in 5 s"):
        await Answering(never).sibling().ask(Ask(method="GET", path="/"), within=SOON)

    assert trio.current_time() - start == pytest.approx(5)


async def test_an_answer_without_end_is_cut_off_p7(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_LIMIT_BYTES", 100)

    def flood(request: Request, *, now: datetime) -> Response:
        return Response(status=200, body=b"x" * 1_000_000)

    async with served(flood) as server:
        with pytest.raises(PlatformUnavailableError):
            await server.sibling.ask(Ask(method="GET", path="/"), within=SOON)


async def test_an_answer_just_over_the_limit_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ANSWER_LIMIT_BYTES", 100)

    with pytest.raises(PlatformUnavailableError, match="too much"):
        await always(200, "x" * 99).sibling().ask(Ask(method="GET", path="/"), within=SOON)


async def test_the_body_and_the_headers_arrive_and_a_base_path_is_kept() -> None:
    answering = always(200, {"ok": True})
    client = httpx.AsyncClient(transport=httpx.MockTransport(answering._reply))
    sibling = Sibling("sibling", "http://sibling.test/base/", client)
    ask = Ask(method="PUT", path="/x", headers={"x-mine": "1"}, body=b"{}")

    answer = await sibling.ask(ask, within=SOON)

    [request] = answering.asked
    assert (request.method, request.url.path, request.content) == ("PUT", "/base/x", b"{}")
    assert request.headers["x-mine"] == "1"
    assert request.headers["content-type"] == "application/json"
    assert answer.document() == {"ok": True}


@pytest.mark.parametrize("url", ["sibling.test", "ftp://sibling.test", "http://", "http://a:b@c"])
def test_a_bad_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        Sibling("sibling", url, httpx.AsyncClient())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"text"', b"[" * 100_000])
def test_a_body_that_is_no_object_makes_no_sense(body: bytes) -> None:
    answer = Answer(sibling="sibling", status=200, body=body)

    with pytest.raises(PlatformUnavailableError, match="no sense"):
        answer.document()
    assert answer.complaint() in {(None, ""), (None, "text")}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"detail":{"error":{"code":"A","message":"m"}}}', ("A", "m")),
        (b'{"error":{"code":"B","message":"m"}}', ("B", "m")),
        (b'{"detail":{"error_code":"C","message":"m"}}', ("C", "m")),
        (b'{"detail":"text"}', (None, "text")),
        (b'{"detail":[{"loc":["body"],"input":"private"}]}', (None, "")),
        (b'{"error":{"code":7,"message":8}}', (None, "")),
        (b'{"error":{"code":"no code, but: text"}}', (None, "")),
        (b'{"error":{"code":"LONG' + b"G" * 200 + b'"}}', (None, "")),
    ],
)
def test_every_sibling_s_error_shape_is_read(
    body: bytes, expected: tuple[str | None, str]
) -> None:
    assert Answer(sibling="sibling", status=400, body=body).complaint() == expected


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (301, b"", PlatformMisconfiguredError, "301"),
        (401, b"{}", PlatformMisconfiguredError, "401"),
        (403, b'{"error":{"code":"X"}}', PlatformMisconfiguredError, "403"),
        (404, b'{"detail":"Not Found"}', PlatformMisconfiguredError, "404"),
        (405, b"{}", PlatformMisconfiguredError, "405"),
        (404, b'{"error":{"code":"KEY_NOT_FOUND"}}', PlatformRefusedError, "KEY_NOT_FOUND"),
        (409, b'{"error":{"code":"KEY_INACTIVE"}}', PlatformRefusedError, "KEY_INACTIVE"),
        (422, b'{"detail":[{"input":"private"}]}', PlatformRefusedError, "HTTP_422"),
    ],
)
def test_refusals_say_who_must_act(
    status: int, body: bytes, kind: type[PlatformError], text: str
) -> None:
    error = Answer(sibling="sibling", status=status, body=body).refusal()

    assert type(error) is kind
    assert text in str(error)
    assert "private" not in str(error)
