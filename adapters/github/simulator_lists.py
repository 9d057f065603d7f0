"""The simulated GitHub's lists of a whole repository, which are polled, and what is in them as the API shows it."""

from __future__ import annotations

from types import MappingProxyType

from adapters.contract import Response
from adapters.document import instant
from adapters.github.routes import Endpoints, Place, page, paged
from adapters.github.world import Item, Repository
from adapters.simulation import as_json

_API = "https://api.github.com"
_PULL_IDS = 500_000_000
_COMMIT = "0" * 40


def shown_issue(repository: Repository, item: Item, *, root: str = _API) -> Item:
    """An issue, or a pull request as one, as a list shows it."""
    return {**item, "repository_url": f"{root}/repos/{repository.full_name}"}


def shown_pull(repository: Repository, item: Item) -> Item:
    """A pull request as a list of them shows it: under an id of its own, and not by whom it was merged."""
    kept = {
        name: value for name, value in item.items() if name not in ("pull_request", "closed_by")
    }
    home = {"id": repository.id, "full_name": repository.full_name}
    return {
        **kept,
        "id": item["id"] + _PULL_IDS,
        "draft": False,
        "merged_at": item["pull_request"]["merged_at"],
        "head": {"ref": f"topic-{item['number']}", "sha": _COMMIT, "repo": home},
        "base": {"ref": "main", "sha": _COMMIT, "repo": home},
    }


def shown_comment(repository: Repository, number: int, comment: Item, *, root: str = _API) -> Item:
    """A comment as a list shows it: it says where it is, and no more of what is there."""
    return {**comment, "issue_url": f"{root}/repos/{repository.full_name}/issues/{number}"}


def _list_issues(at: Place) -> Response:
    items = at.repository.issues.values()
    shown = [shown_issue(at.repository, item, root=at.call.root) for item in items]
    return page(at.call, _sorted(at, _in_state(at, shown), descending=True))


def _list_pulls(at: Place) -> Response:
    items = [item for item in at.repository.issues.values() if "pull_request" in item]
    shown = [shown_pull(at.repository, item) for item in items]
    # Nothing but the default order goes downwards by itself; and there is no ``since``.
    descending = at.call.query.get("sort", "created") == "created"
    listed = _sorted(at, _in_state(at, shown), descending=descending)
    found, headers = paged(at.call, listed)
    return as_json(200, found, headers=headers)


def _list_comments(at: Place) -> Response:
    shown = [
        shown_comment(at.repository, number, comment, root=at.call.root)
        for number, comments in at.repository.comments.items()
        for comment in comments
    ]
    return page(at.call, _sorted(at, shown, descending=False))


ENDPOINTS: Endpoints = MappingProxyType(
    {
        ("GET", "/issues"): _list_issues,
        ("GET", "/issues/comments"): _list_comments,
        ("GET", "/pulls"): _list_pulls,
    }
)


def _in_state(at: Place, items: list[Item]) -> list[Item]:
    state = at.call.query.get("state", "open")
    return [item for item in items if state in ("all", item["state"])]


def _sorted(at: Place, items: list[Item], *, descending: bool) -> list[Item]:
    order = "updated_at" if at.call.query.get("sort") == "updated" else "created_at"
    asked = at.call.query.get("direction")
    items.sort(
        key=lambda item: (instant(item, order), item["id"]),
        reverse=descending if asked is None else asked == "desc",
    )
    return items
