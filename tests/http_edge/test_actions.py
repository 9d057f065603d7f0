"""Actions as internal modules ask for them: stored under their key, carried out once, told truly."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
import trio

from http_edge.actions import LONGEST_WAIT, waiting_time
from http_edge.surroundings import PULL_REQUEST, REPOSITORY
from persistence.errors import StoreUnavailableError
from persistence.records import ConnectionState
from tests.http_edge.scene import EXECUTE, Connected, Scene, error_of

WAIT = {"prefer": "wait=15"}


async def execute(
    scene: Scene, connection: Connected, key: str, *, wait: bool = False, **changes: object
) -> httpx.Response:
    body = scene.action_body(connection, key, **changes)
    return await scene.call("module", "POST", EXECUTE, body, headers=WAIT if wait else None)


async def comments(scene: Scene) -> list[str]:
    query = f"comments?repository={REPOSITORY}&number={PULL_REQUEST}"
    found: list[str] = (await scene.control(scene.around.github_url, query))["comments"]
    return [body.partition("\n")[0] for body in found]


async def test_an_action_is_202_and_can_be_asked_about_until_it_is_done(scene: Scene) -> None:
    """FR-7: accepted, then carried out by the connection's actor."""
    connection = await scene.active()

    accepted = await execute(scene, connection, "first", correlation_id="corr-1")

    async def done() -> bool:
        shown = await scene.call("module", "GET", accepted.headers["location"])
        return bool(shown.json()["status"] == "done")

    await scene.until(done)
    shown = (await scene.call("module", "GET", accepted.headers["location"])).json()
    assert accepted.status_code == 202
    assert "preference-applied" not in accepted.headers
    assert accepted.json()["not_before"] is not None
    assert shown["action_id"] == accepted.json()["action_id"]
    assert shown["correlation_id"] == "corr-1"
    assert shown["not_before"] is None
    assert await comments(scene) == ["Comment first"]


async def test_prefer_wait_answers_200_with_the_providers_reference(scene: Scene) -> None:
    """FR-7, RFC 7240: the outcome and where to see it."""
    connection = await scene.active()

    answer = await execute(scene, connection, "waited", wait=True)

    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=15"
    document = answer.json()
    assert document["status"] == "done"
    assert document["reference"]["id"]
    assert document["reference"]["url"].startswith("https://github.com/acme/rocket/pull/2#issue")


async def test_ut_ia_04_the_same_key_and_body_is_the_same_action_and_one_comment(
    scene: Scene,
) -> None:
    """UT-IA-04, P4: asked three times, in another order of keys; one effect."""
    connection = await scene.active()
    body = scene.action_body(connection, "once")
    turned = {name: body[name] for name in reversed(list(body))}
    turned["target"] = dict(reversed(list(body["target"].items())))

    first = await scene.call("module", "POST", EXECUTE, body, headers=WAIT)
    second = await scene.call("module", "POST", EXECUTE, turned)
    third = await scene.call("module", "POST", EXECUTE, body, headers=WAIT)

    ids = {answer.json()["action_id"] for answer in (first, second, third)}
    assert len(ids) == 1
    assert [second.status_code, third.status_code] == [200, 200]  # it has ended already
    assert second.json()["reference"] == first.json()["reference"]
    assert await comments(scene) == ["Comment once"]


async def test_ut_ia_04_transient_errors_at_the_provider_make_one_comment(scene: Scene) -> None:
    """UT-IA-04, P4: the provider does it, and its answer is lost."""
    connection = await scene.active()
    fault = {"effect": "now", "dropped": True, "method": "POST", "path": "/comments"}
    await scene.control(scene.around.github_url, "faults", fault)

    answer = await execute(scene, connection, "lost", wait=True)

    assert answer.json()["status"] == "done"
    assert await comments(scene) == ["Comment lost"]


async def test_the_same_key_with_another_body_is_409(scene: Scene) -> None:
    connection = await scene.active()
    first = await execute(scene, connection, "taken")

    second = await execute(scene, connection, "taken", payload={"body": "something else"})
    other = await execute(scene, await scene.active(), "taken")

    assert second.status_code == 409
    assert error_of(second)["code"] == "CONFLICT"
    assert other.status_code == 202
    assert other.json()["action_id"] != first.json()["action_id"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"canonical_type": "launch_rocket"}, "canonical_type"),
        ({"target": {"repository": "acme", "pr_number": 2}}, "target.repository"),
        ({"target": {"repository": "acme/rocket", "pr_number": 0}}, "target.pr_number"),
        ({"target": {"repository": "acme/rocket"}}, "target.pr_number"),
        ({"payload": {}}, "payload.body"),
        ({"payload": {"body": "x" * 70_000}}, "payload.body"),
        ({"payload": {"body": "x", "color": "red"}}, "payload.color"),
        ({"provider_id": "gitlab"}, "provider_id"),
    ],
)
async def test_an_action_the_provider_could_never_do_is_422_and_nothing_is_stored(
    scene: Scene, changes: dict[str, Any], field: str
) -> None:
    """FR-7: refused at the door with the field's name; the key stays free."""
    connection = await scene.active()

    refused = await execute(scene, connection, "wrong", **changes)
    right = await execute(scene, connection, "wrong", wait=True)

    assert refused.status_code == 422
    assert error_of(refused)["details"]["field"] == field
    assert right.status_code == 200
    assert await comments(scene) == ["Comment wrong"]


@pytest.mark.parametrize("where", ["target", "payload"])
async def test_a_document_nested_too_deeply_is_422(scene: Scene, where: str) -> None:
    connection = await scene.active()
    whole = scene.action_body(connection, "deep", **{where: {"body": "DEEP"}})
    deep = b"[" * 500 + b"]" * 500
    raw = orjson.dumps(whole).replace(b'"DEEP"', deep)

    answer = await scene.call("module", "POST", EXECUTE, raw)

    assert answer.status_code == 422
    assert error_of(answer)["details"]["field"] == where


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "x" * 201}, "idempotency_key"),
        ({"target": "acme/rocket#2"}, "target"),
        ({"payload": None}, "payload"),
        ({"correlation_id": 7}, "correlation_id"),
        ({"priority": "high"}, "priority"),
    ],
)
async def test_a_body_that_is_no_action_is_400(
    scene: Scene, changes: dict[str, Any], field: str
) -> None:
    connection = await scene.create()

    answer = await execute(scene, connection, "k", **changes)

    assert answer.status_code == 400
    assert error_of(answer)["details"]["field"] == field


async def test_a_connection_that_is_not_active_is_409(scene: Scene) -> None:
    connection = await scene.create()

    answer = await execute(scene, connection, "early")

    assert answer.status_code == 409
    assert error_of(answer)["code"] == "CONNECTION_NOT_ACTIVE"


async def test_p4_a_repeated_action_is_answered_though_its_connection_is_active_no_more(
    scene: Scene,
) -> None:
    """P4, UT-IA-04: what is new is refused, what is known is told."""
    connection = await scene.active()
    first = await execute(scene, connection, "known", wait=True)
    await scene.store.change_state(
        "acme",
        UUID(connection.connection_id),
        expected=(ConnectionState.ACTIVE,),
        state=ConnectionState.SUSPENDED,
        reason="unpaid",
        now=scene.clock.now(),
        receipt=None,
    )

    again = await execute(scene, connection, "known")
    other = await execute(scene, connection, "known", payload={"body": "something else"})
    new = await execute(scene, connection, "new")

    assert (again.status_code, again.json()["action_id"]) == (200, first.json()["action_id"])
    assert (other.status_code, error_of(other)["code"]) == (409, "CONFLICT")
    assert (new.status_code, error_of(new)["code"]) == (409, "CONNECTION_NOT_ACTIVE")


async def test_a_connection_without_the_capability_is_422(scene: Scene) -> None:
    connection = await scene.active(auth=None)

    answer = await execute(scene, connection, "deaf")

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "CAPABILITY_MISSING"


async def test_waiting_ends_when_the_time_is_over(scene: Scene) -> None:
    """202: it is stored and goes on; the caller may ask again."""
    connection = await scene.active()
    fault = {"effect": "none", "status": 503, "times": 50}
    await scene.control(scene.around.github_url, "faults", fault)
    body = scene.action_body(connection, "slow")

    answer = await scene.call("module", "POST", EXECUTE, body, headers={"prefer": "wait=1"})

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.json()["status"] == "queued"


async def test_a_waiting_caller_learns_of_an_end_that_nobody_announced(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node may end the action: the store is looked at each second."""
    connection = await scene.active()
    monkeypatch.setattr(scene.node.ports.announcements, "announce", lambda _: None)

    with trio.fail_after(14):
        answer = await execute(scene, connection, "elsewhere", wait=True)

    assert answer.status_code == 200
    assert answer.json()["status"] == "done"


async def test_a_refused_action_says_why(scene: Scene) -> None:
    connection = await scene.active()
    target = {"repository": "acme/rocket", "pr_number": 4711}

    answer = await execute(scene, connection, "nowhere", wait=True, target=target)

    assert answer.status_code == 200
    assert answer.json()["status"] == "refused"
    assert answer.json()["reason"]
    assert answer.json()["reference"] is None


async def test_an_unavailable_store_is_503(scene: Scene) -> None:
    connection = await scene.active()
    scene.store.failing["enqueue"] = StoreUnavailableError("gone")

    answer = await execute(scene, connection, "gone")

    assert answer.status_code == 503
    assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=10", 10),
        ("respond-async, wait=10", 10),
        ("Wait=5; foo", 5),
        ("wait = 7", 7),
        ("wait=86400", LONGEST_WAIT.total_seconds()),
        ("wait=-1", 0),
        ("wait=ten", 0),
        ("nowait=10", 0),
        ("wait=9999999999", 0),
    ],
)
def test_prefer_wait_is_read_as_rfc_7240_says(prefer: str | None, seconds: float) -> None:
    assert waiting_time(prefer) == timedelta(seconds=seconds)
