"""Making a connection active: its credentials are tried at the provider, its producer is made known to PM-3."""

from __future__ import annotations

from functools import partial

from attrs import field, frozen

from actors import evidence
from actors.drive import ask
from actors.ports import Ports
from actors.relay import producer_of
from adapters.contract import (
    Adapter,
    Done,
    Later,
    NeedsLogin,
    Outcome,
    Refused,
    Request,
    Response,
    Secret,
    Unsure,
)
from persistence.records import ConnectionRecord, ConnectionState

VERIFIABLE = (
    ConnectionState.PENDING_VERIFICATION,
    ConnectionState.ACTIVE,
    ConnectionState.ERROR,
)


@frozen(kw_only=True)
class Verified:
    """What verification found. ``passed`` False: ``reason`` says why, and whether to try ``again``."""

    connection: ConnectionRecord
    passed: bool
    reason: str | None = None
    again: bool = False
    details: bytes = field(default=b"{}")


async def verify(ports: Ports, connection: ConnectionRecord) -> Verified:
    """Probe the provider and, where it passes, activate the connection (FR-2).

    Raises:
        PlatformError: M33 or PM-3 does not answer or refuses; the connection stays as it is.
        ConflictError: the connection changed meanwhile.
    """
    outcome = await _probed(ports, connection)
    match outcome:
        case Done(details=details):
            await _register(ports, connection)
            active = await _activate(ports, connection)
            return Verified(connection=active, passed=True, details=details)
        case Later(reason=reason):
            return Verified(connection=connection, passed=False, reason=reason, again=True)
        case Refused(reason=reason) | NeedsLogin(reason=reason) | Unsure(reason=reason):
            return Verified(connection=connection, passed=False, reason=reason)


async def _probed(ports: Ports, connection: ConnectionRecord) -> Outcome:
    if connection.auth_ref is None:
        # Nothing to try at the provider: a connection that only receives is proven by each signature.
        return Done()
    adapter = ports.registry.get(connection.provider_id)
    token = await ports.secrets.unseal(connection.tenant_id, connection.auth_ref)
    return await ask(adapter.probe(), send=partial(_send, ports, connection, adapter, token))


async def _send(
    ports: Ports, connection: ConnectionRecord, adapter: Adapter, token: Secret, request: Request
) -> Response:
    authorised = adapter.authorise(request, token=token)
    return await ports.transport.send(authorised, base_url=connection.base_url)


async def _register(ports: Ports, connection: ConnectionRecord) -> None:
    producer = await producer_of(ports, connection.tenant_id, connection.connection_id)
    if producer is not None:
        await ports.signals.register(connection.tenant_id, producer)


async def _activate(ports: Ports, connection: ConnectionRecord) -> ConnectionRecord:
    active = await ports.store.change_state(
        connection.tenant_id,
        connection.connection_id,
        expected=VERIFIABLE,
        state=ConnectionState.ACTIVE,
        reason=None,
        now=ports.clock.now(),
        receipt=evidence.of_connection(
            connection, "verify", ports, state=ConnectionState.ACTIVE.value
        ),
    )
    # What was delivered while it waited for this is in the inbox.
    ports.wake.connection(connection.tenant_id, connection.connection_id)
    ports.wake.receipts(connection.tenant_id)
    return active
