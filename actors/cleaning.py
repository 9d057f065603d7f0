"""After a connection was deleted: its webhook is removed at the provider, then its secrets are forgotten (FR-2)."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from actors import asking, incidents
from actors.errors import BusyError
from actors.jobs import Task
from actors.platform.errors import PlatformError
from actors.ports import Ports
from adapters.capabilities import Subscriptions
from adapters.contract import Done, Later
from persistence.errors import FencedError
from persistence.records import ConnectionRecord

AT_MOST = timedelta(days=1)
"""So long the secrets are kept for the sake of a provider that does not answer."""

_AGAIN_AFTER = timedelta(minutes=5)


async def clean(ports: Ports, tenant_id: str, connection_id: UUID) -> None:
    """Tidy up after one deleted connection, or have it tried again later.

    Raises:
        StoreUnavailableError: nothing is forgotten.
    """
    connection = await ports.store.connection(tenant_id, connection_id)
    if connection is None:
        return
    trouble = await _webhook_removed(ports, connection)
    now = ports.clock.now()
    until = (connection.deleted_at or connection.updated_at) + AT_MOST
    again = trouble is not None and now + _AGAIN_AFTER < until
    await incidents.close_all(ports, connection)
    await ports.store.cleaned(
        tenant_id,
        connection_id,
        again_at=now + _AGAIN_AFTER if again else None,
        now=now,
    )
    log = ports.log.bind(tenant=tenant_id, connection=str(connection_id))
    if trouble is None:
        log.info("connection.cleaned", audit=True)
    else:
        log.warning("connection.webhook_left", reason=trouble, again=again)


async def _webhook_removed(ports: Ports, connection: ConnectionRecord) -> str | None:
    """None when the provider's webhook is gone, or can not be removed by us; else why it is worth another try."""
    adapter = ports.registry.get(connection.provider_id)
    if connection.auth_ref is None or not isinstance(adapter, Subscriptions):
        return None
    try:
        outcome = await asking.ask(ports, connection, Task.UNSUBSCRIBE)
    except (BusyError, PlatformError, FencedError) as error:
        return str(error)
    if isinstance(outcome, Later):
        return outcome.reason
    log = ports.log.bind(tenant=connection.tenant_id, connection=str(connection.connection_id))
    if isinstance(outcome, Done):
        log.info("connection.webhook_removed")
    else:
        log.warning("connection.webhook_left", reason=outcome.reason, again=False)
    return None
