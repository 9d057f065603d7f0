"""What is made with one request and found again by a hidden marker in its text: comments, issues, reviews."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from urllib.parse import urlencode

import orjson
from attrs import frozen

from adapters.canonical import MARK
from adapters.contract import Done, Reference, Request
from adapters.document import Document, optional, read
from adapters.github.looking import Look, is_older
from adapters.github.requests import stamp, writing


class Effect(Protocol):
    """Something that one request makes. GitHub knows no idempotency key, so it must be found again."""

    @property
    def target_key(self) -> str:
        """See ``Actions.target_key``."""
        ...

    def creation(self) -> Request:
        """The request that makes it."""
        ...

    def look(self, since: datetime) -> Look:
        """Where it is, if it was made after ``since``."""
        ...

    def done(self, made: Document) -> Done:
        """What to tell of it.

        Raises:
            PayloadError: GitHub's answer does not say what it is.
        """
        ...


def marker(action_id: str) -> str:
    """The hidden text by which an effect of this action is found again; GitHub does not show it."""
    return f"<!-- {MARK}{action_id} -->"


def marked(body: str, action_id: str) -> str:
    """The body as it is sent."""
    return f"{body}\n\n{marker(action_id)}" if body else marker(action_id)


def holds(item: Document, action_id: str) -> bool:
    """Whether the item's body has the marker of this action."""
    return marker(action_id) in (optional(item, "body", str) or "")


def reference(made: Document) -> Reference:
    """What GitHub calls it.

    Raises:
        PayloadError: it has no id.
    """
    return Reference(id=str(read(made, "id", int)), url=optional(made, "html_url", str))


@frozen(kw_only=True)
class Comment:
    """A comment on an issue or a pull request; to GitHub they are one."""

    action_id: str
    repository: str
    number: int
    body: str

    @property
    def target_key(self) -> str:
        """One conversation."""
        return f"{self.repository.lower()}#{self.number}"

    def creation(self) -> Request:
        """See ``Effect.creation``."""
        return writing("POST", self._path(), {"body": marked(self.body, self.action_id)})

    def look(self, since: datetime) -> Look:
        """See ``Effect.look``; GitHub leaves the older ones out."""
        query = urlencode({"since": stamp(since), "per_page": "100"}, safe=":")
        return Look(
            url=f"{self._path()}?{query}",
            verdict=lambda item: holds(item, self.action_id) or None,
        )

    def done(self, made: Document) -> Done:
        """See ``Effect.done``."""
        return Done(reference=reference(made))

    def _path(self) -> str:
        return f"/repos/{self.repository}/issues/{self.number}/comments"


@frozen(kw_only=True)
class NewIssue:
    """An issue to create."""

    action_id: str
    repository: str
    title: str
    body: str
    labels: tuple[str, ...]
    assignees: tuple[str, ...]
    issue_type: str | None

    @property
    def target_key(self) -> str:
        """The issues of a repository."""
        return f"{self.repository.lower()}/issues"

    def creation(self) -> Request:
        """See ``Effect.creation``."""
        optionally = {
            "labels": self.labels,
            "assignees": self.assignees,
            "type": self.issue_type,
        }
        fields = {"title": self.title, "body": marked(self.body, self.action_id)}
        given = {name: value for name, value in optionally.items() if value}
        return writing("POST", self._path(), {**fields, **given})

    def look(self, since: datetime) -> Look:
        """See ``Effect.look``: the newest first, as far as the window."""
        query = {
            "since": stamp(since),
            "per_page": "100",
            "state": "all",
            "sort": "created",
            "direction": "desc",
        }

        def verdict(item: Document) -> bool | None:
            if holds(item, self.action_id):
                return True
            return False if is_older(item, since) else None

        return Look(url=f"{self._path()}?{urlencode(query, safe=':')}", verdict=verdict)

    def done(self, made: Document) -> Done:
        """See ``Effect.done``."""
        return issue_done(made, self.repository)

    def _path(self) -> str:
        return f"/repos/{self.repository}/issues"


@frozen(kw_only=True)
class Review:
    """A review of a pull request. ``comments`` are as GitHub wants them."""

    action_id: str
    repository: str
    number: int
    event: str
    body: str
    comments: tuple[Document, ...]
    commit: str | None

    @property
    def target_key(self) -> str:
        """One conversation."""
        return f"{self.repository.lower()}#{self.number}"

    def creation(self) -> Request:
        """See ``Effect.creation``."""
        fields: dict[str, object] = {
            "event": self.event,
            "body": marked(self.body, self.action_id),
            "comments": self.comments,
        }
        fields |= {"commit_id": self.commit} if self.commit else {}
        return writing("POST", self._path(), fields)

    def look(self, since: datetime) -> Look:
        """See ``Effect.look``; reviews come the oldest first and can not be asked for by time."""
        return Look(
            url=f"{self._path()}?per_page=100",
            verdict=lambda item: holds(item, self.action_id) or None,
        )

    def done(self, made: Document) -> Done:
        """See ``Effect.done``."""
        return Done(reference=reference(made))

    def _path(self) -> str:
        return f"/repos/{self.repository}/pulls/{self.number}/reviews"


def issue_done(issue: Document, repository: str) -> Done:
    """What to tell of an issue that is as it was asked for.

    Raises:
        PayloadError: it does not say what it is.
    """
    number = read(issue, "number", int)
    details = {"issue_number": number, "issue_key": f"{repository}#{number}"}
    return Done(reference=reference(issue), details=orjson.dumps(details))
