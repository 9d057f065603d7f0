"""The endpoints of the simulated GitHub: one function for each, found by method and path."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias
from urllib.parse import urlencode

from attrs import frozen

from adapters.contract import Request, Response
from adapters.document import Document, instant, parse
from adapters.github.world import Item, Repository, Token, World
from adapters.simulation import as_json

_MAX_BODY = 65_536
_MAX_TITLE = 256
_DEFAULT_PER_PAGE = 30
_MAX_PER_PAGE = 100


@frozen(kw_only=True)
class Call:
    """A request whose credentials were accepted. ``request.url`` is its path; ``root`` is for links."""

    world: World
    token: Token
    request: Request
    query: Mapping[str, str]
    root: str
    now: datetime

    @property
    def author(self) -> str:
        """Who acts."""
        return self.token.login or "app[bot]"


@frozen(kw_only=True)
class Place:
    """A call about a repository, and about issue ``number`` of it (0: about none)."""

    call: Call
    repository: Repository
    number: int


Endpoint: TypeAlias = Callable[[Place], Response]


def answer(call: Call) -> Response:
    """Do what the request asks.

    Raises:
        PayloadError: its body is no JSON object.
    """
    account = _ACCOUNT.get((call.request.method, call.request.url))
    if account is not None:
        return account(call)
    found = _PATH.fullmatch(call.request.url)
    if found is None:
        return _not_found()
    repository = _repository(call, found)
    if repository is None:
        return _moved(call, found) or _not_found()
    endpoint = _ENDPOINTS.get((call.request.method, _PLACEHOLDER.sub("/#", found["rest"])))
    if endpoint is None or (call.request.method != "GET" and not call.token.writes):
        return _not_found() if endpoint is None else _not_permitted()
    number = _PLACEHOLDER.search(found["rest"])
    return endpoint(
        Place(call=call, repository=repository, number=int(number[1]) if number else 0)
    )


def _user(call: Call) -> Response:
    if call.token.login is None:
        return as_json(403, {"message": "Resource not accessible by integration"})
    return as_json(200, {"login": call.token.login, "id": 1, "type": "User"})


def _installation(call: Call) -> Response:
    if call.token.login is not None:
        return as_json(403, {"message": "You must authenticate with an installation access token"})
    listed = [_shown(repository) for repository in call.world.repositories.values()]
    document = {"total_count": len(listed), "repositories": listed[: _per_page(call)]}
    return as_json(200, document)


def _get_repository(at: Place) -> Response:
    return as_json(200, _shown(at.repository))


def _list_issues(at: Place) -> Response:
    state, descending = at.call.query.get("state", "open"), at.call.query.get("direction") != "asc"
    order = "updated_at" if at.call.query.get("sort") == "updated" else "created_at"
    items = [item for item in at.repository.issues.values() if state in ("all", item["state"])]
    items.sort(key=lambda item: (item[order], item["number"]), reverse=descending)
    return _page(at.call, items)


def _create_issue(at: Place) -> Response:
    if not at.repository.has_issues:
        return as_json(410, {"message": "Issues has been disabled in this repository."})
    fields = parse(at.call.request.body)
    title, body = fields.get("title"), fields.get("body")
    if not isinstance(title, str) or not title or len(title) > _MAX_TITLE:
        return _invalid("Issue", "title")
    if body is not None and not _fits(body):
        return _invalid("Issue", "body")
    issue = at.call.world.add_issue(
        at.repository,
        title=title,
        body=body,
        labels=tuple(str(label) for label in fields.get("labels") or ()),
        author=at.call.author,
        now=at.call.now,
    )
    return as_json(
        201,
        issue,
        headers=(("location", f"{at.call.root}{at.call.request.url}/{issue['number']}"),),
    )


def _get_issue(at: Place) -> Response:
    issue = at.repository.issues.get(at.number)
    return as_json(200, issue) if issue else _not_found()


def _list_comments(at: Place) -> Response:
    comments = at.repository.comments.get(at.number)
    return _not_found() if comments is None else _page(at.call, comments)


def _create_comment(at: Place) -> Response:
    issue = at.repository.issues.get(at.number)
    if issue is None:
        return _not_found()
    if issue["locked"]:
        return as_json(403, {"message": "Unable to create comment because issue is locked."})
    body = parse(at.call.request.body).get("body")
    if not _fits(body):
        return _invalid("IssueComment", "body")
    comment = at.call.world.add_comment(
        at.repository, at.number, body=str(body), author=at.call.author, now=at.call.now
    )
    return as_json(201, comment, headers=(("location", str(comment["html_url"])),))


_ACCOUNT: Mapping[tuple[str, str], Callable[[Call], Response]] = {
    ("GET", "/user"): _user,
    ("GET", "/installation/repositories"): _installation,
}
_ENDPOINTS: Mapping[tuple[str, str], Endpoint] = {
    ("GET", ""): _get_repository,
    ("GET", "/issues"): _list_issues,
    ("POST", "/issues"): _create_issue,
    ("GET", "/issues/#"): _get_issue,
    ("GET", "/issues/#/comments"): _list_comments,
    ("POST", "/issues/#/comments"): _create_comment,
}
_PATH = re.compile(
    r"/(?:repos/(?P<name>[^/]+/[^/]+)|repositories/(?P<id>\d{1,12}))(?P<rest>(?:/[^/]+)*)"
)
_PLACEHOLDER = re.compile(r"/(\d{1,12})(?=/|$)")


def _repository(call: Call, found: re.Match[str]) -> Repository | None:
    if found["id"] is not None:
        return call.world.repositories.get(int(found["id"]))
    return call.world.named(found["name"])


def _moved(call: Call, found: re.Match[str]) -> Response | None:
    renamed = call.world.formerly(found["name"] or "")
    if renamed is None:
        return None
    query = f"?{urlencode(call.query)}" if call.query else ""
    location = f"{call.root}/repositories/{renamed.id}{found['rest']}{query}"
    status = 301 if call.request.method == "GET" else 307
    return as_json(
        status, {"message": "Moved", "url": location}, headers=(("location", location),)
    )


def _page(call: Call, items: list[Item]) -> Response:
    since = instant(call.query, "since")
    if since is not None:
        items = [item for item in items if (instant(item, "updated_at") or since) >= since]
    size, number = _per_page(call), max(1, _whole(call.query.get("page"), default=1))
    shown = items[(number - 1) * size : number * size]
    if number * size < len(items):
        following = urlencode({**call.query, "page": str(number + 1)})
        last = urlencode({**call.query, "page": str(-(-len(items) // size))})
        url = f"{call.root}{call.request.url}"
        link = f'<{url}?{following}>; rel="next", <{url}?{last}>; rel="last"'
        return as_json(200, shown, headers=(("link", link),))
    return as_json(200, shown)


def _per_page(call: Call) -> int:
    asked = _whole(call.query.get("per_page"), default=_DEFAULT_PER_PAGE)
    return min(max(1, asked), _MAX_PER_PAGE)


def _whole(value: str | None, *, default: int) -> int:
    return int(value) if value is not None and value.isdecimal() else default


def _fits(body: object) -> bool:
    return isinstance(body, str) and bool(body.strip()) and len(body) <= _MAX_BODY


def _shown(repository: Repository) -> Document:
    return {
        "id": repository.id,
        "full_name": repository.full_name,
        "has_issues": repository.has_issues,
    }


def _not_found() -> Response:
    return as_json(404, {"message": "Not Found", "status": "404"})


def _not_permitted() -> Response:
    document = {"message": "Resource not accessible by personal access token", "status": "403"}
    needed = (("x-accepted-github-permissions", "issues=write; pull_requests=write"),)
    return as_json(403, document, headers=needed)


def _invalid(resource: str, name: str) -> Response:
    problem = {"resource": resource, "field": name, "code": "invalid"}
    return as_json(422, {"message": "Validation Failed", "errors": [problem]})
