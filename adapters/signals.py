"""The canonical signal types, of every family of providers, in one table.

An adapter maps its provider's names to these; PM-3 knows a signal by them. ``docs/signals.md`` is this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from attrs import frozen

from adapters.manifest import Category

OTHER = "other"


@frozen(kw_only=True)
class SignalType:
    """One canonical type: the families that make it (none: all of them), and what it means."""

    categories: tuple[Category, ...]
    meaning: str


_ANY: tuple[Category, ...] = ()
_SCM = (Category.SCM,)
_SCM_CI = (Category.SCM, Category.CI_CD)
_SCM_ISSUES = (Category.SCM, Category.ISSUE_TRACKER)
_ISSUES = (Category.ISSUE_TRACKER,)
_CHAT = (Category.CHAT,)
_CI = (Category.CI_CD,)
_WATCH = (Category.OBSERVABILITY,)
_KNOWLEDGE = (Category.KNOWLEDGE,)
_EMAIL = (Category.EMAIL,)

_TABLE: tuple[tuple[str, tuple[Category, ...], str], ...] = (
    ("pr_opened", _SCM, "A pull or merge request was opened."),
    ("pr_updated", _SCM, "New commits, another base, or an edited title or text."),
    ("pr_ready", _SCM, "A draft became ready for review."),
    ("pr_drafted", _SCM, "A pull request was turned back into a draft."),
    ("pr_labeled", _SCM, "Labels, milestone or assignees of a pull request changed."),
    ("pr_review_requested", _SCM, "A review was asked for, or the wish was withdrawn."),
    ("pr_merged", _SCM, "A pull request was merged."),
    ("pr_closed", _SCM, "A pull request was closed without being merged."),
    ("pr_reopened", _SCM, "A closed pull request was opened again."),
    ("pr_queued", _SCM, "A pull request entered or left a merge queue, or auto-merge changed."),
    ("pr_locked", _SCM, "The conversation of a pull request was locked or unlocked."),
    ("pr_comment_created", _SCM, "A comment on a pull request's conversation."),
    ("pr_comment_updated", _SCM, "A comment on a pull request was edited."),
    ("pr_comment_deleted", _SCM, "A comment on a pull request was deleted."),
    ("review_submitted", _SCM, "A review with its verdict was given."),
    ("review_updated", _SCM, "A review was edited."),
    ("review_dismissed", _SCM, "A review lost its force."),
    ("review_comment_created", _SCM, "A comment on a line of a pull request."),
    ("review_comment_updated", _SCM, "A comment on a line was edited."),
    ("review_comment_deleted", _SCM, "A comment on a line was deleted."),
    ("commit_comment_created", _SCM, "A comment on a commit."),
    ("commit_status", _SCM_CI, "A status was set on a commit."),
    ("push", _SCM, "Commits were pushed to a branch, or a ref was moved."),
    ("branch_created", _SCM, "A branch was created."),
    ("branch_deleted", _SCM, "A branch was deleted."),
    ("tag_created", _SCM, "A tag was created."),
    ("tag_deleted", _SCM, "A tag was deleted."),
    ("release_published", _SCM, "A release became visible."),
    ("release_updated", _SCM, "A release was created as a draft, edited, or unpublished."),
    ("release_deleted", _SCM, "A release was deleted."),
    ("repository_created", _SCM, "A repository was created."),
    ("repository_updated", _SCM, "Settings, name, visibility or owner of a repository changed."),
    ("repository_deleted", _SCM, "A repository was deleted."),
    ("repository_archived", _SCM, "A repository became read-only, or writable again."),
    ("member_added", _SCM, "Somebody was given access to a repository."),
    ("member_updated", _SCM, "Somebody's access to a repository changed."),
    ("member_removed", _SCM, "Somebody lost access to a repository."),
    ("issue_created", _SCM_ISSUES, "An issue was created."),
    ("issue_updated", _SCM_ISSUES, "Title, text or fields of an issue changed."),
    ("issue_assigned", _SCM_ISSUES, "The people an issue is assigned to changed."),
    ("issue_labeled", _SCM_ISSUES, "Labels or milestone of an issue changed."),
    ("issue_transitioned", _ISSUES, "An issue moved to another state of its workflow."),
    ("issue_closed", _SCM_ISSUES, "An issue was closed or resolved."),
    ("issue_reopened", _SCM_ISSUES, "A closed issue was opened again."),
    ("issue_deleted", _SCM_ISSUES, "An issue was deleted."),
    ("issue_moved", _SCM_ISSUES, "An issue was moved to another repository or project."),
    ("issue_comment_created", _SCM_ISSUES, "A comment on an issue."),
    ("issue_comment_updated", _SCM_ISSUES, "A comment on an issue was edited."),
    ("issue_comment_deleted", _SCM_ISSUES, "A comment on an issue was deleted."),
    ("sprint_changed", _ISSUES, "A sprint or cycle was created, started, changed or ended."),
    ("project_changed", _ISSUES, "A project or board was created, changed or deleted."),
    ("check_run_created", _SCM_CI, "A check began, or was asked for again."),
    ("check_run_completed", _SCM_CI, "A check ended, with its conclusion."),
    ("check_suite_requested", _SCM_CI, "The checks of a commit were asked for."),
    ("check_suite_completed", _SCM_CI, "All checks of one application on a commit ended."),
    ("workflow_requested", _SCM_CI, "A workflow or pipeline was queued."),
    ("workflow_started", _SCM_CI, "A workflow or pipeline began to run."),
    ("workflow_completed", _SCM_CI, "A workflow or pipeline ended, with its conclusion."),
    ("job_queued", _SCM_CI, "A job of a workflow waits for a runner or an approval."),
    ("job_started", _SCM_CI, "A job of a workflow began to run."),
    ("job_completed", _SCM_CI, "A job of a workflow ended, with its conclusion."),
    ("build_started", _CI, "A build began."),
    ("build_completed", _CI, "A build ended, with its result."),
    ("deployment_created", _SCM_CI, "A deployment to an environment was asked for."),
    ("deployment_status", _SCM_CI, "A deployment's state changed."),
    ("chat_message", _CHAT, "A message was posted."),
    ("chat_message_updated", _CHAT, "A message was edited."),
    ("chat_message_deleted", _CHAT, "A message was deleted."),
    ("chat_mention", _CHAT, "Our application was mentioned."),
    ("chat_command", _CHAT, "Somebody used a command or a button of ours."),
    ("chat_reaction", _CHAT, "A reaction was added or taken back."),
    ("chat_channel_changed", _CHAT, "A channel was created, renamed, archived or deleted."),
    ("chat_member_changed", _CHAT, "Somebody joined or left a channel or workspace."),
    ("alert_triggered", _WATCH, "An alert or incident began."),
    ("alert_acknowledged", _WATCH, "Somebody took an alert or incident."),
    ("alert_updated", _WATCH, "An alert or incident changed: severity, owner, notes."),
    ("alert_resolved", _WATCH, "An alert or incident ended."),
    ("error_detected", _WATCH, "An error of an application was seen first, or again."),
    ("metric_reported", _WATCH, "A measurement was reported."),
    ("page_created", _KNOWLEDGE, "A page or document was created."),
    ("page_updated", _KNOWLEDGE, "A page or document was changed or moved."),
    ("page_deleted", _KNOWLEDGE, "A page or document was deleted."),
    ("page_comment_created", _KNOWLEDGE, "A comment on a page."),
    ("email_received", _EMAIL, "A message arrived in a mailbox."),
    ("email_sent", _EMAIL, "A message left a mailbox."),
    ("email_bounced", _EMAIL, "A message could not be delivered."),
    ("webhook_ping", _ANY, "The provider tested the webhook; nothing happened."),
    (OTHER, _ANY, "Something this version knows no type for; the provider's name is in it."),
)

SIGNAL_TYPES: Mapping[str, SignalType] = MappingProxyType(
    {name: SignalType(categories=families, meaning=meaning) for name, families, meaning in _TABLE}
)


def render() -> str:
    """``docs/signals.md``: the table for people."""
    lines = [
        "# Signal types",
        "",
        "Written from `adapters/signals.py` (`render`); a test holds them equal.",
        "",
        "| signal type | providers | meaning |",
        "|---|---|---|",
    ]
    for name, kind in SIGNAL_TYPES.items():
        families = ", ".join(kind.categories) or "all"
        lines.append(f"| `{name}` | {families} | {kind.meaning} |")
    return "\n".join(lines) + "\n"
