"""Healing gaps: GitHub keeps for three days what it delivered to a webhook, and sends again what failed if it is asked.

docs.github.com, "Handling failed webhook deliveries". The record of an App's own webhook is open to the App only, and
is not looked at. What was sent again is listed as one more delivery under the same GUID; the newest one says how the
event stands. One plan looks at one page of one webhook's record.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import datetime, timedelta

import msgspec
import orjson
from attrs import Factory, evolve, frozen

from adapters.answers import Ending
from adapters.contract import Later, Refused, Request, Response
from adapters.document import parse_list
from adapters.errors import PayloadError
from adapters.github import meaning
from adapters.github.cursors import OVERLAP, Time
from adapters.github.deliveries import Hook, Sent, failed_of, hooks_from, sent_from
from adapters.github.requests import reading, writing
from adapters.paging import next_url
from adapters.polling import Healed, HealPlan
from adapters.schema import ShapeError, read as read_shape

_PER_PAGE = 30
_MOST_TIMES = 5
_MOST_REMEMBERED = 1_000
_FORGOTTEN_AFTER = timedelta(days=4)


@frozen(kw_only=True)
class Look:
    """A look through one webhook's record that takes several pages, newest first.

    ``newest`` is where it began, ``url`` where it goes on (None: where it began). ``decided``: the events of which the
    newest delivery was seen.
    """

    newest: Time | None = None
    url: str | None = None
    decided: tuple[str, ...] = ()


@frozen(kw_only=True)
class Failing:
    """An event that failed when it was sent again: how often we asked for that, and when it failed last."""

    times: int
    at: Time


@frozen(kw_only=True)
class HealingCursor:
    """Whose ``turn`` it is of the webhooks, and by webhook until when its record is known (``seen``)."""

    turn: int = 0
    seen: dict[str, Time] = Factory(dict)
    failing: dict[str, Failing] = Factory(dict)
    look: Look = Look()


@frozen(kw_only=True)
class _Found:
    """What one page came to."""

    cursor: HealingCursor
    failed: int = 0
    asked: int = 0


@frozen(kw_only=True)
class _Round:
    """What asking for what failed on one page came to; ``ending`` is what ended it early."""

    cursor: HealingCursor
    asked: tuple[str, ...] = ()
    ending: Ending | None = None


def heal(hooks: bytes, *, since: datetime, cursor: bytes | None) -> HealPlan:
    """See ``Heals.heal``. What fails five times more is left alone."""
    try:
        ours = hooks_from(hooks)
    except PayloadError as error:
        return Refused(reason=f"what is known of the webhooks is unreadable: {error}")
    place = _cursor_from(cursor)
    if place.turn >= len(ours):
        place = evolve(place, turn=0, look=Look())
    if not ours:
        return Healed(failed=0, asked_again=0, cursor=_written(place))
    hook = ours[place.turn]
    floor = max(since, _known(place, hook) or since)
    found = yield from _looked(hook, place, floor)
    match found:
        case _Found(cursor=following):
            unreachable: tuple[str, ...] = ()
        case Refused(reason=reason):
            found = _Found(cursor=evolve(place, turn=place.turn + 1, look=Look()))
            following, unreachable = found.cursor, (f"{hook.target}: {reason}",)
        case _:
            return found
    return Healed(
        failed=found.failed,
        asked_again=found.asked,
        cursor=_written(following),
        more=following.turn < len(ours),
        unreachable=unreachable,
    )


def _looked(
    hook: Hook, place: HealingCursor, floor: datetime
) -> Generator[Request, Response, _Found | Ending]:
    request = reading(place.look.url or f"{hook.path}?per_page={_PER_PAGE}")
    response = yield request
    ending = meaning.ending(response, request=request)
    if ending is not None:
        return ending
    try:
        listed = tuple(map(sent_from, parse_list(response.body)))
    except PayloadError as error:
        return Later(reason=f"the record of deliveries is unreadable: {error}")
    there = [sent for sent in listed if sent.at >= floor]
    failed = failed_of(there, place.look.decided)
    asked = yield from _asked_again(hook, failed, place)
    if asked.ending is not None and not asked.asked:
        return asked.ending
    link = next_url(response, request=request) if len(there) == len(listed) else None
    return _Found(
        cursor=_following(hook, place, there, asked, link),
        # What was not come to is counted when it is.
        failed=len(failed) if asked.ending is None else len(asked.asked),
        asked=len(asked.asked),
    )


def _asked_again(
    hook: Hook, failed: list[Sent], place: HealingCursor
) -> Generator[Request, Response, _Round]:
    """Ask for each, the oldest first. It comes to us, and twice is as once: no effect to look for."""
    failing = dict(place.failing)
    asked: list[str] = []
    for sent in failed:
        times = _times(sent, failing)
        if times is None:
            continue
        request = evolve(writing("POST", f"{hook.path}/{sent.id}/attempts"), writes=False)
        ending = meaning.ending((yield request), request=request)
        if isinstance(ending, Refused):
            # Too old by now, or somebody was faster.
            continue
        if ending is not None:
            cursor = evolve(place, failing=failing)
            return _Round(cursor=cursor, asked=tuple(asked), ending=ending)
        asked.append(sent.guid)
        if sent.again:
            failing[sent.guid] = Failing(times=times, at=sent.at)
    return _Round(cursor=evolve(place, failing=failing), asked=tuple(asked))


def _times(sent: Sent, failing: Mapping[str, Failing]) -> int | None:
    """How often it will have been asked for after it failed again; None: it is left alone."""
    before = failing.get(sent.guid)
    if not sent.again:
        return 0
    if before is None:
        return 1 if len(failing) < _MOST_REMEMBERED else None
    return before.times + 1 if before.times < _MOST_TIMES else None


def _following(
    hook: Hook, place: HealingCursor, there: list[Sent], asked: _Round, link: str | None
) -> HealingCursor:
    """The cursor behind a page: the rest of it where it was ended early, the next one, or the next webhook."""
    look, cursor = place.look, asked.cursor
    newest = look.newest or max((sent.at for sent in there), default=None)
    decided = (*look.decided, *asked.asked)
    if asked.ending is not None:
        return evolve(cursor, look=evolve(look, decided=decided[-_MOST_REMEMBERED:]))
    if link is not None:
        decided += tuple(sent.guid for sent in there if sent.again)
        onward = Look(newest=newest, url=link, decided=decided[-_MOST_REMEMBERED:])
        return evolve(cursor, look=onward)
    seen = dict(cursor.seen)
    if newest is not None:
        seen[str(hook.id)] = newest
    return evolve(
        cursor,
        turn=place.turn + 1,
        seen=seen,
        failing=_remembered(cursor, there, newest),
        look=Look(),
    )


def _remembered(
    cursor: HealingCursor, there: list[Sent], newest: datetime | None
) -> dict[str, Failing]:
    """What still matters of the events that failed again: neither what has arrived nor what GitHub has forgotten."""
    arrived = {sent.guid for sent in there if sent.arrived}
    return {
        guid: failing
        for guid, failing in cursor.failing.items()
        if guid not in arrived and (newest is None or newest - failing.at < _FORGOTTEN_AFTER)
    }


def _known(place: HealingCursor, hook: Hook) -> datetime | None:
    seen = place.seen.get(str(hook.id))
    return None if seen is None else seen - OVERLAP


def _written(cursor: HealingCursor) -> bytes:
    return msgspec.json.encode(cursor)


def _cursor_from(text: bytes | None) -> HealingCursor:
    """The cursor that was written; from the beginning where this version can not read it."""
    try:
        return read_shape(orjson.loads(text or b"{}"), HealingCursor)
    except (orjson.JSONDecodeError, ShapeError):
        return HealingCursor()
