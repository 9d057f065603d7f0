"""Reading pull requests, reviews, issues and comments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from attrs import evolve

from adapters.document import Document, find, instant, optional
from adapters.github import event_keys
from adapters.github.facts import (
    Facts,
    action_of,
    changed,
    first_instant,
    key_of,
    line,
    names,
    needed_number,
    number,
    text,
)

_TIMES_OF_PR: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "opened": ("pull_request.created_at",),
        "closed": ("pull_request.merged_at", "pull_request.closed_at"),
    }
)
_TIMES_OF_ISSUE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"opened": ("issue.created_at",), "closed": ("issue.closed_at",)}
)


def pull_request(document: Document) -> Facts:
    """``pull_request``: every action carries the whole pull request."""
    merged = (
        action_of(document) == "closed" and optional(document, "pull_request.merged", bool) is True
    )
    pr = needed_number(document, "pull_request.number")
    extra = {
        "body": text(document, "pull_request.body"),
        "additions": number(document, "pull_request.additions"),
        "deletions": number(document, "pull_request.deletions"),
        "changed_files": number(document, "pull_request.changed_files"),
        "commits": number(document, "pull_request.commits"),
        "merged": optional(document, "pull_request.merged", bool),
        "merge_commit_sha": line(document, "pull_request.merge_commit_sha"),
        "merged_by": line(document, "pull_request.merged_by.login"),
        "opened_at": instant(document, "pull_request.created_at"),
        "requested_reviewers": names(document, "pull_request.requested_reviewers", of="login"),
        "assignees": names(document, "pull_request.assignees", of="login"),
        "label": line(document, "label.name"),
        "before": line(document, "before"),
        "changed": changed(document),
    }
    facts = _about_pr(
        document,
        pr,
        extra,
        variant="merged" if merged else "",
        occurred_at=first_instant(
            document,
            *_TIMES_OF_PR.get(action_of(document), ()),
            "pull_request.updated_at",
            "pull_request.created_at",
        ),
    )
    return evolve(facts, event_key=event_keys.of_pull_request(document))


def review(document: Document) -> Facts:
    """``pull_request_review``: a review has only the time it was given, so a later change takes the PR's."""
    submitted = ("review.submitted_at",) if action_of(document) == "submitted" else ()
    state = line(document, "review.state")
    extra = {
        "review_id": number(document, "review.id"),
        "review_state": state.lower() if state else None,
        "review_body": text(document, "review.body"),
        "reviewer": line(document, "review.user.login"),
        "review_commit": line(document, "review.commit_id"),
        "review_url": line(document, "review.html_url"),
        "submitted_at": instant(document, "review.submitted_at"),
    }
    return _about_pr(
        document,
        needed_number(document, "pull_request.number"),
        extra,
        occurred_at=first_instant(
            document, *submitted, "pull_request.updated_at", "review.submitted_at"
        ),
        keys={"review_id": extra["review_id"]},
    )


def review_comment(document: Document) -> Facts:
    """``pull_request_review_comment``: a comment on a line."""
    extra = _comment(document) | {
        "path": line(document, "comment.path"),
        "line": number(document, "comment.line"),
        "in_reply_to": number(document, "comment.in_reply_to_id"),
        "review_id": number(document, "comment.pull_request_review_id"),
    }
    return _about_pr(
        document,
        needed_number(document, "pull_request.number"),
        extra,
        occurred_at=_comment_time(document),
        keys={"comment_id": extra["comment_id"]},
    )


def issue(document: Document) -> Facts:
    """``issues``: every action carries the whole issue."""
    times = _TIMES_OF_ISSUE.get(action_of(document), ())
    key = key_of(document, needed_number(document, "issue.number"))
    return Facts(
        occurred_at=first_instant(document, *times, "issue.updated_at", "issue.created_at"),
        event_key=event_keys.of_issue(document),
        payload={
            **_issue(document),
            "body": text(document, "issue.body"),
            "state_reason": line(document, "issue.state_reason"),
            "assignees": names(document, "issue.assignees", of="login"),
            "milestone": line(document, "issue.milestone.title"),
            "label": line(document, "label.name"),
            "assignee": line(document, "assignee.login"),
            "opened_at": instant(document, "issue.created_at"),
            "changed": changed(document),
        },
        keys={"issue_key": key, "issue_id": number(document, "issue.id")},
    )


def issue_comment(document: Document) -> Facts:
    """``issue_comment``: pull requests are issues too; ``issue.pull_request`` tells them apart."""
    subject = needed_number(document, "issue.number")
    key, comment = key_of(document, subject), _comment(document)
    on_pr = find(document, "issue.pull_request") is not None
    about = _issue(document) | ({"pr_number": subject} if on_pr else {})
    if on_pr:
        del about["issue_number"]
    return Facts(
        variant="pr" if on_pr else "",
        occurred_at=_comment_time(document),
        event_key=event_keys.of_comment(document),
        pr_number=subject if on_pr else None,
        payload={**about, **comment, "changed": changed(document)},
        keys={("pr_key" if on_pr else "issue_key"): key, "comment_id": comment["comment_id"]},
    )


def commit_comment(document: Document) -> Facts:
    """``commit_comment``: a comment on a commit, perhaps on a line of it."""
    comment = _comment(document)
    return Facts(
        occurred_at=_comment_time(document),
        commit=optional(document, "comment.commit_id", str),
        payload={
            **comment,
            "path": line(document, "comment.path"),
            "line": number(document, "comment.line"),
        },
        keys={"comment_id": comment["comment_id"]},
    )


def _about_pr(
    document: Document,
    pr: int,
    extra: Mapping[str, object],
    *,
    occurred_at: datetime | None,
    variant: str = "",
    keys: Mapping[str, object] | None = None,
) -> Facts:
    return Facts(
        variant=variant,
        occurred_at=occurred_at,
        branch=optional(document, "pull_request.head.ref", str),
        commit=optional(document, "pull_request.head.sha", str),
        pr_number=pr,
        payload={
            "pr_number": pr,
            "title": line(document, "pull_request.title"),
            "state": line(document, "pull_request.state"),
            "draft": optional(document, "pull_request.draft", bool),
            "author": line(document, "pull_request.user.login"),
            "author_association": line(document, "pull_request.author_association"),
            "head_branch": line(document, "pull_request.head.ref"),
            "head_sha": line(document, "pull_request.head.sha"),
            "base_branch": line(document, "pull_request.base.ref"),
            "base_sha": line(document, "pull_request.base.sha"),
            "labels": names(document, "pull_request.labels", of="name"),
            "url": line(document, "pull_request.html_url"),
            **extra,
        },
        keys={
            "pr_number": pr,
            "pr_key": key_of(document, pr),
            "pr_global_id": number(document, "pull_request.id"),
            **(keys or {}),
        },
    )


def _issue(document: Document) -> dict[str, object]:
    return {
        "issue_number": needed_number(document, "issue.number"),
        "title": line(document, "issue.title"),
        "state": line(document, "issue.state"),
        "author": line(document, "issue.user.login"),
        "labels": names(document, "issue.labels", of="name"),
        "url": line(document, "issue.html_url"),
    }


def _comment(document: Document) -> dict[str, object]:
    return {
        "comment_id": needed_number(document, "comment.id"),
        "comment": text(document, "comment.body"),
        "comment_author": line(document, "comment.user.login"),
        "comment_author_association": line(document, "comment.author_association"),
        "comment_url": line(document, "comment.html_url"),
    }


def _comment_time(document: Document) -> datetime | None:
    # A poll finds a comment later than it was made, perhaps after it was edited.
    made = ("comment.created_at",) if action_of(document) == "created" else ()
    return first_instant(document, *made, "comment.updated_at", "comment.created_at")
