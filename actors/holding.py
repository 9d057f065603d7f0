"""A connection that an actor has taken over: its lease, its row as last read, and its line to the provider."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from attrs import evolve

from actors.grants import Grants
from actors.line import Line, send_as_it_is
from actors.ports import Ports
from actors.pressure import Pressure
from adapters.contract import Adapter, Request, Response
from persistence.errors import FencedError, MissingError
from persistence.records import ConnectionRecord, ConnectionState, Lease
from runtime import Context


class Holding:
    """What the parts of one connection's actor share. Until it is taken over, everything but ``taken`` is fenced."""

    def __init__(
        self, tenant_id: str, connection_id: UUID, ports: Ports, context: Context
    ) -> None:
        self.tenant_id = tenant_id
        self.connection_id = connection_id
        self.ports = ports
        self.context = context
        self.log = ports.log.bind(tenant=tenant_id, connection=str(connection_id))
        self.unheard = False
        """Polling has found what no webhook brought, and none has come since, as far as is known."""
        self.unheard_at: datetime | None = None
        """When the newest of it happened that this actor knows of."""
        self._lease: Lease | None = None
        self._connection: ConnectionRecord | None = None
        self._grants: Grants | None = None
        self._line: Line | None = None

    @property
    def taken(self) -> bool:
        """Whether a lease is held, as far as is known."""
        return self._connection is not None

    @property
    def lease(self) -> Lease:
        """The lease; writes show whether it still holds."""
        if self._lease is None:
            raise FencedError("no lease is held")
        return self._lease

    @lease.setter
    def lease(self, lease: Lease) -> None:
        self._lease = lease

    @property
    def connection(self) -> ConnectionRecord:
        """The row as it was last read."""
        if self._connection is None:
            raise FencedError("no connection was taken over")
        return self._connection

    @property
    def active(self) -> bool:
        """Whether new work may be begun."""
        return self.connection.state is ConnectionState.ACTIVE

    @property
    def line(self) -> Line:
        """The way to the provider."""
        if self._line is None:
            raise FencedError("no connection was taken over")
        return self._line

    @property
    def adapter(self) -> Adapter:
        """What the provider means."""
        return self.ports.registry.get(self.connection.provider_id)

    async def take_over(self) -> bool:
        """Claim the lease, unless there is no such connection any more."""
        try:
            self._lease = await self.ports.store.claim_connection(
                self.tenant_id, self.connection_id, owner=self.ports.incarnation
            )
        except MissingError:
            return False
        return await self.read_again()

    async def read_again(self) -> bool:
        """Go on with the connection as it is now, deleted or not: what was begun may end. False if it is gone."""
        found = await self.ports.store.connection(self.tenant_id, self.connection_id)
        if found is None:
            return False
        self._lease = evolve(self.lease, version=found.version)
        if self._grants is None or self._line is None:
            self._grants = Grants(found, lambda: self.lease, self.ports, self._send_unsigned)
            self._line = self._new_line(found, self._grants)
        elif found != self._connection:
            self._grants = self._grants.adapted(found)
            self._line = self._line.adapted(found, self._grants)
        self._connection = found
        return True

    def forget_token(self) -> None:
        """Keep no token of a connection that nothing is sent for."""
        if self._grants is not None:
            self._grants.forget()

    def _new_line(self, connection: ConnectionRecord, grants: Grants) -> Line:
        ports = self.ports
        adapter = ports.registry.get(connection.provider_id)
        pressure = Pressure(
            adapter.manifest.limits,
            per_minute=ports.policy.of(self.tenant_id).requests_per_minute,
            breaker=ports.pace.breaker,
            now=ports.clock.now(),
            kept=connection.pressure,
        )
        return Line(connection, adapter, grants, pressure, ports, self.context.random.random)

    async def _send_unsigned(self, request: Request, origin: str) -> Response:
        """Send what carries its own credentials: a request for a token."""
        return await send_as_it_is(self.connection, self.ports, request, origin)
