"""What can be asked of GitHub, and when it is asked rightly: the canonical actions within GitHub's own limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from adapters import canonical, canonical_payloads as payloads, canonical_targets as targets
from adapters.contract import Action
from adapters.document import Document
from adapters.errors import ActionError
from adapters.github.checks import CheckRun, Status
from adapters.github.editing import IssueEdit
from adapters.github.effects import Comment, NewIssue, Review, marked

MAX_BODY = 65_536
MAX_TITLE = 256
_MAX_SUMMARY = 65_535
_MAX_MESSAGE_BYTES = 65_536
_MAX_DESCRIPTION = 140
_MAX_CONTEXT = 255
_COMMIT_LENGTH = 40
_MAX_LABEL = 50
_MAX_ASSIGNEES = 10
_OWNER = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_REPOSITORY = re.compile(r"[0-9A-Za-z._-]{1,100}")
_IN_LINK = re.compile(r"[\\`*_\[\]<>]")
_ESCAPED = r"\\\g<0>"

Asked: TypeAlias = Comment | NewIssue | IssueEdit | Review | CheckRun | Status


def read_action(action: Action) -> Asked:
    """Check the action whole, and say what it asks for.

    Raises:
        ActionError: with the field that is wrong.
    """
    target, payload = canonical.check(action)
    reader = _READERS.get(action.canonical_type)
    if reader is None:
        raise ActionError(f"GitHub can only {', '.join(ACTIONS)}", field="canonical_type")
    return reader(action.action_id, target, payload)


def target_key(action: Action) -> str:
    """See ``Actions.target_key``: one conversation, one commit, or the issue list of a repository.

    Raises:
        ActionError: as ``read_action``.
    """
    return read_action(action).target_key


def _create_issue(action_id: str, target: targets.Tracker, payload: payloads.NewIssue) -> NewIssue:
    return NewIssue(
        action_id=action_id,
        repository=_repository(target.repository, instead_of="project"),
        title=_within(payload.title, "payload.title", MAX_TITLE),
        body=_body(payload.body or "", action_id),
        labels=_labels(payload.labels, "labels"),
        assignees=_assignees(payload.assignees),
        issue_type=payload.issue_type,
    )


def _update_issue(
    action_id: str, target: targets.Issue, payload: payloads.IssueChange
) -> IssueEdit:
    repository, number = _issue(target)
    title, body, assignees = payload.title, payload.body, payload.assignees
    return IssueEdit(
        action_id=action_id,
        repository=repository,
        number=number,
        title=None if title is None else _within(title, "payload.title", MAX_TITLE),
        body=None if body is None else _body(body, action_id),
        state=payload.state,
        labels=None if payload.labels is None else _labels(payload.labels, "labels"),
        add_labels=_labels(payload.add_labels or (), "add_labels"),
        remove_labels=_labels(payload.remove_labels or (), "remove_labels"),
        assignees=None if assignees is None else _assignees(assignees),
    )


def _comment_on_issue(action_id: str, target: targets.Issue, payload: payloads.Comment) -> Comment:
    (repository, number), body = _issue(target), _body(payload.body, action_id)
    return Comment(action_id=action_id, repository=repository, number=number, body=body)


def _comment_on_pr(
    action_id: str, target: targets.PullRequest, payload: payloads.Comment
) -> Comment:
    repository, body = _repository(target.repository), _body(payload.body, action_id)
    return Comment(action_id=action_id, repository=repository, number=target.pr_number, body=body)


def _review_pr(action_id: str, target: targets.PullRequest, payload: payloads.Review) -> Review:
    return Review(
        action_id=action_id,
        repository=_repository(target.repository),
        number=target.pr_number,
        event=payload.verdict.upper(),
        body=_body(payload.body, action_id),
        comments=tuple(
            {
                "path": comment.path,
                "line": comment.line,
                "side": "RIGHT",
                "body": _within(comment.body, f"payload.comments[{index}].body", MAX_BODY),
            }
            for index, comment in enumerate(payload.comments)
        ),
        commit=None if payload.commit is None else _commit(payload.commit, "payload.commit"),
    )


def _annotate_commit(
    action_id: str, target: targets.CommitPlace, payload: payloads.Annotations
) -> CheckRun:
    # Each once: two requests with the same annotations could not be told apart.
    listed = {one: _annotation(index, one) for index, one in enumerate(payload.annotations)}
    return CheckRun(
        action_id=action_id,
        repository=_repository(target.repository),
        commit=_commit(target.commit, "target.commit"),
        name=payload.name,
        conclusion=payload.conclusion,
        title=payload.title,
        summary=_within(payload.summary, "payload.summary", _MAX_SUMMARY),
        annotations=tuple(listed.values()),
        url=payload.url,
    )


def _annotation(index: int, annotation: payloads.Annotation) -> Document:
    if len(annotation.message.encode()) > _MAX_MESSAGE_BYTES:
        message = f"is longer than GitHub's {_MAX_MESSAGE_BYTES} bytes"
        raise ActionError(message, field=f"payload.annotations[{index}].message")
    return {
        "path": annotation.path,
        "start_line": annotation.line,
        "end_line": annotation.line,
        "annotation_level": annotation.level,
        "message": annotation.message,
    }


def _set_commit_status(
    _action_id: str, target: targets.CommitPlace, payload: payloads.CommitStatus
) -> Status:
    description = payload.description
    if description is not None:
        description = _within(description, "payload.description", _MAX_DESCRIPTION)
    return Status(
        repository=_repository(target.repository),
        commit=_commit(target.commit, "target.commit"),
        state=payload.state,
        context=payload.context,
        description=description,
        url=payload.url,
    )


def _add_link(
    action_id: str, target: targets.Linkable, payload: payloads.Link
) -> Comment | Status:
    """A comment with the link; on a commit, where a comment would need leave to write code, a status that leads there."""
    repository = _repository(target.repository, instead_of="issue_key")
    if target.commit is not None:
        return Status(
            repository=repository,
            commit=_commit(target.commit, "target.commit"),
            state=payloads.StatusState.SUCCESS,
            context=_within(f"link/{payload.title}", "payload.title", _MAX_CONTEXT),
            description=None,
            url=payload.url,
        )
    return Comment(
        action_id=action_id,
        repository=repository,
        number=target.issue_number or target.pr_number or 0,
        body=f"[{_IN_LINK.sub(_ESCAPED, payload.title)}](<{payload.url}>)",
    )


_READERS: Mapping[str, Callable[[str, Any, Any], Asked]] = MappingProxyType(
    {
        "add_link": _add_link,
        "annotate_commit": _annotate_commit,
        "comment_on_issue": _comment_on_issue,
        "comment_on_pr": _comment_on_pr,
        "create_issue": _create_issue,
        "review_pr": _review_pr,
        "set_commit_status": _set_commit_status,
        "update_issue": _update_issue,
    }
)
ACTIONS = tuple(_READERS)


def _issue(target: targets.Issue) -> tuple[str, int]:
    return _repository(target.repository, instead_of="issue_key"), target.issue_number or 0


def _repository(value: str | None, *, instead_of: str = "") -> str:
    if value is None:
        raise ActionError("GitHub wants a repository instead", field=f"target.{instead_of}")
    owner, _, name = value.partition("/")
    if not _OWNER.fullmatch(owner) or not _REPOSITORY.fullmatch(name):
        raise ActionError("must be owner/name", field="target.repository")
    return value


def _commit(value: str, field: str) -> str:
    if len(value) != _COMMIT_LENGTH:
        raise ActionError(f"GitHub's hashes have {_COMMIT_LENGTH} digits", field=field)
    return value


def _within(text: str, field: str, limit: int) -> str:
    if len(text) > limit:
        raise ActionError(f"is longer than GitHub's {limit} characters", field=field)
    return text


def _body(text: str, action_id: str) -> str:
    ours = len(marked("x", action_id)) - 1
    if len(text) + ours > MAX_BODY:
        message = f"is longer than GitHub's {MAX_BODY} characters, of which we need {ours}"
        raise ActionError(message, field="payload.body")
    return text


def _labels(labels: tuple[str, ...], name: str) -> tuple[str, ...]:
    for index, label in enumerate(labels):
        _within(label, f"payload.{name}[{index}]", _MAX_LABEL)
    return labels


def _assignees(logins: tuple[str, ...]) -> tuple[str, ...]:
    if len(logins) > _MAX_ASSIGNEES:
        message = f"are more than GitHub's {_MAX_ASSIGNEES}"
        raise ActionError(message, field="payload.assignees")
    for index, login in enumerate(logins):
        if not _OWNER.fullmatch(login):
            raise ActionError("is no login of GitHub", field=f"payload.assignees[{index}]")
    return logins
