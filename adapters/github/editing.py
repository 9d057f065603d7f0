"""Changing an issue: read how it stands, and write only what is not yet as asked.

What it is to become is absolute, so writing it again is harmless, unless somebody has changed it since. A hidden marker
in a new body outlives that; what else we did is in the issue's events. Where they show that ours was done and is now
otherwise, nobody's change is overridden: the outcome is ``Unsure``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import quote

from attrs import frozen

from adapters.answers import Ending
from adapters.contract import Later, Outcome, Plan, Refused, Request, Response, Unsure
from adapters.document import Document, find, objects, optional, parse, read
from adapters.errors import PayloadError
from adapters.github import meaning
from adapters.github.effects import holds, issue_done, marked
from adapters.github.looking import Look, in_doubt, is_older, search, window
from adapters.github.requests import reading, writing

_Differing: TypeAlias = frozenset[str]
_Rest: TypeAlias = Generator[Request, Response, Outcome | None]
_FIELDS = frozenset({"body", "title", "state", "labels", "assignees"})
_EVERYTHING = _FIELDS | {"add_labels", "remove_labels"}
_NO_SUCH_LABEL = "label does not exist"
_TRACES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "title": (("renamed", "rename.to"),),
    "labels": (("labeled", "label.name"), ("unlabeled", "label.name")),
    "add_labels": (("labeled", "label.name"),),
    "remove_labels": (("unlabeled", "label.name"),),
    "assignees": (("assigned", "assignee.login"), ("unassigned", "assignee.login")),
}
"""The events that a change makes, and where they say of what."""


@frozen(kw_only=True)
class IssueEdit:
    """What an issue, or a pull request, is to become; None: as it is. Labels and logins are alike in any case."""

    action_id: str
    repository: str
    number: int
    title: str | None
    body: str | None
    state: str | None
    labels: tuple[str, ...] | None
    add_labels: tuple[str, ...]
    remove_labels: tuple[str, ...]
    assignees: tuple[str, ...] | None

    @property
    def target_key(self) -> str:
        """One conversation."""
        return f"{self.repository.lower()}#{self.number}"

    @property
    def path(self) -> str:
        """Of the issue."""
        return f"/repos/{self.repository}/issues/{self.number}"

    def differing(self, issue: Document) -> _Differing:
        """What of the change the issue does not show.

        Raises:
            PayloadError: it can not be read.
        """
        labels = _lower(read(label, "name", str) for label in objects(issue, "labels"))
        logins = _lower(read(user, "login", str) for user in objects(issue, "assignees"))
        as_asked = {
            "title": self.title in (None, optional(issue, "title", str)),
            "state": self.state in (None, optional(issue, "state", str)),
            "labels": self.labels is None or _lower(self.labels) == labels,
            "assignees": self.assignees is None or _lower(self.assignees) == logins,
        }
        if self.body is not None:
            # All fields go in one request: where its marker is, they all were as asked.
            there = holds(issue, self.action_id)
            as_asked = {"body": there} | {name: there or same for name, same in as_asked.items()}
        as_asked["add_labels"] = _lower(self.add_labels) <= labels
        as_asked["remove_labels"] = not _lower(self.remove_labels) & labels
        return frozenset(name for name, same in as_asked.items() if not same)

    def requests(self, differing: _Differing) -> Iterator[Request]:
        """What is left to write. The fields go together and whole: the same bytes at each try."""
        fields = self._fields()
        if fields and differing & _FIELDS:
            yield writing("PATCH", self.path, fields)
        if self.add_labels and "add_labels" in differing:
            yield writing("POST", f"{self.path}/labels", {"labels": self.add_labels})
        if "remove_labels" in differing:
            for label in self.remove_labels:
                yield writing("DELETE", f"{self.path}/labels/{quote(label, safe='')}")

    def traces(self, differing: _Differing, since: datetime) -> Look:
        """Where an event says that what differs now was as asked after ``since``."""

        def verdict(event: Document) -> bool | None:
            return None if is_older(event, since) else self._is_ours(event, differing) or None

        return Look(url=f"{self.path}/events?per_page=100", verdict=verdict)

    def _fields(self) -> Mapping[str, object]:
        body = None if self.body is None else marked(self.body, self.action_id)
        fields: dict[str, Any] = {
            "title": self.title,
            "body": body,
            "state": self.state,
            "labels": self.labels,
            "assignees": self.assignees,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _is_ours(self, event: Document, differing: _Differing) -> bool:
        kind = optional(event, "event", str)
        if "state" in differing and kind == ("closed" if self.state == "closed" else "reopened"):
            return True
        return any(
            kind == made and self._asks(name, kind, find(event, where))
            for name in differing
            for made, where in _TRACES.get(name, ())
        )

    def _asks(self, name: str, kind: str, value: object) -> bool:
        asked = getattr(self, name)
        if name == "title":
            return bool(value == asked)
        among = str(value).lower() in _lower(asked)
        # A set that replaces another takes away what is not in it.
        return not among if kind.startswith("un") and name != "remove_labels" else among


def edit(asked: IssueEdit, first_sent_at: datetime | None) -> Plan:
    """Bring the issue to what is asked; one that is so already is done without a write."""
    request = reading(asked.path)
    response = yield request
    ending = meaning.ending(response, request=request)
    if ending is not None:
        return ending if first_sent_at is None else in_doubt(ending)
    try:
        issue = parse(response.body)
        done, differing = issue_done(issue, asked.repository), asked.differing(issue)
    except PayloadError as error:
        return Later(
            reason=f"the issue is unreadable: {error}", maybe_sent=first_sent_at is not None
        )
    if differing and first_sent_at is not None:
        trace = yield from search(asked.traces(differing, window(first_sent_at)))
        if trace is not None:
            return _overtaken(trace)
    left, whole = tuple(asked.requests(differing)), tuple(asked.requests(_EVERYTHING))
    begun = first_sent_at is not None and len(left) < len(whole)
    ended = yield from _write(left, begun=begun)
    return ended or done


def _write(requests: tuple[Request, ...], *, begun: bool) -> _Rest:
    """Send what is left. Once one has had its effect, a refusal of another leaves the change half done."""
    for request in requests:
        response = yield request
        ending = meaning.ending(response, request=request)
        if ending is not None and not _is_gone(request, ending):
            return in_doubt(ending, why="done in part") if begun else ending
        begun = True
    return None


def _is_gone(request: Request, ending: Ending) -> bool:
    """Whether a label that was to be taken away is not there."""
    lacking = isinstance(ending, Refused) and ending.status == 404
    return request.method == "DELETE" and lacking and _NO_SUCH_LABEL in ending.reason.lower()


def _overtaken(trace: Document | Outcome) -> Outcome:
    if isinstance(trace, Mapping):
        return Unsure(reason=f"may have been done, and changed since: {trace.get('event')}")
    return trace


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)
