"""The simulated GitHub's pull requests, and the reviews of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adapters.contract import Response
from adapters.document import Document, find, parse
from adapters.github.requests import stamp
from adapters.github.routes import Endpoints, Place, fits, invalid, not_found, page
from adapters.github.world import Item
from adapters.simulation import as_json

_STATES: Mapping[str, str] = MappingProxyType(
    {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}
)


def _list_reviews(at: Place) -> Response:
    return page(at.call, at.repository.reviews[at.number]) if _pull(at) else not_found()


def _create_review(at: Place) -> Response:
    pull = _pull(at)
    if pull is None:
        return not_found()
    fields = parse(at.call.request.body)
    event, body = fields.get("event"), fields.get("body")
    wrong = _wrong(fields)
    if wrong is not None:
        return invalid("PullRequestReview", wrong)
    if event == "APPROVE" and pull["user"]["login"] == at.call.author:
        problem = "Review Can not approve your own pull request"
        return as_json(422, {"message": "Unprocessable Entity", "errors": [problem]})
    made = at.call.world.new_id()
    review = {
        "id": made,
        "user": {"login": at.call.author, "type": "User"},
        "body": body or "",
        "state": _STATES[str(event)],
        "commit_id": fields.get("commit_id") or "0" * 40,
        "submitted_at": stamp(at.call.now),
        "html_url": f"{pull['html_url']}#pullrequestreview-{made}",
        "comments": fields.get("comments") or [],
    }
    at.repository.reviews[at.number].append(review)
    return as_json(200, _shown(review))


ENDPOINTS: Endpoints = MappingProxyType(
    {
        ("GET", "/pulls/#/reviews"): _list_reviews,
        ("POST", "/pulls/#/reviews"): _create_review,
    }
)


def _pull(at: Place) -> Item | None:
    issue = at.repository.issues.get(at.number)
    return issue if issue is not None and "pull_request" in issue else None


def _shown(review: Item) -> Document:
    """A review's comments on lines have an endpoint of their own."""
    return {name: value for name, value in review.items() if name != "comments"}


def _wrong(fields: Document) -> str | None:
    if fields.get("event") not in _STATES:
        return "event"
    body = fields.get("body")
    if not fits(body) and (body or fields["event"] != "APPROVE"):
        return "body"
    comments = fields.get("comments") or []
    return None if isinstance(comments, list) and all(map(_is_placed, comments)) else "comments"


def _is_placed(comment: Any) -> bool:  # noqa: ANN401  (JSON)
    if not isinstance(comment, dict) or not find(comment, "path") or not fits(comment.get("body")):
        return False
    return any(isinstance(comment.get(name), int) for name in ("line", "position"))
