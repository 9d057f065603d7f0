"""The simulated GitHub refuses what GitHub refuses, so that our plans can not lean on its kindness."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapters.contract import Request
from adapters.github.world import Token
from tests.adapters.wire import COMMIT, NOW, TOKEN, Wire

RUN = {"name": "n", "head_sha": COMMIT, "status": "completed", "conclusion": "success"}
REMARK = {
    "path": "a",
    "start_line": 1,
    "end_line": 1,
    "annotation_level": "notice",
    "message": "m",
}


def ask(
    wire: Wire, method: str, path: str, fields: object = None, token: Token | None = None
) -> tuple[int, Any]:
    secret = (token or wire.token).secret.value.decode()
    reply = wire.github.handle(
        Request(
            method=method,
            url=f"/repos/acme/rocket{path}",
            headers=(("authorization", f"Bearer {secret}"), ("user-agent", "t")),
            body=b"" if fields is None else orjson.dumps(fields),
        ),
        now=NOW,
    )
    assert reply.response
    return reply.response.status, orjson.loads(reply.response.body)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.mark.parametrize(
    ("method", "path", "fields", "wrong"),
    [
        ("POST", "/issues", {}, "title"),
        ("POST", "/issues", {"title": "x" * 257}, "title"),
        ("POST", "/issues", {"title": "t", "body": 7}, "body"),
        ("PATCH", "/issues/2", {"title": ""}, "title"),
        ("PATCH", "/issues/2", {"state": "done"}, "state"),
        ("PATCH", "/issues/2", {"labels": "bug"}, "labels"),
        ("PATCH", "/issues/2", {"assignees": [""]}, "assignees"),
        ("POST", "/issues/2/labels", {"labels": [7]}, "name"),
        ("POST", "/issues/2/comments", {"body": " "}, "body"),
        ("POST", "/pulls/1/reviews", {"event": "SHRUG"}, "event"),
        ("POST", "/pulls/1/reviews", {"event": "COMMENT"}, "body"),
        ("POST", "/pulls/1/reviews", {"event": "APPROVE", "body": " "}, "body"),
        ("POST", "/pulls/1/reviews", {"event": "APPROVE", "comments": ["x"]}, "comments"),
        (
            "POST",
            "/pulls/1/reviews",
            {"event": "APPROVE", "comments": [{"path": "a", "body": "b"}]},
            "comments",
        ),
        ("POST", f"/statuses/{COMMIT}", {"state": "fine"}, "state"),
        ("POST", f"/statuses/{COMMIT}", {"state": "error", "context": 7}, "context"),
        (
            "POST",
            f"/statuses/{COMMIT}",
            {"state": "error", "description": "x" * 141},
            "description",
        ),
        ("POST", "/check-runs", {**RUN, "name": ""}, "name"),
        ("POST", "/check-runs", {**RUN, "head_sha": None}, "head_sha"),
        ("POST", "/check-runs", {**RUN, "conclusion": None}, "conclusion"),
        ("POST", "/check-runs", {**RUN, "conclusion": "great"}, "conclusion"),
        ("POST", "/check-runs", {**RUN, "output": {"summary": "s"}}, "output"),
        ("POST", "/check-runs", {**RUN, "output": {"title": "t"}}, "summary"),
        (
            "POST",
            "/check-runs",
            {**RUN, "output": {"title": "t", "summary": "s", "annotations": [REMARK] * 51}},
            "annotations",
        ),
        (
            "POST",
            "/check-runs",
            {**RUN, "output": {"title": "t", "summary": "s", "annotations": [{"path": "a"}]}},
            "annotations",
        ),
    ],
)
def test_a_field_that_github_does_not_take_is_422(
    wire: Wire, method: str, path: str, fields: dict[str, Any], wrong: str
) -> None:
    status, document = ask(wire, method, path, fields)

    assert status == 422
    assert document["errors"][0]["field"] == wrong


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/issues/9"),
        ("PATCH", "/issues/9"),
        ("GET", "/issues/9/labels"),
        ("POST", "/issues/9/labels"),
        ("DELETE", "/issues/9/labels/bug"),
        ("GET", "/issues/9/events"),
        ("GET", "/issues/9/comments"),
        ("POST", "/issues/9/comments"),
        ("GET", "/pulls/2/reviews"),
        ("POST", "/pulls/2/reviews"),
        ("PATCH", "/check-runs/9"),
        ("PUT", "/issues/2"),
        ("GET", "/nothing"),
    ],
)
def test_what_is_not_there_is_404(wire: Wire, method: str, path: str) -> None:
    assert ask(wire, method, path, {})[0] == 404


def test_a_label_that_is_not_there_says_so(wire: Wire) -> None:
    assert ask(wire, "DELETE", "/issues/2/labels/not%2Fhere") == (
        404,
        {"message": "Label does not exist", "status": "404"},
    )


def test_labels_and_pull_requests_are_listed(wire: Wire) -> None:
    assert ask(wire, "GET", "/issues/2/labels") == (200, [{"name": "bug"}, {"name": "old"}])
    assert [pull["number"] for pull in ask(wire, "GET", "/pulls")[1]] == [1]


def test_a_change_that_changes_nothing_leaves_no_event(wire: Wire) -> None:
    ask(wire, "PATCH", "/issues/2", {"title": "The issue", "body": "New"})

    assert wire.events() == []


def test_a_thousand_statuses_of_one_context_are_enough(wire: Wire) -> None:
    for _ in range(1_000):
        assert ask(wire, "POST", f"/statuses/{COMMIT}", {"state": "error"})[0] == 201

    assert (
        ask(wire, "POST", f"/statuses/{COMMIT}", {"state": "error", "context": "DEFAULT"})[0]
        == 422
    )
    assert ask(wire, "POST", f"/statuses/{COMMIT}", {"state": "error", "context": "x"})[0] == 201


def test_of_check_runs_the_latest_of_each_name_is_listed_or_all(wire: Wire) -> None:
    for _ in range(2):
        assert ask(wire, "POST", "/check-runs", RUN)[0] == 201
    queued = {"name": "q", "head_sha": COMMIT}
    assert ask(wire, "POST", "/check-runs", queued)[1]["status"] == "queued"

    listed = f"/commits/{COMMIT}/check-runs"
    assert ask(wire, "GET", listed)[1]["total_count"] == 2
    assert ask(wire, "GET", f"{listed}?filter=all")[1]["total_count"] == 3
    named = ask(wire, "GET", f"{listed}?filter=all&check_name=n&per_page=1")[1]
    assert (named["total_count"], len(named["check_runs"])) == (2, 1)


def test_an_update_of_a_check_run_is_checked_as_its_making(wire: Wire) -> None:
    _, run = ask(wire, "POST", "/check-runs", RUN)

    status, _ = ask(wire, "PATCH", f"/check-runs/{run['id']}", {"output": {"title": "t"}})

    assert status == 422


def test_a_token_that_may_not_write_reads_only() -> None:
    wire = Wire(Token(secret=TOKEN, login=None, writes=False))

    assert ask(wire, "GET", "/issues/2")[0] == 200
    assert ask(wire, "PATCH", "/issues/2", {"state": "closed"})[0] == 403


def test_another_process_sees_all_that_is_in_a_repository(wire: Wire) -> None:
    ask(wire, "POST", f"/statuses/{COMMIT}", {"state": "error"})
    ask(wire, "PATCH", "/issues/2", {"state": "closed"})

    def control(query: str) -> Any:
        asked = Request(method="GET", url=f"/_sim/repository{query}")
        reply = wire.github.handle(asked, now=NOW)
        assert reply.response
        return reply.response.status, orjson.loads(reply.response.body)

    status, told = control("?repository=acme/rocket")
    assert status == 200
    assert set(told) == {"issues", "comments", "reviews", "events", "statuses", "check_runs"}
    assert told["statuses"][COMMIT][0]["state"] == "error"
    assert told["events"]["2"][0]["event"] == "closed"
    assert control("")[0] == 404
