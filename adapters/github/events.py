"""What GitHub's webhooks mean: its names to ours, at the top; the reading of each kind is in the other files.

Where things are in the payloads: docs.github.com, "Webhook events and payloads".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from adapters.contract import Delivery, Signal
from adapters.document import Document, parse
from adapters.github import changes, conversations, pipelines
from adapters.github.facts import Facts, signal
from adapters.signals import OTHER

Reading: TypeAlias = Callable[[Document], Facts]
"""Reads the payload of one event."""

READINGS: Mapping[str, Reading] = MappingProxyType(
    {
        "check_run": pipelines.check_run,
        "check_suite": pipelines.check_suite,
        "commit_comment": conversations.commit_comment,
        "create": changes.ref_change,
        "delete": changes.ref_change,
        "deployment": pipelines.deployment,
        "deployment_status": pipelines.deployment_status,
        "issue_comment": conversations.issue_comment,
        "issues": conversations.issue,
        "member": changes.member,
        "ping": changes.ping,
        "pull_request": conversations.pull_request,
        "pull_request_review": conversations.review,
        "pull_request_review_comment": conversations.review_comment,
        "push": changes.push,
        "release": changes.release,
        "repository": changes.repository,
        "status": pipelines.status,
        "workflow_job": pipelines.workflow_job,
        "workflow_run": pipelines.workflow_run,
    }
)

SIGNAL_OF: Mapping[str, str] = MappingProxyType(
    {
        "check_run.completed": "check_run_completed",
        "check_run.created": "check_run_created",
        "check_run.requested_action": OTHER,
        "check_run.rerequested": "check_run_created",
        "check_suite.completed": "check_suite_completed",
        "check_suite.requested": "check_suite_requested",
        "check_suite.rerequested": "check_suite_requested",
        "commit_comment.created": "commit_comment_created",
        "create": "branch_created",
        "create/tag": "tag_created",
        "delete": "branch_deleted",
        "delete/tag": "tag_deleted",
        "deployment": "deployment_created",
        "deployment.created": "deployment_created",
        "deployment_status": "deployment_status",
        "deployment_status.created": "deployment_status",
        "issue_comment.created": "issue_comment_created",
        "issue_comment.created/pr": "pr_comment_created",
        "issue_comment.deleted": "issue_comment_deleted",
        "issue_comment.deleted/pr": "pr_comment_deleted",
        "issue_comment.edited": "issue_comment_updated",
        "issue_comment.edited/pr": "pr_comment_updated",
        "issues.assigned": "issue_assigned",
        "issues.closed": "issue_closed",
        "issues.deleted": "issue_deleted",
        "issues.demilestoned": "issue_labeled",
        "issues.edited": "issue_updated",
        "issues.labeled": "issue_labeled",
        "issues.locked": "issue_updated",
        "issues.milestoned": "issue_labeled",
        "issues.opened": "issue_created",
        "issues.pinned": "issue_updated",
        "issues.reopened": "issue_reopened",
        "issues.transferred": "issue_moved",
        "issues.typed": "issue_updated",
        "issues.unassigned": "issue_assigned",
        "issues.unlabeled": "issue_labeled",
        "issues.unlocked": "issue_updated",
        "issues.unpinned": "issue_updated",
        "issues.untyped": "issue_updated",
        "member.added": "member_added",
        "member.edited": "member_updated",
        "member.removed": "member_removed",
        "ping": "webhook_ping",
        "pull_request.assigned": "pr_labeled",
        "pull_request.auto_merge_disabled": "pr_queued",
        "pull_request.auto_merge_enabled": "pr_queued",
        "pull_request.closed": "pr_closed",
        "pull_request.closed/merged": "pr_merged",
        "pull_request.converted_to_draft": "pr_drafted",
        "pull_request.demilestoned": "pr_labeled",
        "pull_request.dequeued": "pr_queued",
        "pull_request.edited": "pr_updated",
        "pull_request.enqueued": "pr_queued",
        "pull_request.labeled": "pr_labeled",
        "pull_request.locked": "pr_locked",
        "pull_request.milestoned": "pr_labeled",
        "pull_request.opened": "pr_opened",
        "pull_request.ready_for_review": "pr_ready",
        "pull_request.reopened": "pr_reopened",
        "pull_request.review_request_removed": "pr_review_requested",
        "pull_request.review_requested": "pr_review_requested",
        "pull_request.synchronize": "pr_updated",
        "pull_request.unassigned": "pr_labeled",
        "pull_request.unlabeled": "pr_labeled",
        "pull_request.unlocked": "pr_locked",
        "pull_request_review.dismissed": "review_dismissed",
        "pull_request_review.edited": "review_updated",
        "pull_request_review.submitted": "review_submitted",
        "pull_request_review_comment.created": "review_comment_created",
        "pull_request_review_comment.deleted": "review_comment_deleted",
        "pull_request_review_comment.edited": "review_comment_updated",
        "push": "push",
        "release.created": "release_updated",
        "release.deleted": "release_deleted",
        "release.edited": "release_updated",
        "release.prereleased": "release_published",
        "release.published": "release_published",
        "release.released": "release_published",
        "release.unpublished": "release_updated",
        "repository.archived": "repository_archived",
        "repository.created": "repository_created",
        "repository.deleted": "repository_deleted",
        "repository.edited": "repository_updated",
        "repository.privatized": "repository_updated",
        "repository.publicized": "repository_updated",
        "repository.renamed": "repository_updated",
        "repository.transferred": "repository_updated",
        "repository.unarchived": "repository_archived",
        "status": "commit_status",
        "workflow_job.completed": "job_completed",
        "workflow_job.in_progress": "job_started",
        "workflow_job.queued": "job_queued",
        "workflow_job.waiting": "job_queued",
        "workflow_run.completed": "workflow_completed",
        "workflow_run.in_progress": "workflow_started",
        "workflow_run.requested": "workflow_requested",
    }
)
"""By ``event.action``; after a slash what the payload adds (a tag, a merge, a comment on a pull request)."""

EVENT_KINDS = tuple(sorted({key.partition("/")[0] for key in SIGNAL_OF}))
_KNOWN = frozenset(EVENT_KINDS)
SIGNALS = tuple(sorted({*SIGNAL_OF.values(), OTHER}))


def normalise(delivery: Delivery) -> tuple[Signal, ...]:
    """See ``Webhooks.normalise``: one delivery is one signal."""
    document, kind = parse(delivery.body), delivery.event_kind
    facts = READINGS[kind.partition(".")[0]](document) if kind in _KNOWN else Facts()
    key = f"{kind}/{facts.variant}" if facts.variant else kind
    signal_type = SIGNAL_OF.get(key, OTHER)
    return (
        signal(
            document,
            facts,
            signal_type=signal_type,
            kind=kind,
            received_at=delivery.received_at,
        ),
    )
