"""GitHub's record of what it sent to a webhook."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from attrs import frozen

from adapters.document import Document, instant, objects, optional, parse, read
from adapters.errors import PayloadError


@frozen(kw_only=True)
class Hook:
    """A webhook of ours: its id, and the repository or organization that it is of."""

    id: int
    target: str

    @property
    def path(self) -> str:
        """Where the record is."""
        kind = "repos" if "/" in self.target else "orgs"
        return f"/{kind}/{self.target}/hooks/{self.id}/deliveries"


@frozen(kw_only=True)
class Sent:
    """A delivery in the record. ``again``: it was sent once more; ``arrived``: we took it."""

    id: int
    guid: str
    at: datetime
    again: bool
    arrived: bool


def hooks_from(text: bytes) -> tuple[Hook, ...]:
    """The webhooks that ``subscribe`` told of.

    Raises:
        PayloadError: no such document.
    """
    return tuple(
        Hook(id=read(hook, "id", int), target=read(hook, "target", str))
        for hook in objects(parse(text), "hooks")
    )


def sent_from(listed: Document) -> Sent:
    """A delivery as it is listed.

    Raises:
        PayloadError: it lacks its id, its GUID or its time.
    """
    at = instant(listed, "delivered_at")
    if at is None:
        raise PayloadError("is missing", path="delivered_at")
    return Sent(
        id=read(listed, "id", int),
        guid=read(listed, "guid", str),
        at=at,
        again=optional(listed, "redelivery", bool) or False,
        arrived=200 <= (optional(listed, "status_code", int) or 0) < 300,
    )


def failed_of(there: Iterable[Sent], decided: Iterable[str]) -> list[Sent]:
    """The newest delivery of each event, where it failed; the oldest event first."""
    newest: dict[str, Sent] = {}
    for sent in there:
        newest.setdefault(sent.guid, sent)
    known = frozenset(decided)
    failed = [one for one in newest.values() if not one.arrived and one.guid not in known]
    return failed[::-1]
