"""Where a canonical action happens. Which fields go together is said in ``canonical.RULES``."""

from __future__ import annotations

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from adapters.canonical_words import Address, Commit, Id, Number, Repository


@frozen(kw_only=True)
class Tracker:
    """Where issues are made: a repository, or a project where issues live in projects (Jira, Linear)."""

    repository: Repository | None = None
    project: Id | None = None


@frozen(kw_only=True)
class Issue:
    """One issue: its number in a repository, or its key where it has one (``OPS-12``)."""

    repository: Repository | None = None
    issue_number: Number | None = None
    issue_key: Id | None = None


@frozen(kw_only=True)
class PullRequest:
    """One pull request (merge request) of a repository."""

    repository: Repository
    pr_number: Number


@frozen(kw_only=True)
class CommitPlace:
    """One commit of a repository."""

    repository: Repository
    commit: Commit


@frozen(kw_only=True)
class Linkable:
    """What a link is added to: of a repository an issue, a pull request or a commit; or an issue by its key."""

    repository: Repository | None = None
    issue_number: Number | None = None
    pr_number: Number | None = None
    commit: Commit | None = None
    issue_key: Id | None = None


@frozen(kw_only=True)
class Channel:
    """A channel, or a thread in it. ``team`` only where channels belong to one (Teams)."""

    channel: Id
    team: Id | None = None
    thread: Id | None = None


@frozen(kw_only=True)
class Message:
    """A message that was posted. ``team`` and ``thread`` as it was posted."""

    channel: Id
    message: Id
    team: Id | None = None
    thread: Id | None = None


@frozen(kw_only=True)
class Service:
    """The service that has a problem, as the provider calls it."""

    service: Id


@frozen(kw_only=True)
class Incident:
    """One incident: the provider's id of it, or the ``dedup_key`` that it was created with."""

    incident: Id | None = None
    dedup_key: Id | None = None


@frozen(kw_only=True)
class Recipients:
    """Who gets a mail; ``bcc`` is hidden from the others."""

    to: Annotated[tuple[Address, ...], Meta(min_length=1, max_length=50)]
    cc: Annotated[tuple[Address, ...], Meta(max_length=50)] = ()
    bcc: Annotated[tuple[Address, ...], Meta(max_length=50)] = ()
    reply_to: Address | None = None


@frozen(kw_only=True)
class Shelf:
    """Where a page is made: in a space, under a page, or both where the provider wants to know both."""

    space: Id | None = None
    parent: Id | None = None


@frozen(kw_only=True)
class Page:
    """One page."""

    page: Id
