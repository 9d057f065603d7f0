"""The facts of a GitHub event, and how they become a signal.

Texts are cut, lists are cut and counted, so a payload of 25 MB still makes a small signal. E-mail addresses are
left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import orjson
from attrs import field, frozen

from adapters.contract import Resource, Signal
from adapters.document import Document, bounded, find, instant, objects, optional
from adapters.errors import PayloadError

MAX_TEXT = 2_000
MAX_LINE = 300
MAX_LISTED = 50
_MAX_NAME = 512
_MAX_NUMBER = 2**53


@frozen(kw_only=True)
class Facts:
    """What the reading of one event found.

    ``variant`` picks the signal type where event and action do not (see ``events.SIGNAL_OF``). ``occurred_at``
    None: the payload has no time of its own for this. ``event_key``: see ``event_keys``. None values in ``payload`` and ``keys`` are left out.
    """

    variant: str = ""
    occurred_at: datetime | None = None
    event_key: str | None = None
    branch: str | None = None
    commit: str | None = None
    pr_number: int | None = None
    environment: str | None = None
    deployment_id: int | None = None
    payload: Mapping[str, object] = field(factory=dict)
    keys: Mapping[str, object] = field(factory=dict)


def signal(
    document: Document, facts: Facts, *, signal_type: str, kind: str, received_at: datetime
) -> Signal:
    """Make the signal; only what has no time of its own is said to have occurred when it was received.

    ``kind`` is GitHub's ``event.action``. A name too long for PM-3's resource is left out there.
    """
    event, _, action = kind.partition(".")
    repository = repository_name(document)
    payload = {
        "event": event,
        "action": action or None,
        "repository": repository,
        "sender_type": line(document, "sender.type"),
        "installation_id": number(document, "installation.id"),
        **facts.payload,
    }
    keys = {"repository": repository, "repo_id": number(document, "repository.id"), **facts.keys}
    return Signal(
        signal_type=signal_type,
        occurred_at=facts.occurred_at or received_at,
        actor_id=_name(optional(document, "sender.login", str)),
        resource=_resource(facts, repository),
        payload=_compact(payload),
        canonical_keys=_compact(keys),
        event_key=facts.event_key,
    )


def _resource(facts: Facts, repository: str | None) -> Resource:
    return Resource(
        repository=_name(repository),
        branch=_name(facts.branch),
        commit=_name(facts.commit),
        pr_id=facts.pr_number,
        environment=_name(facts.environment),
        deployment_id=None if facts.deployment_id is None else str(facts.deployment_id),
    )


def action_of(document: Document) -> str:
    """GitHub's action, "" where the event has none."""
    return optional(document, "action", str) or ""


def repository_name(document: Document) -> str | None:
    """``owner/name`` of the repository, where the event has one."""
    return optional(document, "repository.full_name", str)


def key_of(document: Document, subject: int) -> str | None:
    """The name of an issue or pull request that people use: ``owner/name#7``."""
    repository = repository_name(document)
    return f"{repository}#{subject}" if repository else None


def text(document: Document, path: str) -> str | None:
    """A long text, cut to 2,000 characters."""
    return bounded(optional(document, path, str), limit=MAX_TEXT)


def line(document: Document, path: str) -> str | None:
    """A title, a name or a URL, cut to 300 characters."""
    return bounded(optional(document, path, str), limit=MAX_LINE)


def number(document: Document, path: str) -> int | None:
    """A count or an id, or None where it is missing.

    Raises:
        PayloadError: no whole number, negative, or too large to survive every JSON reader (2^53).
    """
    value = optional(document, path, int)
    if value is not None and not 0 <= value <= _MAX_NUMBER:
        raise PayloadError("is out of range", path=path)
    return value


def needed_number(document: Document, path: str) -> int:
    """A number that identifies what the event is about.

    Raises:
        PayloadError: missing, or see ``number``.
    """
    value = number(document, path)
    if value is None:
        raise PayloadError("is missing", path=path)
    return value


def names(document: Document, path: str, *, of: str) -> list[str] | None:
    """The names in a list of objects (labels, people), at most 50; ``of`` is where the name is in each.

    None where the document does not say; that is not to say that there are none.
    """
    if find(document, path) is None:
        return None
    return [
        name
        for item in objects(document, path)[:MAX_LISTED]
        if (name := line(item, of)) is not None
    ]


def changed(document: Document) -> list[str] | None:
    """Which fields an edit changed."""
    changes = find(document, "changes")
    if not isinstance(changes, dict):
        return None
    return [name[:MAX_LINE] for name in sorted(changes)[:MAX_LISTED]]


def first_instant(document: Document, *paths: str) -> datetime | None:
    """The first of these times that the document has."""
    return next((time for path in paths if (time := instant(document, path)) is not None), None)


def duration_s(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from ``start`` to ``end``, where both are known and in order."""
    if start is None or end is None or end < start:
        return None
    return (end - start).total_seconds()


def _name(value: str | None) -> str | None:
    return value if value is not None and len(value) <= _MAX_NAME else None


def _compact(values: Mapping[str, object]) -> bytes:
    return orjson.dumps({name: value for name, value in values.items() if value is not None})
