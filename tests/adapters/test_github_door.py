"""What GitHub can not do is refused at the door, with the field and GitHub's own limit."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from adapters.contract import Done
from adapters.errors import ActionError
from adapters.github import ADAPTER
from adapters.github.actions import MAX_BODY
from adapters.github.effects import marked
from tests.adapters.wire import COMMIT, REPOSITORY, Wire, action

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


STATUS: dict[str, Any] = {
    "canonical_type": "set_commit_status",
    "target": {"repository": REPOSITORY, "commit": COMMIT},
    "payload": {"state": "success", "context": "ci"},
}
CHECK: dict[str, Any] = {
    "canonical_type": "annotate_commit",
    "target": STATUS["target"],
    "payload": {"name": "n", "title": "t", "summary": "s", "conclusion": "success"},
}
REVIEW: dict[str, Any] = {
    "canonical_type": "review_pr",
    "target": COMMENT["target"],
    "payload": {"verdict": "comment", "body": "b"},
}
EDIT: dict[str, Any] = {
    "canonical_type": "update_issue",
    "target": {"repository": REPOSITORY, "issue_number": 2},
    "payload": {"title": "t"},
}
LINK: dict[str, Any] = {
    "canonical_type": "add_link",
    "target": STATUS["target"],
    "payload": {"url": "https://x.example", "title": "X"},
}
LONG = "x" * 65_537
REMARK = {"path": "a", "line": 1, "level": "notice", "message": "m"}


@pytest.mark.parametrize(
    ("spec", "payload", "field", "limit"),
    [
        (COMMENT, {"body": LONG}, "body", "65536 characters, of which we need 31"),
        (ISSUE, {"title": "x" * 257}, "title", "256 characters"),
        (ISSUE, {"title": "t", "labels": ["a", "x" * 51]}, "labels[1]", "50 characters"),
        (ISSUE, {"title": "t", "assignees": ["a"] * 11}, "assignees", "GitHub's 10"),
        (EDIT, {"title": "x" * 257}, "title", "256 characters"),
        (EDIT, {"body": LONG}, "body", "65536 characters"),
        (EDIT, {"labels": ["x" * 51]}, "labels[0]", "50 characters"),
        (EDIT, {"add_labels": ["x" * 51]}, "add_labels[0]", "50 characters"),
        (EDIT, {"remove_labels": ["x" * 51]}, "remove_labels[0]", "50 characters"),
        (EDIT, {"assignees": ["a b"]}, "assignees[0]", "login of GitHub"),
        (STATUS, {**STATUS["payload"], "description": "x" * 141}, "description", "140 characters"),
        (LINK, {**LINK["payload"], "title": "x" * 251}, "title", "255 characters"),
        (CHECK, {**CHECK["payload"], "summary": LONG}, "summary", "65535 characters"),
        (
            CHECK,
            {**CHECK["payload"], "annotations": [REMARK, {**REMARK, "message": "é" * 32_769}]},
            "annotations[1].message",
            "65536 bytes",
        ),
        (REVIEW, {**REVIEW["payload"], "commit": "a" * 64}, "commit", "40 digits"),
        (
            REVIEW,
            {**REVIEW["payload"], "comments": [{"path": "a", "line": 1, "body": LONG}]},
            "comments[0].body",
            "65536 characters",
        ),
    ],
)
def test_a_limit_of_github_is_named(
    spec: dict[str, Any], payload: dict[str, Any], field: str, limit: str
) -> None:
    with pytest.raises(ActionError, match="GitHub") as caught:
        ADAPTER.check(action(spec, payload=payload))

    assert caught.value.field == f"payload.{field}"
    assert limit in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "target", "field"),
    [
        (ISSUE, {"project": "OPS"}, "target.project"),
        (EDIT, {"issue_key": "OPS-1"}, "target.issue_key"),
        (LINK, {"issue_key": "OPS-1"}, "target.issue_key"),
        (EDIT, {"repository": "group/sub/rocket", "issue_number": 1}, "target.repository"),
        (STATUS, {"repository": REPOSITORY, "commit": "a" * 64}, "target.commit"),
    ],
)
def test_a_target_of_another_family_is_refused(
    spec: dict[str, Any], target: dict[str, Any], field: str
) -> None:
    with pytest.raises(ActionError) as caught:
        ADAPTER.check(action(spec, target=target))

    assert caught.value.field == field


def test_what_github_does_not_do_is_refused_with_what_it_does() -> None:
    mail = action(
        COMMENT,
        canonical_type="send_email",
        target={"to": ["a@b.example"]},
        payload={"subject": "s", "text": "t"},
    )

    with pytest.raises(ActionError, match="GitHub can only add_link, annotate_commit") as caught:
        ADAPTER.check(mail)

    assert caught.value.field == "canonical_type"


def test_bytes_that_are_no_json_are_refused() -> None:
    broken = attrs.evolve(action(COMMENT), payload=b"{")

    with pytest.raises(ActionError, match="payload: must be a JSON object"):
        ADAPTER.check(broken)


def test_the_longest_body_that_is_accepted_fits_with_its_marker() -> None:
    wire = Wire()
    room = len(marked("x", "0191-a")) - 1
    longest = action(COMMENT, payload={"body": "x" * (MAX_BODY - room)})
    ADAPTER.check(longest)

    assert isinstance(wire.attempt(ADAPTER.plan(longest)), Done)
    with pytest.raises(ActionError):
        ADAPTER.check(action(COMMENT, payload={"body": "x" * (MAX_BODY - room + 1)}))
