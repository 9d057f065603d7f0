"""The canonical actions: one table of what any provider may be asked for, each with its target and its payload.

PRD, FR-7 and 10.2. Checked here is what holds for every provider; an adapter's ``check`` adds its own limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import orjson
from attrs import frozen

from adapters import canonical_payloads as payloads, canonical_targets as targets, schema
from adapters.canonical_rules import AnyOf, NotBeside, OneOf, Rule
from adapters.contract import Action
from adapters.errors import ActionError

MARK = "zeroui-action:"
"""What every hidden marker of an effect begins with; no caller's text may hold it."""

_ACTION_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


@frozen(kw_only=True)
class ActionKind:
    """One canonical action. ``target`` and ``payload`` are attrs types that ``adapters.schema`` reads."""

    name: str
    summary: str
    target: type
    payload: type


_KINDS = (
    ActionKind(
        name="create_issue",
        summary="Create an issue.",
        target=targets.Tracker,
        payload=payloads.NewIssue,
    ),
    ActionKind(
        name="update_issue",
        summary="Change an issue: only what is given.",
        target=targets.Issue,
        payload=payloads.IssueChange,
    ),
    ActionKind(
        name="comment_on_issue",
        summary="Comment on an issue.",
        target=targets.Issue,
        payload=payloads.Comment,
    ),
    ActionKind(
        name="comment_on_pr",
        summary="Comment on a pull request.",
        target=targets.PullRequest,
        payload=payloads.Comment,
    ),
    ActionKind(
        name="review_pr",
        summary="Review a pull request, with comments on its lines.",
        target=targets.PullRequest,
        payload=payloads.Review,
    ),
    ActionKind(
        name="annotate_commit",
        summary="Say what a check found in a commit, line by line.",
        target=targets.CommitPlace,
        payload=payloads.Annotations,
    ),
    ActionKind(
        name="set_commit_status",
        summary="Set the status of a commit in one context.",
        target=targets.CommitPlace,
        payload=payloads.CommitStatus,
    ),
    ActionKind(
        name="post_chat_message",
        summary="Post a message to a channel or a thread.",
        target=targets.Channel,
        payload=payloads.ChatMessage,
    ),
    ActionKind(
        name="update_chat_message",
        summary="Change a message that was posted.",
        target=targets.Message,
        payload=payloads.ChatMessage,
    ),
    ActionKind(
        name="add_link",
        summary="Link an issue, a pull request or a commit to a web page.",
        target=targets.Linkable,
        payload=payloads.Link,
    ),
    ActionKind(
        name="create_incident",
        summary="Open an incident.",
        target=targets.Service,
        payload=payloads.NewIncident,
    ),
    ActionKind(
        name="resolve_incident",
        summary="Resolve an incident.",
        target=targets.Incident,
        payload=payloads.Resolution,
    ),
    ActionKind(
        name="send_email",
        summary="Send a mail.",
        target=targets.Recipients,
        payload=payloads.Mail,
    ),
    ActionKind(
        name="create_page",
        summary="Create a page.",
        target=targets.Shelf,
        payload=payloads.NewPage,
    ),
    ActionKind(
        name="comment_on_page",
        summary="Comment on a page.",
        target=targets.Page,
        payload=payloads.Comment,
    ),
)

CANONICAL: Mapping[str, ActionKind] = MappingProxyType({kind.name: kind for kind in _KINDS})

RULES: Mapping[type, tuple[Rule, ...]] = MappingProxyType(
    {
        targets.Tracker: (OneOf((("repository",), ("project",))),),
        targets.Issue: (OneOf((("repository", "issue_number"), ("issue_key",))),),
        targets.Linkable: (
            OneOf(
                (
                    ("repository", "issue_number"),
                    ("repository", "pr_number"),
                    ("repository", "commit"),
                    ("issue_key",),
                )
            ),
        ),
        targets.Incident: (OneOf((("incident",), ("dedup_key",))),),
        targets.Shelf: (AnyOf(("space", "parent")),),
        payloads.IssueChange: (
            AnyOf(tuple(field.name for field in attrs.fields(payloads.IssueChange))),
            NotBeside("labels", ("add_labels", "remove_labels")),
        ),
    }
)
"""What a shape's types do not say: which of its fields go together."""


def check(action: Action) -> tuple[Any, Any]:
    """The action's target and payload, as the types that ``CANONICAL`` names.

    Raises:
        ActionError: with the first field that is wrong (``payload.title``).
    """
    kind = CANONICAL.get(action.canonical_type)
    if kind is None:
        raise ActionError("is no canonical action", field="canonical_type")
    if not _ACTION_ID.fullmatch(action.action_id):
        raise ActionError("must be letters, digits and hyphens", field="action_id")
    target = _read(action.target, kind.target, "target")
    payload = _read(action.payload, kind.payload, "payload")
    return target, payload


def schemas() -> dict[str, Any]:
    """For each canonical action what it does, and the JSON Schemas (2020-12) of its target and payload."""
    return {
        kind.name: {
            "summary": kind.summary,
            "target": _schema(kind.target),
            "payload": _schema(kind.payload),
        }
        for kind in CANONICAL.values()
    }


def _read(body: bytes, kind: type, where: str) -> object:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Not chained: the decoder's error holds the whole body.
        raise ActionError("must be a JSON object", field=where) from None
    if not isinstance(document, dict):
        raise ActionError("must be a JSON object", field=where)
    try:
        shaped: object = schema.read(document, kind)
    except schema.ShapeError as error:
        raise ActionError(error.message, field=_joined(where, error.path)) from error
    given = {name for name, value in document.items() if value is not None}
    for rule in RULES.get(kind, ()):
        broken = rule.broken(given)
        if broken is not None:
            raise ActionError(broken[1], field=_joined(where, broken[0]))
    for path in _marked(document, where):
        raise ActionError("holds a marker of ours", field=path)
    return shaped


def _marked(value: object, path: str) -> Iterator[str]:
    """Where a text could be taken for the effect of another action."""
    if isinstance(value, str) and MARK in value.lower():
        yield path
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _marked(inner, _joined(path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _marked(inner, f"{path}[{index}]")


def _joined(where: str, path: str) -> str:
    return f"{where}.{path}" if path else where


def _schema(kind: type) -> dict[str, Any]:
    shaped = schema.json_schema(kind)
    shaped["description"] = " ".join(str(shaped["description"]).split())
    rules = RULES.get(kind)
    return {**shaped, "allOf": [rule.schema() for rule in rules]} if rules else shaped
