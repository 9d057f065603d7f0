"""Actions on GitHub: checked at the door, and one effect whatever is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import orjson
import pytest

from adapters.contract import (
    Action,
    Done,
    Later,
    NeedsLogin,
    Outcome,
    Plan,
    Refused,
    Request,
    Response,
    Secret,
    Unsure,
)
from adapters.errors import ActionError
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
from adapters.github.actions import MAX_BODY, marked
from adapters.github.simulator import GitHub, secondary_limit
from adapters.github.world import Token
from adapters.simulation import Reply

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = Secret(value=b"ghp_simulated")
REPOSITORY = "acme/rocket"
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


def action(
    spec: dict[str, Any], *, first_sent_at: datetime | None = None, **changes: Any
) -> Action:
    spec = {**spec, **changes}
    return Action(
        action_id=spec.get("action_id", "0191-a"),
        canonical_type=spec["canonical_type"],
        target=orjson.dumps(spec["target"]),
        payload=orjson.dumps(spec["payload"]),
        first_sent_at=first_sent_at,
    )


class Wire:
    """Carries plans to a simulated GitHub as the driver does: an answer that is lost ends the try."""

    def __init__(self) -> None:
        self.now = NOW
        self.github = GitHub(tokens=(Token(secret=TOKEN, scopes=("repo",)),))
        self.repository = self.github.world.add_repository(REPOSITORY)
        self.github.world.add_issue(
            self.repository, title="The PR", author="lin", now=NOW, is_pr=True
        )

    def attempt(self, plan: Plan, *, token: Secret = TOKEN) -> Outcome:
        try:
            request = next(plan)
            while True:
                reply = self.send(ADAPTER.authorise(request, token=token))
                if reply.response is None or reply.cut_at is not None:
                    plan.close()
                    return Later(reason="connection lost", maybe_sent=request.writes)
                request = plan.send(reply.response)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]

    def send(self, request: Request) -> Reply:
        """One request and its answer, following a redirect as the transport does."""
        reply = self.github.handle(request, now=self.now)
        target = reply.response.header("location") if reply.response else None
        if target and reply.response and reply.response.status in (301, 307):
            return self.github.handle(attrs.evolve(request, url=target), now=self.now)
        return reply

    def drive(self, spec: dict[str, Any], *, tries: int = 6) -> Outcome:
        """Try until it is settled; after a write that may have been sent, wait out the effect horizon."""
        first_sent_at: datetime | None = None
        outcome: Outcome = Later(reason="not tried")
        for _ in range(tries):
            started = self.now
            outcome = self.attempt(ADAPTER.plan(action(spec, first_sent_at=first_sent_at)))
            if not isinstance(outcome, Later):
                return outcome
            if outcome.maybe_sent:
                first_sent_at = first_sent_at or started
            horizon = ADAPTER.manifest.effect_horizon if outcome.maybe_sent else timedelta(0)
            self.now += max(horizon, outcome.retry_after or timedelta(seconds=1))
        return outcome

    def effects(self, spec: dict[str, Any]) -> int:
        settled = self.now + timedelta(hours=1)
        if spec is ISSUE:
            return self.github.issues(self.repository.full_name, now=settled).count("It stops")
        return len(self.github.comments(self.repository.full_name, 1, now=settled))


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
    assert wire.effects(spec) == 1


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
    assert wire.effects(spec) == 1


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
    assert wire.effects(COMMENT) == 1


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
    assert wire.effects(COMMENT) == wire.effects(ISSUE) == 0


def test_bad_credentials_need_a_login(wire: Wire) -> None:
    outcome = wire.attempt(ADAPTER.plan(action(COMMENT)), token=Secret(value=b"other"))

    assert outcome == NeedsLogin(reason="401: Bad credentials")


def test_an_exhausted_hour_waits_for_its_end() -> None:
    wire = Wire()
    wire.github = GitHub(tokens=(Token(secret=TOKEN),), hourly_limit=1)
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
    ("spec", "changes", "field"),
    [
        (COMMENT, {"canonical_type": "delete_everything"}, "canonical_type"),
        (COMMENT, {"action_id": "--> oops"}, "action_id"),
        (COMMENT, {"action_id": ""}, "action_id"),
        (COMMENT, {"target": []}, "target"),
        (COMMENT, {"target": {"repository": REPOSITORY}}, "target.pr_number"),
        (COMMENT, {"target": {"pr_number": 1}}, "target.repository"),
        (COMMENT, {"target": {**COMMENT["target"], "x": 1}}, "target.x"),
        *(
            (COMMENT, {"target": {"repository": name, "pr_number": 1}}, "target.repository")
            for name in (
                "acme",
                "acme/",
                "/rocket",
                "acme/..",
                "acme/.",
                "../rocket",
                "a/b/c",
                "acme/ro cket",
                "acme/x?y=1",
                "acme/x#y",
                "acme/%2e%2e",
                "acme/rocket\n",
                "acmé/rocket",
                "a" * 101 + "/x",
                7,
                None,
            )
        ),
        *(
            (COMMENT, {"target": {"repository": REPOSITORY, "pr_number": n}}, "target.pr_number")
            for n in (0, -1, True, "1", 1.0, 2**31, None)
        ),
        (COMMENT, {"payload": {}}, "payload.body"),
        (COMMENT, {"payload": {"body": "  \n"}}, "payload.body"),
        (COMMENT, {"payload": {"body": 7}}, "payload.body"),
        (COMMENT, {"payload": {"body": "x" * MAX_BODY}}, "payload.body"),
        (COMMENT, {"payload": {"body": marked("x", "other")}}, "payload.body"),
        (COMMENT, {"payload": {"body": "x", "title": "y"}}, "payload.title"),
        (ISSUE, {"target": COMMENT["target"]}, "target.pr_number"),
        (ISSUE, {"payload": {}}, "payload.title"),
        (ISSUE, {"payload": {"title": "x" * 257}}, "payload.title"),
        (ISSUE, {"payload": {"title": "t", "body": ""}}, "payload.body"),
        (ISSUE, {"payload": {"title": "t", "body": marked("", "z")}}, "payload.body"),
        (ISSUE, {"payload": {"title": "t", "labels": "bug"}}, "payload.labels"),
        (ISSUE, {"payload": {"title": "t", "labels": ["a", ""]}}, "payload.labels[1]"),
        (ISSUE, {"payload": {"title": "t", "labels": ["l" * 51]}}, "payload.labels[0]"),
        (ISSUE, {"payload": {"title": "t", "labels": ["l"] * 101}}, "payload.labels"),
        (ISSUE, {"payload": {"title": "t", "assignees": ["a"] * 11}}, "payload.assignees"),
        (ISSUE, {"payload": {"title": "t", "assignees": ["a", "b c"]}}, "payload.assignees[1]"),
    ],
)
def test_an_action_that_can_not_be_planned_is_refused_with_its_field(
    spec: dict[str, Any], changes: dict[str, Any], field: str
) -> None:
    wrong = action(spec, **changes)

    with pytest.raises(ActionError) as caught:
        ADAPTER.check(wrong)

    assert caught.value.field == field
    with pytest.raises(ActionError):
        next(ADAPTER.plan(wrong))


def test_bytes_that_are_no_json_are_refused() -> None:
    broken = attrs.evolve(action(COMMENT), payload=b"{")

    with pytest.raises(ActionError, match="payload: must be a JSON object"):
        ADAPTER.check(broken)


def test_the_longest_body_that_is_accepted_fits_with_its_marker(wire: Wire) -> None:
    room = len(marked("x", "0191-a")) - 1
    longest = action(COMMENT, payload={"body": "x" * (MAX_BODY - room)})
    ADAPTER.check(longest)

    assert isinstance(wire.attempt(ADAPTER.plan(longest)), Done)
    with pytest.raises(ActionError):
        ADAPTER.check(action(COMMENT, payload={"body": "x" * (MAX_BODY - room + 1)}))


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
