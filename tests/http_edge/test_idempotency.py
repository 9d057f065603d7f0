"""Requests with an Idempotency-Key: done once, answered the same again; what failed may be asked again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import trio

from actors.platform.errors import PlatformUnavailableError
from persistence.errors import StoreUnavailableError
from tests.http_edge.scene import CONNECTIONS, EXECUTE, Scene, error_of

KEY = {"idempotency-key": "the-first-one"}


async def create(scene: Scene, body: object, **headers: str) -> httpx.Response:
    return await scene.call("tenant_admin", "POST", CONNECTIONS, body, headers={**KEY, **headers})


async def how_many(scene: Scene) -> int:
    return len((await scene.call("tenant_admin", "GET", CONNECTIONS)).json()["connections"])


async def test_the_same_request_again_gets_the_same_answer_and_does_nothing(scene: Scene) -> None:
    """Also what is shown only once: the caller may never have got it."""
    body = scene.connection_body()

    first = await create(scene, body)
    again = await create(scene, body)
    third = await create(scene, body)

    assert (first.status_code, again.status_code, third.status_code) == (201, 201, 201)
    assert "idempotent-replayed" not in first.headers
    for answer in (again, third):
        assert answer.headers["idempotent-replayed"] == "true"
        assert answer.content == first.content
        for name in ("etag", "location", "content-type"):
            assert answer.headers[name] == first.headers[name]
    assert await how_many(scene) == 1


async def test_a_verb_is_done_once_too(scene: Scene) -> None:
    connection = await scene.active()
    path = f"{CONNECTIONS}/{connection.connection_id}/suspend"

    first = await scene.call("tenant_admin", "POST", path, headers=KEY)
    again = await scene.call("tenant_admin", "POST", path, headers=KEY)
    without = await scene.call("tenant_admin", "POST", path)

    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert without.status_code == 409


async def test_another_request_under_the_key_is_422(scene: Scene) -> None:
    """Another body, another path, another query: each is another request."""
    connection = await scene.create()
    body = scene.connection_body()
    await create(scene, body)

    others = [
        await create(scene, {**body, "display_name": "another"}),
        await scene.call(
            "tenant_admin",
            "POST",
            f"{CONNECTIONS}/{connection.connection_id}/verify",
            headers=KEY,
        ),
    ]

    for answer in others:
        assert answer.status_code == 422
        assert error_of(answer)["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert await how_many(scene) == 2


async def test_while_the_first_one_runs_the_same_waits_outside(scene: Scene) -> None:
    body = scene.connection_body()
    go = scene.store.hold("create_connection")
    answers: list[httpx.Response] = []

    async def ask() -> None:
        answers.append(await create(scene, body))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await scene.store.entered.wait()
        second = await create(scene, body)
        go.set()

    assert second.status_code == 409
    assert error_of(second)["code"] == "REQUEST_RUNNING"
    assert int(second.headers["retry-after"]) >= 1
    assert answers[0].status_code == 201
    assert (await create(scene, body)).content == answers[0].content


async def test_a_refused_request_is_not_kept(scene: Scene) -> None:
    """4xx: nothing was done, so the same key may ask again, for something else too."""
    wrong = await create(scene, scene.connection_body(provider_id="gopher"))
    right = await create(scene, scene.connection_body())

    assert wrong.status_code == 422
    assert right.status_code == 201
    assert "idempotent-replayed" not in right.headers


@pytest.mark.parametrize("error", [StoreUnavailableError("gone"), RuntimeError("a bug")])
async def test_a_failed_request_is_not_kept(scene: Scene, error: Exception) -> None:
    body = scene.connection_body()
    scene.store.failing["create_connection"] = error

    failed = await create(scene, body)
    scene.store.failing.clear()
    again = await create(scene, body)

    assert failed.status_code >= 500
    assert again.status_code == 201
    assert await how_many(scene) == 1


async def test_p1_a_crash_between_the_deed_and_its_answer_can_not_make_two(scene: Scene) -> None:
    """The answer to a creation is kept in the transaction that creates; there is no moment between them."""
    body = scene.connection_body()
    scene.store.failing["finish_request"] = StoreUnavailableError("gone")

    first = await create(scene, body)
    again = await create(scene, body)

    assert first.status_code == 201
    assert again.content == first.content
    assert await how_many(scene) == 1


async def test_an_answer_that_can_not_be_kept_is_given_all_the_same(scene: Scene) -> None:
    """What was asked is done, and only its repetition is uncertain."""
    connection = await scene.active()
    path = f"{CONNECTIONS}/{connection.connection_id}/suspend"
    scene.store.failing["finish_request"] = StoreUnavailableError("gone")

    answer = await scene.call("tenant_admin", "POST", path, headers=KEY)

    assert answer.json()["status"] == "suspended"
    assert '"event": "request.answer_not_kept"' in scene.log.getvalue()


async def test_a_claim_that_can_not_be_given_back_ends_by_itself(scene: Scene) -> None:
    scene.store.failing["drop_request"] = StoreUnavailableError("gone")
    body = scene.connection_body(provider_id="gopher")

    wrong = await create(scene, body)
    again = await create(scene, body)

    assert wrong.status_code == 422
    assert again.status_code == 409
    assert '"event": "request.claim_not_given_back"' in scene.log.getvalue()


async def test_a_caller_that_hangs_up_gives_its_key_back(scene: Scene) -> None:
    """It will ask again, with the same key."""
    connection = await scene.create()
    path = f"{CONNECTIONS}/{connection.connection_id}/verify"
    go = scene.store.hold("connection")

    with trio.move_on_after(0.3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: scene.call("tenant_admin", "POST", path, headers=KEY))
            await scene.store.entered.wait()
            nursery.cancel_scope.cancel()
    del scene.store.gates["connection"]
    go.set()

    async def free() -> bool:
        answer = await scene.call("tenant_admin", "POST", path, headers=KEY)
        return answer.status_code == 200

    with trio.fail_after(20):
        while not await free():
            await scene.store.changed.wait()


@pytest.mark.parametrize("key", ["", "a b", "\u00e9", "x" * 256])
async def test_a_malformed_key_is_400(scene: Scene, key: str) -> None:
    answer = await scene.call(
        "tenant_admin",
        "POST",
        CONNECTIONS,
        scene.connection_body(),
        headers={"idempotency-key": key.encode()},  # type: ignore[dict-item]
    )

    assert answer.status_code == 400
    assert error_of(answer)["details"]["field"] == "Idempotency-Key"
    assert await how_many(scene) == 0


async def test_without_key_management_a_kept_answer_is_503_and_not_done_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = scene.connection_body()
    await create(scene, body)

    async def down(_: object) -> Any:
        await trio.lowlevel.checkpoint()
        raise PlatformUnavailableError("M33 is down")

    monkeypatch.setattr(scene.node.ports.secrets, "open", down)
    answer = await create(scene, body)

    assert answer.status_code == 503
    assert await how_many(scene) == 1


async def test_webhooks_and_actions_have_keys_of_their_own(scene: Scene) -> None:
    """An Idempotency-Key on them means nothing: theirs is the event's id, and the body's."""
    connection = await scene.active()

    hooks = [
        await scene.post(
            connection.webhook_url, scene.delivery(connection), idempotency_key="same"
        )
        for _ in range(2)
    ]
    acts = [
        await scene.call(
            "module", "POST", EXECUTE, scene.action_body(connection, key), headers=KEY
        )
        for key in ("one", "two")
    ]

    assert [answer.status_code for answer in hooks] == [202, 202]
    assert acts[0].json()["action_id"] != acts[1].json()["action_id"]


async def both(*asks: Callable[[], Awaitable[httpx.Response]]) -> list[httpx.Response]:
    answers: list[httpx.Response] = []

    async def ask(one: Callable[[], Awaitable[httpx.Response]]) -> None:
        answers.append(await one())

    async with trio.open_nursery() as nursery:
        for one in asks:
            nursery.start_soon(ask, one)
    return answers


async def test_many_at_once_make_one(scene: Scene) -> None:
    """However they race: one is done, the others wait outside or get its answer."""
    body = scene.connection_body()

    answers = await both(*[lambda: create(scene, body)] * 8)

    assert await how_many(scene) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
