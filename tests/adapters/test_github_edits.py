"""Changing an issue on GitHub: only what is asked, and over nobody else's change."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import orjson
import pytest

from adapters.contract import Done, Later, Outcome, Refused, Response, Unsure
from adapters.faults import Fault, dropped_after, failing, rate_limited
from adapters.github import ADAPTER
from adapters.simulation import as_json
from tests.adapters.wire import ACTION_ID, NOW, REPOSITORY, Wire, action

ISSUE = {"repository": REPOSITORY, "issue_number": 2}


def edit(**payload: Any) -> dict[str, Any]:
    return {"canonical_type": "update_issue", "target": ISSUE, "payload": payload}


def attempt(wire: Wire, *, doubt: bool = False, **payload: Any) -> Outcome:
    first_sent_at = NOW if doubt else None
    return wire.attempt(ADAPTER.plan(action(edit(**payload), first_sent_at=first_sent_at)))


def change(wire: Wire, name: str, value: object) -> None:
    """A person changes the issue."""
    wire.github.world.change_issue(
        wire.repository, 2, name=name, value=value, author="sam", now=wire.now
    )


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_only_what_is_given_is_changed(wire: Wire) -> None:
    before = dict(wire.repository.issues[2])

    outcome = attempt(wire, title="Other words")

    after = wire.repository.issues[2]
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"title", "updated_at"}
    assert isinstance(outcome, Done)
    assert outcome.reference
    assert outcome.reference.url == "https://github.com/acme/rocket/issues/2"
    assert orjson.loads(outcome.details) == {
        "issue_number": 2,
        "issue_key": "acme/rocket#2",
    }


@pytest.mark.parametrize(
    "payload",
    [
        {"state": "open", "title": "The issue", "assignees": []},
        {"labels": ["OLD", "Bug"]},
        {"add_labels": ["BUG"], "remove_labels": ["gone"]},
    ],
)
def test_an_issue_that_is_so_already_is_read_and_not_written(
    wire: Wire, payload: dict[str, Any]
) -> None:
    assert isinstance(attempt(wire, **payload), Done)
    assert wire.asked == ["GET"]


def test_labels_are_added_and_removed_beside_those_of_others(wire: Wire) -> None:
    attempt(wire, add_labels=["done", "bug"], remove_labels=["old", "needs/love?"])

    labels = [label["name"] for label in wire.repository.issues[2]["labels"]]
    assert labels == ["bug", "done"]


def test_an_empty_body_and_empty_lists_empty_the_issue(wire: Wire) -> None:
    attempt(wire, body="", labels=[], assignees=[])

    issue = wire.repository.issues[2]
    assert issue["body"] == f"<!-- zeroui-action:{ACTION_ID} -->"
    assert issue["labels"] == issue["assignees"] == []


def test_a_pull_request_is_closed_as_an_issue_is(wire: Wire) -> None:
    spec = {**edit(state="closed"), "target": {**ISSUE, "issue_number": 1}}

    assert isinstance(wire.attempt(ADAPTER.plan(action(spec))), Done)
    assert wire.repository.issues[1]["state"] == "closed"


@pytest.mark.parametrize(
    ("payload", "name", "value", "event"),
    [
        ({"state": "closed"}, "state", "open", "closed"),
        ({"title": "Ours"}, "title", "Theirs", "renamed"),
        ({"labels": ["ours"]}, "labels", [{"name": "theirs"}], "labeled"),
        ({"labels": []}, "labels", [{"name": "theirs"}], "unlabeled"),
        ({"add_labels": ["ours"]}, "labels", [], "labeled"),
        ({"remove_labels": ["old"]}, "labels", [{"name": "old"}], "unlabeled"),
        ({"assignees": ["ada"]}, "assignees", [], "assigned"),
    ],
)
def test_what_somebody_changed_back_is_not_overridden(
    wire: Wire, payload: dict[str, Any], name: str, value: object, event: str
) -> None:
    """P4: our change was done, its answer lost, and a person has decided otherwise since."""
    attempt(wire, **payload)
    written = len(wire.asked)
    change(wire, name, value)

    outcome = attempt(wire, doubt=True, **payload)

    assert outcome == Unsure(reason=f"may have been done, and changed since: {event}")
    assert wire.asked[written:] == ["GET", "GET"]
    assert wire.repository.issues[2][name] == value


@pytest.mark.parametrize(
    ("payload", "name", "value"),
    [
        ({"state": "closed"}, "title", "Theirs"),
        ({"title": "Ours"}, "state", "closed"),
        ({"title": "Ours"}, "title", "Theirs"),
        ({"labels": ["ours"]}, "labels", [{"name": "bug"}, {"name": "old"}, {"name": "x"}]),
        ({"state": "open"}, "state", "closed"),
    ],
)
def test_another_change_does_not_keep_ours_from_being_made(
    wire: Wire, payload: dict[str, Any], name: str, value: object
) -> None:
    change(wire, name, value)

    assert isinstance(attempt(wire, doubt=True, **payload), Done)
    assert wire.asked[-1] == "PATCH"


def test_what_was_done_long_before_is_no_trace_of_ours(wire: Wire) -> None:
    change(wire, "state", "closed")
    change(wire, "state", "open")
    wire.now += timedelta(hours=1)
    plan = ADAPTER.plan(action(edit(state="closed"), first_sent_at=wire.now))

    assert isinstance(wire.attempt(plan), Done)
    assert wire.events() == ["closed", "reopened", "closed"]


def test_a_body_of_ours_that_was_edited_since_shows_that_all_was_done(wire: Wire) -> None:
    """P4: all fields go in one request, and the marker of the body tells of them all."""
    attempt(wire, body="Ours", state="closed")
    change(wire, "state", "open")
    change(wire, "body", wire.repository.issues[2]["body"].replace("Ours", "Ours, corrected"))

    assert isinstance(attempt(wire, doubt=True, body="Ours", state="closed"), Done)
    assert wire.repository.issues[2]["state"] == "open"


def test_more_events_than_are_read_end_unsure(wire: Wire) -> None:
    for n in range(2_001):
        change(wire, "title", f"{n}")

    outcome = attempt(wire, doubt=True, state="closed")

    assert isinstance(outcome, Unsure)
    assert wire.repository.issues[2]["state"] == "open"


def test_a_change_that_is_refused_half_way_is_unsure(wire: Wire) -> None:
    wire.github.plan(failing(422, method="POST"))

    outcome = attempt(wire, title="Ours", add_labels=["done"])

    assert outcome == Unsure(reason="done in part: answered 422")


def test_a_change_that_was_half_done_before_and_is_refused_now_is_unsure(wire: Wire) -> None:
    wire.github.plan(attrs.evolve(rate_limited(timedelta(seconds=5)), method="POST"))
    first = attempt(wire, title="Ours", add_labels=["done"])
    wire.github.plan(failing(422, method="POST"))

    second = attempt(wire, doubt=True, title="Ours", add_labels=["done"])

    assert isinstance(first, Later)
    assert second == Unsure(reason="done in part: answered 422")


def test_a_change_that_is_refused_whole_has_no_effect(wire: Wire) -> None:
    wire.github.plan(dropped_after(method="GET"), failing(422, method="PATCH", times=2))
    attempt(wire, title="Ours")

    assert attempt(wire, title="Ours") == Refused(reason="answered 422", status=422)
    assert attempt(wire, doubt=True, title="Ours") == Refused(reason="answered 422", status=422)


def test_an_issue_that_is_not_there_is_refused(wire: Wire) -> None:
    spec = {**edit(state="closed"), "target": {**ISSUE, "issue_number": 99}}

    outcome = wire.attempt(ADAPTER.plan(action(spec)))

    assert outcome == Refused(reason="404: Not Found", status=404)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"id": 1, "number": 2, "labels": [{}]},
        {"id": 1, "number": 2, "assignees": [{"login": 7}]},
        {"id": 1, "number": 2, "title": 7},
    ],
)
@pytest.mark.parametrize("doubt", [True, False])
def test_an_issue_that_can_not_be_read_is_not_written(
    wire: Wire, document: dict[str, Any], doubt: bool
) -> None:
    response: Response = as_json(200, document)
    wire.github.plan(Fault(response=response, method="GET"))

    outcome = attempt(wire, doubt=doubt, title="Ours")

    assert isinstance(outcome, Later)
    assert outcome.maybe_sent is doubt
    assert wire.asked == ["GET"]
