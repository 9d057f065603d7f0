"""Events as GitHub would report them, made up: the ``n``-th of each kind, always the same for the same arguments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeAlias

import orjson

from adapters.github.requests import stamp

Fields: TypeAlias = dict[str, Any]
Make: TypeAlias = Callable[[str, int, datetime], Fields]


def sample(event_kind: str, n: int, *, at: datetime, repository: str = "acme/rocket") -> bytes:
    """The body of the ``n``-th event of this kind (``pull_request.opened``), from 1, that happens at ``at``.

    Raises:
        ValueError: there is no sample of this kind.
    """
    make = _MAKERS.get(event_kind)
    if make is None:
        raise ValueError(f"no sample of {event_kind!r}; there are {', '.join(KINDS)}")
    document = make(repository, n, at)
    action = event_kind.partition(".")[2]
    return orjson.dumps(
        {
            **({"action": action} if action else {}),
            **document,
            "repository": _repository(repository, at),
            "sender": _person(n),
        }
    )


def _pull_request(repository: str, n: int, at: datetime) -> Fields:
    url = f"https://github.com/{repository}/pull/{n}"
    return {
        "id": 9_000_000 + n,
        "number": n,
        "state": "open",
        "draft": False,
        "merged": False,
        "title": f"Tighten the retry budget, part {n}",
        "body": f"Makes attempt {n} give up earlier.\n\nSee the runbook.",
        "html_url": url,
        "user": _person(n),
        "labels": [{"id": 1, "name": "reliability"}],
        "head": {"ref": f"retry-budget-{n}", "sha": _sha(repository, n)},
        "base": {"ref": "main", "sha": _sha(repository, 0)},
        "created_at": stamp(at - timedelta(hours=1)),
        "updated_at": stamp(at),
        "closed_at": None,
        "merged_at": None,
        "additions": 10 * n % 500,
        "deletions": 3 * n % 200,
        "changed_files": 1 + n % 12,
        "commits": 1 + n % 5,
        "comments": 0,
        "author_association": "MEMBER",
    }


def _pr_opened(repository: str, n: int, at: datetime) -> Fields:
    pr = _pull_request(repository, n, at) | {"created_at": stamp(at)}
    return {"number": n, "pull_request": pr}


def _pr_merged(repository: str, n: int, at: datetime) -> Fields:
    ended = {"state": "closed", "merged": True, "closed_at": stamp(at), "merged_at": stamp(at)}
    return {"number": n, "pull_request": _pull_request(repository, n, at) | ended}


def _pr_synchronize(repository: str, n: int, at: datetime) -> Fields:
    pr = _pull_request(repository, n, at)
    return {
        "number": n,
        "pull_request": pr,
        "before": _sha(repository, n + 1),
        "after": pr["head"]["sha"],
    }


def _push(repository: str, n: int, at: datetime) -> Fields:
    commit = {
        "id": _sha(repository, n),
        "message": f"Count attempt {n}\n\nAnd explain why.",
        "timestamp": stamp(at - timedelta(minutes=2)),
        "author": {"name": "Robin Example", "username": _person(n)["login"]},
        "distinct": True,
        "added": [f"docs/note-{n}.md"],
        "removed": [],
        "modified": ["src/budget.py"],
    }
    return {
        "ref": "refs/heads/main",
        "before": _sha(repository, n - 1),
        "after": commit["id"],
        "created": False,
        "deleted": False,
        "forced": False,
        "compare": f"https://github.com/{repository}/compare/{n - 1}...{n}",
        "pusher": {"name": _person(n)["login"]},
        "commits": [commit],
        "head_commit": commit,
    }


def _issue(repository: str, n: int, at: datetime) -> Fields:
    return {
        "issue": {
            "id": 7_000_000 + n,
            "number": n,
            "title": f"Timeout in step {n}",
            "body": "It stops after thirty seconds.",
            "state": "open",
            "html_url": f"https://github.com/{repository}/issues/{n}",
            "user": _person(n),
            "labels": [{"id": 2, "name": "bug"}],
            "assignees": [],
            "created_at": stamp(at),
            "updated_at": stamp(at),
        }
    }


def _issue_comment(repository: str, n: int, at: datetime) -> Fields:
    comment = {
        "id": 5_000_000 + n,
        "body": f"I can repeat this, {n} times out of {n + 1}.",
        "user": _person(n + 1),
        "html_url": f"https://github.com/{repository}/issues/{n}#issuecomment-{5_000_000 + n}",
        "created_at": stamp(at),
        "updated_at": stamp(at),
        "author_association": "CONTRIBUTOR",
    }
    return {**_issue(repository, n, at - timedelta(days=1)), "comment": comment}


def _check_run(repository: str, n: int, at: datetime) -> Fields:
    return {
        "check_run": {
            "id": 3_000_000 + n,
            "name": "unit tests",
            "head_sha": _sha(repository, n),
            "status": "completed",
            "conclusion": "failure" if n % 4 == 0 else "success",
            "started_at": stamp(at - timedelta(seconds=30 + n % 60)),
            "completed_at": stamp(at),
            "html_url": f"https://github.com/{repository}/runs/{3_000_000 + n}",
            "output": {"title": f"{100 + n} tests", "summary": None, "annotations_count": 0},
            "check_suite": {"id": 4_000_000 + n, "head_branch": f"retry-budget-{n}"},
            "app": {"slug": "github-actions", "name": "GitHub Actions"},
            "pull_requests": [{"id": 9_000_000 + n, "number": n}],
        }
    }


def _workflow_run(repository: str, n: int, at: datetime) -> Fields:
    started = stamp(at - timedelta(minutes=3 + n % 10))
    return {
        "workflow_run": {
            "id": 2_000_000 + n,
            "name": "build",
            "path": ".github/workflows/build.yml",
            "workflow_id": 77,
            "run_number": n,
            "run_attempt": 1,
            "event": "push",
            "status": "completed",
            "conclusion": "failure" if n % 5 == 0 else "success",
            "head_branch": "main",
            "head_sha": _sha(repository, n),
            "actor": _person(n),
            "created_at": started,
            "run_started_at": started,
            "updated_at": stamp(at),
            "html_url": f"https://github.com/{repository}/actions/runs/{2_000_000 + n}",
            "pull_requests": [],
        }
    }


_MAKERS: Mapping[str, Make] = MappingProxyType(
    {
        "check_run.completed": _check_run,
        "issue_comment.created": _issue_comment,
        "issues.opened": _issue,
        "pull_request.closed": _pr_merged,
        "pull_request.opened": _pr_opened,
        "pull_request.synchronize": _pr_synchronize,
        "push": _push,
        "workflow_run.completed": _workflow_run,
    }
)
KINDS = tuple(_MAKERS)


def _repository(full_name: str, at: datetime) -> Fields:
    return {
        "id": 600_600,
        "full_name": full_name,
        "name": full_name.partition("/")[2],
        "private": True,
        "default_branch": "main",
        "html_url": f"https://github.com/{full_name}",
        "pushed_at": int(at.timestamp()),
        "updated_at": stamp(at),
    }


def _person(n: int) -> Fields:
    login = ("ada-example", "lin-example", "robin-example", "sam-example")[n % 4]
    return {"login": login, "id": 100 + n % 4, "type": "User"}


def _sha(repository: str, n: int) -> str:
    return hashlib.sha256(f"{repository}/{n}".encode()).hexdigest()[:40]
