"""The exchanges that carry an action out: look first where it may have been sent, then create.

A renamed repository answers with a redirect; the transport follows it.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from urllib.parse import urlencode

import orjson

from adapters.contract import (
    Action,
    Done,
    Headers,
    Later,
    NeedsLogin,
    Outcome,
    Plan,
    Reference,
    Refused,
    Request,
    Response,
    Unsure,
)
from adapters.document import Document, optional, parse, parse_list, read
from adapters.errors import PayloadError
from adapters.github import meaning
from adapters.github.actions import Comment, NewIssue, marked, marker, read_action
from adapters.paging import next_url

API_VERSION = "2022-11-28"
HEADERS: Headers = (
    ("accept", "application/vnd.github+json"),
    ("user-agent", "zeroui-integration-adapters"),
    ("x-github-api-version", API_VERSION),
)

_CLOCKS_APART = timedelta(minutes=5)
_MAX_PAGES = 20

Search: TypeAlias = Generator[Request, Response, Outcome | None]


def plan(action: Action) -> Plan:
    """See ``Actions.plan``.

    Raises:
        ActionError: when it is started, as ``read_action``.
    """
    asked = read_action(action)
    if action.first_sent_at is not None:
        found = yield from _look(asked, marker(action.action_id), since=action.first_sent_at)
        if found is not None:
            return found
    request = _creation(action, asked)
    response = yield request
    ending = meaning.ending(response, request=request)
    if ending is not None:
        return ending
    try:
        return _done(parse(response.body), asked)
    except PayloadError as error:
        # 2xx: it exists, but what came back does not say as what. The next try will find it.
        reason = f"{response.status}, and an unreadable answer: {error}"
        return Later(reason=reason, maybe_sent=True)


def _look(asked: Comment | NewIssue, hidden: str, *, since: datetime) -> Search:
    url: str | None = _listing(asked, since - _CLOCKS_APART)
    for _ in range(_MAX_PAGES):
        if url is None:
            return None
        request = Request(method="GET", url=url, headers=HEADERS)
        response = yield request
        ending = meaning.ending(response, request=request)
        if ending is not None:
            return _unanswered(ending)
        try:
            found = _marked_in(response, hidden)
            if found is not None:
                return _done(found, asked)
        except PayloadError as error:
            return Later(reason=f"the list to look in is unreadable: {error}", maybe_sent=True)
        url = next_url(response, request=request)
    return None if url is None else Unsure(reason=f"not in {_MAX_PAGES} pages, and more follow")


def _unanswered(ending: Outcome) -> Outcome:
    """A look-up that is refused says nothing of the effect, so neither do we."""
    match ending:
        case Refused():
            return Unsure(reason=f"may have been sent, and can not be looked up: {ending.reason}")
        case NeedsLogin():
            # Not NeedsLogin, which says that no effect exists: with a renewed login, looking will tell.
            return Later(reason=f"may have been sent; to look: {ending.reason}", maybe_sent=True)
        case _:
            return ending


def _listing(asked: Comment | NewIssue, since: datetime) -> str:
    query = {"since": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "per_page": "100"}
    if isinstance(asked, NewIssue):
        query |= {"state": "all", "sort": "created", "direction": "desc"}
    return f"{_path(asked)}?{urlencode(query, safe=':')}"


def _path(asked: Comment | NewIssue) -> str:
    issues = f"/repos/{asked.repository}/issues"
    return f"{issues}/{asked.number}/comments" if isinstance(asked, Comment) else issues


def _creation(action: Action, asked: Comment | NewIssue) -> Request:
    fields: dict[str, object] = {"body": marked(asked.body, action.action_id)}
    if isinstance(asked, NewIssue):
        fields["title"] = asked.title
        fields |= {"labels": asked.labels} if asked.labels else {}
        fields |= {"assignees": asked.assignees} if asked.assignees else {}
    return Request(
        method="POST",
        url=_path(asked),
        headers=(*HEADERS, ("content-type", "application/json")),
        body=orjson.dumps(fields, option=orjson.OPT_SORT_KEYS),
        writes=True,
    )


def _marked_in(response: Response, hidden: str) -> Document | None:
    items = parse_list(response.body)
    return next((item for item in items if hidden in (optional(item, "body", str) or "")), None)


def _done(made: Document, asked: Comment | NewIssue) -> Done:
    reference = Reference(id=str(read(made, "id", int)), url=optional(made, "html_url", str))
    if isinstance(asked, Comment):
        return Done(reference=reference)
    number = read(made, "number", int)
    details = {"issue_number": number, "issue_key": f"{asked.repository}#{number}"}
    return Done(reference=reference, details=orjson.dumps(details))
