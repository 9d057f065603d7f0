"""What happens at the simulated GitHub without our doing: people open, change, close, merge and comment.

| request under ``/_sim/`` | what it does |
|---|---|
| ``POST issues`` ``{repository, title?, is_pr?}`` | somebody opens an issue or a pull request |
| ``POST changes`` ``{repository, number, state?, title?, merged?}`` | somebody changes it |
| ``POST comments`` ``{repository, number, body?}`` | somebody comments on it |
| ``POST clock`` ``{ahead_s}`` | GitHub's clock is ahead of ours from now on, or behind |
| ``GET deliveries`` | what is to be sent to webhooks now |
| ``POST deliveries`` ``{id, status}`` | what became of it; 0: nobody was there |

Each is told to the webhooks that want it, see ``DeliveryLog``, and the answer says how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import urlsplit

import orjson
from attrs import define, frozen

from adapters.contract import Request, Response
from adapters.document import Document, optional, parse, read
from adapters.errors import PayloadError
from adapters.github.requests import stamp
from adapters.github.simulator_deliveries import DeliveryLog, Sent
from adapters.github.simulator_lists import shown_comment, shown_issue, shown_pull
from adapters.github.world import Item, Repository, World
from adapters.simulation import CONTROL, as_json

_SOMEBODY = "sam-example"


@frozen(kw_only=True)
class Happened:
    """What GitHub tells of something that happened: a webhook's event and its document."""

    event_kind: str
    document: Document


@define(kw_only=True)
class History:
    """Lets things happen. ``ahead`` is how far GitHub's clock is ahead of ours."""

    world: World
    log: DeliveryLog
    ahead: timedelta = timedelta()

    def opens(
        self,
        repository: Repository,
        *,
        now: datetime,
        title: str = "It stops",
        is_pr: bool = False,
    ) -> Happened:
        """Somebody opens an issue or a pull request."""
        item = self.world.add_issue(
            repository, title=title, author=_SOMEBODY, now=now + self.ahead, is_pr=is_pr
        )
        return self._tell(repository, _kind_of(item, "opened"), _about(repository, item), now)

    def changes(
        self,
        repository: Repository,
        number: int,
        *,
        now: datetime,
        name: str = "state",
        value: object = "closed",
    ) -> Happened:
        """Somebody closes or opens it again (``state``), or gives it another ``title``."""
        item = self.world.change_issue(
            repository, number, name=name, value=value, author=_SOMEBODY, now=now + self.ahead
        )
        action = "edited"
        if name == "state":
            action = "closed" if value == "closed" else "reopened"
        return self._tell(repository, _kind_of(item, action), _about(repository, item), now)

    def merges(self, repository: Repository, number: int, *, now: datetime) -> Happened:
        """Somebody merges a pull request, which closes it."""
        repository.issues[number]["pull_request"]["merged_at"] = stamp(now + self.ahead)
        return self.changes(repository, number, now=now)

    def comments(
        self, repository: Repository, number: int, *, now: datetime, body: str = "Me too."
    ) -> Happened:
        """Somebody comments."""
        comment = self.world.add_comment(
            repository, number, body=body, author=_SOMEBODY, now=now + self.ahead
        )
        document = {
            "issue": shown_issue(repository, repository.issues[number]),
            "comment": shown_comment(repository, number, comment),
        }
        return self._tell(repository, "issue_comment.created", document, now)

    def answer(self, request: Request, *, now: datetime) -> Response | None:
        """Let happen what is asked for; None where this is no control of these. 400 says what is wrong."""
        name = urlsplit(request.url).path.removeprefix(CONTROL)
        if request.method == "GET" and name == "deliveries":
            return as_json(200, {"deliveries": [*map(_outgoing, self.log.pending())]})
        ask = _ASKS.get(name) if request.method == "POST" else None
        if ask is None:
            return None
        try:
            return as_json(201, ask(self, parse(request.body), now))
        except PayloadError as error:
            return as_json(400, {"message": str(error)})

    def _tell(
        self, repository: Repository, event_kind: str, about: Document, now: datetime
    ) -> Happened:
        document = {
            "action": event_kind.partition(".")[2],
            **about,
            "repository": {"id": repository.id, "full_name": repository.full_name},
            "sender": {"login": _SOMEBODY, "type": "User"},
        }
        owner = repository.full_name.partition("/")[0].lower()
        owners = (f"repositories/{repository.id}", f"orgs/{owner}")
        self.log.happened(owners, event_kind, document, now=now + self.ahead)
        # As it is now: the world goes on.
        return Happened(event_kind=event_kind, document=orjson.loads(orjson.dumps(document)))


_Ask: TypeAlias = Callable[[History, Document, datetime], Document]


def _issue(history: History, asked: Document, now: datetime) -> Document:
    happened = history.opens(
        _repository(history, asked),
        now=now,
        title=optional(asked, "title", str) or "It stops",
        is_pr=optional(asked, "is_pr", bool) or False,
    )
    return _told(happened)


def _change(history: History, asked: Document, now: datetime) -> Document:
    repository, number = _placed(history, asked)
    if optional(asked, "merged", bool):
        if "pull_request" not in repository.issues[number]:
            raise PayloadError("is no pull request", path="number")
        return _told(history.merges(repository, number, now=now))
    named = [name for name in ("state", "title") if name in asked]
    if not named:
        raise PayloadError("is missing", path="state")
    value = read(asked, named[0], str)
    return _told(history.changes(repository, number, now=now, name=named[0], value=value))


def _comment(history: History, asked: Document, now: datetime) -> Document:
    repository, number = _placed(history, asked)
    body = optional(asked, "body", str) or "Me too."
    return _told(history.comments(repository, number, now=now, body=body))


def _clock(history: History, asked: Document, now: datetime) -> Document:
    history.ahead = timedelta(seconds=read(asked, "ahead_s", int))
    return {"now": stamp(now + history.ahead)}


def _delivered(history: History, asked: Document, now: datetime) -> Document:
    known = history.log.answered(
        read(asked, "id", int), read(asked, "status", int), now=now + history.ahead
    )
    if not known:
        raise PayloadError("is no delivery", path="id")
    return {"told": True}


_ASKS: Mapping[str, _Ask] = MappingProxyType(
    {
        "issues": _issue,
        "changes": _change,
        "comments": _comment,
        "clock": _clock,
        "deliveries": _delivered,
    }
)


def _kind_of(item: Item, action: str) -> str:
    return f"{'pull_request' if 'pull_request' in item else 'issues'}.{action}"


def _about(repository: Repository, item: Item) -> Document:
    if "pull_request" not in item:
        return {"issue": shown_issue(repository, item)}
    merged = item["pull_request"]["merged_at"] is not None
    pull = {**shown_pull(repository, item), "merged": merged}
    return {"number": item["number"], "pull_request": pull}


def _repository(history: History, asked: Document) -> Repository:
    found = history.world.named(read(asked, "repository", str))
    if found is None:
        raise PayloadError("is not there", path="repository")
    return found


def _placed(history: History, asked: Document) -> tuple[Repository, int]:
    repository, number = _repository(history, asked), read(asked, "number", int)
    if number not in repository.issues:
        raise PayloadError("is not there", path="number")
    return repository, number


def _told(happened: Happened) -> Document:
    return {"event_kind": happened.event_kind, "document": happened.document}


def _outgoing(waiting: tuple[Sent, Request]) -> Document:
    sent, request = waiting
    return {
        "id": sent.id,
        "url": request.url,
        "headers": dict(request.headers),
        "body": request.body.decode(),
    }
