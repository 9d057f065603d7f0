"""The simulated GitHub's issues: what its API answers about them, their comments, labels and events."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adapters.contract import Response
from adapters.document import Document, parse
from adapters.github.routes import Endpoints, Place, fits, invalid, not_found, page
from adapters.github.world import Item, named
from adapters.simulation import as_json

_MAX_TITLE = 256
_STATES = ("open", "closed")
_LISTED: Mapping[str, str] = MappingProxyType({"labels": "name", "assignees": "login"})


def _create_issue(at: Place) -> Response:
    if not at.repository.has_issues:
        return as_json(410, {"message": "Issues has been disabled in this repository."})
    fields = parse(at.call.request.body)
    wrong = _wrong({"title": None, **fields})
    if wrong is not None:
        return invalid("Issue", wrong)
    issue = at.call.world.add_issue(
        at.repository,
        title=fields["title"],
        body=fields.get("body"),
        labels=tuple(str(label) for label in fields.get("labels") or ()),
        assignees=tuple(str(login) for login in fields.get("assignees") or ()),
        author=at.call.author,
        now=at.call.now,
    )
    location = f"{at.call.root}{at.call.request.url}/{issue['number']}"
    return as_json(201, issue, headers=(("location", location),))


def _get_issue(at: Place) -> Response:
    issue = at.repository.issues.get(at.number)
    return as_json(200, issue) if issue else not_found()


def _update_issue(at: Place) -> Response:
    issue = at.repository.issues.get(at.number)
    if issue is None:
        return not_found()
    fields = parse(at.call.request.body)
    wrong = _wrong(fields)
    if wrong is not None:
        return invalid("Issue", wrong)
    for name in ("title", "body", "state", "labels", "assignees"):
        value = fields.get(name)
        if value is not None:
            _set(at, name, named(value, _LISTED[name]) if name in _LISTED else value)
    return as_json(200, issue)


def _list_labels(at: Place) -> Response:
    issue = at.repository.issues.get(at.number)
    return page(at.call, issue["labels"]) if issue else not_found()


def _add_labels(at: Place) -> Response:
    issue = at.repository.issues.get(at.number)
    if issue is None:
        return not_found()
    wanted = parse(at.call.request.body).get("labels")
    if not _is_names(wanted):
        return invalid("Label", "name")
    there = {label["name"].lower() for label in issue["labels"]}
    fresh = [name for name in wanted or () if name.lower() not in there]
    return as_json(200, _set(at, "labels", issue["labels"] + named(fresh, "name"))["labels"])


def _remove_label(at: Place) -> Response:
    issue = at.repository.issues.get(at.number)
    if issue is None:
        return not_found()
    kept = [label for label in issue["labels"] if label["name"].lower() != at.name.lower()]
    if len(kept) == len(issue["labels"]):
        return as_json(404, {"message": "Label does not exist", "status": "404"})
    return as_json(200, _set(at, "labels", kept)["labels"])


def _list_events(at: Place) -> Response:
    events = at.repository.events.get(at.number)
    return not_found() if events is None else page(at.call, events)


def _list_comments(at: Place) -> Response:
    comments = at.repository.comments.get(at.number)
    return not_found() if comments is None else page(at.call, comments)


def _create_comment(at: Place) -> Response:
    issue = at.repository.issues.get(at.number)
    if issue is None:
        return not_found()
    if issue["locked"]:
        return as_json(403, {"message": "Unable to create comment because issue is locked."})
    body = parse(at.call.request.body).get("body")
    if not fits(body):
        return invalid("IssueComment", "body")
    comment = at.call.world.add_comment(
        at.repository, at.number, body=str(body), author=at.call.author, now=at.call.now
    )
    return as_json(201, comment, headers=(("location", str(comment["html_url"])),))


ENDPOINTS: Endpoints = MappingProxyType(
    {
        ("POST", "/issues"): _create_issue,
        ("GET", "/issues/#"): _get_issue,
        ("PATCH", "/issues/#"): _update_issue,
        ("GET", "/issues/#/labels"): _list_labels,
        ("POST", "/issues/#/labels"): _add_labels,
        ("DELETE", "/issues/#/labels/*"): _remove_label,
        ("GET", "/issues/#/events"): _list_events,
        ("GET", "/issues/#/comments"): _list_comments,
        ("POST", "/issues/#/comments"): _create_comment,
    }
)


def _set(at: Place, name: str, value: object) -> Item:
    return at.call.world.change_issue(
        at.repository, at.number, name=name, value=value, author=at.call.author, now=at.call.now
    )


def _wrong(fields: Document) -> str | None:
    """The first field of an issue that GitHub does not take."""
    title, state, body = fields.get("title", "-"), fields.get("state"), fields.get("body")
    if not isinstance(title, str) or not 0 < len(title) <= _MAX_TITLE:
        return "title"
    # An empty body is one; only a comment must have words.
    if body not in (None, "") and not fits(body):
        return "body"
    if state is not None and state not in _STATES:
        return "state"
    return next((name for name in _LISTED if not _is_names(fields.get(name))), None)


def _is_names(value: Any) -> bool:  # noqa: ANN401  (JSON)
    names = [] if value is None else value
    return isinstance(names, list) and all(isinstance(name, str) and name for name in names)
