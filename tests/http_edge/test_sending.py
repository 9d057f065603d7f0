"""Payloads signed as the provider would sign them."""

from __future__ import annotations

import httpx
import pytest
import trio

from adapters.contract import Secret
from adapters.github import ADAPTER
from adapters.registry import discover
from http_edge.sending import SENDERS, Answered, made_payload, send, signed
from tests.actors.platform.world import EPOCH

SECRET = Secret(value=b"a good secret")


def test_what_is_signed_here_is_what_the_adapter_believes() -> None:
    body = made_payload("pull_request.opened", 3, at=EPOCH)

    request = signed("github", "pull_request", body, secret=SECRET, event_id="guid-1")
    delivery = ADAPTER.receive(request, secrets=(SECRET,), now=EPOCH)

    assert delivery.event_id == "guid-1"
    assert delivery.event_kind == "pull_request.opened"
    assert delivery.body == body


def test_payloads_of_one_number_are_the_same_and_of_two_are_not() -> None:
    assert made_payload("push", 1, at=EPOCH) == made_payload("push", 1, at=EPOCH)
    assert made_payload("push", 1, at=EPOCH) != made_payload("push", 2, at=EPOCH)


def test_a_provider_that_nobody_can_imitate_is_named_with_those_that_can() -> None:
    with pytest.raises(ValueError, match=r"'gopher'; known: github"):
        signed("gopher", "push", b"{}", secret=SECRET, event_id="1")


def test_every_sender_has_its_adapter() -> None:
    known = {manifest.provider_id for manifest in discover().manifests()}

    assert set(SENDERS) <= known


async def test_sending_posts_the_bytes_and_headers_as_they_were_signed() -> None:
    request = signed("github", "push", b"{ }", secret=SECRET, event_id="guid-1")
    seen: list[httpx.Request] = []

    async def answer(got: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        seen.append(got)
        return httpx.Response(202, text="yes")

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        answered = await send(client, "http://node.test/hook", request)

    assert answered == Answered(status=202, body="yes")
    assert seen[0].content == b"{ }"
    assert dict(request.headers).items() <= dict(seen[0].headers).items()
