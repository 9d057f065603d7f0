"""The way to one connection's provider: budget, breaker, token, send, classify. Every request of it goes this way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeAlias

import orjson
from attrs import define, evolve, frozen

from actors.conditions import Tally
from actors.errors import TransportError
from actors.grants import Grants
from actors.network import Network
from actors.ports import Ports
from actors.pressure import Pressure, Waiting
from actors.purse import Purse
from adapters.answers import retry_after
from adapters.capabilities import Allowances
from adapters.contract import Adapter, NeedsLogin, Request, Response, Secret
from adapters.credentials import Credentials
from persistence.records import ConnectionRecord
from runtime import Permit, Phase, Result

_OVERLOADED = frozenset({408, 429})
_SILENCING = frozenset({429, 503})


@frozen(kw_only=True)
class Ticket:
    """The right to send one request: it is paid for, and the token is there."""

    permit: Permit
    token: Secret


@define
class _Verdict:
    """What came of a permitted request; ``silence``: for how long the provider wants to hear nothing."""

    result: Result = Result.UNKNOWN
    silence: timedelta | None = None


Admission: TypeAlias = Ticket | Waiting | NeedsLogin


class Line:
    """One connection's line to its provider. Owned by its actor, used by the tasks it spawns.

    A changed connection gets a new one; those that went out by the old one share what is known and what is paid.
    """

    def __init__(
        self,
        connection: ConnectionRecord,
        adapter: Adapter,
        grants: Grants,
        pressure: Pressure,
        ports: Ports,
        jitter: Callable[[], float],
    ) -> None:
        self.pressure = pressure
        self.tally = Tally()
        self.refusal: str | None = None
        """Why the last request's credentials were refused, if they were."""
        self._connection = connection
        self._adapter = adapter
        self._grants = grants
        self._ports = ports
        self._jitter = jitter
        self._purse = Purse(connection, ports)

    def adapted(self, connection: ConnectionRecord, grants: Grants) -> Line:
        """The line of the connection as it is now."""
        line = Line(connection, self._adapter, grants, self.pressure, self._ports, self._jitter)
        line.tally, line._purse = self.tally, self._purse
        return line

    def trying(self, given: Credentials) -> Line:
        """The same line with other credentials, which are kept nowhere."""
        return self.adapted(self._connection, self._grants.trying(given))

    async def admit(self, request: Request, work: str) -> Admission:
        """Pay for a request and get its token, or say what it has to wait for. A ticket must be used or given back.

        Raises:
            NotSentError: no token can be had now.
            FencedError, StoreUnavailableError: see ``Grants.token``.
        """
        now = self._ports.clock.now()
        granted = self.pressure.admit(writes=request.writes, work=work, now=now)
        if isinstance(granted, Waiting):
            return self._told(granted)
        ticket: Ticket | None = None
        try:
            withheld = await self._purse.pay(work)
            if withheld is not None:
                return self._told(withheld)
            token = await self._grants.token()
            if isinstance(token, NeedsLogin):
                self.refusal = token.reason
                return token
            ticket = Ticket(permit=granted, token=token)
            return ticket
        finally:
            if ticket is None:
                self._record(granted, _Verdict())

    def give_back(self, ticket: Ticket) -> None:
        """The request was not sent after all."""
        self._record(ticket.permit, _Verdict())

    def hold(self, until: datetime) -> None:
        """Send nothing at all before ``until``: the provider's own wish."""
        self.pressure.hold(until)

    async def send(self, request: Request, ticket: Ticket) -> Response:
        """Send; a token refused with 401 is renewed once, where it can be, and the request repeated.

        Raises:
            NotSentError, MaybeSentError: see ``Transport.send``.
            FencedError, StoreUnavailableError: see ``Grants.token``.
        """
        verdict = _Verdict()
        try:
            response = await self._exchange(request, ticket.token, verdict)
            if response.status == 401:
                another = await self._grants.after_refusal(ticket.token)
                if isinstance(another, Secret):
                    response = await self._exchange(request, another, verdict)
        finally:
            self._record(ticket.permit, verdict)
        self.refusal = "answered 401" if response.status == 401 else None
        return response

    async def granted(self) -> tuple[str, ...]:
        """What the token's grant said that it may do, where it said anything. Raises as ``admit``."""
        return await self._grants.scopes()

    async def _exchange(self, request: Request, token: Secret, verdict: _Verdict) -> Response:
        ports, connection = self._ports, self._connection
        counted = ports.metrics.requests.labels
        authorised = self._adapter.authorise(request, token=token)
        began = ports.clock.now()
        try:
            response = await ports.transport.send(
                authorised, base_url=connection.base_url, network=network_of(connection, ports)
            )
        except TransportError as error:
            counted(connection.provider_id, connection.tenant_id, "none").inc()
            self.tally.failed(str(error), ports.clock.now())
            verdict.result, verdict.silence = Result.FAILED, None
            raise
        took = (ports.clock.now() - began).total_seconds()
        counted(connection.provider_id, connection.tenant_id, f"{response.status // 100}xx").inc()
        ports.metrics.latency.labels("provider", connection.provider_id).observe(took)
        self._judge(response, verdict)
        return response

    def _judge(self, response: Response, verdict: _Verdict) -> None:
        """What the answer says of the provider's health, and of what is left of its limits."""
        now = self._ports.clock.now()
        if response.status == 429:
            self._ports.metrics.rate_limited.labels(
                self._connection.provider_id, self._connection.tenant_id
            ).inc()
        if isinstance(self._adapter, Allowances):
            allowance = self._adapter.allowance(response)
            if allowance is not None:
                self.pressure.learn(allowance, now)
        if response.status < 500 and response.status not in _OVERLOADED:
            self.tally.succeeded(now)
            verdict.result, verdict.silence = Result.SUCCEEDED, None
            return
        self.tally.failed(f"answered {response.status}", now)
        verdict.result = Result.FAILED
        verdict.silence = retry_after(response) if response.status in _SILENCING else None

    def _told(self, waiting: Waiting) -> Waiting:
        if waiting.exhausted is not None:
            self._ports.metrics.budget_exhausted.labels(
                self._connection.provider_id, self._connection.tenant_id, waiting.exhausted
            ).inc()
        return waiting

    def _record(self, permit: Permit, verdict: _Verdict) -> None:
        before = self.pressure.phase
        self.pressure.record(
            permit,
            verdict.result,
            now=self._ports.clock.now(),
            jitter=self._jitter(),
            retry_after=verdict.silence,
        )
        if self.pressure.phase is Phase.OPEN and before is not Phase.OPEN:
            self._ports.metrics.circuit_opens.labels(
                self._connection.provider_id, self._connection.tenant_id
            ).inc()


def network_of(connection: ConnectionRecord, ports: Ports) -> Network:
    """How the connection's provider is reached: its own CA bundle and proxy, if it has them."""
    told = orjson.loads(connection.network)
    usual = ports.transport.network
    return evolve(usual, ca_bundle=told.get("ca_bundle"), proxy=told.get("proxy"))


async def send_as_it_is(
    connection: ConnectionRecord, ports: Ports, request: Request, origin: str
) -> Response:
    """Send what carries its own credentials, a request for a token, by the connection's way.

    Raises:
        NotSentError, MaybeSentError: see ``Transport.send``.
    """
    network = network_of(connection, ports)
    return await ports.transport.send(request, base_url=origin, network=network)
