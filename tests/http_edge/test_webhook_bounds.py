"""The bounds of the webhook edge: what is not committed is never a 2xx; too large, too fast, too full say so."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from urllib.parse import quote_plus, urlsplit

import httpx
import orjson
import pytest
import trio
import trio.testing

from adapters.signing import hmac_hex
from http_edge import webhooks
from http_edge.errors import TooLargeError
from http_edge.webhooks import reject_oversized
from persistence.errors import StoreFullError, StoreUnavailableError
from persistence.opening import open_store
from tests.http_edge.scene import (
    Opened,
    Scene,
    error_of,
    resigned,
    running,
    send_chunked,
)


async def test_p1_a_2xx_is_only_given_once_the_delivery_is_committed(
    scene: Scene, opened: Opened
) -> None:
    """P1: while the commit is held there is no answer; after it, another reader finds the delivery."""
    connection = await scene.create()
    answers: list[httpx.Response] = []
    gate = scene.store.hold("accept")

    async def send() -> None:
        answers.append(await scene.deliver(connection))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await scene.store.entered.wait()
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert answers == []
        gate.set()

    assert answers[0].status_code == 202
    async with open_store(opened.database_url) as other:
        assert await other.pending_count() == 1


async def test_p1_a_failing_commit_is_a_503_with_retry_after_and_never_a_2xx(scene: Scene) -> None:
    """P1, P7: the store says no; once it is back, the same delivery is taken as new."""
    connection = await scene.create()
    request = scene.delivery(connection)
    scene.store.failing["accept"] = StoreUnavailableError("gone")

    refused = await scene.post(connection.webhook_url, request)
    scene.store.failing.clear()
    taken = await scene.post(connection.webhook_url, request)

    assert refused.status_code == 503
    assert error_of(refused)["code"] == "STORE_UNAVAILABLE"
    assert int(refused.headers["retry-after"]) >= 1
    assert taken.status_code == 202
    exposed = (await scene.http.get(f"{scene.url}/metrics")).text
    assert 'status="unavailable",tenant="acme"} 1.0' in exposed


async def test_p1_a_commit_that_takes_too_long_is_a_503(opened: Opened) -> None:
    """P1, P7: the wait has a deadline; the delivery may be stored, and a repeat says so without a second signal."""
    settings = opened.settings(accept_deadline=timedelta(seconds=0.3))
    async with running(opened, settings) as scene:
        connection = await scene.create()
        request = scene.delivery(connection)
        gate = scene.store.hold("accept")

        refused = await scene.post(connection.webhook_url, request)
        gate.set()
        repeated = await scene.post(connection.webhook_url, request)

        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert repeated.status_code in {200, 202}
        assert (await scene.ledger())["accepted"] == 1


async def test_p1_a_client_that_hangs_up_during_the_commit_changes_nothing(scene: Scene) -> None:
    """P1: the commit is shielded; what was begun is stored."""
    connection = await scene.create()
    gate = scene.store.hold("accept")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(scene.deliver, connection, "guid-1"))
        await scene.store.entered.wait()
        nursery.cancel_scope.cancel()
    gate.set()

    async def stored() -> bool:
        return (await scene.ledger())["accepted"] == 1

    await scene.until(stored)
    scene.store.gates.clear()
    again = await scene.deliver(connection, "guid-1")
    assert again.json()["status"] == "duplicate"


async def test_a_body_over_the_limit_by_its_declared_length_is_413_unread(scene: Scene) -> None:
    connection = await scene.create()
    address = urlsplit(connection.webhook_url)
    stream = await trio.open_tcp_stream("127.0.0.1", address.port or 0)
    head = f"POST {address.path} HTTP/1.1\r\nhost: x\r\ncontent-length: {26 * 1024 * 1024}\r\n\r\n"

    with trio.fail_after(10):
        await stream.send_all(head.encode())
        answer = b""
        while b"limit_bytes" not in answer:
            answer += await stream.receive_some(65536)
    await stream.aclose()

    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"TOO_LARGE"' in answer
    assert b'"limit_bytes":26214400' in answer


async def test_a_chunked_body_over_the_limit_is_413(scene: Scene) -> None:
    """Nobody needs to declare a length; the bytes are counted as they come."""
    connection = await scene.create()
    request = scene.delivery(connection)

    answer = await send_chunked(
        connection.webhook_url,
        megabytes=25,
        headers=dict(request.headers),
        until=b"limit_bytes",
    )

    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("declared", ["9" * 5000, "26214401", " 26214401 "])
def test_an_absurd_declared_length_is_too_large(declared: str) -> None:
    with pytest.raises(TooLargeError):
        reject_oversized(declared, 26214400)


@pytest.mark.parametrize("declared", [None, "", "abc", "-1", "\u0661", "26214400"])
def test_a_length_that_says_nothing_wrong_is_read_on(declared: str | None) -> None:
    assert reject_oversized(declared, 26214400) is None  # type: ignore[func-returns-value]


async def test_over_the_rate_is_429_with_retry_after_and_the_next_connection_is_not_slowed(
    opened: Opened,
) -> None:
    """P7, P6: each connection has its own rate."""
    settings = opened.settings(webhook_rate_per_s=1, webhook_burst=3)
    async with running(opened, settings) as scene:
        loud, quiet = await scene.create(), await scene.create("globex")

        answers = [await scene.deliver(loud) for _ in range(5)]
        other = await scene.deliver(quiet)

        assert [answer.status_code for answer in answers[:3]] == [202] * 3
        assert 429 in {answer.status_code for answer in answers[3:]}
        limited = next(answer for answer in answers if answer.status_code == 429)
        assert error_of(limited)["code"] == "RATE_LIMITED"
        assert 1 <= int(limited.headers["retry-after"]) <= 2
        assert other.status_code == 202


async def test_a_full_inbox_is_503_with_retry_after(opened: Opened) -> None:
    """P7: the bound of the inbox; nothing is lost, the provider is asked to come back."""
    async with running(opened, opened.settings(inbox_limit=2)) as scene:
        connection = await scene.create()  # not verified, so nothing leaves the inbox

        answers = [await scene.deliver(connection) for _ in range(4)]

        assert [answer.status_code for answer in answers] == [202, 202, 503, 503]
        assert error_of(answers[2])["code"] == "OVERLOADED"
        assert int(answers[2].headers["retry-after"]) >= 1
        assert (await scene.ledger())["accepted"] == 2


async def test_an_unavailable_store_at_the_door_is_503(scene: Scene) -> None:
    connection = await scene.create()
    scene.store.failing["endpoint"] = StoreUnavailableError("gone")

    answer = await scene.deliver(connection)

    assert answer.status_code == 503
    assert "retry-after" in answer.headers


async def test_a_store_that_is_full_says_when_to_come_back(scene: Scene) -> None:
    connection = await scene.create()
    full = StoreFullError("full", retry_after=timedelta(seconds=7))
    scene.store.failing["accept"] = full

    answer = await scene.deliver(connection)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


async def test_key_management_down_is_503_until_it_is_back(scene: Scene) -> None:
    """P3: while the secret can not be had nothing is taken; the sender may come back."""
    connection = await scene.create()
    # A node that has just started remembers no data key.
    scene.node.ports.secrets._known._kept.clear()  # type: ignore[attr-defined]
    await scene.control(scene.around.kms_url, "down", {"status": 503})

    refused = await scene.deliver(connection)
    await scene.control(scene.around.kms_url, "up", {})
    taken = await scene.deliver(connection)

    assert refused.status_code == 503
    assert error_of(refused)["code"] == "DEPENDENCY_UNAVAILABLE"
    assert "retry-after" in refused.headers
    assert taken.status_code == 202


async def test_a_large_body_is_examined_in_a_thread_and_forwarded(scene: Scene) -> None:
    connection = await scene.active()
    document = orjson.loads(scene.delivery(connection).body)
    document["pull_request"]["body"] = "x" * webhooks.LARGE_BYTES

    answer = await scene.post(connection.webhook_url, resigned(orjson.dumps(document)))

    assert answer.status_code == 202
    assert len(await scene.arrived(1)) == 1


async def test_p3_a_large_body_with_a_wrong_signature_is_401(scene: Scene) -> None:
    """P3: the thread makes no difference."""
    connection = await scene.create()
    request = resigned(b'{"a": "' + b"x" * webhooks.LARGE_BYTES + b'"}')

    answer = await scene.post(
        connection.webhook_url, request, x_hub_signature_256="sha256=" + "0" * 64
    )

    assert answer.status_code == 401


async def test_a_form_encoded_webhook_is_taken(scene: Scene) -> None:
    """GitHub's other content type: the signature is over the form, the document is in ``payload``."""
    connection = await scene.active()
    json_body = scene.delivery(connection).body.decode()
    form = f"payload={quote_plus(json_body)}".encode()
    signature = "sha256=" + hmac_hex(form, secret=connection.secret)
    request = scene.delivery(connection, event_id="guid-form")

    answer = await scene.http.post(
        connection.webhook_url,
        content=form,
        headers={
            **dict(request.headers),
            "content-type": "application/x-www-form-urlencoded",
            "x-hub-signature-256": signature,
        },
    )

    assert answer.status_code == 202
    (signal,) = await scene.arrived(1)
    assert signal["correlation_id"] == "guid-form"
