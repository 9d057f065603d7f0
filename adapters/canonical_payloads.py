"""What a canonical action says or makes. A body is Markdown (CommonMark); an adapter turns it into what is shown there."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from attrs import frozen
from msgspec import Meta

from adapters.canonical_words import (
    AnyText,
    Commit,
    Id,
    Name,
    Names,
    Number,
    PlainText,
    SomeNames,
    Text,
    Title,
    Url,
)


@frozen(kw_only=True)
class NewIssue:
    """An issue to create. ``issue_type`` where the provider has types (``Bug``)."""

    title: Title
    body: Text | None = None
    labels: Names = ()
    assignees: Names = ()
    issue_type: Name | None = None


class IssueState(StrEnum):
    """Whether an issue is still to be done; a provider with a workflow moves it where that is so."""

    OPEN = "open"
    CLOSED = "closed"


@frozen(kw_only=True)
class IssueChange:
    """What to change of an issue; what is left out stays. ``labels`` replaces all; it does not stand beside the other two."""

    title: Title | None = None
    body: AnyText | None = None
    state: IssueState | None = None
    labels: Names | None = None
    add_labels: SomeNames | None = None
    remove_labels: SomeNames | None = None
    assignees: Names | None = None


@frozen(kw_only=True)
class Comment:
    """A comment."""

    body: Text


class Verdict(StrEnum):
    """What a review says of the whole."""

    COMMENT = "comment"
    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"


@frozen(kw_only=True)
class LineComment:
    """A comment on a line of the changed file."""

    path: Title
    line: Number
    body: Text


@frozen(kw_only=True)
class Review:
    """A review. ``commit`` is what was reviewed; left out, it is the newest."""

    verdict: Verdict
    body: Text
    comments: Annotated[tuple[LineComment, ...], Meta(max_length=100)] = ()
    commit: Commit | None = None


class Conclusion(StrEnum):
    """How a check ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


class Level(StrEnum):
    """How bad what an annotation says is."""

    NOTICE = "notice"
    WARNING = "warning"
    FAILURE = "failure"


@frozen(kw_only=True)
class Annotation:
    """A remark on a line of a file."""

    path: Title
    line: Number
    level: Level
    message: Text


@frozen(kw_only=True)
class Annotations:
    """What a check found in a commit. ``name`` is the check's; ``url`` is where its details are."""

    name: Name
    title: Title
    summary: Text
    conclusion: Conclusion
    annotations: Annotated[tuple[Annotation, ...], Meta(max_length=500)] = ()
    url: Url | None = None


class StatusState(StrEnum):
    """How a commit stands in the eyes of one context; ``error`` is a failure of the check itself."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


@frozen(kw_only=True)
class CommitStatus:
    """The status of a commit in one context, which replaces the one before it."""

    state: StatusState
    context: Name
    description: Title | None = None
    url: Url | None = None


@frozen(kw_only=True)
class ChatMessage:
    """A message, or what it is changed to."""

    text: Text


@frozen(kw_only=True)
class Link:
    """A link to a web page, with what to call it."""

    url: Url
    title: Name


class Severity(StrEnum):
    """How bad an incident is."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@frozen(kw_only=True)
class NewIncident:
    """An incident. With a ``dedup_key`` that an open incident has, the provider makes no second one."""

    title: Title
    severity: Severity
    body: Text | None = None
    dedup_key: Id | None = None
    url: Url | None = None


@frozen(kw_only=True)
class Resolution:
    """How an incident ended."""

    body: Text | None = None


@frozen(kw_only=True)
class Mail:
    """A mail. ``html`` says the same as ``text``; ``in_reply_to`` is a Message-ID."""

    subject: Title
    text: PlainText
    html: PlainText | None = None
    in_reply_to: Id | None = None


@frozen(kw_only=True)
class NewPage:
    """A page to create."""

    title: Title
    body: Text
