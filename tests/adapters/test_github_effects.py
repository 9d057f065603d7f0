"""Every action GitHub can do, through everything that can go wrong: one effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import attrs
import pytest

from adapters.contract import (
    Done,
    Later,
    NeedsLogin,
    Outcome,
    Refused,
    Request,
    Response,
    Secret,
    Unsure,
)
from adapters.faults import (
    Fault,
    Says,
    cut,
    dropped_after,
    dropped_before,
    failing,
    failing_after,
    huge,
    late,
    plain,
    rate_limited,
    revoked,
    skewed,
)
from adapters.github import ADAPTER
from adapters.github.simulator import secondary_limit
from adapters.github.world import Token
from adapters.simulation import as_json
from tests.adapters.wire import (
    ACTION_ID,
    COMMIT,
    NOW,
    REPOSITORY,
    Wire,
    action,
    requests_of,
)

PR = {"repository": REPOSITORY, "pr_number": 1}
ISSUE = {"repository": REPOSITORY, "issue_number": 2}
AT = {"repository": REPOSITORY, "commit": COMMIT}
REMARKS = [
    {"path": "src/a.py", "line": n, "level": "warning", "message": f"Remark {n}"}
    for n in range(1, 121)
]
SPECS: dict[str, dict[str, Any]] = {
    "create_issue": {
        "canonical_type": "create_issue",
        "target": {"repository": REPOSITORY},
        "payload": {"title": "It stops", "labels": ["bug"], "issue_type": "Bug"},
    },
    "comment_on_issue": {
        "canonical_type": "comment_on_issue",
        "target": ISSUE,
        "payload": {"body": "Seen."},
    },
    "comment_on_pr": {
        "canonical_type": "comment_on_pr",
        "target": PR,
        "payload": {"body": "Please split this."},
    },
    "review_pr": {
        "canonical_type": "review_pr",
        "target": PR,
        "payload": {
            "verdict": "request_changes",
            "body": "Two things.",
            "comments": [{"path": "src/a.py", "line": 3, "body": "Why?"}],
            "commit": COMMIT,
        },
    },
    "annotate_commit": {
        "canonical_type": "annotate_commit",
        "target": AT,
        "payload": {
            "name": "quality",
            "title": "120 remarks",
            "summary": "See below.",
            "conclusion": "failure",
            "annotations": REMARKS,
            "url": "https://zeroui.example/runs/7",
        },
    },
    "set_commit_status": {
        "canonical_type": "set_commit_status",
        "target": AT,
        "payload": {"state": "failure", "context": "zeroui/gate", "description": "Blocked"},
    },
    "link_pr": {
        "canonical_type": "add_link",
        "target": PR,
        "payload": {"url": "https://zeroui.example/r/1", "title": "Risk [high]"},
    },
    "link_commit": {
        "canonical_type": "add_link",
        "target": AT,
        "payload": {"url": "https://zeroui.example/r/1", "title": "Risk"},
    },
    "close_issue": {
        "canonical_type": "update_issue",
        "target": ISSUE,
        "payload": {"state": "closed", "title": "Solved", "assignees": ["ada"]},
    },
    "relabel_issue": {
        "canonical_type": "update_issue",
        "target": ISSUE,
        "payload": {
            "body": "New words",
            "add_labels": ["done"],
            "remove_labels": ["OLD", "never there"],
        },
    },
    "replace_labels": {
        "canonical_type": "update_issue",
        "target": ISSUE,
        "payload": {"labels": ["only"]},
    },
}
EVERY = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def comments_on(number: int) -> Callable[[Wire], list[str]]:
    return lambda wire: [item["body"] for item in wire.repository.comments[number]]


EFFECTS: dict[str, Callable[[Wire], list[Any]]] = {
    "create_issue": lambda wire: [
        item["title"] for item in wire.repository.issues.values() if item["number"] > 2
    ],
    "comment_on_issue": comments_on(2),
    "comment_on_pr": comments_on(1),
    "review_pr": lambda wire: [
        (item["state"], len(item["comments"])) for item in wire.repository.reviews[1]
    ],
    "annotate_commit": lambda wire: [
        (run["external_id"], [one["start_line"] for one in run["output"]["annotations"]])
        for run in wire.repository.check_runs.get(COMMIT, [])
    ],
    "set_commit_status": lambda wire: [
        (item["context"], item["state"]) for item in wire.repository.statuses.get(COMMIT, [])
    ],
    "link_pr": comments_on(1),
    "link_commit": lambda wire: [
        (item["context"], item["target_url"]) for item in wire.repository.statuses.get(COMMIT, [])
    ],
    # GitHub keeps an issue's events in its own order.
    "close_issue": lambda wire: sorted(wire.events()),
    "relabel_issue": lambda wire: sorted(wire.events()),
    "replace_labels": lambda wire: sorted(wire.events()),
}
HIDDEN = f"<!-- zeroui-action:{ACTION_ID} -->"
ONE: dict[str, list[Any]] = {
    "create_issue": ["It stops"],
    "comment_on_issue": [f"Seen.\n\n{HIDDEN}"],
    "comment_on_pr": [f"Please split this.\n\n{HIDDEN}"],
    "review_pr": [("CHANGES_REQUESTED", 1)],
    "annotate_commit": [(ACTION_ID, list(range(1, 121)))],
    "set_commit_status": [("zeroui/gate", "failure")],
    "link_pr": [f"[Risk \\[high\\]](<https://zeroui.example/r/1>)\n\n{HIDDEN}"],
    "link_commit": [("link/Risk", "https://zeroui.example/r/1")],
    "close_issue": ["assigned", "closed", "renamed"],
    "relabel_issue": ["labeled", "unlabeled"],
    "replace_labels": ["labeled", "unlabeled", "unlabeled"],
}


def assert_one_effect(wire: Wire, spec: dict[str, Any]) -> None:
    name = next(name for name, one in SPECS.items() if one is spec)
    wire.settle()
    assert EFFECTS[name](wire) == ONE[name]


METHODS = ("POST", "PATCH", "DELETE")
LOSSES: dict[str, Fault] = {
    "refused_before": failing(500),
    "done_then_502": failing_after(502),
    "dropped_before": dropped_before(),
    "dropped_after": dropped_after(),
    "body_cut_on_the_wire": cut(10),
    "half_a_body": Fault(response=Response(status=201, body=b'{"id": 1000')),
    "late_by_30_s": late(timedelta(seconds=30)),
    "late_by_the_horizon": late(timedelta(seconds=60)),
    "storm_in_seconds": rate_limited(timedelta(seconds=5), times=3),
    "storm_with_a_date": rate_limited(timedelta(seconds=90), times=2, says=Says.DATE),
    "limit_until_reset": rate_limited(timedelta(minutes=40), status=403, says=Says.RESET),
    "secondary_limit": secondary_limit(retry_after_s=None),
}


def losses() -> Iterator[Any]:
    for name, fault in LOSSES.items():
        for method in METHODS:
            yield pytest.param(attrs.evolve(fault, method=method), id=f"{name}-{method}")


@EVERY
@pytest.mark.parametrize("fault", [*losses()])
def test_one_effect_whatever_is_lost(spec: dict[str, Any], fault: Fault) -> None:
    """P4; UT-IA-03, UT-IA-04: each fault at the first write of each kind."""
    wire = Wire()
    wire.github.plan(fault)

    outcome = wire.drive(spec)

    assert isinstance(outcome, Done), outcome
    assert_one_effect(wire, spec)


@EVERY
@pytest.mark.parametrize("when", ["before", "after"])
def test_one_effect_wherever_the_connection_breaks(spec: dict[str, Any], when: str) -> None:
    """P4: at each request of the plan, before it reaches GitHub and after its effect."""
    for count in range(requests_of(spec)):
        wire = Wire()
        wire.dies_at = count, when

        outcome = wire.drive(spec)

        assert isinstance(outcome, Done), (count, outcome)
        assert_one_effect(wire, spec)


@EVERY
@pytest.mark.parametrize("off", [timedelta(minutes=-4), timedelta(minutes=4)], ids=str)
def test_a_provider_whose_clock_is_off_is_looked_through_all_the_same(
    spec: dict[str, Any], off: timedelta
) -> None:
    """P4: the window of the look-up is five minutes wider than the doubt."""
    wire = Wire()
    wire.dies_at = requests_of(spec) - 1, "after"
    wire.github.plan(skewed(off))

    assert isinstance(wire.drive(spec), Done)
    assert_one_effect(wire, spec)


@EVERY
def test_a_revoked_token_needs_a_login_and_after_it_all_is_done_once(spec: dict[str, Any]) -> None:
    wire = Wire()
    wire.github.plan(revoked())

    assert isinstance(wire.drive(spec), NeedsLogin)
    assert isinstance(wire.drive(spec), NeedsLogin)
    lift = Request(method="DELETE", url="/_sim/faults?name=revoked")
    wire.github.handle(lift, now=wire.now)
    assert isinstance(wire.drive(spec), Done)
    assert_one_effect(wire, spec)


@EVERY
def test_a_huge_answer_is_read_if_it_comes_through(spec: dict[str, Any]) -> None:
    wire = Wire()
    wire.github.plan(huge(1_000_000, method=""))

    assert isinstance(wire.drive(spec), Done)
    assert_one_effect(wire, spec)


@EVERY
def test_what_is_done_already_is_not_written_again(spec: dict[str, Any]) -> None:
    """P4: a second run that may have been sent finds it, whole."""
    wire = Wire()
    first = wire.attempt(ADAPTER.plan(action(spec)))
    written = len([method for method in wire.asked if method != "GET"])

    again = wire.attempt(ADAPTER.plan(action(spec, first_sent_at=NOW)))

    assert isinstance(first, Done)
    assert again == first
    assert len([method for method in wire.asked if method != "GET"]) == written


@EVERY
def test_a_look_up_that_is_refused_or_unreadable_sends_nothing(spec: dict[str, Any]) -> None:
    """P4, P7."""
    outcomes: list[Outcome] = []
    for fault in (failing(404), failing(401), Fault(response=plain(200)), failing(500)):
        wire = Wire()
        wire.github.plan(attrs.evolve(fault, method="GET"))
        outcomes.append(wire.attempt(ADAPTER.plan(action(spec, first_sent_at=NOW))))
        assert wire.asked == ["GET"]

    refused, login, unreadable, broken = outcomes
    assert isinstance(refused, Unsure)
    assert isinstance(login, Later)
    assert login.maybe_sent
    assert isinstance(unreadable, Later)
    assert unreadable.maybe_sent
    assert isinstance(broken, Later)


@EVERY
def test_actions_on_one_thing_share_a_key(spec: dict[str, Any]) -> None:
    shouted = {**spec, "target": {**spec["target"], "repository": "ACME/Rocket"}}
    keys = {ADAPTER.target_key(action(one)) for one in (spec, shouted)}

    assert len(keys) == 1
    assert keys <= {
        "acme/rocket/issues",
        "acme/rocket#1",
        "acme/rocket#2",
        f"acme/rocket@{COMMIT}",
    }


def test_an_effect_that_is_found_and_can_not_be_read_is_looked_at_again() -> None:
    wire = Wire()
    nameless = as_json(200, [{"body": f"x {HIDDEN}"}])
    wire.github.plan(Fault(response=nameless, method="GET"))
    plan = ADAPTER.plan(action(SPECS["comment_on_pr"], first_sent_at=NOW))

    assert wire.attempt(plan) == Later(
        reason="done, and an unreadable answer: id: is missing", maybe_sent=True
    )


def test_issues_of_before_the_window_are_not_looked_through() -> None:
    wire = Wire()
    for n in range(150):
        made = wire.github.world.add_issue(
            wire.repository, title=f"{n}", author="sam", now=NOW - timedelta(days=2)
        )
        made["updated_at"] = "2026-03-01T12:00:00Z"

    wire.attempt(ADAPTER.plan(action(SPECS["create_issue"], first_sent_at=NOW)))

    assert wire.asked == ["GET", "POST"]


def test_a_commit_or_a_pull_request_that_is_not_there_is_refused() -> None:
    wire = Wire()
    wire.repository.missing_commits.add(COMMIT)

    for name in ("set_commit_status", "annotate_commit", "link_commit"):
        outcome = wire.attempt(ADAPTER.plan(action(SPECS[name])))
        assert outcome == Refused(reason=f"422: No commit found for SHA: {COMMIT}", status=422)
    no_pull = {**PR, "pr_number": 2}
    review = wire.attempt(ADAPTER.plan(action(SPECS["review_pr"], target=no_pull)))
    assert review == Refused(reason="404: Not Found", status=404)


def test_nobody_approves_his_own_pull_request() -> None:
    wire = Wire(Token(secret=Secret(value=b"lins"), login="lin"))
    approval = {"verdict": "approve", "body": "Fine."}

    outcome = wire.attempt(ADAPTER.plan(action(SPECS["review_pr"], payload=approval)))

    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("422")
