"""The canonical actions: what they take, what they refuse, and that their schemas say the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema_rs import Draft202012Validator, meta

from adapters import canonical
from adapters.canonical import CANONICAL, RULES, ActionKind
from adapters.canonical_payloads import Comment, IssueChange, IssueState, LineComment, Review
from adapters.canonical_targets import Channel, Issue, PullRequest
from adapters.contract import Action, Request
from adapters.errors import ActionError
from adapters.github import ADAPTER

COMMIT = "0123456789abcdef" * 2 + "01234567"
TEXT = {"body": "Words."}
SAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "create_issue": ({"project": "OPS"}, {"title": "It stops", "labels": ["bug"]}),
    "update_issue": ({"issue_key": "OPS-12"}, {"state": "closed", "add_labels": ["done"]}),
    "comment_on_issue": ({"repository": "group/sub/rocket", "issue_number": 3}, TEXT),
    "comment_on_pr": ({"repository": "acme/rocket", "pr_number": 7}, TEXT),
    "review_pr": (
        {"repository": "acme/rocket", "pr_number": 7},
        {"verdict": "approve", "comments": [{"path": "a.py", "line": 1, **TEXT}], **TEXT},
    ),
    "annotate_commit": (
        {"repository": "acme/rocket", "commit": COMMIT},
        {"name": "n", "title": "t", "summary": "s", "conclusion": "neutral"},
    ),
    "set_commit_status": (
        {"repository": "acme/rocket", "commit": COMMIT},
        {"state": "pending", "context": "ci", "url": "https://ci.example/1"},
    ),
    "post_chat_message": ({"channel": "C024BE91L", "thread": "1401.2"}, {"text": "Hello"}),
    "update_chat_message": ({"channel": "C024BE91L", "message": "1401.3"}, {"text": "Hello"}),
    "add_link": (
        {"repository": "acme/rocket", "commit": COMMIT},
        {"url": "https://x.example/", "title": "X"},
    ),
    "create_incident": ({"service": "P1"}, {"title": "Down", "severity": "critical"}),
    "resolve_incident": ({"dedup_key": "gate-7"}, {}),
    "send_email": ({"to": ["a@b.example"]}, {"subject": "Hi", "text": "Plain."}),
    "create_page": ({"space": "ENG"}, {"title": "Notes", **TEXT}),
    "comment_on_page": ({"page": "12345"}, TEXT),
}


def action(name: str, target: object, payload: object, action_id: str = "a-1") -> Action:
    return Action(
        action_id=action_id,
        canonical_type=name,
        target=orjson.dumps(target),
        payload=orjson.dumps(payload),
    )


def changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**document, **changes}.items() if value is not ...}


def test_every_action_of_the_issue_is_there_with_a_sample() -> None:
    assert set(SAMPLES) == set(CANONICAL)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_as_its_types(name: str) -> None:
    target, payload = canonical.check(action(name, *SAMPLES[name]))

    assert type(target) is CANONICAL[name].target
    assert type(payload) is CANONICAL[name].payload


def test_values_are_typed_to_the_depth() -> None:
    _, payload = canonical.check(action("review_pr", *SAMPLES["review_pr"]))
    issue, change = canonical.check(action("update_issue", *SAMPLES["update_issue"]))

    assert isinstance(payload, Review)
    assert payload.comments == (LineComment(path="a.py", line=1, body="Words."),)
    assert issue == Issue(issue_key="OPS-12")
    assert change == IssueChange(state=IssueState.CLOSED, add_labels=("done",))


WRONG: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("comment_on_pr", {"pr_number": 0}, {}, "target.pr_number"),
    ("comment_on_pr", {"pr_number": True}, {}, "target.pr_number"),
    ("comment_on_pr", {"pr_number": ...}, {}, "target.pr_number"),
    ("comment_on_pr", {"repository": "acme"}, {}, "target.repository"),
    ("comment_on_pr", {"repository": "acme/../rocket"}, {}, "target.repository"),
    ("comment_on_pr", {"repository": "acme/."}, {}, "target.repository"),
    ("comment_on_pr", {"repository": "acme/rocket\n"}, {}, "target.repository"),
    ("comment_on_pr", {"x": 1}, {}, "target.x"),
    ("comment_on_pr", {}, {"body": " \n"}, "payload.body"),
    ("comment_on_pr", {}, {"body": "x" * 262_145}, "payload.body"),
    ("comment_on_pr", {}, {"body": None}, "payload.body"),
    ("comment_on_issue", {"issue_number": ...}, {}, "target.issue_number"),
    ("comment_on_issue", {"repository": ...}, {}, "target.repository"),
    ("comment_on_issue", {"issue_key": "X-1"}, {}, "target.issue_key"),
    ("comment_on_issue", {"repository": None, "issue_number": None}, {}, "target"),
    ("create_issue", {"project": ...}, {}, "target"),
    ("create_issue", {"repository": "acme/rocket"}, {}, "target.project"),
    ("create_issue", {"project": "two words"}, {}, "target.project"),
    ("create_issue", {}, {"title": "two\nlines"}, "payload.title"),
    ("create_issue", {}, {"title": "   "}, "payload.title"),
    ("create_issue", {}, {"labels": ["a", ""]}, "payload.labels[1]"),
    ("create_issue", {}, {"labels": ["x"] * 101}, "payload.labels"),
    ("update_issue", {}, {"state": ..., "add_labels": ...}, "payload"),
    ("update_issue", {}, {"state": "done"}, "payload.state"),
    ("update_issue", {}, {"labels": []}, "payload.add_labels"),
    ("update_issue", {}, {"add_labels": []}, "payload.add_labels"),
    (
        "review_pr",
        {},
        {"comments": [{"path": "a", "line": 0, **TEXT}]},
        "payload.comments[0].line",
    ),
    ("review_pr", {}, {"comments": [{"path": "a", "line": 1}]}, "payload.comments[0].body"),
    ("review_pr", {}, {"comments": [{"line": 1, "x": 1}]}, "payload.comments[0].x"),
    ("review_pr", {}, {"verdict": "veto"}, "payload.verdict"),
    ("set_commit_status", {"commit": "abc"}, {}, "target.commit"),
    ("set_commit_status", {"commit": COMMIT.upper()}, {}, "target.commit"),
    ("set_commit_status", {}, {"url": "javascript:x"}, "payload.url"),
    ("set_commit_status", {}, {"url": "https://x y"}, "payload.url"),
    ("add_link", {"pr_number": 1}, {}, "target.commit"),
    ("add_link", {"commit": ...}, {}, "target.issue_number"),
    ("resolve_incident", {"incident": "1"}, {}, "target.dedup_key"),
    ("send_email", {"to": []}, {}, "target.to"),
    ("send_email", {"to": ["A B <a@b.example>"]}, {}, "target.to[0]"),
    ("send_email", {"bcc": ["a@b.example"] * 51}, {}, "target.bcc"),
    ("create_page", {"space": ...}, {}, "target"),
]


@pytest.mark.parametrize(("name", "in_target", "in_payload", "field"), WRONG)
def test_what_is_wrong_is_refused_with_its_field(
    name: str, in_target: dict[str, Any], in_payload: dict[str, Any], field: str
) -> None:
    target, payload = SAMPLES[name]
    wrong = action(name, changed(target, in_target), changed(payload, in_payload))

    with pytest.raises(ActionError) as caught:
        canonical.check(wrong)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (action("launch_rocket", {}, {}), "canonical_type"),
        (action("comment_on_pr", {}, {}, action_id="--> oops"), "action_id"),
        (action("comment_on_pr", {}, {}, action_id="x" * 65), "action_id"),
        (action("comment_on_pr", [], {}), "target"),
        (action("comment_on_page", {"page": "1"}, "text"), "payload"),
        (attrs.evolve(action("comment_on_page", {"page": "1"}, {}), payload=b"{"), "payload"),
    ],
)
def test_what_is_no_action_is_refused(wrong: Action, field: str) -> None:
    with pytest.raises(ActionError) as caught:
        canonical.check(wrong)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("name", "payload", "field"),
    [
        ("comment_on_pr", {"body": "x <!-- zeroui-action:1 -->"}, "payload.body"),
        ("create_issue", {"title": "a ZEROUI-ACTION:b"}, "payload.title"),
        ("create_issue", {"title": "t", "labels": ["l", "zeroui-action:"]}, "payload.labels[1]"),
        (
            "review_pr",
            {
                "verdict": "comment",
                "body": "b",
                "comments": [{"path": "a", "line": 1, "body": "zeroui-action:x"}],
            },
            "payload.comments[0].body",
        ),
    ],
)
def test_no_text_may_hold_what_marks_an_effect(
    name: str, payload: dict[str, Any], field: str
) -> None:
    """P4: it could be taken for the effect of another action."""
    with pytest.raises(ActionError, match="holds a marker of ours") as caught:
        canonical.check(action(name, SAMPLES[name][0], payload))

    assert caught.value.field == field


def test_an_error_quotes_nothing_of_what_was_sent() -> None:
    """P8."""
    secret = {"to": ["hush hush"], "cc": "hush"}

    with pytest.raises(ActionError) as caught:
        canonical.check(action("send_email", secret, {"subject": "hush\n", "text": "x"}))

    assert "hush" not in str(caught.value)


def test_the_rules_are_about_fields_that_there_are() -> None:
    used = {kind.target for kind in CANONICAL.values()} | {
        kind.payload for kind in CANONICAL.values()
    }

    assert set(RULES) <= used


@pytest.mark.parametrize("name", SAMPLES)
def test_the_schemas_are_schemas_and_name_each_field(name: str) -> None:
    told = canonical.schemas()[name]

    assert told["summary"] == CANONICAL[name].summary
    for part, kind in (("target", CANONICAL[name].target), ("payload", CANONICAL[name].payload)):
        meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **told[part]})
        assert set(told[part]["properties"]) == {field.name for field in attrs.fields(kind)}
        assert "\n" not in told[part]["description"]


VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    1,
    7,
    -1,
    2**31,
    1.5,
    "",
    " ",
    "x",
    "two words",
    "two\nlines",
    "é",
    "x" * 256,
    "x" * 1_001,
    "acme/rocket",
    "a/b/c",
    "a/..",
    "acme/rocket\n",
    COMMIT,
    COMMIT[1:],
    "https://x.example/a?b=1",
    "ftp://x",
    "a@b.example",
    "@",
    "open",
    "closed",
    "approve",
    "success",
    "pending",
    "critical",
    [],
    ["x"],
    ["x", ""],
    ["a@b.example"],
    ["x"] * 101,
    [{"path": "a", "line": 1, "body": "b"}],
    [{"path": "a", "line": 1, "level": "notice", "message": "b"}],
    [{"path": "a"}],
    {},
)


def documents(kind: type, sample: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Documents near ``sample``: some fields are other values, some are gone, some are strange."""
    names = [field.name for field in attrs.fields(kind)]
    changes = st.dictionaries(
        st.sampled_from([*names, "stranger"]), st.sampled_from([*VALUES, ...]), max_size=4
    )
    return changes.map(lambda change: changed(sample, change))


def refused_field(check: Callable[[Action], object], asked: Action) -> str | None:
    """The field for which an action is refused, or None where it is taken."""
    try:
        check(asked)
    except ActionError as error:
        return error.field
    return None


def accepted(kind: ActionKind, target: object, payload: object) -> bool:
    return refused_field(canonical.check, action(kind.name, target, payload)) is None


SCHEMAS = canonical.schemas()
VALIDATORS = {
    name: tuple(Draft202012Validator(told[part]) for part in ("target", "payload"))
    for name, told in SCHEMAS.items()
}


@pytest.mark.thorough
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.data())
def test_a_schema_accepts_what_the_check_accepts(name: str, data: st.DataObject) -> None:
    kind, (target, payload) = CANONICAL[name], SAMPLES[name]
    of_target, of_payload = VALIDATORS[name]
    near_target = data.draw(documents(kind.target, target))
    near_payload = data.draw(documents(kind.payload, payload))

    assert accepted(kind, near_target, payload) == of_target.is_valid(near_target)
    assert accepted(kind, target, near_payload) == of_payload.is_valid(near_payload)


@pytest.mark.thorough
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.data())
def test_what_is_accepted_github_plans_or_refuses_with_a_field(
    name: str, data: st.DataObject
) -> None:
    kind, (target, payload) = CANONICAL[name], SAMPLES[name]
    asked = action(
        name,
        data.draw(documents(kind.target, target)),
        data.draw(documents(kind.payload, payload)),
    )
    field = refused_field(ADAPTER.check, asked)
    if field is not None:
        assert field.partition(".")[0] in {"canonical_type", "target", "payload"}
        return

    assert name in ADAPTER.manifest.actions
    assert ADAPTER.target_key(asked)
    assert isinstance(next(ADAPTER.plan(asked)), Request)


def test_one_shape_serves_every_family_of_providers() -> None:
    slack, _ = canonical.check(action("post_chat_message", {"channel": "C1"}, {"text": "x"}))
    teams, _ = canonical.check(
        action(
            "post_chat_message",
            {"channel": "19:a@thread.tacv2", "team": "fbe2bf47-16c8"},
            {"text": "x"},
        )
    )
    gitlab, said = canonical.check(
        action("comment_on_pr", {"repository": "group/sub/rocket", "pr_number": 4}, TEXT)
    )

    assert slack == Channel(channel="C1")
    assert teams == Channel(channel="19:a@thread.tacv2", team="fbe2bf47-16c8")
    assert gitlab == PullRequest(repository="group/sub/rocket", pr_number=4)
    assert said == Comment(body="Words.")
