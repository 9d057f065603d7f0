"""The supervision tree on one screen: which actors exist, and what becomes of each when it crashes.

/                         one_for_one: what is below stands alone; giving up ends the node, and its process manager restarts it
├── commit                the group commit: every accepted webhook waits on it
├── connections/{t}/{c}   one virtual actor per connection, started by its first work
├── signals/{t}           one per tenant: outbox → PM-3
├── receipts/{t}          one per tenant: receipts → ERIS
├── incidents/{t}         one per tenant: incidents → EPC-4, health → EPC-5
└── upkeep                finds lost wake-ups, counts refusals, forgets what is old
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from actors.connection import ConnectionActor, PollsDue, Queued, Work, key_of
from actors.courier import Carry, Courier, IncidentCourier, ReceiptCourier
from actors.errors import BusyError
from actors.ports import Ports, Wake
from actors.relay import SignalRelay
from actors.upkeep import RefusalCount, Timetable, Upkeep
from persistence.group_commit import GroupCommit
from persistence.records import ActionRecord
from runtime import (
    ActorError,
    ActorSpec,
    DirectorySpec,
    Intensity,
    Restart,
    ServiceSpec,
    Strategy,
    SupervisorSpec,
    System,
)

_CONNECTIONS = "connections"
_SIGNALS = "signals"
_RECEIPTS = "receipts"
_INCIDENTS = "incidents"
_SHUTDOWN = timedelta(seconds=5)
_HINTS = 16
"""Room for hints in a mailbox: a full one has been told already that there is work; what work, it looks for itself."""


def tree(
    ports: Ports, *, commit: GroupCommit, refusals: RefusalCount, timetable: Timetable
) -> SupervisorSpec:
    """What a node runs below its edge."""
    return SupervisorSpec(
        name="node",
        strategy=Strategy.ONE_FOR_ONE,
        intensity=Intensity(restarts=10, within=timedelta(minutes=1)),
        children=(
            ServiceSpec(name="commit", run=commit.run, shutdown=_SHUTDOWN),
            _directory(_CONNECTIONS, lambda key: ConnectionActor(key, ports)),
            _directory(_SIGNALS, lambda key: SignalRelay(key, ports)),
            _directory(_RECEIPTS, lambda key: ReceiptCourier(key, ports)),
            _directory(_INCIDENTS, lambda key: IncidentCourier(key, ports)),
            ActorSpec(
                name="upkeep",
                create=lambda: Upkeep(ports, refusals, timetable),
                restart=Restart.PERMANENT,
                shutdown=_SHUTDOWN,
                mailbox=_HINTS,
            ),
        ),
    )


def _directory(name: str, create: Callable[[str], ConnectionActor | Courier]) -> DirectorySpec:
    return DirectorySpec(name=name, create=create, mailbox=_HINTS, shutdown=_SHUTDOWN)


def wake_through(system: Callable[[], System]) -> Wake:
    """Hints that reach the actors of a system that may not run yet, or no more."""

    def connection(tenant_id: str, connection_id: UUID) -> None:
        _hint(system, _CONNECTIONS, key_of(tenant_id, connection_id), Work())

    def action(record: ActionRecord, version: int | None) -> None:
        key = key_of(record.tenant_id, record.connection_id)
        _hint(system, _CONNECTIONS, key, Queued(record, version))

    def polls(tenant_id: str, connection_id: UUID) -> None:
        _hint(system, _CONNECTIONS, key_of(tenant_id, connection_id), PollsDue())

    def job(tenant_id: str, connection_id: UUID, asked: object) -> None:
        try:
            connections = system().directory(_CONNECTIONS)
            # Past the hints, of which a busy connection's mailbox may be full.
            connections.control(key_of(tenant_id, connection_id), asked)
        except ActorError as error:
            raise BusyError(f"the connection takes nothing now: {error}") from error

    return Wake(
        connection=connection,
        action=action,
        polls=polls,
        signals=_carry_hint(system, _SIGNALS),
        receipts=_carry_hint(system, _RECEIPTS),
        incidents=_carry_hint(system, _INCIDENTS),
        job=job,
    )


def _carry_hint(system: Callable[[], System], directory: str) -> Callable[[str], None]:
    def hint(tenant_id: str) -> None:
        _hint(system, directory, tenant_id, Carry())

    return hint


def _hint(system: Callable[[], System], directory: str, key: str, message: object) -> None:
    try:
        system().directory(directory).tell(key, message)
    except ActorError:
        # Full (it has been told), stopping, or in quarantine: the work is stored, and upkeep looks again.
        return
