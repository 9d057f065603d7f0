"""Walking through GitHub's lists, page by page: where one is behind a page, and when a list is read.

Issues and comments are listed from a time on, oldest change first, and each page is asked for from where the last one
ended: nothing that is changed or deleted meanwhile moves another out of sight, as it would between numbered pages. Pull
requests have no such list; they are read back from the newest change, which moves things only to pages that are still
to come, or to the first, for the next walk. Only where a page is full of changes of one second, numbers lead on: one of
those that is changed again meanwhile can hide another.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import evolve, frozen

from adapters.answers import Ending, answered_at
from adapters.contract import Refused, Response
from adapters.document import Document
from adapters.github import snapshots
from adapters.github.cursors import OVERLAP, Cursor, Walk, written
from adapters.polling import CursorLost, PollOutcome

PER_PAGE = 100
_SECOND = timedelta(seconds=1)


@frozen(kw_only=True)
class Listing:
    """A list of a repository. ``upwards``: it can be asked for from a time on, oldest change first."""

    path: str
    telling: snapshots.Telling
    upwards: bool = True


def following(
    kind: Listing,
    place: Cursor,
    listed: tuple[Document, ...],
    link: str | None,
    response: Response,
) -> Cursor:
    """The cursor behind a page; ``link`` is the next one's.

    Raises:
        PayloadError: something listed does not say when it was changed.
    """
    walk = place.walking()
    times = [snapshots.changed_at(one) for one in listed]
    reached = _reached(walk, kind, times, response)
    over = link is None or (not kind.upwards and min(times, default=walk.floor) < walk.floor)
    if over:
        since = max(place.since, reached)
        told = _tells(kind, place, since, times)
        return Cursor(
            repository_id=place.repository_id,
            since=since,
            etag=response.header("etag") if told else None,
            unsure_since=place.untold_since() if not kind.upwards and walk.pages > 0 else None,
        )
    # Asked for from where it ended; by its link only where that is where it began.
    url = None if kind.upwards and reached > walk.at else link
    onward = Walk(floor=walk.floor, at=reached, url=url, pages=walk.pages + 1)
    return evolve(place, walk=onward, etag=None)


def _tells(kind: Listing, place: Cursor, since: datetime, times: list[datetime]) -> bool:
    """Whether this page changes with any news: then 304 of the URL that is asked for next means that there are none."""
    if not kind.upwards:
        # News come first.
        return place.walking().pages == 0
    # News come last: on the next page, where this one is full.
    return place.walk is None and since == place.since and len(times) < PER_PAGE


def _reached(walk: Walk, kind: Listing, times: list[datetime], response: Response) -> datetime:
    """The newest change that was seen, none from the future; in a list downwards it is on the first page."""
    if not kind.upwards and walk.pages > 0:
        return walk.at
    newest = max((walk.at, *times))
    clock = answered_at(response)
    return newest if clock is None else min(newest, max(clock, walk.at))


def restarted(kind: Listing, place: Cursor, ending: Ending) -> PollOutcome:
    """A page that GitHub does not give any more: numbers that lead too far are refused (422)."""
    walk = place.walk
    if walk is None or walk.url is None or not isinstance(ending, Refused) or ending.status != 422:
        return ending
    # Upwards this is a second with too many changes, which is left behind.
    since = walk.at + OVERLAP + _SECOND if kind.upwards else walk.at
    rest = Cursor(repository_id=place.repository_id, since=since)
    return CursorLost(reason=ending.reason, cursor=written(rest), since=walk.floor)
