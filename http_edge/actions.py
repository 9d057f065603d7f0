"""The internal API of actions: execute one, see what became of it, settle it (PRD 11.3)."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import orjson
import trio

from actors.actions_desk import Resolution
from actors.platform.identity import Caller
from actors.ports import Ports
from adapters import canonical
from adapters.contract import Action, Headers, Response
from adapters.registry import OUTBOUND
from http_edge.action_views import (
    ActionDetails,
    ActionPage,
    ActionView,
    CanonicalAction,
    CanonicalActions,
    action_fields,
    exchange_view,
)
from http_edge.answers import json_response
from http_edge.bodies import LONGEST_EXPIRY, ActionBody, ReasonBody, ResolutionBody
from http_edge.edge import Edge
from http_edge.errors import EdgeError, InvalidError, NotFoundError
from http_edge.management import owned
from http_edge.queries import ActionQuery
from http_edge.route import Asked, id_in
from persistence.changes import ActionFilter
from persistence.errors import ChangedError, ConflictError, MissingError, StaleError
from persistence.records import (
    ActionRecord,
    ActionState,
    ConnectionRecord,
    ConnectionState,
    NewAction,
)

LONGEST_WAIT = timedelta(seconds=60)
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*([0-9]{1,6})\s*(?:$|[,;])", re.IGNORECASE)
_KNOWN_FOR = timedelta(minutes=5)
_LOOK_EVERY_S = 1.0
"""Another node may end the action; its announcement does not reach this one."""


async def execute(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """Store the action, then have it carried out; 202, or 200 with the outcome if ``Prefer: wait`` waits for it.

    The same idempotency key with the same request answers with the first one's outcome.

    Raises:
        ConflictError: the key is taken by another request (409).
        ActionError: no provider, or not this one, could ever do it (422); nothing is stored.
    """
    body: ActionBody = asked.body
    ports = edge.ports
    record = await _stored(caller, body, edge)
    wait = waiting_time(asked.request.header("prefer"))
    if wait > timedelta(0) and record.state is ActionState.QUEUED:
        record = await _wait_ended(record, wait, ports)
    ended = record.state is not ActionState.QUEUED
    headers: Headers = (("location", f"/internal/integrations/actions/{record.action_id}"),)
    if wait > timedelta(0):
        headers += (("preference-applied", f"wait={wait.total_seconds():g}"),)
    view = ActionView(**action_fields(record))
    return json_response(view, status=200 if ended else 202, headers=headers)


async def show(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """What became of an action of the caller's tenant, and what was sent for it.

    Raises:
        NotFoundError: there is none of that id.
    """
    store = edge.ports.store
    record = await store.action(caller.tenant_id, asked.id_of("action"))
    if record is None:
        raise NotFoundError("action")
    exchanges = await store.exchanges(record.tenant_id, record.action_id)
    return json_response(
        ActionDetails(
            **action_fields(record), exchanges=tuple(exchange_view(each) for each in exchanges)
        )
    )


async def page(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """The tenant's actions, newest first."""
    query: ActionQuery = asked.query
    only = ActionFilter(
        connection_id=query.connection_id,
        states=query.status or None,
        canonical_type=query.canonical_type,
        correlation_id=query.correlation_id,
    )
    found = await edge.ports.store.actions(
        caller.tenant_id, only, before=query.cursor, limit=query.limit + 1
    )
    here = found[: query.limit]
    return json_response(
        ActionPage(
            actions=tuple(ActionView(**action_fields(each)) for each in here),
            next_cursor=here[-1].action_id if len(found) > query.limit else None,
        )
    )


async def cancel(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """End an action before it is sent."""
    body: ReasonBody = asked.body
    cancelled = await edge.actions.cancel(
        caller.tenant_id, asked.id_of("action"), by=caller.subject, reason=body.reason
    )
    return json_response(ActionView(**action_fields(cancelled)))


async def resolve(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """Settle an action that was left unsure, as a person found out at the provider."""
    body: ResolutionBody = asked.body
    resolution = Resolution(
        done=body.status == "done", reason=body.reason, reference=body.reference
    )
    resolved = await edge.actions.resolve(
        caller.tenant_id, asked.id_of("action"), resolution, by=caller.subject
    )
    return json_response(ActionView(**action_fields(resolved)))


async def schemas(_caller: Caller, _asked: Asked, _edge: Edge) -> Response:
    """The canonical actions, for those that write them."""
    await trio.lowlevel.checkpoint()
    kinds = canonical.schemas().items()
    return json_response(
        CanonicalActions(actions={name: CanonicalAction(**each) for name, each in kinds})
    )


def waiting_time(prefer: str | None) -> timedelta:
    """How long the caller wants to wait (RFC 7240, ``wait``), at most a minute."""
    found = _WAIT.search(prefer or "")
    asked = timedelta(seconds=int(found[1])) if found is not None else timedelta(0)
    return min(asked, LONGEST_WAIT)


async def _stored(caller: Caller, body: ActionBody, edge: Edge) -> ActionRecord:
    """The action in the queue.

    A connection that was read before need not be read again: the store takes nothing for one that has changed since.
    """
    if body.tenant_id not in {None, caller.tenant_id}:
        raise NotFoundError("connection")
    ports, place = edge.ports, (caller.tenant_id, id_in(body.connection_id, "connection"))
    known = edge.known.get(place, now=ports.clock.now())
    if known is not None and body.provider_id in {None, known.provider_id}:
        with suppress(ChangedError, MissingError, StaleError):
            return await _queued(_checked(body, known, edge), ports, version=known.version)
    connection = await _usable(caller, body, ports)
    action = _checked(body, connection, edge)
    if connection.state is not ConnectionState.ACTIVE:
        return await _known(action, connection, ports)
    edge.known.keep(place, connection, until=ports.clock.now() + _KNOWN_FOR)
    return await _queued(action, ports)


async def _queued(action: NewAction, ports: Ports, *, version: int | None = None) -> ActionRecord:
    """The action in the queue; of a new one its connection is told."""
    record, fresh = await ports.store.enqueue(action, version=version)
    if fresh:
        ports.wake.action(record, version)
    return record


async def _usable(caller: Caller, body: ActionBody, ports: Ports) -> ConnectionRecord:
    connection = await owned(caller, id_in(body.connection_id, "connection"), ports)
    if body.provider_id not in {None, connection.provider_id}:
        raise InvalidError(
            f"the connection is of {connection.provider_id}", field="provider_id", status=422
        )
    if OUTBOUND not in connection.capabilities:
        raise EdgeError(422, "CAPABILITY_MISSING", f"the connection has no capability {OUTBOUND}")
    return connection


async def _known(action: NewAction, connection: ConnectionRecord, ports: Ports) -> ActionRecord:
    """The same request of an earlier time: a connection that is active no more takes no new ones."""
    record = await ports.store.action_of_key(
        action.tenant_id, action.connection_id, action.idempotency_key
    )
    if record is None:
        raise EdgeError(
            409, "CONNECTION_NOT_ACTIVE", f"the connection is {connection.state.value}"
        )
    if record.digest != action.digest:
        raise ConflictError("the idempotency key is taken by another action")
    return record


def _checked(body: ActionBody, connection: ConnectionRecord, edge: Edge) -> NewAction:
    """The action, if its provider could do it: what holds for all comes before the provider's own limits."""
    ports = edge.ports
    action_id, now = ports.ids(), ports.clock.now()
    action = Action(
        action_id=str(action_id),
        canonical_type=body.canonical_type,
        target=_canonical(body.target),
        payload=_canonical(body.payload),
    )
    adapter = ports.registry.get(connection.provider_id)
    canonical.check(action)
    adapter.check(action)
    return NewAction(
        action_id=action_id,
        tenant_id=connection.tenant_id,
        connection_id=connection.connection_id,
        provider_id=connection.provider_id,
        canonical_type=action.canonical_type,
        target=action.target,
        target_key=adapter.target_key(action),
        payload=action.payload,
        idempotency_key=body.idempotency_key,
        digest=_digest(action),
        correlation_id=body.correlation_id,
        created_at=now,
        expires_at=_expiry(body, now, edge.action_expiry),
    )


def _expiry(body: ActionBody, now: datetime, otherwise: timedelta) -> datetime:
    """When the action ends unsent, at the caller's wish or ours."""
    if body.expires_at is None:
        given = body.expires_in_s
        return now + (otherwise if given is None else timedelta(seconds=given))
    if body.expires_in_s is not None:
        raise InvalidError("is given beside expires_in_s", field="expires_at", status=422)
    if not now < body.expires_at <= now + LONGEST_EXPIRY:
        raise InvalidError(
            f"must be to come, within {LONGEST_EXPIRY.days} days", field="expires_at", status=422
        )
    return body.expires_at


def _canonical(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def _digest(action: Action) -> bytes:
    """What was asked, whatever the order of its keys; not the correlation id, which names the asking."""
    parts = (action.canonical_type.encode(), action.target, action.payload)
    return hashlib.sha256(b"\n".join(parts)).digest()


async def _wait_ended(record: ActionRecord, wait: timedelta, ports: Ports) -> ActionRecord:
    """The action as it stands when it ends or ``wait`` is over; the store has the last word."""
    latest = record
    with trio.move_on_after(wait.total_seconds()):
        while latest.state is ActionState.QUEUED:
            with trio.move_on_after(_LOOK_EVERY_S):
                told = await ports.announcements.wait_ended(record.action_id)
                if told is not None:
                    return told
            latest = await ports.store.action(record.tenant_id, record.action_id) or latest
    return latest
