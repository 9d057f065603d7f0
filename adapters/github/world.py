"""What the simulated GitHub remembers: repositories, their issues and pull requests, comments, tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from attrs import define, field, frozen

from adapters.contract import Secret

Item: TypeAlias = dict[str, Any]
"""An issue or a comment as the API shows it."""

WEB = "https://github.com"


@frozen(kw_only=True)
class Token:
    """A credential that the simulated GitHub knows.

    ``scopes``: of a classic token; None for a fine-grained one. ``login`` None: a token of an installation.
    """

    secret: Secret
    login: str | None = "octo-bot"
    scopes: tuple[str, ...] | None = None
    writes: bool = True


@define(kw_only=True)
class Repository:
    """One repository and what is in it. ``issues`` holds pull requests too, as GitHub does."""

    id: int
    full_name: str
    has_issues: bool = True
    former_names: list[str] = field(factory=list)
    issues: dict[int, Item] = field(factory=dict)
    comments: dict[int, list[Item]] = field(factory=dict)


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
            "labels": [{"name": label} for label in labels],
            "comments": 0,
            "created_at": stamp(now),
            "updated_at": stamp(now),
            "html_url": f"{WEB}/{repository.full_name}/{kind}/{number}",
        }
        if is_pr:
            item["pull_request"] = {"html_url": item["html_url"]}
        repository.issues[number] = item
        repository.comments[number] = []
        return item

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


def stamp(time: datetime) -> str:
    """A time as GitHub writes it: UTC, in whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
