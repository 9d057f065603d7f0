"""The rows of the table that are about polling: backfills and cursors (FR-5)."""

from __future__ import annotations

from functools import partial

from actors.backfills import Order
from http_edge import polls
from http_edge.auth import Permission
from http_edge.bodies import BackfillBody, CursorResetBody, PollBody, ReasonBody
from http_edge.poll_views import BackfillList, BackfillView, CursorList, CursorReset
from http_edge.queries import BackfillQuery
from http_edge.route import Guarded, Route

_ONE = "/v1/integrations/connections/{connection_id}"
_BACKFILL = f"{_ONE}/backfills/{{backfill_id}}"
_READ, _WRITE = Permission.READ_CONNECTIONS, Permission.WRITE_CONNECTIONS

# What is ordered of one backfill; it may be repeated under a key.
_order = partial(Route, method="POST", answers={200: BackfillView}, keyed=True)

POLL_ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=f"{_ONE}/backfill",
        name="begin_backfill",
        summary="Begin to read what happened to a resource before; it goes on by itself",
        door=Guarded(permission=_WRITE, handle=polls.begin),
        body=BackfillBody,
        answers={202: BackfillView},
        errors=(409, 422),
        keyed=True,
        located=(202,),
    ),
    Route(
        method="GET",
        path=f"{_ONE}/backfills",
        name="list_backfills",
        summary="List a connection's backfills, newest first",
        door=Guarded(permission=_READ, handle=polls.listing),
        query=BackfillQuery,
        answers={200: BackfillList},
    ),
    Route(
        method="GET",
        path=_BACKFILL,
        name="show_backfill",
        summary="Show how far a backfill is, and when it will end",
        door=Guarded(permission=_READ, handle=polls.show),
        answers={200: BackfillView},
    ),
    _order(
        path=f"{_BACKFILL}/pause",
        name="pause_backfill",
        summary="Pause a backfill where it is",
        door=Guarded(permission=_WRITE, handle=polls.moved(Order.PAUSE)),
        body=ReasonBody,
    ),
    _order(
        path=f"{_BACKFILL}/resume",
        name="resume_backfill",
        summary="Let a paused backfill go on where it was",
        door=Guarded(permission=_WRITE, handle=polls.moved(Order.RESUME)),
    ),
    _order(
        path=f"{_BACKFILL}/cancel",
        name="cancel_backfill",
        summary="End a backfill; what it found stays",
        door=Guarded(permission=_WRITE, handle=polls.moved(Order.CANCEL)),
        body=ReasonBody,
    ),
    Route(
        method="GET",
        path=f"{_ONE}/cursors",
        name="list_cursors",
        summary="List how far each resource of a connection has been polled",
        door=Guarded(permission=_READ, handle=polls.cursors),
        answers={200: CursorList},
    ),
    Route(
        method="POST",
        path=f"{_ONE}/poll",
        name="poll_now",
        summary="Poll a resource of a connection now, or all of them, each from where it is",
        door=Guarded(permission=_WRITE, handle=polls.poll),
        body=PollBody,
        answers={202: CursorList},
        errors=(409, 422),
        keyed=True,
    ),
    Route(
        method="POST",
        path=f"{_ONE}/cursors/reset",
        name="reset_cursor",
        summary="Poll a resource from now on, at once; the answer says what is left unread",
        door=Guarded(permission=_WRITE, handle=polls.reset),
        body=CursorResetBody,
        answers={200: CursorReset},
        errors=(409, 422),
        keyed=True,
    ),
)
