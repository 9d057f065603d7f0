"""The exchanges that carry an action out: look first where it may have been sent, then create.

A renamed repository answers with a redirect; the transport follows it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TypeAlias

from adapters.contract import Action, Later, Outcome, Plan, Request, Response
from adapters.document import Document, parse, read
from adapters.errors import PayloadError
from adapters.github import meaning
from adapters.github.actions import read_action
from adapters.github.checks import BATCH, CheckRun
from adapters.github.editing import IssueEdit, edit
from adapters.github.effects import Effect
from adapters.github.looking import search, window

_Making: TypeAlias = Generator[Request, Response, Document | Outcome]


def plan(action: Action) -> Plan:
    """See ``Actions.plan``.

    Raises:
        ActionError: when it is started, as ``read_action``.
    """
    asked = read_action(action)
    if isinstance(asked, IssueEdit):
        return (yield from edit(asked, action.first_sent_at))
    found: Document | Outcome | None = None
    if action.first_sent_at is not None:
        found = yield from search(asked.look(window(action.first_sent_at)))
    made = found if found is not None else (yield from _make(asked))
    if not isinstance(made, Mapping):
        return made
    try:
        return (yield from _finish(asked, made, found=found is not None))
    except PayloadError as error:
        # It exists, but what came back does not say as what. The next try will find it.
        return Later(reason=f"done, and an unreadable answer: {error}", maybe_sent=True)


def _make(asked: Effect) -> _Making:
    request = asked.creation()
    response = yield request
    ending = meaning.ending(response, request=request)
    if ending is not None:
        return ending
    try:
        return parse(response.body)
    except PayloadError as error:
        reason = f"{response.status}, and an unreadable answer: {error}"
        return Later(reason=reason, maybe_sent=True)


def _finish(asked: Effect, made: Document, *, found: bool) -> Plan:
    done = asked.done(made)
    if not isinstance(asked, CheckRun):
        return done
    # What was just made need not be counted by GitHub yet.
    there = min(BATCH, len(asked.annotations))
    if found:
        there = read(made, "output.annotations_count", int)
    ended = yield from asked.rest(read(made, "id", int), there=there)
    return ended or done
