"""How the simulated GitHub finds what a request is about, and the answers that its endpoints share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias
from urllib.parse import unquote, urlencode

from attrs import frozen

from adapters.contract import Request, Response
from adapters.document import instant
from adapters.github.world import Item, Repository, Token, World
from adapters.simulation import as_json

_MAX_BODY = 65_536
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
    """A call about a repository: its issue or check run ``number``, its commit ``sha``, its label ``name``.

    What the path does not name is 0 or "".
    """

    call: Call
    repository: Repository
    number: int = 0
    sha: str = ""
    name: str = ""


Endpoint: TypeAlias = Callable[[Place], Response]
Endpoints: TypeAlias = Mapping[tuple[str, str], Endpoint]
"""By method and path within the repository: ``#`` is a number, ``@`` a commit, ``*`` the name of a label."""

_PATH = re.compile(
    r"/(?:repos/(?P<name>[^/]+/[^/]+)|repositories/(?P<id>\d{1,12}))(?P<rest>(?:/[^/]+)*)"
)
_NUMBER = re.compile(r"/(\d{1,12})(?=/|$)")
_SHA = re.compile(r"/([0-9a-f]{40})(?=/|$)")
_LABEL = re.compile(r"(?<=/labels)/([^/]+)$")


def answer(call: Call, endpoints: Endpoints) -> Response:
    """Do what the request asks of a repository.

    Raises:
        PayloadError: its body is no JSON object.
    """
    found = _PATH.fullmatch(call.request.url)
    if found is None:
        return not_found()
    repository = _repository(call, found)
    if repository is None:
        return _moved(call, found) or not_found()
    form, place = _placed(call, repository, found["rest"])
    endpoint = endpoints.get((call.request.method, form))
    if endpoint is None:
        return not_found()
    if call.request.method != "GET" and not call.token.writes:
        return _not_permitted()
    return endpoint(place)


def _placed(call: Call, repository: Repository, rest: str) -> tuple[str, Place]:
    """The path with placeholders for what it names, and what it names."""
    label, sha, number = _LABEL.search(rest), _SHA.search(rest), _NUMBER.search(rest)
    form = _NUMBER.sub("/#", _SHA.sub("/@", _LABEL.sub("/*", rest)))
    place = Place(
        call=call,
        repository=repository,
        number=int(number[1]) if number else 0,
        sha=sha[1] if sha else "",
        name=unquote(label[1]) if label else "",
    )
    return form, place


def page(call: Call, items: list[Item]) -> Response:
    """The part of a list that is asked for, and the link to the next."""
    since = instant(call.query, "since")
    if since is not None:
        items = [item for item in items if (instant(item, "updated_at") or since) >= since]
    shown, headers = paged(call, items)
    return as_json(200, shown, headers=headers)


def paged(call: Call, items: list[Item]) -> tuple[list[Item], tuple[tuple[str, str], ...]]:
    """The part of a list that is asked for, and the header that leads on."""
    size, number = per_page(call), max(1, _whole(call.query.get("page"), default=1))
    shown = items[(number - 1) * size : number * size]
    if number * size >= len(items):
        return shown, ()
    following = urlencode({**call.query, "page": str(number + 1)})
    last = urlencode({**call.query, "page": str(-(-len(items) // size))})
    url = f"{call.root}{call.request.url}"
    return shown, (("link", f'<{url}?{following}>; rel="next", <{url}?{last}>; rel="last"'),)


def per_page(call: Call) -> int:
    """How many items of a list are asked for."""
    asked = _whole(call.query.get("per_page"), default=_DEFAULT_PER_PAGE)
    return min(max(1, asked), _MAX_PER_PAGE)


def fits(body: object) -> bool:
    """Whether GitHub takes it as the body of something."""
    return isinstance(body, str) and bool(body.strip()) and len(body) <= _MAX_BODY


def not_found() -> Response:
    """What is not there, or may not be seen."""
    return as_json(404, {"message": "Not Found", "status": "404"})


def invalid(resource: str, name: str) -> Response:
    """A field that GitHub does not take."""
    problem = {"resource": resource, "field": name, "code": "invalid"}
    return as_json(422, {"message": "Validation Failed", "errors": [problem]})


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


def _whole(value: str | None, *, default: int) -> int:
    return int(value) if value is not None and value.isdecimal() else default


def _not_permitted() -> Response:
    document = {"message": "Resource not accessible by personal access token", "status": "403"}
    needed = (("x-accepted-github-permissions", "issues=write; pull_requests=write"),)
    return as_json(403, document, headers=needed)
