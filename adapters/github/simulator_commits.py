"""What is said of commits at the simulated GitHub: their statuses and check runs."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from adapters.contract import Response
from adapters.document import Document, parse
from adapters.github.requests import stamp
from adapters.github.routes import Endpoints, Place, invalid, not_found, page, paged
from adapters.github.world import Item
from adapters.simulation import as_json

_STATES = frozenset({"error", "failure", "pending", "success"})
_CONCLUSIONS = frozenset(
    {"action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"}
)
_MAX_DESCRIPTION = 140
_MAX_STATUSES = 1_000
_MAX_SUMMARY = 65_535
_MAX_ANNOTATIONS = 50
_REMARK = ("path", "start_line", "end_line", "annotation_level", "message")


def _list_statuses(at: Place) -> Response:
    listed = at.repository.statuses.get(at.sha, [])
    return page(at.call, list(reversed(listed)))


def _create_status(at: Place) -> Response:
    if at.sha in at.repository.missing_commits:
        return _no_commit(at.sha)
    fields = parse(at.call.request.body)
    context, listed = (
        fields.get("context", "default"),
        at.repository.statuses.setdefault(at.sha, []),
    )
    wrong = _wrong_status(fields)
    if wrong is not None:
        return invalid("Status", wrong)
    if sum(one["context"].lower() == context.lower() for one in listed) >= _MAX_STATUSES:
        problem = "This SHA and context has reached the maximum number of statuses."
        return as_json(422, {"message": "Validation Failed", "errors": [{"message": problem}]})
    status = {
        "id": at.call.world.new_id(),
        "state": fields["state"],
        "description": fields.get("description"),
        "target_url": fields.get("target_url"),
        "context": context,
        "creator": {"login": at.call.author},
        "created_at": stamp(at.call.now),
        "updated_at": stamp(at.call.now),
    }
    listed.append(status)
    return as_json(201, status)


def _list_check_runs(at: Place) -> Response:
    name = at.call.query.get("check_name")
    runs = [
        run
        for run in reversed(at.repository.check_runs.get(at.sha, []))
        if name in (None, run["name"])
    ]
    if at.call.query.get("filter", "latest") == "latest":
        runs = list({run["name"]: run for run in reversed(runs)}.values())
    shown, headers = paged(at.call, [_shown(run) for run in runs])
    return as_json(200, {"total_count": len(runs), "check_runs": shown}, headers=headers)


def _create_check_run(at: Place) -> Response:
    if at.call.token.login is not None:
        return as_json(403, {"message": "You must authenticate via a GitHub App."})
    fields = parse(at.call.request.body)
    sha, wrong = fields.get("head_sha"), _wrong_run(fields)
    if wrong is not None:
        return invalid("CheckRun", wrong)
    if sha in at.repository.missing_commits:
        return _no_commit(str(sha))
    made = at.call.world.new_id()
    run: Item = {
        "id": made,
        "name": fields["name"],
        "head_sha": sha,
        "external_id": fields.get("external_id") or "",
        "status": "completed" if fields.get("conclusion") else fields.get("status", "queued"),
        "conclusion": fields.get("conclusion"),
        "details_url": fields.get("details_url"),
        "started_at": stamp(at.call.now),
        "html_url": f"https://github.com/{at.repository.full_name}/runs/{made}",
        "output": _output(fields, []),
    }
    at.repository.check_runs.setdefault(str(sha), []).append(run)
    return as_json(201, _shown(run))


def _update_check_run(at: Place) -> Response:
    runs = (run for listed in at.repository.check_runs.values() for run in listed)
    run = next((run for run in runs if run["id"] == at.number), None)
    if run is None:
        return not_found()
    fields = parse(at.call.request.body)
    wrong = _wrong_output(fields.get("output"))
    if wrong is not None:
        return invalid("CheckRun", wrong)
    run["output"] = _output(fields, run["output"]["annotations"])
    return as_json(200, _shown(run))


ENDPOINTS: Endpoints = MappingProxyType(
    {
        ("GET", "/commits/@/statuses"): _list_statuses,
        ("POST", "/statuses/@"): _create_status,
        ("GET", "/commits/@/check-runs"): _list_check_runs,
        ("POST", "/check-runs"): _create_check_run,
        ("PATCH", "/check-runs/#"): _update_check_run,
    }
)


def _output(fields: Document, there: list[Item]) -> Item:
    """What a run says, with the annotations of a request added to those that are there."""
    output = fields.get("output") or {}
    return {
        "title": output.get("title"),
        "summary": output.get("summary"),
        "annotations": [*there, *output.get("annotations", ())],
    }


def _shown(run: Item) -> Item:
    """A run as the API shows it: its annotations only counted."""
    output = {name: value for name, value in run["output"].items() if name != "annotations"}
    return {**run, "output": {**output, "annotations_count": len(run["output"]["annotations"])}}


def _wrong_status(fields: Document) -> str | None:
    if fields.get("state") not in _STATES:
        return "state"
    if not isinstance(fields.get("context", "default"), str):
        return "context"
    return "description" if len(fields.get("description") or "") > _MAX_DESCRIPTION else None


def _wrong_run(fields: Document) -> str | None:
    for name in ("name", "head_sha"):
        if not isinstance(fields.get(name), str) or not fields[name]:
            return name
    conclusion = fields.get("conclusion")
    if conclusion not in _CONCLUSIONS and (conclusion or fields.get("status") == "completed"):
        return "conclusion"
    return _wrong_output(fields.get("output"))


def _wrong_output(output: Any) -> str | None:  # noqa: ANN401  (JSON)
    if output is None:
        return None
    if not isinstance(output, dict) or not output.get("title"):
        return "output"
    if not 0 < len(output.get("summary") or "") <= _MAX_SUMMARY:
        return "summary"
    remarks = output.get("annotations", [])
    if len(remarks) > _MAX_ANNOTATIONS:
        return "annotations"
    whole = all(remark.get(name) for remark in remarks for name in _REMARK)
    return None if whole else "annotations"


def _no_commit(sha: str) -> Response:
    return as_json(422, {"message": f"No commit found for SHA: {sha}"})
