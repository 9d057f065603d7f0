"""One connection of one tenant: it settles what came in, and carries out what was asked, one lease at a time."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from uuid import UUID

import trio
from attrs import frozen

from actors import inbound
from actors.errors import NotSentError
from actors.outbound import Errand, carry_out
from actors.platform.errors import PlatformError
from actors.ports import Ports
from adapters.contract import Adapter, NeedsLogin, Request, Response, Secret
from persistence.errors import ConflictError, FencedError, StoreUnavailableError
from persistence.records import (
    ActionRecord,
    ConnectionRecord,
    ConnectionState,
    DeliveryRecord,
    Lease,
    SettledDelivery,
)
from runtime import Actor, Context


@frozen
class Work:
    """There may be something to do; look. Sent by whoever stored it, and by upkeep."""


@frozen
class ActionEnded:
    """A carried-out action reports back to its actor."""

    action_id: UUID
    fenced: bool = False
    unavailable: bool = False


@frozen
class TokenKept:
    """The connection's token as this actor last read it."""

    token: Secret
    until: datetime


def key_of(tenant_id: str, connection_id: UUID) -> str:
    """The directory key of a connection's actor."""
    return f"{tenant_id}/{connection_id}"


class ConnectionActor(Actor):
    """Owns the connection's lease, token cache and running actions. All that must last is in the store.

    A lost lease ends it normally; a store or sibling that does not answer is waited for; anything else is a bug and
    crashes it, and what it had claimed is still in the inbox.
    """

    def __init__(self, key: str, ports: Ports) -> None:
        tenant_id, _, connection_id = key.rpartition("/")
        self._tenant_id = tenant_id
        self._connection_id = UUID(connection_id)
        self._ports = ports
        self._failures = 0
        self._running: dict[UUID, str] = {}
        self._claimed: tuple[DeliveryRecord, ...] = ()
        self._token: TokenKept | None = None
        self._alarm: datetime | None = None
        self._retry_at: datetime | None = None
        self._lease: Lease | None = None
        self._connection: ConnectionRecord | None = None
        self._log = ports.log.bind(tenant=tenant_id, connection=connection_id)

    async def on_start(self, context: Context) -> None:
        """Look for work at once: after a crash, the message that told of it is gone."""
        await trio.lowlevel.checkpoint()
        self._context = context
        context.tell_self(Work())

    async def on_message(self, message: object) -> object:
        """Handle one message; a store that does not answer means trying again later."""
        try:
            if isinstance(message, ActionEnded):
                self._ended(message)
            await self._work()
            self._failures = 0
        except FencedError:
            self._log.warning("connection.fenced")
            self._context.stop("fenced: another incarnation owns the connection")
        except StoreUnavailableError as error:
            self._come_back(str(error))
        return None

    def _ended(self, message: ActionEnded) -> None:
        self._running.pop(message.action_id, None)
        if message.fenced:
            raise FencedError("an action found the lease gone")
        if message.unavailable:
            raise StoreUnavailableError("the store did not answer an action")
        self._ports.announcements.announce(message.action_id)
        self._ports.wake.receipts(self._tenant_id)

    async def _work(self) -> None:
        if self._context.stopping:
            return  # what is not begun stays in the store
        if self._lease is None and not await self._take_over():
            return
        await self._settle_deliveries()
        await self._start_actions()

    async def _take_over(self) -> bool:
        """Claim the lease if the connection is one that works; else stop."""
        store = self._ports.store
        self._connection = await store.connection(self._tenant_id, self._connection_id)
        if self._connection is None or self._connection.state is not ConnectionState.ACTIVE:
            self._context.stop("the connection is not active")
            return False
        self._lease = await store.claim_connection(
            self._tenant_id, self._connection_id, owner=self._ports.incarnation
        )
        return True

    async def _settle_deliveries(self) -> None:
        """Settle one batch; a full one means there may be more, which is the next message's work."""
        again = bool(self._claimed)
        # Claimed again, they would count as having killed their actor, though it was the store that failed.
        self._claimed = self._claimed or await self._ports.store.claim_deliveries(
            self._held, limit=self._ports.pace.deliveries_at_once
        )
        if not self._claimed:
            return
        settled = self._normalised(self._claimed)
        try:
            self._lease = await self._ports.store.settle(
                self._held, settled, now=self._ports.clock.now()
            )
        except ConflictError:
            if not again:
                raise
            # The try before had happened, and only its answer was lost (no signal in it, or the lease would be behind).
        self._tell(self._claimed, settled)
        self._claimed = ()
        self._ports.wake.signals(self._tenant_id)
        self._context.tell_self(Work())

    def _normalised(self, records: tuple[DeliveryRecord, ...]) -> tuple[SettledDelivery, ...]:
        source = inbound.Source(
            adapter=self._adapter,
            provider_id=self._active.provider_id,
            environment=self._ports.environment,
        )
        return inbound.settle(records, source=source, sequence_no=self._held.sequence_no)

    def _tell(
        self, records: tuple[DeliveryRecord, ...], settled: tuple[SettledDelivery, ...]
    ) -> None:
        labels = (self._active.provider_id, self._tenant_id)
        self._ports.metrics.normalised.labels(*labels).inc(len(records))
        for delivery, record in zip(settled, records, strict=True):
            if delivery.parked is not None:
                self._log.warning(
                    "delivery.parked", correlation_id=record.event_id, reason=delivery.parked
                )

    async def _start_actions(self) -> None:
        """Start what is due and has room; set the alarm for what is due later."""
        room = self._ports.pace.actions_at_once - len(self._running)
        if room <= 0:
            return
        now = self._ports.clock.now()
        due = await self._ports.store.due_actions(
            self._held, now=now, limit=room + len(self._running)
        )
        busy = set(self._running.values())
        fresh = [record for record in due if record.target_key not in busy]
        for record in fresh[:room]:
            self._running[record.action_id] = record.target_key
            self._context.spawn(self._carry_out, record, name=f"action-{record.action_id}")
        if not fresh:
            await self._set_alarm(now)

    async def _set_alarm(self, now: datetime) -> None:
        at = await self._ports.store.next_action_at(self._held)
        if at is None or at <= now or (self._alarm is not None and now < self._alarm <= at):
            return
        self._alarm = at
        self._context.after(at - now, Work())

    async def _carry_out(self, record: ActionRecord) -> None:
        errand = Errand(
            connection=self._active,
            lease=self._held,
            adapter=self._adapter,
            send=partial(self._send, self._adapter),
            ports=self._ports,
            jitter=self._context.random.random,
        )
        ended = ActionEnded(record.action_id)
        try:
            outcome = await carry_out(record, errand)
            if isinstance(outcome, NeedsLogin):
                self._token = None
        except FencedError:
            ended = ActionEnded(record.action_id, fenced=True)
        except StoreUnavailableError:
            ended = ActionEnded(record.action_id, unavailable=True)
        self._context.tell_self(ended)

    async def _send(self, adapter: Adapter, request: Request) -> Response:
        token = await self._current_token()
        authorised = adapter.authorise(request, token=token)
        return await self._ports.transport.send(authorised, base_url=self._active.base_url)

    async def _current_token(self) -> Secret:
        now = self._ports.clock.now()
        if self._token is None or now >= self._token.until:
            token = await self._unseal()
            self._token = TokenKept(token, now + self._ports.pace.token_kept)
        return self._token.token

    async def _unseal(self) -> Secret:
        auth_ref = self._active.auth_ref
        if auth_ref is None:
            raise NotSentError("the connection has no credentials")
        try:
            return await self._ports.secrets.unseal(self._tenant_id, auth_ref)
        except PlatformError as error:
            raise NotSentError(f"the credentials can not be read: {error}") from error

    def _come_back(self, reason: str) -> None:
        """Look again after a while; one timer is enough, however many messages failed."""
        if self._retry_at is not None and self._ports.clock.now() < self._retry_at:
            return
        self._failures += 1
        delay = self._ports.pace.neighbour.delay(
            self._failures, jitter=self._context.random.random()
        )
        self._retry_at = self._ports.clock.now() + delay
        self._context.after(delay, Work())
        self._log.warning("connection.store_unavailable", reason=reason)

    @property
    def _held(self) -> Lease:
        if self._lease is None:
            raise FencedError("no lease is held")
        return self._lease

    @property
    def _active(self) -> ConnectionRecord:
        if self._connection is None:
            raise FencedError("no connection was taken over")
        return self._connection

    @property
    def _adapter(self) -> Adapter:
        return self._ports.registry.get(self._active.provider_id)
