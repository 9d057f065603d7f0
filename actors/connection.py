"""One connection of one tenant: it settles what came in, and carries out what was asked, one lease at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import trio
from attrs import frozen

from actors.backfilling import Backfiller
from actors.dispatch import ActionEnded, Dispatcher
from actors.holding import Holding
from actors.jobs import Job, JobEnded, Jobs
from actors.life import fail
from actors.polling import Poller
from actors.ports import Ports
from actors.reading import ReadEnded
from actors.settling import Settler
from actors.wellbeing import Wellbeing
from persistence.errors import ChangedError, FencedError, StaleError, StoreUnavailableError
from persistence.records import ActionRecord
from runtime import Actor, Context


@frozen
class Work:
    """There may be something to do; look. Sent by whoever stored it, and by upkeep."""


@frozen
class PollsDue:
    """A poll or a backfill may be due; look. Sent by upkeep, and by whoever changed what is due."""


@frozen
class Queued:
    """An action was stored just now, of a connection of that version. Sent by whoever stored it."""

    record: ActionRecord
    version: int | None


def key_of(tenant_id: str, connection_id: UUID) -> str:
    """The directory key of a connection's actor."""
    return f"{tenant_id}/{connection_id}"


class ConnectionActor(Actor):
    """Owns the connection's lease, token, breaker, budgets and running actions. All that must last is in the store.

    A lost lease ends it normally; a store or sibling that does not answer is waited for; a connection that was
    changed is read again; anything else is a bug and crashes it, and what it had claimed is still in the inbox.
    """

    def __init__(self, key: str, ports: Ports) -> None:
        tenant_id, _, connection_id = key.rpartition("/")
        self._key = (tenant_id, UUID(connection_id))
        self._ports = ports
        self._failures = 0
        self._alarm: datetime | None = None
        self._retry_at: datetime | None = None

    async def on_start(self, context: Context) -> None:
        """Look for work at once: after a crash, the message that told of it is gone."""
        await trio.lowlevel.checkpoint()
        self._context = context
        self._holding = Holding(*self._key, self._ports, context)
        self._settler = Settler(self._holding)
        self._dispatcher = Dispatcher(self._holding)
        self._wellbeing = Wellbeing(self._holding)
        self._jobs = Jobs(self._holding)
        self._poller = Poller(self._holding)
        self._backfiller = Backfiller(self._holding)
        context.tell_self(Work())

    async def on_message(self, message: object) -> object:
        """Handle one message; a store that does not answer means trying again later."""
        if isinstance(message, Queued) and self._has_news(message):
            message = Work()
        try:
            await self._handle(message)
            await self._work(message)
            self._failures = 0
        except ChangedError:
            await self._changed()
        except FencedError:
            self._holding.log.warning("connection.fenced")
            self._context.stop("fenced: another incarnation owns the connection")
        except StoreUnavailableError as error:
            self._come_back(str(error))
        if self._holding.taken:
            self._wellbeing.publish(running=self._dispatcher.running)
        return None

    async def on_stop(self) -> None:
        """Let nobody wait for a job that was not begun."""
        await trio.lowlevel.checkpoint()
        self._jobs.drop()

    def _has_news(self, queued: Queued) -> bool:
        """Whether there may be more than an action: the connection is another, or a hint of it found a full mailbox."""
        holding = self._holding
        is_known = holding.taken and holding.lease.version == queued.version
        return not is_known or self._context.demand() <= 1

    async def _handle(self, message: object) -> None:
        match message:
            case ActionEnded() | JobEnded() | ReadEnded():
                await self._ended(message)
                return
            case Job():
                self._jobs.take(message)
            case PollsDue():
                self._poller.look()
                self._backfiller.look()
            case _:
                pass
        await trio.lowlevel.checkpoint()

    async def _ended(self, ended: ActionEnded | JobEnded | ReadEnded) -> None:
        """A task of ours ended; what it could not deal with is raised here."""
        match ended:
            case ActionEnded(action_id=action_id):
                self._dispatcher.ended(action_id)
            case JobEnded():
                self._jobs.ended(ended)
            case ReadEnded(about=about):
                self._poller.ended(about)
                self._backfiller.ended(about)
        if ended.error is not None:
            raise ended.error
        await self._login_refused(ended.login_refused)

    async def _work(self, message: object) -> None:
        if self._context.stopping:
            # What is not begun stays in the store; what the provider asked for is remembered.
            if self._holding.taken:
                await self._wellbeing.keep()
            return
        if not await self._is_there():
            self._jobs.refuse("there is no such connection any more")
            self._context.stop("there is no such connection any more")
            return
        self._jobs.start()
        if not self._holding.active:
            self._holding.forget_token()
        # Neither says anything of deliveries: whoever stores one sends ``Work``.
        elif (
            not isinstance(message, ActionEnded | PollsDue | Queued)
            and await self._settler.settle()
        ):
            self._context.tell_self(Work())
        await self._start_actions(message)
        if self._holding.active:
            await self._poller.start()
            await self._backfiller.start()
        await self._wellbeing.keep()

    async def _start_actions(self, message: object) -> None:
        begun = isinstance(message, Queued) and self._dispatcher.begin(message.record)
        if begun or self._dispatcher.is_done_with(message):
            await trio.lowlevel.checkpoint()
            return
        look_at = await self._dispatcher.start()
        if look_at is not None:
            self._look_at(look_at)

    async def _is_there(self) -> bool:
        """Whether there is a connection to work for, taken over and as fresh as need be.

        An active one finds out that it was changed with its next claim; of another, only looking tells.
        """
        if not self._holding.taken:
            return await self._holding.take_over()
        if self._jobs.due or not self._holding.active:
            return await self._holding.read_again()
        return True

    async def _changed(self) -> None:
        """The connection was changed: go on with what it is now, or not at all."""
        try:
            found = await self._holding.read_again()
        except StoreUnavailableError as error:
            self._come_back(str(error))
            return
        if not found:
            self._context.stop("there is no such connection any more")
            return
        self._holding.log.info("connection.read_again", state=self._holding.connection.state.value)
        self._context.tell_self(Work())

    async def _login_refused(self, reason: str | None) -> None:
        """The credentials are no good: the connection fails, and what waits waits for a person (FR-3)."""
        if reason is None or not self._holding.active:
            return
        try:
            await fail(self._ports, self._holding.connection, reason)
        except StaleError as error:
            raise ChangedError("it was changed while it failed") from error
        await self._holding.read_again()

    def _look_at(self, at: datetime) -> None:
        """Look again at a time; one alarm is enough, the earliest."""
        now = self._ports.clock.now()
        if self._alarm is not None and now < self._alarm <= at:
            return
        self._alarm = at
        self._context.after(max(at - now, timedelta()), Work())

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
        self._holding.log.warning("connection.store_unavailable", reason=reason)
