"""What identifies an event itself, whichever way it was found: the events that a poll finds too have such a key.

Ids count over all of GitHub. A pull request that is closed twice has two keys.
"""

from __future__ import annotations

from adapters.document import Document, instant
from adapters.github.facts import action_of, number
from adapters.github.requests import stamp


def _of_subject(document: Document, subject: str, *, name: str) -> str | None:
    """The key of an ``opened`` or ``closed`` of ``subject`` (``issue``, ``pull_request``); None of anything else."""
    made = number(document, f"{subject}.id")
    if made is None:
        return None
    match action_of(document):
        case "opened":
            return f"{name}:{made}:opened"
        case "closed":
            closed_at = instant(document, f"{subject}.closed_at")
            return None if closed_at is None else f"{name}:{made}:closed:{stamp(closed_at)}"
        case _:
            return None


def of_issue(document: Document) -> str | None:
    """The key of an ``issues`` event."""
    return _of_subject(document, "issue", name="issue")


def of_pull_request(document: Document) -> str | None:
    """The key of a ``pull_request`` event; a merge is a closing."""
    return _of_subject(document, "pull_request", name="pr")


def of_comment(document: Document) -> str | None:
    """The key of an ``issue_comment`` event."""
    made = number(document, "comment.id")
    return (
        f"comment:{made}:created"
        if made is not None and action_of(document) == "created"
        else None
    )
