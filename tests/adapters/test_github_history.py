"""What happens at the simulated GitHub, as another process lets it happen, reads it and is told of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapters.contract import Delivery, Request, Response, Secret
from adapters.github import ADAPTER
from adapters.github.hook_form import EVENTS
from adapters.github.requests import HEADERS
from adapters.github.simulator_hooks import Hook
from tests.adapters.hub import REPOSITORY, Hub

SECRET = b"webhook-s3cret"


def told(hub: Hub, name: str, **fields: Any) -> Any:
    reply = hub.github.handle(
        Request(method="POST", url=f"/_sim/{name}", body=orjson.dumps(fields)), now=hub.now
    )
    assert reply.response is not None
    return reply.response.status, orjson.loads(reply.response.body)


def outgoing(hub: Hub) -> Any:
    reply = hub.github.handle(Request(method="GET", url="/_sim/deliveries"), now=hub.now)
    assert reply.response is not None
    return orjson.loads(reply.response.body)["deliveries"]


def get(hub: Hub, path: str, *headers: tuple[str, str]) -> Response:
    return hub.send(Request(method="GET", url=path, headers=(*HEADERS, *headers)))


def listed(hub: Hub, path: str) -> list[Any]:
    response = get(hub, f"/repos/{REPOSITORY}/{path}")
    assert response.status == 200
    found: list[Any] = orjson.loads(response.body)
    return found


@pytest.fixture
def hub() -> Hub:
    return Hub()


def with_webhook(hub: Hub, *, events: tuple[str, ...] = EVENTS, active: bool = True) -> Hook:
    hook = Hook(
        id=hub.github.world.new_id(),
        owner=f"repositories/{hub.repository.id}",
        config={"url": "https://ia.test/hook", "secret": SECRET.decode()},
        events=events,
        active=active,
        updated_at="",
    )
    hub.github.hook_shelf.hooks[hook.id] = hook
    return hook


def test_a_history_is_told_as_webhooks_would(hub: Hub) -> None:
    place = {"repository": REPOSITORY, "number": 1}
    steps: list[tuple[str, dict[str, Any], str]] = [
        ("issues", {"repository": REPOSITORY, "title": "A bug"}, "issues.opened"),
        ("comments", {**place, "body": "Indeed."}, "issue_comment.created"),
        ("changes", {**place, "title": "A worse bug"}, "issues.edited"),
        ("changes", {**place, "state": "closed"}, "issues.closed"),
        ("changes", {**place, "state": "open"}, "issues.reopened"),
        ("issues", {"repository": REPOSITORY, "is_pr": True}, "pull_request.opened"),
        ("changes", {**place, "number": 2, "merged": True}, "pull_request.closed"),
    ]

    answers = [told(hub, name, **fields) for name, fields, _ in steps]

    assert [status for status, _ in answers] == [201] * len(steps)
    assert [answer["event_kind"] for _, answer in answers] == [kind for *_, kind in steps]
    assert answers[0][1]["document"]["issue"]["title"] == "A bug"
    assert answers[3][1]["document"]["issue"]["closed_at"] is not None
    assert answers[4][1]["document"]["issue"]["closed_at"] is None
    assert answers[6][1]["document"]["pull_request"]["merged"] is True


@pytest.mark.parametrize(
    ("name", "fields", "wrong"),
    [
        ("issues", {}, "repository: is missing"),
        ("issues", {"repository": "acme/nowhere"}, "repository: is not there"),
        ("changes", {"repository": REPOSITORY, "number": 9}, "number: is not there"),
        ("changes", {"repository": REPOSITORY, "number": 1}, "state: is missing"),
        ("changes", {"repository": REPOSITORY, "number": 1, "merged": True}, "is no pull request"),
        ("deliveries", {"id": 1, "status": 200}, "id: is no delivery"),
        ("clock", {"ahead_s": "an hour"}, "ahead_s: must be a whole number"),
    ],
)
def test_what_can_not_happen_is_said(hub: Hub, name: str, fields: Any, wrong: str) -> None:
    hub.opens()

    status, answer = told(hub, name, **fields)

    assert status == 400
    assert wrong in answer["message"]


def test_the_lists_show_what_a_repository_has(hub: Hub) -> None:
    hub.opens()
    hub.clock.pass_(60)
    hub.opens(is_pr=True)
    hub.clock.pass_(60)
    hub.comments(1)
    hub.closes(1)

    assert [item["number"] for item in listed(hub, "issues?state=all")] == [2, 1]
    assert [item["number"] for item in listed(hub, "issues?state=all&sort=updated")] == [1, 2]
    assert [item["number"] for item in listed(hub, "issues")] == [2]
    assert [item["number"] for item in listed(hub, "issues?state=all&direction=asc")] == [1, 2]
    (pull,) = listed(hub, "pulls")
    assert pull["base"]["repo"]["full_name"] == REPOSITORY
    assert pull["id"] != listed(hub, "issues")[0]["id"]
    (comment,) = listed(hub, "issues/comments")
    assert comment["issue_url"].endswith("/repos/acme/rocket/issues/1")


def test_pull_requests_have_no_since(hub: Hub) -> None:
    hub.opens(is_pr=True)

    assert len(listed(hub, "pulls?since=2030-01-01T00:00:00Z")) == 1
    assert listed(hub, "issues?since=2030-01-01T00:00:00Z") == []


def test_what_the_caller_has_already_is_not_sent_again(hub: Hub) -> None:
    first = get(hub, f"/repos/{REPOSITORY}/issues")
    mark = first.header("etag") or ""
    again = get(hub, f"/repos/{REPOSITORY}/issues", ("if-none-match", mark))
    hub.opens()
    changed = get(hub, f"/repos/{REPOSITORY}/issues", ("if-none-match", mark))

    assert (first.status, again.status, changed.status) == (200, 304, 200)
    assert again.body == b""
    assert again.header("x-ratelimit-remaining") == first.header("x-ratelimit-remaining")
    assert changed.header("etag") != mark


def test_githubs_clock_can_be_another(hub: Hub) -> None:
    status, answer = told(hub, "clock", ahead_s=-3_600)
    hub.opens()

    assert (status, answer) == (201, {"now": "2026-03-01T11:00:00Z"})
    assert get(hub, "/user").header("date") == "Sun, 01 Mar 2026 11:00:00 GMT"
    assert listed(hub, "issues")[0]["created_at"] == "2026-03-01T11:00:00Z"


def test_deliveries_are_signed_sent_and_sent_again(hub: Hub) -> None:
    hook = with_webhook(hub)
    hub.opens()
    (first,) = outgoing(hub)
    told(hub, "deliveries", id=first["id"], status=0)
    path = f"/repos/{REPOSITORY}/hooks/{hook.id}/deliveries"

    asked = hub.send(Request(method="POST", url=f"{path}/{first['id']}/attempts", headers=HEADERS))
    (again,) = outgoing(hub)

    delivery = ADAPTER.receive(
        Request(
            method="POST",
            url="/",
            headers=tuple(again["headers"].items()),
            body=again["body"].encode(),
        ),
        secrets=(Secret(value=SECRET),),
        now=hub.now,
    )
    assert asked.status == 202
    assert isinstance(delivery, Delivery)
    assert (again["body"], again["url"]) == (first["body"], "https://ia.test/hook")
    assert delivery.event_id == first["headers"]["x-github-delivery"]
    told(hub, "deliveries", id=again["id"], status=202)
    shown = orjson.loads(get(hub, path).body)
    assert [(one["redelivery"], one["status_code"], one["status"]) for one in shown] == [
        (True, 202, "OK"),
        (False, 0, "failed"),
    ]


def test_only_webhooks_that_want_it_are_told(hub: Hub) -> None:
    with_webhook(hub, events=("push",))
    with_webhook(hub, active=False)
    gone = with_webhook(hub, events=("*",))
    hub.opens()
    count = len(outgoing(hub))
    del hub.github.hook_shelf.hooks[gone.id]

    assert count == 1
    assert outgoing(hub) == []


def test_the_record_has_pages_and_an_end(hub: Hub) -> None:
    hook = with_webhook(hub)
    for _ in range(3):
        hub.opens()
        hub.clock.pass_(60)
    for one in outgoing(hub):
        told(hub, "deliveries", id=one["id"], status=500)
    path = f"/repos/{REPOSITORY}/hooks/{hook.id}/deliveries"

    first = get(hub, f"{path}?per_page=2")
    link = (first.header("link") or "").partition(">")[0].removeprefix("<")
    second = get(hub, link)
    hub.clock.pass_(3 * 86_400)

    assert (len(orjson.loads(first.body)), len(orjson.loads(second.body))) == (2, 1)
    assert second.header("link") is None
    assert orjson.loads(get(hub, path).body) == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "hooks/7/deliveries"),
        ("POST", "hooks/{hook}/deliveries/7/attempts"),
        ("GET", "hooks/{hook}/deliveries/7/attempts"),
    ],
)
def test_what_there_is_no_record_of_is_not_found(hub: Hub, method: str, path: str) -> None:
    hook = with_webhook(hub)
    url = f"/repos/{REPOSITORY}/{path.format(hook=hook.id)}"

    assert hub.send(Request(method=method, url=url, headers=HEADERS)).status == 404
