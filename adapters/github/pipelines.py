"""Reading checks, commit statuses, workflows and deployments."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.document import Document, instant, objects, optional
from adapters.github.facts import (
    MAX_LISTED,
    Facts,
    action_of,
    duration_s,
    first_instant,
    line,
    names,
    needed_number,
    number,
    text,
)


def check_run(document: Document) -> Facts:
    """``check_run``: one check on a commit."""
    check = needed_number(document, "check_run.id")
    started = instant(document, "check_run.started_at")
    completed = instant(document, "check_run.completed_at")
    name = line(document, "check_run.name")
    pr_numbers = _pr_numbers(document, "check_run.pull_requests")
    return Facts(
        occurred_at=(completed if action_of(document) == "completed" else None) or started,
        branch=optional(document, "check_run.check_suite.head_branch", str),
        commit=optional(document, "check_run.head_sha", str),
        pr_number=pr_numbers[0] if len(pr_numbers) == 1 else None,
        payload={
            "check_run_id": check,
            "check_name": name,
            "status": line(document, "check_run.status"),
            "conclusion": line(document, "check_run.conclusion"),
            "head_sha": line(document, "check_run.head_sha"),
            "head_branch": line(document, "check_run.check_suite.head_branch"),
            "app": line(document, "check_run.app.slug") or line(document, "check_run.app.name"),
            "external_id": line(document, "check_run.external_id"),
            "output_title": line(document, "check_run.output.title"),
            "output_summary": text(document, "check_run.output.summary"),
            "annotations_count": number(document, "check_run.output.annotations_count"),
            "started_at": started,
            "completed_at": completed,
            "duration_s": duration_s(started, completed),
            "pr_numbers": pr_numbers,
            "url": line(document, "check_run.html_url"),
        },
        keys={
            "check_run_id": check,
            "check_name": name,
            "check_suite_id": number(document, "check_run.check_suite.id"),
        },
    )


def check_suite(document: Document) -> Facts:
    """``check_suite``: all checks of one application on a commit."""
    suite = needed_number(document, "check_suite.id")
    created = instant(document, "check_suite.created_at")
    updated = instant(document, "check_suite.updated_at")
    pr_numbers = _pr_numbers(document, "check_suite.pull_requests")
    return Facts(
        occurred_at=updated or created,
        branch=optional(document, "check_suite.head_branch", str),
        commit=optional(document, "check_suite.head_sha", str),
        pr_number=pr_numbers[0] if len(pr_numbers) == 1 else None,
        payload={
            "check_suite_id": suite,
            "status": line(document, "check_suite.status"),
            "conclusion": line(document, "check_suite.conclusion"),
            "head_sha": line(document, "check_suite.head_sha"),
            "head_branch": line(document, "check_suite.head_branch"),
            "app": line(document, "check_suite.app.slug")
            or line(document, "check_suite.app.name"),
            "check_run_count": number(document, "check_suite.latest_check_runs_count"),
            "duration_s": duration_s(created, updated)
            if action_of(document) == "completed"
            else None,
            "pr_numbers": pr_numbers,
        },
        keys={"check_suite_id": suite},
    )


def status(document: Document) -> Facts:
    """``status``: a commit status; ``context`` names the check that set it."""
    context = line(document, "context")
    branches = names(document, "branches", of="name")
    return Facts(
        occurred_at=first_instant(document, "updated_at", "created_at"),
        branch=branches[0] if branches is not None and len(branches) == 1 else None,
        commit=optional(document, "sha", str),
        payload={
            "status_id": needed_number(document, "id"),
            "check_name": context,
            "state": line(document, "state"),
            "description": line(document, "description"),
            "head_sha": line(document, "sha"),
            "branches": branches,
            "url": line(document, "target_url"),
        },
        keys={"status_id": number(document, "id"), "check_name": context},
    )


def workflow_run(document: Document) -> Facts:
    """``workflow_run``: one attempt of a workflow of GitHub Actions."""
    run = needed_number(document, "workflow_run.id")
    started = first_instant(document, "workflow_run.run_started_at", "workflow_run.created_at")
    updated = instant(document, "workflow_run.updated_at")
    pr_numbers = _pr_numbers(document, "workflow_run.pull_requests")
    return Facts(
        occurred_at=updated or started,
        branch=optional(document, "workflow_run.head_branch", str),
        commit=optional(document, "workflow_run.head_sha", str),
        pr_number=pr_numbers[0] if len(pr_numbers) == 1 else None,
        payload={
            "workflow_run_id": run,
            "workflow_name": line(document, "workflow_run.name"),
            "workflow_path": line(document, "workflow_run.path"),
            "run_number": number(document, "workflow_run.run_number"),
            "run_attempt": number(document, "workflow_run.run_attempt"),
            "trigger": line(document, "workflow_run.event"),
            "status": line(document, "workflow_run.status"),
            "conclusion": line(document, "workflow_run.conclusion"),
            "head_sha": line(document, "workflow_run.head_sha"),
            "head_branch": line(document, "workflow_run.head_branch"),
            "author": line(document, "workflow_run.actor.login"),
            "started_at": started,
            "duration_s": duration_s(started, updated)
            if action_of(document) == "completed"
            else None,
            "pr_numbers": pr_numbers,
            "url": line(document, "workflow_run.html_url"),
        },
        keys={
            "workflow_run_id": run,
            "workflow_id": number(document, "workflow_run.workflow_id"),
            "run_attempt": number(document, "workflow_run.run_attempt"),
        },
    )


def workflow_job(document: Document) -> Facts:
    """``workflow_job``: one job of a run."""
    job = needed_number(document, "workflow_job.id")
    created = instant(document, "workflow_job.created_at")
    started = instant(document, "workflow_job.started_at")
    completed = instant(document, "workflow_job.completed_at")
    by_action = {"completed": completed, "in_progress": started}.get(action_of(document), created)
    return Facts(
        occurred_at=by_action or started or created,
        branch=optional(document, "workflow_job.head_branch", str),
        commit=optional(document, "workflow_job.head_sha", str),
        payload={
            "job_id": job,
            "job_name": line(document, "workflow_job.name"),
            "workflow_name": line(document, "workflow_job.workflow_name"),
            "workflow_run_id": number(document, "workflow_job.run_id"),
            "run_attempt": number(document, "workflow_job.run_attempt"),
            "status": line(document, "workflow_job.status"),
            "conclusion": line(document, "workflow_job.conclusion"),
            "head_sha": line(document, "workflow_job.head_sha"),
            "head_branch": line(document, "workflow_job.head_branch"),
            "runner": line(document, "workflow_job.runner_name"),
            "failed_steps": _failed_steps(document),
            "waited_s": duration_s(created, started) if action_of(document) != "queued" else None,
            "duration_s": duration_s(started, completed),
            "url": line(document, "workflow_job.html_url"),
        },
        keys={"job_id": job, "workflow_run_id": number(document, "workflow_job.run_id")},
    )


def deployment(document: Document) -> Facts:
    """``deployment``: somebody asked for a deployment."""
    return _deployment(document, {}, "deployment.updated_at", "deployment.created_at")


def deployment_status(document: Document) -> Facts:
    """``deployment_status``: how a deployment goes."""
    extra = {
        "deployment_status_id": needed_number(document, "deployment_status.id"),
        "state": line(document, "deployment_status.state"),
        "status_description": line(document, "deployment_status.description"),
        "url": line(document, "deployment_status.target_url"),
    }
    return _deployment(
        document, extra, "deployment_status.updated_at", "deployment_status.created_at"
    )


def _deployment(document: Document, extra: Mapping[str, object], *times: str) -> Facts:
    # ``ref`` may be a branch, a tag or a commit, so it is not said to be a branch.
    deployed = needed_number(document, "deployment.id")
    environment = line(document, "deployment.environment")
    return Facts(
        occurred_at=first_instant(document, *times),
        commit=optional(document, "deployment.sha", str),
        environment=environment,
        deployment_id=deployed,
        payload={
            "deployment_id": deployed,
            "environment": environment,
            "task": line(document, "deployment.task"),
            "ref": line(document, "deployment.ref"),
            "head_sha": line(document, "deployment.sha"),
            "description": line(document, "deployment.description"),
            "author": line(document, "deployment.creator.login"),
            "requested_at": instant(document, "deployment.created_at"),
            **extra,
        },
        keys={"deployment_id": deployed},
    )


def _failed_steps(document: Document) -> list[str]:
    return [
        name
        for step in objects(document, "workflow_job.steps")[:MAX_LISTED]
        if step.get("conclusion") == "failure" and (name := line(step, "name")) is not None
    ]


def _pr_numbers(document: Document, path: str) -> list[int]:
    return [needed_number(item, "number") for item in objects(document, path)[:MAX_LISTED]]
