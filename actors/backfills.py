"""What people ask of reading at a provider: a backfill of the past, and a cursor that begins anew (FR-5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from attrs import frozen

from actors.errors import IncapableError, WrongStateError
from actors.ports import Ports
from actors.streams import streams_of
from adapters.polling import Polls, Resource, Span
from persistence.errors import ChangedError, ConflictError, MissingError
from persistence.polls import BackfillRecord, BackfillState, CursorRecord, NewBackfill
from persistence.records import ConnectionRecord, ConnectionState


class Order(StrEnum):
    """What can be done to a backfill; its name stands in the log."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


_RUNNING, _PAUSED = BackfillState.RUNNING, BackfillState.PAUSED
_LEADS: Mapping[Order, tuple[Sequence[BackfillState], BackfillState]] = MappingProxyType(
    {
        Order.PAUSE: ((_RUNNING,), _PAUSED),
        Order.RESUME: ((_PAUSED,), _RUNNING),
        Order.CANCEL: ((_RUNNING, _PAUSED), BackfillState.CANCELLED),
    }
)


@frozen(kw_only=True)
class Reset:
    """A cursor as it begins anew, and the one that was given up for it: it had read all there was at ``read_until``.

    None: nothing; in the middle of several pages, less than that.
    """

    cursor: CursorRecord
    given_up: CursorRecord
    read_until: datetime | None


def resources_of(ports: Ports, connection: ConnectionRecord) -> tuple[Resource, ...]:
    """What of the connection's provider can be read.

    Raises:
        IncapableError: its provider can not be polled, or the connection has nothing to ask it with.
        SettingsError: this version of the adapter can not read the connection's settings.
    """
    adapter = ports.registry.get(connection.provider_id)
    if not isinstance(adapter, Polls):
        raise IncapableError(f"{connection.provider_id} can not be polled")
    if connection.auth_ref is None:
        raise IncapableError("the connection has no credentials to read with")
    return adapter.resources(connection.settings)


async def begin(
    ports: Ports, connection: ConnectionRecord, resource: str, span: Span, *, by: str
) -> BackfillRecord:
    """Begin to read what happened to ``resource`` in ``span``.

    Raises:
        ChangedError: the connection is not active.
        WrongStateError: another backfill of the resource has not ended.
        MissingError: the connection was deleted meanwhile.
    """
    _check_active(connection)
    new = NewBackfill(
        backfill_id=ports.ids(),
        tenant_id=connection.tenant_id,
        connection_id=connection.connection_id,
        resource=resource,
        since=span.since,
        until=span.until,
        created_at=ports.clock.now(),
    )
    try:
        begun = await ports.store.begin_backfill(new)
    except ConflictError as error:
        raise WrongStateError(f"another backfill of {resource} runs or is paused") from error
    _tell(ports, begun, "begin", by)
    return begun


async def found(
    ports: Ports, tenant_id: str, connection_id: UUID, backfill_id: UUID
) -> BackfillRecord:
    """The connection's backfill of that id.

    Raises:
        MissingError: it has none of it.
    """
    record = await ports.store.backfill(tenant_id, backfill_id)
    if record is None or record.connection_id != connection_id:
        raise MissingError("no such backfill")
    return record


async def move(
    ports: Ports, record: BackfillRecord, order: Order, *, by: str, reason: str | None = None
) -> BackfillRecord:
    """Pause, resume or cancel a backfill. A page that is being read meanwhile is dropped, and found again if it goes on.

    Raises:
        ConflictError: its state does not allow it; the message says which it is.
    """
    expected, state = _LEADS[order]
    moved = await ports.store.move_backfill(
        record.tenant_id,
        record.backfill_id,
        expected=expected,
        state=state,
        reason=reason,
        now=ports.clock.now(),
    )
    _tell(ports, moved, order.value, by)
    return moved


async def reset(
    ports: Ports, connection: ConnectionRecord, known: CursorRecord, *, by: str
) -> Reset:
    """Give up how far a resource was polled; it is polled at once, from then on.

    Raises:
        ChangedError: the connection is not active, so that nothing would be polled.
        MissingError: the cursor is gone meanwhile.
        SettingsError: this version of the adapter can not read the connection's settings.
    """
    _check_active(connection)
    read_until = _read_until(ports, connection, known)
    place = (connection.tenant_id, connection.connection_id)
    cursor = await ports.store.set_cursor(*place, known.resource, None, now=ports.clock.now())
    ports.log.info(
        "cursor.reset",
        audit=True,
        tenant=connection.tenant_id,
        connection=str(connection.connection_id),
        resource=known.resource,
        read_until=None if read_until is None else read_until.isoformat(),
        by=by,
    )
    ports.wake.polls(*place)
    return Reset(cursor=cursor, given_up=known, read_until=read_until)


async def poll_now(
    ports: Ports, connection: ConnectionRecord, resources: Sequence[str], *, by: str
) -> None:
    """Poll these from where they are, without waiting for their time; the provider's and our limits hold all the same.

    Raises:
        ChangedError: the connection is not active, so that nothing would be polled.
    """
    _check_active(connection)
    place = (connection.tenant_id, connection.connection_id)
    await ports.store.poll_now(*place, resources, now=ports.clock.now())
    ports.log.info(
        "cursors.poll_now",
        audit=True,
        tenant=connection.tenant_id,
        connection=str(connection.connection_id),
        resources=list(resources),
        by=by,
    )
    ports.wake.polls(*place)


def _check_active(connection: ConnectionRecord) -> None:
    if connection.state is not ConnectionState.ACTIVE:
        raise ChangedError(f"the connection is {connection.state.value}")


def _tell(ports: Ports, record: BackfillRecord, order: str, by: str) -> None:
    ports.log.info(
        "backfill.changed",
        audit=True,
        tenant=record.tenant_id,
        connection=str(record.connection_id),
        backfill=str(record.backfill_id),
        resource=record.resource,
        since=record.since.isoformat(),
        until=record.until.isoformat(),
        order=order,
        state=record.state.value,
        reason=record.reason,
        by=by,
    )
    ports.wake.polls(record.tenant_id, record.connection_id)


def _read_until(
    ports: Ports, connection: ConnectionRecord, known: CursorRecord
) -> datetime | None:
    """Until when nothing is missing: what the next poll would have read again may not have been there yet."""
    streams = streams_of(connection, ports.registry.get(connection.provider_id))
    overlap = next((one.overlap for one in streams if one.name == known.resource), timedelta(0))
    return None if known.last_polled_at is None else known.last_polled_at - overlap
