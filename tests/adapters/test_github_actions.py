"""Actions on GitHub: checked at the door, and one effect whatever is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from adapters.contract import (
    Done,
    Later,
    NeedsLogin,
    Refused,
    Response,
    Secret,
    Unsure,
)
from adapters.faults import (
    Fault,
    cut,
    dropped_after,
    dropped_before,
    failing,
    failing_after,
    late,
    rate_limited,
)
from adapters.github import ADAPTER
from adapters.github.simulator import GitHub, secondary_limit
from tests.adapters.wire import NOW, REPOSITORY, Wire, action

COMMENT: dict[str, Any] = {
    "canonical_type": "comment_on_pr",
    "target": {"repository": REPOSITORY, "pr_number": 1},
    "payload": {"body": "Please split this."},
}
ISSUE: dict[str, Any] = {
    "canonical_type": "create_issue",
    "target": {"repository": REPOSITORY},
    "payload": {"title": "It stops", "body": "After 30 s.", "labels": ["bug"]},
}


def effects(wire: Wire, spec: dict[str, Any]) -> int:
    settled = wire.now + timedelta(hours=1)
    if spec is ISSUE:
        return wire.github.issues(wire.repository.full_name, now=settled).count("It stops")
    return len(wire.github.comments(wire.repository.full_name, 1, now=settled))


@pytest.fixture
def wire() -> Wire:
    return Wire()


LOSSES: dict[str, Fault] = {
    "refused_before": failing(500, method="POST"),
    "done_then_502": failing_after(502),
    "done_then_503": failing_after(503),
    "dropped_before": dropped_before(method="POST"),
    "dropped_after": dropped_after(),
    "body_cut_on_the_wire": cut(10),
    "answer_is_half_a_body": Fault(
        response=Response(status=201, body=b'{"id": 1000'), method="POST"
    ),
    "late_by_30_s": late(timedelta(seconds=30)),
    "late_by_the_horizon": late(timedelta(seconds=60)),
    "rate_limited": rate_limited(timedelta(seconds=5)),
    "secondary_limit": secondary_limit(retry_after_s=None),
}


@pytest.mark.parametrize("spec", [COMMENT, ISSUE], ids=["comment", "issue"])
@pytest.mark.parametrize("second", LOSSES)
@pytest.mark.parametrize("first", LOSSES)
def test_one_effect_whatever_is_lost(
    wire: Wire, spec: dict[str, Any], first: str, second: str
) -> None:
    """P4; UT-IA-03: two faults one after the other, and every try follows the rules."""
    wire.github.plan(LOSSES[first], LOSSES[second])

    outcome = wire.drive(spec)

    assert isinstance(outcome, Done)
    assert effects(wire, spec) == 1


@pytest.mark.parametrize("spec", [COMMENT, ISSUE], ids=["comment", "issue"])
@pytest.mark.parametrize(
    "fault", [failing(503), dropped_before(), rate_limited(timedelta(seconds=9))]
)
def test_a_look_up_that_fails_is_repeated_before_anything_is_sent(
    wire: Wire, spec: dict[str, Any], fault: Fault
) -> None:
    """P4."""
    wire.github.plan(dropped_after(), attrs.evolve(fault, method="GET", times=2))

    assert isinstance(wire.drive(spec), Done)
    assert effects(wire, spec) == 1


def test_an_effect_on_a_late_page_is_found(wire: Wire) -> None:
    """P4: 250 later comments of others do not hide ours."""
    wire.attempt(ADAPTER.plan(action(COMMENT)))
    for n in range(250):
        wire.github.world.add_comment(wire.repository, 1, body=f"other {n}", author="sam", now=NOW)
    comments = wire.repository.comments[1]
    comments.append(comments.pop(0))

    outcome = wire.attempt(ADAPTER.plan(action(COMMENT, first_sent_at=NOW)))

    assert isinstance(outcome, Done)
    assert [seen.request.method for seen in wire.github.seen] == ["POST", "GET", "GET", "GET"]


def test_more_pages_than_are_read_end_unsure_and_send_nothing(wire: Wire) -> None:
    """P4, P7."""
    for n in range(2_001):
        wire.github.world.add_comment(wire.repository, 1, body=f"{n}", author="sam", now=NOW)

    outcome = wire.attempt(ADAPTER.plan(action(COMMENT, first_sent_at=NOW)))

    assert isinstance(outcome, Unsure)
    assert {seen.request.method for seen in wire.github.seen} == {"GET"}
    assert len(wire.github.seen) == 20


def test_exactly_the_pages_that_are_read_are_enough(wire: Wire) -> None:
    for n in range(2_000):
        wire.github.world.add_comment(wire.repository, 1, body=f"{n}", author="sam", now=NOW)

    assert isinstance(wire.attempt(ADAPTER.plan(action(COMMENT, first_sent_at=NOW))), Done)


def test_old_comments_are_not_asked_for(wire: Wire) -> None:
    for n in range(300):
        old = NOW - timedelta(days=1)
        wire.github.world.add_comment(wire.repository, 1, body=f"{n}", author="sam", now=old)

    wire.attempt(ADAPTER.plan(action(COMMENT, first_sent_at=NOW)))

    assert [seen.request.method for seen in wire.github.seen] == ["GET", "POST"]


def test_a_renamed_repository_is_followed_for_the_look_up_and_the_write(wire: Wire) -> None:
    wire.github.world.rename(wire.repository, "acme/missile")

    assert isinstance(wire.attempt(ADAPTER.plan(action(COMMENT, first_sent_at=NOW))), Done)
    assert effects(wire, COMMENT) == 1


def test_a_redirect_that_nobody_followed_is_refused(wire: Wire) -> None:
    wire.github.plan(failing(307))

    assert wire.attempt(ADAPTER.plan(action(COMMENT))) == Refused(
        reason="answered 307", status=307
    )


def test_refusals_leave_no_effect(wire: Wire) -> None:
    wire.repository.issues[1]["locked"] = True
    locked = wire.attempt(ADAPTER.plan(action(COMMENT)))
    missing = wire.attempt(
        ADAPTER.plan(action(COMMENT, target={"repository": REPOSITORY, "pr_number": 99}))
    )
    wire.repository.has_issues = False
    gone = wire.attempt(ADAPTER.plan(action(ISSUE)))

    assert locked == Refused(
        reason="403: Unable to create comment because issue is locked.", status=403
    )
    assert missing == Refused(reason="404: Not Found", status=404)
    assert gone == Refused(reason="410: Issues has been disabled in this repository.", status=410)
    assert effects(wire, COMMENT) == effects(wire, ISSUE) == 0


def test_bad_credentials_need_a_login(wire: Wire) -> None:
    outcome = wire.attempt(ADAPTER.plan(action(COMMENT)), token=Secret(value=b"other"))

    assert outcome == NeedsLogin(reason="401: Bad credentials")


def test_an_exhausted_hour_waits_for_its_end() -> None:
    wire = Wire()
    wire.github = GitHub(tokens=(wire.token,), hourly_limit=1)
    repository = wire.github.world.add_repository(REPOSITORY)
    wire.github.world.add_issue(repository, title="t", author="a", now=NOW)
    wire.attempt(ADAPTER.plan(action(COMMENT)))
    wire.now += timedelta(minutes=20)

    outcome = wire.attempt(ADAPTER.plan(action(COMMENT, action_id="b")))
    wire.now += timedelta(minutes=40)
    again = wire.attempt(ADAPTER.plan(action(COMMENT, action_id="b")))

    assert isinstance(outcome, Later)
    assert outcome.retry_after == timedelta(minutes=40)
    assert not outcome.maybe_sent
    assert isinstance(again, Done)


@pytest.mark.parametrize(
    ("spec", "key"), [(COMMENT, "acme/rocket#1"), (ISSUE, "acme/rocket/issues")]
)
def test_actions_on_one_conversation_share_a_key_in_any_case_of_letters(
    spec: dict[str, Any], key: str
) -> None:
    shouted = {**spec, "target": {**spec["target"], "repository": "ACME/Rocket"}}

    assert ADAPTER.target_key(action(spec)) == ADAPTER.target_key(action(shouted)) == key


def test_a_comment_on_an_issue_and_on_a_pr_of_one_number_share_a_key() -> None:
    """They are one conversation to GitHub."""
    on_issue = {
        **COMMENT,
        "canonical_type": "comment_on_issue",
        "target": {"repository": REPOSITORY, "issue_number": 1},
    }

    assert ADAPTER.target_key(action(on_issue)) == ADAPTER.target_key(action(COMMENT))
