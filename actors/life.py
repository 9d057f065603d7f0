"""One change of a connection's life: decided by the table, made in one transaction, with its receipt and log line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors import evidence, incidents
from actors.lifecycle import Move, after
from actors.ports import Ports
from persistence.changes import ConnectionChange
from persistence.errors import MissingError, StaleError
from persistence.records import ConnectionRecord, ConnectionState

PROGRAM = "integration-adapters"
"""Who asks, where the program itself does."""


def to(connection: ConnectionRecord, move: Move, *, reason: str | None = None) -> ConnectionChange:
    """The bare change that ``move`` is.

    Raises:
        WrongStateError: not from where the connection is.
    """
    return ConnectionChange(state=after(connection.state, move), reason=reason)


async def make(
    ports: Ports,
    connection: ConnectionRecord,
    move: Move,
    change: ConnectionChange,
    *,
    by: str,
    details: Mapping[str, Any] | None = None,
) -> ConnectionRecord:
    """Make a change to the connection as it was read; tell its actor, ERIS and the audit log.

    Raises:
        StaleError: it has changed since it was read.
        ConflictError: the new name is taken.
    """
    changed = await ports.store.change_connection(
        connection.tenant_id,
        connection.connection_id,
        change,
        version=connection.version,
        receipt=evidence.of_connection(
            connection, move.value, ports, state=change.state.value, by=by, details=details
        ),
        now=ports.clock.now(),
    )
    ports.log.info(
        "connection.changed",
        audit=True,
        tenant=changed.tenant_id,
        connection=str(changed.connection_id),
        provider=changed.provider_id,
        move=move.value,
        by=by,
        before=connection.state.value,
        after=changed.state.value,
        reason=changed.reason,
    )
    ports.wake.receipts(changed.tenant_id)
    # Its actor finds out by itself with its next write; this only makes it soon. What was kept for it is in the inbox.
    ports.wake.connection(changed.tenant_id, changed.connection_id)
    return changed


async def reseal(
    ports: Ports,
    connection: ConnectionRecord,
    change: ConnectionChange,
    *,
    by: str,
    details: Mapping[str, Any],
) -> ConnectionRecord:
    """Make a change that replaces secrets.

    Raises:
        StaleError: it has changed since it was read; or its actor has renewed what was to be replaced.
    """
    try:
        return await make(ports, connection, Move.ROTATE, change, by=by, details=details)
    except MissingError as error:
        raise StaleError("a secret was replaced meanwhile") from error


async def fail(ports: Ports, connection: ConnectionRecord, reason: str) -> ConnectionRecord:
    """The credentials are refused: nothing is sent any more, deliveries are kept, a person is told.

    Raises:
        StaleError: it has changed since it was read.
    """
    change = to(connection, Move.FAIL, reason=f"needs_login: {reason}")
    # The incident first: of a connection that failed, nothing would tell a next incarnation to open it.
    fresh = await incidents.opened(
        ports, connection, incidents.NEEDS_LOGIN, f"the credentials are refused: {reason}"
    )
    try:
        return await make(ports, connection, Move.FAIL, change, by=PROGRAM)
    except StaleError as error:
        stale = error
    if fresh:
        await incidents.closed(ports, connection, incidents.NEEDS_LOGIN)
    raise stale


def is_disabled(connection: ConnectionRecord, *, endpoints_open: bool) -> bool:
    """Whether resuming it means to verify it anew: its endpoints are closed, or it never was active."""
    never = connection.verified_at is None
    return connection.state is ConnectionState.SUSPENDED and (never or not endpoints_open)
