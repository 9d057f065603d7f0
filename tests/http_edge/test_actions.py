"""Actions as internal modules ask for them: stored under their key, carried out once, told truly."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
import trio

from actors import evidence, incidents
from http_edge.actions import LONGEST_WAIT, waiting_time
from http_edge.surroundings import PULL_REQUEST, REPOSITORY
from persistence.changes import ConnectionChange
from persistence.errors import StoreUnavailableError
from persistence.records import ActionState, ConnectionState
from tests.http_edge.scene import EXECUTE, Connected, Scene, error_of
from tests.persistence import samples

WAIT = {"prefer": "wait=15"}
LIST = "/internal/integrations/actions"


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
    await samples.move(
        scene.store, connection, ConnectionState.SUSPENDED, reason="unpaid", now=scene.clock.now()
    )

    again = await execute(scene, connection, "known")
    other = await execute(scene, connection, "known", payload={"body": "something else"})
    new = await execute(scene, connection, "new")

    assert (again.status_code, again.json()["action_id"]) == (200, first.json()["action_id"])
    assert (other.status_code, error_of(other)["code"]) == (409, "CONFLICT")
    assert (new.status_code, error_of(new)["code"]) == (409, "CONNECTION_NOT_ACTIVE")


@pytest.mark.parametrize(
    "unasked", [("connection", "action"), ("claim_deliveries", "due_actions")]
)
async def test_for_a_second_action_neither_its_connection_nor_its_end_is_read_again(
    scene: Scene, unasked: tuple[str, ...]
) -> None:
    """What was announced is what was committed; what was read before is good until it changes; nobody looks for it."""
    connection = await scene.active()
    await execute(scene, connection, "first", wait=True)
    scene.store.failing = dict.fromkeys(unasked, StoreUnavailableError("not asked"))

    second = await execute(scene, connection, "second", wait=True)

    scene.store.failing = {}
    assert (second.status_code, second.json()["status"]) == (200, "done")
    assert second.json()["reference"]["id"]


async def test_an_action_is_checked_against_its_connection_as_it_is_now(scene: Scene) -> None:
    """However often it was used before: the change of a moment ago counts."""
    connection = await scene.active()
    await execute(scene, connection, "before", wait=True)
    await samples.changed(
        scene.store,
        connection,
        ConnectionChange(state=ConnectionState.ACTIVE, capabilities=("webhook",)),
        now=scene.clock.now(),
    )

    refused = await execute(scene, connection, "after")
    elsewhere = await execute(scene, connection, "elsewhere", provider_id="gitlab")

    assert (refused.status_code, error_of(refused)["code"]) == (422, "CAPABILITY_MISSING")
    assert (elsewhere.status_code, error_of(elsewhere)["details"]["field"]) == (422, "provider_id")


async def test_a_change_that_takes_nothing_away_costs_an_action_one_more_look(
    scene: Scene,
) -> None:
    connection = await scene.active()
    await execute(scene, connection, "before", wait=True)
    change = ConnectionChange(state=ConnectionState.ACTIVE, display_name="another name")
    await samples.changed(scene.store, connection, change, now=scene.clock.now())

    after = await execute(scene, connection, "after", wait=True)

    assert (after.status_code, after.json()["status"]) == (200, "done")


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


async def test_what_was_sent_for_an_action_is_shown_without_its_bodies(scene: Scene) -> None:
    """Issue 5: step, digest, state, time and status; never what was in it."""
    connection = await scene.active()
    done = await execute(scene, connection, "shown", wait=True)

    shown = await scene.call("viewer", "GET", done.headers["location"])

    (exchange,) = shown.json()["exchanges"]
    assert set(exchange) == {"step", "digest", "state", "sent_at", "status"}
    assert (exchange["step"], exchange["state"], exchange["status"]) == (0, "taken", 201)
    assert len(exchange["digest"]) == 64
    assert shown.json()["ended_at"] is not None
    assert "Comment shown" not in shown.text


async def test_actions_are_listed_newest_first_in_pages_and_found_by_what_they_are(
    scene: Scene,
) -> None:
    connection, other = await scene.active(), await scene.active()
    made = [
        (await execute(scene, connection, f"k{n}", wait=True, correlation_id=f"c{n % 2}")).json()
        for n in range(4)
    ]
    elsewhere = (await execute(scene, other, "k", wait=True)).json()
    ids = [each["action_id"] for each in reversed([*made, elsewhere])]

    async def found(query: str) -> list[str]:
        answer = await scene.call("viewer", "GET", f"{LIST}?{query}")
        assert answer.status_code == 200, answer.text
        return [each["action_id"] for each in answer.json()["actions"]]

    first = (await scene.call("viewer", "GET", f"{LIST}?limit=2")).json()
    rest = (await scene.call("viewer", "GET", f"{LIST}?cursor={first['next_cursor']}")).json()
    listed = [each["action_id"] for each in (*first["actions"], *rest["actions"])]
    assert listed == ids
    assert rest["next_cursor"] is None
    assert await found(f"connection_id={other.connection_id}") == [elsewhere["action_id"]]
    assert await found("correlation_id=c1") == [made[3]["action_id"], made[1]["action_id"]]
    assert await found("status=done&canonical_type=comment_on_pr") == ids
    assert await found("status=queued&status=unsure") == []
    assert await found("canonical_type=create_issue") == []


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [({}, 86_400), ({"expires_in_s": 60}, 60), ({"expires_at": "MINUTES"}, 300)],
)
async def test_an_action_expires_when_its_caller_says_or_after_a_day(
    scene: Scene, changes: dict[str, Any], seconds: int
) -> None:
    connection = await scene.active()
    if "expires_at" in changes:
        changes = {"expires_at": (scene.clock.now() + timedelta(minutes=5)).isoformat()}

    made = (await execute(scene, connection, "timed", **changes)).json()

    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert abs(lasts.total_seconds() - seconds) < 5


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"expires_in_s": 0}, 400, "expires_in_s"),
        ({"expires_in_s": 31 * 86_400}, 400, "expires_in_s"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 422, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00Z"}, 422, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00"}, 400, "expires_at"),
        ({"expires_at": "tomorrow"}, 400, "expires_at"),
        ({"expires_at": "2099-01-01T00:00:00Z", "expires_in_s": 60}, 422, "expires_at"),
    ],
)
async def test_a_wrong_expiry_is_refused_by_its_field(
    scene: Scene, changes: dict[str, Any], status: int, field: str
) -> None:
    connection = await scene.active()

    answer = await execute(scene, connection, "timed", **changes)

    assert answer.status_code == status
    assert error_of(answer)["details"]["field"] == field


@pytest.mark.parametrize(
    ("canonical_type", "target", "payload", "field"),
    [
        ("post_chat_message", {"channel": "C1"}, {"text": "hi"}, "canonical_type"),
        ("create_issue", {"repository": REPOSITORY}, {"body": "no title"}, "payload.title"),
        (
            "comment_on_pr",
            {"repository": REPOSITORY, "pr_number": "2"},
            {"body": "x"},
            "target.pr_number",
        ),
    ],
)
async def test_what_no_provider_or_not_this_one_can_do_is_422(
    scene: Scene, canonical_type: str, target: Any, payload: Any, field: str
) -> None:
    """FR-7: the canonical table first, then the provider's own; nothing is stored."""
    connection = await scene.active()

    answer = await execute(
        scene, connection, "no", canonical_type=canonical_type, target=target, payload=payload
    )

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "INVALID_ACTION"
    assert error_of(answer)["details"]["field"] == field
    assert (await scene.call("viewer", "GET", LIST)).json()["actions"] == []


async def test_too_long_for_the_provider_names_its_limit(scene: Scene) -> None:
    connection = await scene.active()

    answer = await execute(scene, connection, "long", payload={"body": "x" * 70_000})

    assert answer.status_code == 422
    assert "65536" in error_of(answer)["message"]


async def queued(scene: Scene, connection: Connected, key: str) -> str:
    """The id of an action that the actor has not taken up; ``due_actions`` is held for it."""
    scene.store.hold("due_actions")
    made = await execute(scene, connection, key, correlation_id="corr-7")
    return str(made.json()["action_id"])


async def test_an_action_is_cancelled_before_it_is_sent(scene: Scene) -> None:
    """Issue 5: never sent after that, and the next of its target goes on; with a receipt."""
    connection = await scene.active()
    action_id = await queued(scene, connection, "first")
    gate = scene.store.gates.pop("due_actions")

    cancelled = await scene.call(
        "module", "POST", f"{LIST}/{action_id}/cancel", {"reason": "not needed"}
    )
    gate.set()
    second = await execute(scene, connection, "second", wait=True)
    again = await scene.call("module", "POST", f"{LIST}/{action_id}/cancel")

    assert cancelled.status_code == 200
    document = cancelled.json()
    assert (document["status"], document["reason"]) == ("cancelled", "not needed")
    assert document["ended_at"] is not None
    assert second.json()["status"] == "done"
    assert again.status_code == 409
    assert await comments(scene) == ["Comment second"]
    assert '"event": "action.changed"' in scene.log.getvalue()


async def test_what_ended_can_not_be_cancelled(scene: Scene) -> None:
    connection = await scene.active()
    done = await execute(scene, connection, "done", wait=True)

    answer = await scene.call("module", "POST", f"{LIST}/{done.json()['action_id']}/cancel", {})

    assert answer.status_code == 409
    assert error_of(answer)["code"] == "CONFLICT"


async def left_unsure(scene: Scene, connection: Connected) -> str:
    """The id of an action whose effect nobody can know of, with the incident that it is."""
    action_id = await queued(scene, connection, "unsure")
    store, ports = scene.store, scene.node.ports
    record = await ports.store.action("acme", UUID(action_id))
    assert record is not None
    lease = await ports.store.claim_connection(
        "acme", UUID(connection.connection_id), owner=UUID(int=1)
    )
    await ports.store.settle_action(
        lease,
        record.action_id,
        state=ActionState.UNSURE,
        reason="no answer came",
        outcome=b"{}",
        receipt=evidence.of_action(record, ports, result={}, succeeded=False),
        now=scene.clock.now(),
        incident=incidents.of_action(record, ports, summary="not known"),
    )
    store.gates.pop("due_actions").set()
    return action_id


@pytest.mark.parametrize("status", ["done", "refused"])
async def test_an_operator_settles_what_was_left_unsure(scene: Scene, status: str) -> None:
    """Issue 5: with a reason and the provider's reference; the incident ends with it."""
    connection = await scene.active()
    action_id = await left_unsure(scene, connection)
    path = f"{LIST}/{action_id}/resolve"
    found = {"status": status, "reason": "I looked", "reference": "IC_1"}

    module = await scene.call("module", "POST", path, found)
    resolved = await scene.call("operator", "POST", path, found)
    again = await scene.call("operator", "POST", path, found)
    health = await scene.call(
        "operator", "GET", f"/internal/integrations/connections/{connection.connection_id}/health"
    )

    assert module.status_code == 403
    assert resolved.status_code == 200
    document = resolved.json()
    assert (document["status"], document["reason"]) == (status, "I looked")
    assert (document["reference"] or {}).get("id") == ("IC_1" if status == "done" else None)
    assert again.status_code == 409
    kinds = {each["kind"]: each["resolved_at"] for each in health.json()["incidents"]}
    assert kinds[f"action_unsure:{action_id}"] is not None


async def test_an_effect_may_be_settled_without_its_reference(scene: Scene) -> None:
    action_id = await left_unsure(scene, await scene.active())

    resolved = await scene.call(
        "operator", "POST", f"{LIST}/{action_id}/resolve", {"status": "done", "reason": "seen"}
    )

    assert resolved.json()["reference"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "status"),
        ({"status": "unsure", "reason": "x"}, "status"),
        ({"status": "done"}, "reason"),
        ({"status": "done", "reason": ""}, "reason"),
    ],
)
async def test_a_wrong_resolution_names_its_field(
    scene: Scene, body: dict[str, Any], field: str
) -> None:
    answer = await scene.call("operator", "POST", f"{LIST}/{UUID(int=1)}/resolve", body)

    assert answer.status_code == 400
    assert error_of(answer)["details"]["field"] == field
