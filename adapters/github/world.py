"""What the simulated GitHub remembers: repositories, their issues and pull requests, comments, tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from attrs import define, field, frozen

from adapters.contract import Secret
from adapters.github.requests import stamp

Item: TypeAlias = dict[str, Any]
"""An issue or a comment as the API shows it."""

WEB = "https://github.com"


@frozen(kw_only=True)
class Token:
    """A credential that the simulated GitHub knows.

    ``scopes``: of a classic token; None for a fine-grained one. ``login`` None: a token of an installation.
    ``permissions`` (``issues:write``): of one that is not classic; None: all.
    """

    secret: Secret
    login: str | None = "octo-bot"
    scopes: tuple[str, ...] | None = None
    writes: bool = True
    permissions: tuple[str, ...] | None = None
    expires_at: datetime | None = None


@define(kw_only=True)
class Repository:
    """One repository and what is in it. ``issues`` holds pull requests too, as GitHub does.

    ``events`` and ``reviews`` are by number. A commit exists unless it is in ``missing_commits``.
    """

    id: int
    full_name: str
    has_issues: bool = True
    former_names: list[str] = field(factory=list)
    issues: dict[int, Item] = field(factory=dict)
    comments: dict[int, list[Item]] = field(factory=dict)
    events: dict[int, list[Item]] = field(factory=dict)
    reviews: dict[int, list[Item]] = field(factory=dict)
    statuses: dict[str, list[Item]] = field(factory=dict)
    check_runs: dict[str, list[Item]] = field(factory=dict)
    missing_commits: set[str] = field(factory=set)


@define(kw_only=True)
class World:
    """All there is. Ids count up from a fixed number, so the same calls make the same world."""

    repositories: dict[int, Repository] = field(factory=dict)
    tokens: list[Token] = field(factory=list)
    next_id: int = 1_000_001

    def new_id(self) -> int:
        """An id that nothing else has."""
        self.next_id += 1
        return self.next_id - 1

    def add_repository(self, full_name: str, *, has_issues: bool = True) -> Repository:
        """Add an empty repository."""
        repository = Repository(id=self.new_id(), full_name=full_name, has_issues=has_issues)
        self.repositories[repository.id] = repository
        return repository

    def named(self, full_name: str) -> Repository | None:
        """The repository of that name, in any case of letters."""
        wanted = full_name.lower()
        return next(
            (one for one in self.repositories.values() if one.full_name.lower() == wanted), None
        )

    def formerly(self, full_name: str) -> Repository | None:
        """The repository that had that name before it was renamed."""
        wanted = full_name.lower()
        return next(
            (one for one in self.repositories.values() if wanted in one.former_names), None
        )

    def rename(self, repository: Repository, full_name: str) -> None:
        """Give a repository another name; the old one redirects to it."""
        repository.former_names.append(repository.full_name.lower())
        repository.full_name = full_name

    def add_issue(  # noqa: PLR0913  (keyword-only, one per field)
        self,
        repository: Repository,
        *,
        title: str,
        author: str,
        now: datetime,
        body: str | None = None,
        labels: tuple[str, ...] = (),
        assignees: tuple[str, ...] = (),
        is_pr: bool = False,
    ) -> Item:
        """Open an issue, or a pull request, under the next number of the repository."""
        number = len(repository.issues) + 1
        kind = "pull" if is_pr else "issues"
        item: Item = {
            "id": self.new_id(),
            "number": number,
            "title": title,
            "body": body,
            "state": "open",
            "locked": False,
            "user": {"login": author, "type": "User"},
            "labels": named(labels, "name"),
            "assignees": named(assignees, "login"),
            "comments": 0,
            "created_at": stamp(now),
            "updated_at": stamp(now),
            "closed_at": None,
            "closed_by": None,
            "html_url": f"{WEB}/{repository.full_name}/{kind}/{number}",
        }
        if is_pr:
            item["pull_request"] = {"html_url": item["html_url"], "merged_at": None}
        repository.issues[number] = item
        repository.comments[number] = []
        repository.events[number] = []
        repository.reviews[number] = []
        return item

    def change_issue(
        self,
        repository: Repository,
        number: int,
        *,
        name: str,
        value: object,
        author: str,
        now: datetime,
    ) -> Item:
        """Set a field of an issue, with the events that GitHub keeps of it; without a change there are none."""
        issue = repository.issues[number]
        if issue[name] == value:
            return issue
        for event in _events(name, issue[name], value):
            made = {"id": self.new_id(), "actor": {"login": author}, "created_at": stamp(now)}
            repository.events[number].append({**made, **event})
        issue[name] = value
        issue["updated_at"] = stamp(now)
        if name == "state":
            closed = value == "closed"
            issue["closed_at"] = stamp(now) if closed else None
            issue["closed_by"] = {"login": author, "type": "User"} if closed else None
        return issue

    def add_comment(
        self, repository: Repository, number: int, *, body: str, author: str, now: datetime
    ) -> Item:
        """Comment on an issue or a pull request, which changes its ``updated_at`` too."""
        issue, made = repository.issues[number], self.new_id()
        comment: Item = {
            "id": made,
            "body": body,
            "user": {"login": author, "type": "User"},
            "created_at": stamp(now),
            "updated_at": stamp(now),
            "html_url": f"{issue['html_url']}#issuecomment-{made}",
        }
        repository.comments[number].append(comment)
        issue["comments"] += 1
        issue["updated_at"] = stamp(now)
        return comment


@define(kw_only=True)
class Allowance:
    """The primary rate limit of one token: so many requests in each hour that begins with one."""

    limit: int = 5_000
    used: int = 0
    reset: datetime | None = None

    def spend(self, now: datetime) -> bool:
        """Count one request; False when none is left until ``reset``."""
        if self.reset is None or now >= self.reset:
            self.used, self.reset = 0, now + timedelta(hours=1)
        allowed = self.used < self.limit
        self.used += allowed
        return allowed


def named(names: Iterable[str], key: str) -> list[Item]:
    """Labels or users, as the API lists them."""
    return [{key: name} for name in names]


def told(repository: Repository) -> Item:
    """All that is in a repository, as JSON: each kind by its number or its commit."""
    kinds = ("issues", "comments", "reviews", "events", "statuses", "check_runs")
    return {
        kind: {str(key): value for key, value in getattr(repository, kind).items()}
        for kind in kinds
    }


def _events(name: str, before: Any, after: Any) -> Iterator[Item]:  # noqa: ANN401  (JSON)
    if name == "state":
        yield {"event": "closed" if after == "closed" else "reopened"}
    elif name == "title":
        yield {"event": "renamed", "rename": {"from": before, "to": after}}
    elif name == "labels":
        yield from _come_and_gone(before, after, "label", ("labeled", "unlabeled"))
    elif name == "assignees":
        yield from _come_and_gone(before, after, "assignee", ("assigned", "unassigned"))


def _come_and_gone(
    before: list[Item], after: list[Item], key: str, kinds: tuple[str, str]
) -> Iterator[Item]:
    yield from ({"event": kinds[0], key: one} for one in after if one not in before)
    yield from ({"event": kinds[1], key: one} for one in before if one not in after)
