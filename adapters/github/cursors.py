"""How far the lists of a repository have been read: GitHub's cursors, which are ours, for its lists know none.

Everything here is on GitHub's clock, in UTC.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, TypeAlias

import msgspec
import orjson
from attrs import frozen

from adapters.schema import ShapeError, read

OVERLAP = timedelta(minutes=2)
"""What is read again each time: its lists come from replicas that lag behind."""

Time: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


@frozen(kw_only=True)
class Walk:
    """A list that takes several pages. What changed before ``floor`` is not looked for.

    ``at``: all that changed before it is read when this walk is over; in a list that goes upwards, already. ``url``
    is the next page as GitHub gave it; None: it is asked for by ``at``. ``pages`` counts those that were read.
    """

    floor: Time
    at: Time
    url: str | None = None
    pages: int = 0


@frozen(kw_only=True)
class Cursor:
    """All that changed before ``since`` is read. ``etag`` is of the page that is asked for next.

    ``unsure_since``: things that were changed while a walk went downwards have moved behind it, to the first page, with
    all that happened to them from then on.
    """

    repository_id: int
    since: Time
    etag: str | None = None
    walk: Walk | None = None
    unsure_since: Time | None = None

    def walking(self) -> Walk:
        """The walk under way, or the next one: from a little before."""
        floor = self.since - OVERLAP
        return self.walk or Walk(floor=floor, at=floor)

    def untold_since(self) -> datetime:
        """Since when something may have happened that was not told."""
        floor = self.walking().floor
        return floor if self.unsure_since is None else min(floor, self.unsure_since)


def written(cursor: Cursor) -> bytes:
    """The cursor as JSON."""
    return msgspec.json.encode(cursor)


def cursor_from(text: bytes) -> Cursor | None:
    """A cursor that was written; None where this version can not read it."""
    try:
        return read(orjson.loads(text), Cursor)
    except (orjson.JSONDecodeError, ShapeError):
        return None
