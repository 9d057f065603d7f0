"""The internal API of actions: execute one, see what became of it (PRD 11.3)."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import trio

from actors.platform.identity import Caller
from actors.ports import Ports
from adapters.contract import Action, Adapter, Headers, Response
from http_edge.answers import json_response
from http_edge.bodies import ActionBody, structure
from http_edge.errors import EdgeError, InvalidError, NotFoundError
from http_edge.management import OUTBOUND, owned
from persistence.errors import ConflictError
from persistence.records import (
    ActionRecord,
    ActionState,
    ConnectionRecord,
    ConnectionState,
    NewAction,
)

LONGEST_WAIT = timedelta(seconds=60)
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*([0-9]{1,6})\s*(?:$|[,;])", re.IGNORECASE)


async def execute(
    caller: Caller, raw: bytes, prefer: str | None, ports: Ports, *, expiry: timedelta
) -> Response:
    """Store the action, then have it carried out; 202, or 200 with the outcome if ``prefer`` waits for it.

    The same idempotency key with the same request answers with the first one's outcome.

    Raises:
        ConflictError: the key is taken by another request (409).
        ActionError: the provider could never do it (422); nothing is stored.
    """
    body = structure(raw, ActionBody)
    connection = await _usable(caller, body, ports)
    action = _checked(body, connection, ports, expiry)
    if connection.state is ConnectionState.ACTIVE:
        record, fresh = await ports.store.enqueue(action)
    else:
        record, fresh = await _known(action, connection, ports), False
    if fresh:
        ports.wake.connection(record.tenant_id, record.connection_id)
    wait = waiting_time(prefer)
    if wait > timedelta(0) and record.state is ActionState.QUEUED:
        record = await _wait_ended(record, wait, ports)
    ended = record.state is not ActionState.QUEUED
    headers: Headers = (("location", f"/internal/integrations/actions/{record.action_id}"),)
    if wait > timedelta(0):
        headers += (("preference-applied", f"wait={wait.total_seconds():g}"),)
    return json_response(shown(record), status=200 if ended else 202, headers=headers)


async def show(caller: Caller, action_id: str, ports: Ports) -> Response:
    """What became of an action of the caller's tenant."""
    try:
        parsed = UUID(action_id)
    except ValueError as error:
        raise NotFoundError("action") from error
    record = await ports.store.action(caller.tenant_id, parsed)
    if record is None:
        raise NotFoundError("action")
    return json_response(shown(record))


def waiting_time(prefer: str | None) -> timedelta:
    """How long the caller wants to wait (RFC 7240, ``wait``), at most a minute."""
    found = _WAIT.search(prefer or "")
    asked = timedelta(seconds=int(found[1])) if found is not None else timedelta(0)
    return min(asked, LONGEST_WAIT)


def shown(record: ActionRecord) -> dict[str, Any]:
    """An action as callers see it; ``reference`` is the provider's id and URL of the effect."""
    outcome = orjson.loads(record.outcome) if record.outcome is not None else {}
    return {
        "action_id": str(record.action_id),
        "tenant_id": record.tenant_id,
        "connection_id": str(record.connection_id),
        "provider_id": record.provider_id,
        "canonical_type": record.canonical_type,
        "idempotency_key": record.idempotency_key,
        "correlation_id": record.correlation_id,
        "status": record.state.value,
        "reason": record.reason,
        "reference": outcome.get("reference"),
        "details": outcome.get("details", {}),
        "attempts": record.attempts,
        "created_at": record.created_at.isoformat(),
        "updated_at": record.updated_at.isoformat(),
        "not_before": _while_queued(record, record.not_before),
        "expires_at": record.expires_at.isoformat(),
    }


def _while_queued(record: ActionRecord, moment: datetime) -> str | None:
    return moment.isoformat() if record.state is ActionState.QUEUED else None


async def _usable(caller: Caller, body: ActionBody, ports: Ports) -> ConnectionRecord:
    if body.tenant_id not in {None, caller.tenant_id}:
        raise NotFoundError("connection")
    connection = await owned(caller, body.connection_id, ports)
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


def _checked(
    body: ActionBody, connection: ConnectionRecord, ports: Ports, expiry: timedelta
) -> NewAction:
    action_id, now = ports.ids(), ports.clock.now()
    action = Action(
        action_id=str(action_id),
        canonical_type=body.canonical_type,
        target=_canonical(body.target, "target"),
        payload=_canonical(body.payload, "payload"),
    )
    adapter: Adapter = ports.registry.get(connection.provider_id)
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
        expires_at=now + expiry,
    )


def _canonical(document: dict[str, Any], where: str) -> bytes:
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        # orjson reads deeper documents than it writes.
        raise InvalidError("is nested too deeply", field=where, status=422) from error


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
                await ports.announcements.wait_ended(record.action_id)
            latest = await ports.store.action(record.tenant_id, record.action_id) or latest
    return latest


_LOOK_EVERY_S = 1.0
"""Another node may end the action; its announcement does not reach this one."""
