"""What can be asked of GitHub, and when it is asked rightly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any, TypeAlias

import orjson
from attrs import frozen

from adapters.contract import Action
from adapters.errors import ActionError

COMMENT_ON_PR = "comment_on_pr"
COMMENT_ON_ISSUE = "comment_on_issue"
CREATE_ISSUE = "create_issue"
ACTIONS = (COMMENT_ON_ISSUE, COMMENT_ON_PR, CREATE_ISSUE)

MAX_BODY = 65_536
MAX_TITLE = 256
_MAX_LABEL = 50
_MAX_LABELS = 100
_MAX_ASSIGNEES = 10
_MAX_NUMBER = 2**31 - 1
_MARKER = "<!-- zeroui-action:"
_SUBJECT = {COMMENT_ON_PR: "pr_number", COMMENT_ON_ISSUE: "issue_number"}
_ACTION_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_OWNER = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_REPOSITORY = re.compile(r"[0-9A-Za-z._-]{1,100}")

_Fields: TypeAlias = Mapping[str, Any]


@frozen(kw_only=True)
class Comment:
    """A comment to make on an issue or a pull request; to GitHub they are one."""

    repository: str
    number: int
    body: str


@frozen(kw_only=True)
class NewIssue:
    """An issue to create."""

    repository: str
    title: str
    body: str
    labels: tuple[str, ...]
    assignees: tuple[str, ...]


def marker(action_id: str) -> str:
    """The hidden text by which an effect of this action is found again; GitHub does not show it."""
    return f"{_MARKER}{action_id} -->"


def marked(body: str, action_id: str) -> str:
    """The body as it is sent."""
    return f"{body}\n\n{marker(action_id)}" if body else marker(action_id)


def read_action(action: Action) -> Comment | NewIssue:
    """Check the action whole, and say what it asks for.

    Raises:
        ActionError: with the field that is wrong.
    """
    if action.canonical_type not in ACTIONS:
        raise ActionError(f"must be one of {', '.join(ACTIONS)}", field="canonical_type")
    if not _ACTION_ID.fullmatch(action.action_id):
        raise ActionError("must be letters, digits and hyphens", field="action_id")
    if action.canonical_type == CREATE_ISSUE:
        return _new_issue(action)
    return _comment(action, _SUBJECT[action.canonical_type])


def target_key(action: Action) -> str:
    """See ``Actions.target_key``: one conversation, or the issue list of a repository.

    Raises:
        ActionError: as ``read_action``.
    """
    asked = read_action(action)
    repository = asked.repository.lower()
    return f"{repository}#{asked.number}" if isinstance(asked, Comment) else f"{repository}/issues"


def _comment(action: Action, subject: str) -> Comment:
    target = _object(action.target, "target", required={"repository", subject})
    payload = _object(action.payload, "payload", required={"body"})
    number = target[subject]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= _MAX_NUMBER:
        raise ActionError("must be a positive whole number", field=f"target.{subject}")
    body = _text(payload["body"], "payload.body", limit=MAX_BODY - _room(action))
    return Comment(repository=_repository(target), number=number, body=_unmarked(body))


def _new_issue(action: Action) -> NewIssue:
    target = _object(action.target, "target", required={"repository"})
    payload = _object(
        action.payload, "payload", required={"title"}, allowed={"body", "labels", "assignees"}
    )
    body = payload.get("body")
    if body is not None:
        body = _text(body, "payload.body", limit=MAX_BODY - _room(action))
    title = _text(payload["title"], "payload.title", limit=MAX_TITLE)
    labels = _texts(payload, "labels", at_most=_MAX_LABELS)
    assignees = _texts(payload, "assignees", at_most=_MAX_ASSIGNEES)
    for index, login in enumerate(assignees):
        if not _OWNER.fullmatch(login):
            raise ActionError("is no login", field=f"payload.assignees[{index}]")
    return NewIssue(
        repository=_repository(target),
        title=title,
        body=_unmarked(body or ""),
        labels=labels,
        assignees=assignees,
    )


def _object(
    body: bytes, name: str, *, required: Set[str], allowed: Set[str] = frozenset()
) -> _Fields:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise ActionError("must be a JSON object", field=name)
    for unknown in sorted(set(fields) - required - allowed):
        raise ActionError("is not known", field=f"{name}.{unknown[:100]}")
    for missing in sorted(required - set(fields)):
        raise ActionError("is missing", field=f"{name}.{missing}")
    return fields


def _repository(target: _Fields) -> str:
    value = target["repository"]
    owner, _, name = value.partition("/") if isinstance(value, str) else ("", "", "")
    # "." and ".." would climb in the path of the URL.
    if not _OWNER.fullmatch(owner) or not _REPOSITORY.fullmatch(name) or name in (".", ".."):
        raise ActionError("must be owner/name", field="target.repository")
    return f"{owner}/{name}"


def _text(value: object, field: str, *, limit: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ActionError("must be a non-empty string", field=field)
    if len(value) > limit:
        raise ActionError(f"is longer than {limit} characters", field=field)
    return value


def _texts(payload: _Fields, name: str, *, at_most: int) -> tuple[str, ...]:
    values = payload.get(name)
    if values is None:
        return ()
    if not isinstance(values, list) or len(values) > at_most:
        raise ActionError(f"must be a list of at most {at_most}", field=f"payload.{name}")
    return tuple(
        _text(value, f"payload.{name}[{index}]", limit=_MAX_LABEL)
        for index, value in enumerate(values)
    )


def _unmarked(body: str) -> str:
    # A body that carries a marker could be taken for the effect of another action.
    if _MARKER in body:
        raise ActionError("holds a marker of ours", field="payload.body")
    return body


def _room(action: Action) -> int:
    return len(marked("x", action.action_id)) - 1
