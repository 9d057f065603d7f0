"""Check runs with more remarks than go in one request, and statuses of which only the newest counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from adapters.contract import Done, Refused, Unsure
from adapters.faults import failing
from adapters.github import ADAPTER
from adapters.github.world import Token
from tests.adapters.wire import ACTION_ID, COMMIT, NOW, REPOSITORY, TOKEN, Wire, action

AT = {"repository": REPOSITORY, "commit": COMMIT}
REMARKS = [
    {"path": "src/a.py", "line": n, "level": "warning", "message": f"Remark {n}"}
    for n in range(1, 121)
]
CHECK: dict[str, Any] = {
    "canonical_type": "annotate_commit",
    "target": AT,
    "payload": {
        "name": "quality",
        "title": "120 remarks",
        "summary": "See below.",
        "conclusion": "failure",
        "annotations": REMARKS,
    },
}
STATUS: dict[str, Any] = {
    "canonical_type": "set_commit_status",
    "target": AT,
    "payload": {"state": "failure", "context": "zeroui/gate"},
}


def test_a_check_run_needs_an_app() -> None:
    wire = Wire(Token(secret=TOKEN, login="octo-bot"))

    outcome = wire.attempt(ADAPTER.plan(action(CHECK)))

    assert outcome == Refused(reason="403: You must authenticate via a GitHub App.", status=403)


@pytest.mark.parametrize("there", [0, 7, 99])
def test_a_check_run_that_we_never_left_so_is_unsure(there: int) -> None:
    wire = Wire()
    wire.attempt(ADAPTER.plan(action(CHECK)))
    (run,) = wire.repository.check_runs[COMMIT]
    del run["output"]["annotations"][there:]

    outcome = wire.attempt(ADAPTER.plan(action(CHECK, first_sent_at=NOW)))

    assert outcome == Unsure(reason=f"the check run has {there} annotations; it was never left so")


def test_remarks_that_are_refused_half_way_leave_no_clear_ending() -> None:
    wire = Wire()
    wire.github.plan(failing(422, method="PATCH"))

    outcome = wire.attempt(ADAPTER.plan(action(CHECK)))

    assert outcome == Unsure(reason="50 of 120 annotations are there: answered 422")


def test_the_same_remark_twice_is_one() -> None:
    wire = Wire()
    spec = CHECK
    twice = {**spec["payload"], "annotations": REMARKS[:2] * 2}

    wire.attempt(ADAPTER.plan(action(spec, payload=twice)))

    (run,) = wire.repository.check_runs[COMMIT]
    assert run["external_id"] == ACTION_ID
    assert [one["start_line"] for one in run["output"]["annotations"]] == [1, 2]


def test_a_check_run_without_remarks_is_one_request() -> None:
    wire = Wire()
    spec = CHECK
    bare = {name: spec["payload"][name] for name in ("name", "title", "summary", "conclusion")}

    wire.attempt(ADAPTER.plan(action(spec, payload=bare)))
    again = wire.attempt(ADAPTER.plan(action(spec, payload=bare, first_sent_at=NOW)))

    assert wire.asked == ["POST", "GET"]
    assert isinstance(again, Done)
    assert orjson.loads(again.details) == {"annotations": 0}


def status(state: str, context: str = "zeroui/gate") -> dict[str, Any]:
    return {**STATUS, "payload": {"state": state, "context": context}}


def test_of_a_status_only_the_newest_of_its_context_counts() -> None:
    """P4: pending, success, and pending again, whose answer is lost before it is done."""
    wire = Wire()
    for state, context in (("pending", "zeroui/gate"), ("success", "zeroui/GATE"), ("error", "x")):
        wire.attempt(ADAPTER.plan(action(status(state, context))))

    outcome = wire.attempt(ADAPTER.plan(action(status("pending"), first_sent_at=NOW)))

    assert isinstance(outcome, Done)
    assert wire.asked[-2:] == ["GET", "POST"]
    assert wire.repository.statuses[COMMIT][-1]["state"] == "pending"


def test_statuses_of_before_the_window_are_not_looked_through() -> None:
    wire = Wire()
    for n in range(150):
        wire.attempt(ADAPTER.plan(action(status("success", f"ci/{n}"))))
    wire.now += timedelta(hours=1)

    wire.attempt(ADAPTER.plan(action(status("success"), first_sent_at=wire.now)))

    assert wire.asked[-2:] == ["GET", "POST"]
