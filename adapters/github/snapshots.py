"""What happened to the things in GitHub's lists, told as its webhooks would have told it.

A list shows what a thing is now: when it was opened, and when it was closed if it still is. What was closed and
opened again in between is not to be seen there, nor is an edit told from any other change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeAlias

import orjson
from attrs import frozen

from adapters.document import Document, find, instant, optional, read
from adapters.errors import PayloadError
from adapters.github import event_keys
from adapters.polling import Item

_NAME = re.compile(r"/repos/([^/]+/[^/]+)(?:/|$)")
_NUMBER = re.compile(r"/issues/(\d{1,12})$")
_OPEN: Document = {"state": "open", "closed_at": None}


@frozen(kw_only=True)
class Home:
    """The repository that a list is of: by the name it is asked by, which may be an old one."""

    id: int
    name: str


Telling: TypeAlias = Callable[[Document, Home], Iterator[Item]]
"""The events of one thing in a list.

Raises:
    PayloadError: it lacks what everything in its list has.
"""


def of_issue(listed: Document, home: Home) -> Iterator[Item]:
    """The events of an issue; GitHub lists pull requests among them, and they have a list of their own."""
    if find(listed, "pull_request") is not None:
        return
    repository = _repository(listed, "repository_url", home)
    opened = {**listed, **_OPEN, "closed_by": None, "state_reason": None}
    yield _item(
        "issues.opened",
        {"issue": opened, "repository": repository, "sender": listed.get("user")},
        key=event_keys.of_issue,
        at=_needed(listed, "created_at"),
    )
    closed_at = _closed_at(listed)
    if closed_at is not None:
        yield _item(
            "issues.closed",
            {"issue": listed, "repository": repository, "sender": listed.get("closed_by")},
            key=event_keys.of_issue,
            at=closed_at,
        )


def of_pull_request(listed: Document, home: Home) -> Iterator[Item]:
    """The events of a pull request; who closed it, the list does not say."""
    base = find(listed, "base.repo") or {"id": home.id, "full_name": home.name}
    told = {"number": listed.get("number"), "repository": base}
    opened = {**listed, **_OPEN, "merged_at": None, "merge_commit_sha": None, "merged": False}
    yield _item(
        "pull_request.opened",
        {**told, "pull_request": opened, "sender": listed.get("user")},
        key=event_keys.of_pull_request,
        at=_needed(listed, "created_at"),
    )
    closed_at = _closed_at(listed)
    if closed_at is not None:
        closed = {**listed, "merged": find(listed, "merged_at") is not None}
        yield _item(
            "pull_request.closed",
            {**told, "pull_request": closed},
            key=event_keys.of_pull_request,
            at=closed_at,
        )


def of_comment(listed: Document, home: Home) -> Iterator[Item]:
    """The event of a comment on an issue or a pull request, of which the list tells only where it is."""
    issue_url = read(listed, "issue_url", str)
    found = _NUMBER.search(issue_url)
    if found is None:
        raise PayloadError("names no issue", path="issue_url")
    page = (optional(listed, "html_url", str) or "").partition("#")[0]
    issue: dict[str, object] = {"number": int(found[1]), "html_url": page or None}
    if "/pull/" in page:
        issue["pull_request"] = {"html_url": page}
    yield _item(
        "issue_comment.created",
        {
            "issue": issue,
            "comment": listed,
            "repository": _repository(listed, "issue_url", home),
            "sender": listed.get("user"),
        },
        key=event_keys.of_comment,
        at=_needed(listed, "created_at"),
    )


def changed_at(listed: Document) -> datetime:
    """When a thing in a list was changed last.

    Raises:
        PayloadError: it does not say.
    """
    return _needed(listed, "updated_at")


def _item(
    event_kind: str, told: Document, *, key: Callable[[Document], str | None], at: datetime
) -> Item:
    document = {"action": event_kind.partition(".")[2], **told}
    event_id = key(document)
    if event_id is None:
        raise PayloadError("is missing", path="id")
    return Item(
        event_kind=event_kind, event_id=event_id, occurred_at=at, body=orjson.dumps(document)
    )


def _closed_at(listed: Document) -> datetime | None:
    closed = read(listed, "state", str) == "closed"
    return instant(listed, "closed_at") if closed else None


def _repository(listed: Document, path: str, home: Home) -> Document:
    """Its name now; a name that it had leads to it too."""
    found = _NAME.search(optional(listed, path, str) or "")
    return {"id": home.id, "full_name": found[1] if found else home.name}


def _needed(listed: Document, path: str) -> datetime:
    time = instant(listed, path)
    if time is None:
        raise PayloadError("is missing", path=path)
    return time
