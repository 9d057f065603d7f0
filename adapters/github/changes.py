"""Reading pushes, refs, releases, repositories, members and pings."""

from __future__ import annotations

from adapters.document import Document, bounded, find, instant, objects, optional, read
from adapters.github.facts import (
    MAX_LINE,
    MAX_LISTED,
    Facts,
    action_of,
    changed,
    first_instant,
    line,
    number,
    text,
)

_MAX_COMMITS = 20
_HEADS = "refs/heads/"
_TAGS = "refs/tags/"


def push(document: Document) -> Facts:
    """``push``: a ref moved. GitHub sets ``repository.pushed_at`` to the push, in seconds; a commit may be old."""
    ref = read(document, "ref", str)
    deleted = optional(document, "deleted", bool) is True
    after = line(document, "after")
    commits = objects(document, "commits")
    return Facts(
        occurred_at=first_instant(document, "repository.pushed_at", "head_commit.timestamp"),
        branch=ref.removeprefix(_HEADS) if ref.startswith(_HEADS) else None,
        commit=None if deleted else after,
        payload={
            "ref": bounded(ref, limit=MAX_LINE),
            "tag": bounded(ref.removeprefix(_TAGS), limit=MAX_LINE)
            if ref.startswith(_TAGS)
            else None,
            "before": line(document, "before"),
            "after": after,
            "created": optional(document, "created", bool),
            "deleted": deleted,
            "forced": optional(document, "forced", bool),
            "default_branch": line(document, "repository.default_branch"),
            "pusher": line(document, "pusher.name"),
            "commit_count": len(commits),
            "commits": [_commit(commit) for commit in commits[:_MAX_COMMITS]],
            "files_changed": sum(
                _length(commit, kind)
                for commit in commits
                for kind in ("added", "modified", "removed")
            ),
            "head_commit_at": instant(document, "head_commit.timestamp"),
            "url": line(document, "compare"),
        },
        keys={"ref": bounded(ref, limit=MAX_LINE)},
    )


def ref_change(document: Document) -> Facts:
    """``create`` and ``delete`` of a branch or a tag; neither says when."""
    kind, ref = read(document, "ref_type", str), line(document, "ref")
    return Facts(
        variant="tag" if kind == "tag" else "",
        branch=ref if kind == "branch" else None,
        payload={
            "ref_type": bounded(kind, limit=MAX_LINE),
            "ref": ref,
            "default_branch": line(document, "master_branch"),
            "pusher_type": line(document, "pusher_type"),
        },
        keys={"ref": ref},
    )


def release(document: Document) -> Facts:
    """``release``: its ``created_at`` is its commit's time, so it comes last."""
    tag = line(document, "release.tag_name")
    published = (
        ("release.published_at",) if action_of(document) in ("published", "released") else ()
    )
    return Facts(
        occurred_at=first_instant(
            document,
            *published,
            "release.updated_at",
            "release.published_at",
            "release.created_at",
        ),
        payload={
            "release_id": number(document, "release.id"),
            "tag": tag,
            "name": line(document, "release.name"),
            "body": text(document, "release.body"),
            "draft": optional(document, "release.draft", bool),
            "prerelease": optional(document, "release.prerelease", bool),
            "target": line(document, "release.target_commitish"),
            "author": line(document, "release.author.login"),
            "asset_count": len(objects(document, "release.assets")),
            "published_at": instant(document, "release.published_at"),
            "changed": changed(document),
            "url": line(document, "release.html_url"),
        },
        keys={"release_id": number(document, "release.id"), "tag": tag},
    )


def repository(document: Document) -> Facts:
    """``repository``: what became of the repository itself."""
    return Facts(
        occurred_at=first_instant(document, "repository.updated_at"),
        payload={
            "visibility": line(document, "repository.visibility"),
            "private": optional(document, "repository.private", bool),
            "archived": optional(document, "repository.archived", bool),
            "default_branch": line(document, "repository.default_branch"),
            "description": line(document, "repository.description"),
            "former_name": line(document, "changes.repository.name.from"),
            "changed": changed(document),
            "url": line(document, "repository.html_url"),
        },
    )


def member(document: Document) -> Facts:
    """``member``: somebody's access to the repository; no time is given."""
    login = line(document, "member.login")
    return Facts(
        payload={
            "member": login,
            "member_type": line(document, "member.type"),
            "permission": line(document, "changes.permission.to")
            or line(document, "changes.role_name.to"),
            "former_permission": line(document, "changes.permission.from"),
            "changed": changed(document),
        },
        keys={"member": login, "member_id": number(document, "member.id")},
    )


def ping(document: Document) -> Facts:
    """``ping``: sent when a webhook is made, and on request; no time is given."""
    hook = number(document, "hook_id")
    events = [str(event)[:MAX_LINE] for event in optional(document, "hook.events", list) or ()]
    return Facts(
        payload={
            "zen": line(document, "zen"),
            "hook_id": hook,
            "hook_type": line(document, "hook.type"),
            "active": optional(document, "hook.active", bool),
            "events": events[:MAX_LISTED],
            "content_type": line(document, "hook.config.content_type"),
        },
        keys={"hook_id": hook},
    )


def _commit(commit: Document) -> dict[str, object]:
    message = optional(commit, "message", str)
    return {
        "sha": line(commit, "id"),
        "message": bounded(message.partition("\n")[0], limit=MAX_LINE) if message else None,
        "author": line(commit, "author.username") or line(commit, "author.name"),
        "at": instant(commit, "timestamp"),
        "distinct": optional(commit, "distinct", bool),
        "added": _length(commit, "added"),
        "modified": _length(commit, "modified"),
        "removed": _length(commit, "removed"),
    }


def _length(commit: Document, name: str) -> int:
    files = find(commit, name)
    return len(files) if isinstance(files, list) else 0
