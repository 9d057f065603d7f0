"""Polling GitHub: the issues, pull requests and comments of the repositories that a connection names.

docs.github.com, "Best practices for using the REST API" (conditional requests) and the lists' own pages. An organization's
repositories are polled where they are named. What is asked for next is ``walking``'s to say, what happened to the things
that are listed, that of ``snapshots``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import urlencode

from attrs import evolve, frozen

from adapters.answers import Ending, answered_at
from adapters.contract import Later, Refused, Request, Response
from adapters.document import parse, parse_list, read
from adapters.errors import PayloadError
from adapters.github import limits, meaning, snapshots, walking
from adapters.github.cursors import OVERLAP, Cursor, Walk, cursor_from, written
from adapters.github.requests import reading, stamp
from adapters.github.settings import read_settings
from adapters.paging import next_url
from adapters.polling import CursorLost, Item, Page, PollPlan, Resource, Span

_STEPPED_BACK = timedelta(hours=1)
_MAX_WISH_S = 86_400


_LISTS = MappingProxyType(
    {
        "issues": walking.Listing(path="issues", telling=snapshots.of_issue),
        "pulls": walking.Listing(path="pulls", telling=snapshots.of_pull_request, upwards=False),
        "comments": walking.Listing(path="issues/comments", telling=snapshots.of_comment),
    }
)


@frozen(kw_only=True)
class _Asked:
    """What one page is asked for: of which list, and which events of it are wanted."""

    list: walking.Listing
    name: str
    wanted: Callable[[datetime], bool]


_Start: TypeAlias = Generator[Request, Response, tuple[int, datetime | None] | Ending]


def resources(settings: bytes) -> tuple[Resource, ...]:
    """See ``Polls.resources``: three lists of each repository that is named.

    Raises:
        SettingsError: see ``read_settings``.
    """
    said = read_settings(settings)
    return tuple(
        Resource(name=f"{kind}:{name}", overlap=OVERLAP).paced(said.poll_every)
        for name in said.repositories
        for kind in _LISTS
    )


def poll(resource: str, cursor: bytes | None, *, now: datetime) -> PollPlan:
    """See ``Polls.poll``. A cursor can not be lost at GitHub, but be another version's."""
    kind, _, name = resource.partition(":")
    if kind not in _LISTS:
        return Refused(reason=f"there is no resource {resource!r}")
    place = None if cursor is None else cursor_from(cursor)
    if place is None:
        return (yield from _begin(name, now, lost=cursor is not None))
    untold = place.untold_since()
    asked = _Asked(list=_LISTS[kind], name=name, wanted=lambda at: at >= untold)
    return (yield from _page(asked, place))


def backfill(resource: str, span: Span, cursor: bytes | None) -> PollPlan:
    """See ``Polls.backfill``: what changed since, of which that is told that happened in the span.

    How much there is, GitHub does not say.
    """
    kind, _, name = resource.partition(":")
    if kind not in _LISTS:
        return Refused(reason=f"there is no resource {resource!r}")
    place = None if cursor is None else cursor_from(cursor)
    if place is None:
        found = yield from _repository(name)
        if not isinstance(found, tuple):
            return found
        place = Cursor(repository_id=found[0], since=span.since)
    walk = place.walk or Walk(floor=place.since, at=place.since)
    asked = _Asked(list=_LISTS[kind], name=name, wanted=lambda at: span.since <= at < span.until)
    outcome = yield from _page(asked, evolve(place, walk=walk))
    match outcome:
        case CursorLost(reason=reason):
            return Refused(reason=f"GitHub does not list so much: {reason}")
        case Page(more=False, cursor=behind) if not asked.list.upwards and walk.pages > 0:
            # What was changed while the pages were read went to the first ones.
            ended = cursor_from(behind)
            return evolve(outcome, more=ended is not None and ended.since > walk.floor)
        case _:
            return outcome


def _begin(name: str, now: datetime, *, lost: bool) -> PollPlan:
    found = yield from _repository(name)
    if not isinstance(found, tuple):
        return found
    since = found[1] or now.astimezone(UTC)
    cursor = written(Cursor(repository_id=found[0], since=since))
    if lost:
        return CursorLost(reason="the cursor is not readable", cursor=cursor, since=since)
    return Page(items=(), cursor=cursor)


def _repository(name: str) -> _Start:
    """The repository's id, and GitHub's time."""
    request = reading(f"/repos/{name}")
    response = yield request
    ending = meaning.ending(response, request=request)
    if ending is not None:
        return ending
    try:
        return read(parse(response.body), "id", int), answered_at(response)
    except PayloadError as error:
        return _unreadable(error)


def _page(asked: _Asked, place: Cursor) -> PollPlan:
    request = _request(asked, place)
    response = yield request
    unchanged = response.status == 304
    ending = None if unchanged else meaning.ending(response, request=request)
    if ending is not None:
        return walking.restarted(asked.list, place, ending)
    clock = answered_at(response)
    if clock is not None and clock < place.since - OVERLAP:
        # GitHub's clock went back: what happened since then has times that were read already.
        back = Cursor(repository_id=place.repository_id, since=clock - _STEPPED_BACK)
        return Page(items=(), cursor=written(back), more=True)
    if unchanged:
        return Page(items=(), cursor=written(place), fresh=False, again_after=_wish(response))
    try:
        return _read(asked, place, request, response)
    except PayloadError as error:
        return _unreadable(error)


def _read(asked: _Asked, place: Cursor, request: Request, response: Response) -> Page:
    listed = parse_list(response.body)
    home = snapshots.Home(id=place.repository_id, name=asked.name)
    following = walking.following(
        asked.list, place, listed, next_url(response, request=request), response
    )
    items = [
        item
        for one in listed
        for item in asked.list.telling(one, home)
        if asked.wanted(item.occurred_at)
    ]
    return Page(
        items=tuple(sorted(items, key=_by_time)),
        cursor=written(following),
        more=following.walk is not None,
        again_after=_wish(response),
    )


def _request(asked: _Asked, place: Cursor) -> Request:
    walk = place.walking()
    if walk.url is not None:
        return reading(walk.url)
    query = {"state": "all", "sort": "updated", "direction": "desc", "per_page": walking.PER_PAGE}
    if asked.list.upwards:
        query |= {"direction": "asc", "since": stamp(walk.at)}
    request = reading(f"/repos/{asked.name}/{asked.list.path}?{urlencode(query)}")
    if place.walk is not None or place.etag is None:
        return request
    return evolve(request, headers=(*request.headers, ("if-none-match", place.etag)))


def _wish(response: Response) -> timedelta | None:
    """When GitHub wants to be asked again: as it says, and not before its limit is full again."""
    said = response.header("x-poll-interval") or ""
    seconds = int(said) if said.isascii() and said.isdigit() and len(said) < 7 else 0
    wishes = [timedelta(seconds=min(seconds, _MAX_WISH_S))]
    left, clock = limits.allowance(response), answered_at(response)
    if left is not None and left.remaining == 0 and clock is not None:
        wishes.append(left.resets_at - clock)
    return max(wishes) or None


def _by_time(item: Item) -> tuple[datetime, str]:
    return item.occurred_at, item.event_id


def _unreadable(error: PayloadError) -> Later:
    return Later(reason=f"the answer is unreadable: {error}")
