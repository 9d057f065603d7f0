"""The API of polling: how far each resource has been read, and the backfills of what was before (FR-5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from actors import backfills
from actors.backfills import Order
from actors.platform.identity import Caller
from adapters.contract import Response
from adapters.polling import Span
from http_edge.answers import json_response
from http_edge.bodies import BackfillBody, CursorResetBody, PollBody, ReasonBody
from http_edge.edge import Edge
from http_edge.errors import InvalidError
from http_edge.management import owned
from http_edge.poll_views import (
    BackfillList,
    CursorList,
    CursorReset,
    CursorView,
    SkippedView,
    backfill_view,
    cursor_document,
    cursor_fields,
)
from http_edge.queries import BackfillQuery
from http_edge.route import Asked, Handle
from persistence.polls import BackfillRecord

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""No provider is older; and from here, nobody's arithmetic runs out of years."""
_MOST_NAMED = 10


async def begin(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """Begin a backfill; it goes on by itself.

    Raises:
        InvalidError: with the field that is wrong; nothing is stored.
        IncapableError, ChangedError, WrongStateError: see ``backfills``.
    """
    body: BackfillBody = asked.body
    connection = await owned(caller, asked.id_of("connection"), edge.ports)
    known = [each.name for each in backfills.resources_of(edge.ports, connection)]
    _check_among(body.resource, known)
    span = _span(body, edge.ports.clock.now())
    begun = await backfills.begin(edge.ports, connection, body.resource, span, by=caller.subject)
    place = f"/v1/integrations/connections/{begun.connection_id}/backfills/{begun.backfill_id}"
    view = backfill_view(begun, now=edge.ports.clock.now())
    return json_response(view, status=202, headers=(("location", place),))


async def listing(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """A connection's backfills, newest first."""
    query: BackfillQuery = asked.query
    connection = await owned(caller, asked.id_of("connection"), edge.ports)
    found = await edge.ports.store.backfills(
        caller.tenant_id, connection.connection_id, limit=query.limit + 1
    )
    now = edge.ports.clock.now()
    return json_response(
        BackfillList(
            backfills=tuple(backfill_view(each, now=now) for each in found[: query.limit]),
            more=len(found) > query.limit,
        )
    )


async def show(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """One backfill of a connection."""
    return _shown(await _asked_for(caller, asked, edge), edge)


def moved(order: Order) -> Handle:
    """The function of a route that pauses, resumes or cancels a backfill."""

    async def move(caller: Caller, asked: Asked, edge: Edge) -> Response:
        record = await _asked_for(caller, asked, edge)
        reason = asked.body.reason if isinstance(asked.body, ReasonBody) else None
        return _shown(
            await backfills.move(edge.ports, record, order, by=caller.subject, reason=reason), edge
        )

    return move


async def cursors(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """How far a connection's resources have been polled."""
    connection = await owned(caller, asked.id_of("connection"), edge.ports)
    found = await edge.ports.store.cursors(caller.tenant_id, connection.connection_id)
    return json_response(
        CursorList(cursors=tuple(CursorView(**cursor_fields(each)) for each in found))
    )


async def poll(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """Poll a connection's resources now, each from where it is.

    Raises:
        InvalidError: there is no such cursor.
        ChangedError: the connection is not active.
    """
    body: PollBody = asked.body
    ports = edge.ports
    connection = await owned(caller, asked.id_of("connection"), ports)
    place = (caller.tenant_id, connection.connection_id)
    known = [cursor.resource for cursor in await ports.store.cursors(*place)]
    if body.resource is not None:
        _check_among(body.resource, known)
        known = [body.resource]
    await backfills.poll_now(ports, connection, known, by=caller.subject)
    wanted = [each for each in await ports.store.cursors(*place) if each.resource in known]
    return json_response(
        CursorList(cursors=tuple(CursorView(**cursor_fields(each)) for each in wanted)), status=202
    )


async def reset(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """Let a resource be polled from now on, and tell what is left unread.

    Raises:
        InvalidError: there is no such cursor.
        ChangedError: the connection is not active.
    """
    body: CursorResetBody = asked.body
    ports = edge.ports
    connection = await owned(caller, asked.id_of("connection"), ports)
    found = await ports.store.cursors(caller.tenant_id, connection.connection_id)
    known = {cursor.resource: cursor for cursor in found}
    _check_among(body.resource, list(known))
    done = await backfills.reset(ports, connection, known[body.resource], by=caller.subject)
    return json_response(
        CursorReset(
            **cursor_fields(done.cursor),
            skipped=SkippedView(
                since=done.read_until,
                until=done.cursor.next_poll_at,
                cursor=cursor_document(done.given_up),
            ),
        )
    )


async def _asked_for(caller: Caller, asked: Asked, edge: Edge) -> BackfillRecord:
    """The backfill in the path; another connection's does not exist for it (P6)."""
    connection = await owned(caller, asked.id_of("connection"), edge.ports)
    return await backfills.found(
        edge.ports, caller.tenant_id, connection.connection_id, asked.id_of("backfill")
    )


def _shown(record: BackfillRecord, edge: Edge) -> Response:
    return json_response(backfill_view(record, now=edge.ports.clock.now()))


def _check_among(resource: str, known: Sequence[str]) -> None:
    """Refuse a resource that is not ``known``; some of those that are, are named.

    Raises:
        InvalidError: 422.
    """
    if resource in known:
        return
    named = ", ".join(known[:_MOST_NAMED])
    rest = len(known) - _MOST_NAMED
    told = f"must be one of {named}{f' and {rest} more' if rest > 0 else ''}"
    raise InvalidError(
        told if known else "there is none: nothing of this connection is polled",
        field="resource",
        status=422,
    )


def _span(body: BackfillBody, now: datetime) -> Span:
    """From when to when, in UTC.

    Raises:
        InvalidError: 422; it is empty, in the future, or before there was anything.
    """
    until = body.until or now
    if until > now:
        raise InvalidError("is in the future", field="until", status=422)
    if body.since >= until:
        raise InvalidError("must be before until", field="since", status=422)
    if body.since < _EARLIEST:
        raise InvalidError("must not be before 1970", field="since", status=422)
    return Span(since=body.since, until=until)
