"""What is asked of a connection besides its daily work: try its credentials, see to its webhook. One after the other."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from enum import StrEnum

from attrs import evolve, field, frozen

from actors import hooks, incidents
from actors.drive import perform
from actors.errors import BusyError, NotSentError
from actors.holding import Holding
from actors.line import Line
from actors.platform.errors import PlatformError
from actors.pressure import LIVE, Waiting
from actors.replies import Reply
from adapters.capabilities import Subscriptions
from adapters.contract import Done, Later, NeedsLogin, Outcome, Plan, Refused
from adapters.credentials import Credentials
from persistence.errors import FencedError, StoreUnavailableError
from persistence.records import ConnectionRecord
from runtime import Timer

_MOST_WAITING = 8
MOST_TRIES = 8
"""So often a job is tried that is insisted on."""


class Task(StrEnum):
    """What can be asked."""

    PROBE = "probe"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


@frozen(kw_only=True, eq=False)
class Job:
    """Asked by the edge or by upkeep; ``reply`` gets the outcome. ``credentials``: try these instead of the sealed ones.

    ``renewed``: send the signing secret again. ``insist``: nobody waits for it; do it again until it is done, or
    ``tries`` are too many.
    """

    task: Task
    reply: Reply[Outcome]
    credentials: Credentials | None = field(default=None, repr=False)
    renewed: bool = False
    insist: bool = False
    tries: int = 1


@frozen
class JobEnded:
    """A job reports back to its actor; ``login_refused`` says why a person must come, ``again`` what to do over, when."""

    login_refused: str | None = None
    error: FencedError | StoreUnavailableError | None = None
    again: Job | None = None
    again_at: datetime | None = None


class Jobs:
    """The jobs of one connection; its actor owns it. Two that see to a webhook at once would make two of it."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._waiting: deque[Job] = deque()
        self._running = False
        self._timer: Timer | None = None
        self._doubtful_until = holding.ports.clock.now()

    @property
    def due(self) -> bool:
        """Whether one is to be started."""
        return bool(self._waiting) and not self._running

    def take(self, job: Job) -> None:
        """Remember a job; it replaces what was to be done over."""
        if len(self._waiting) >= _MOST_WAITING:
            job.reply.fail(BusyError("too much is asked of the connection already"))
            return
        self._waiting.append(job)
        if job.task is not Task.PROBE and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def start(self) -> None:
        """Start the next one, with the connection as it was just read."""
        if self.due:
            job = self._waiting.popleft()
            self._running = True
            self._holding.context.spawn(self._do, job, name=f"job-{job.task}")

    def ended(self, ended: JobEnded) -> None:
        """One runs no more; what is to be done over comes back as a message, unless something else was asked for since."""
        self._running = False
        is_replaced = any(job.task is not Task.PROBE for job in self._waiting)
        if ended.again is not None and ended.again_at is not None and not is_replaced:
            delay = ended.again_at - self._holding.ports.clock.now()
            self._timer = self._holding.context.after(delay, ended.again)

    def refuse(self, reason: str) -> None:
        """Tell all who wait that it will not be done."""
        while self._waiting:
            self._waiting.popleft().reply.give(Refused(reason=reason))

    def drop(self) -> None:
        """The actor ends: whoever waits has to ask again."""
        while self._waiting:
            self._waiting.popleft().reply.fail(BusyError("the connection's actor ended"))

    async def _do(self, job: Job) -> None:
        """Do a job and report to the actor; whoever asked gets the outcome, or the error that kept it from one."""
        ended = JobEnded()
        try:
            outcome = await self._outcome(job)
            job.reply.give(outcome)
            ended = self._judged(job, outcome)
        except PlatformError as error:
            job.reply.fail(error)
            ended = self._judged(job, Later(reason=str(error)))
        except (FencedError, StoreUnavailableError) as error:
            job.reply.fail(error)
            ended = evolve(self._judged(job, Later(reason=str(error))), error=error)
        finally:
            job.reply.fail(BusyError("the connection's actor ended before it was done"))
        self._holding.context.tell_self(ended)

    def _judged(self, job: Job, outcome: Outcome) -> JobEnded:
        """What follows from the outcome; without credentials there is no login that could be refused."""
        sealed = job.credentials is None and self._holding.connection.auth_ref is not None
        if isinstance(outcome, NeedsLogin) and sealed:
            return JobEnded(login_refused=outcome.reason)
        if isinstance(outcome, Later) and job.insist and job.tries < MOST_TRIES:
            again = evolve(job, tries=job.tries + 1, reply=Reply())
            return JobEnded(again=again, again_at=self._when(job, outcome))
        return JobEnded()

    def _when(self, job: Job, later: Later) -> datetime:
        holding = self._holding
        now, jitter = holding.ports.clock.now(), holding.context.random.random()
        wait = holding.ports.pace.retry.delay(
            job.tries, jitter=jitter, retry_after=later.retry_after
        )
        return max(now + wait, self._doubtful_until)

    async def _outcome(self, job: Job) -> Outcome:
        if job.task is Task.PROBE:
            return await self._probed(job)
        connection, adapter = self._holding.connection, self._holding.adapter
        if not isinstance(adapter, Subscriptions) or connection.auth_ref is None:
            return Refused(reason="the connection can not make the provider's webhook by an API")
        wait = self._doubtful_until - self._holding.ports.clock.now()
        if wait > timedelta():
            return Later(reason="an earlier try may still take effect", retry_after=wait)
        return await self._seen_to(job, adapter, connection)

    async def _seen_to(
        self, job: Job, adapter: Subscriptions, connection: ConnectionRecord
    ) -> Outcome:
        """Bring the provider to the webhook that is wanted, or to none."""
        ports = self._holding.ports
        known = await hooks.remembered(connection, ports)
        if known is None:
            return Refused(reason="the connection has no webhook URL")
        if job.task is Task.SUBSCRIBE and not known.open:
            return Refused(reason="the connection takes no webhooks: its endpoint is closed")
        ordered = await hooks.order(connection, ports, known, renewed=job.renewed)
        if ordered is None:
            return Refused(reason="the connection's webhook URL or signing secret is not known")
        made = adapter.subscribe if job.task is Task.SUBSCRIBE else adapter.unsubscribe
        outcome = await self._performed(made(ordered.wanted), self._holding.line)
        await hooks.keep(outcome, ordered, known, connection, ports)
        await self._tell(job, outcome, connection)
        return outcome

    async def _probed(self, job: Job) -> Outcome:
        holding = self._holding
        if holding.connection.auth_ref is None and job.credentials is None:
            return await self._proven_by_signature()
        line = holding.line if job.credentials is None else holding.line.trying(job.credentials)
        try:
            granted = await line.granted()
        except NotSentError as error:
            return Later(reason=str(error))
        settings = holding.connection.settings
        return await self._performed(holding.adapter.probe(settings, granted=granted), line)

    async def _proven_by_signature(self) -> Outcome:
        """There is nothing to try at the provider: a connection that only receives is proven by its first webhook."""
        holding = self._holding
        ledger = await holding.ports.store.ledger(holding.tenant_id, holding.connection_id)
        if ledger is None or ledger.accepted == 0:
            return Later(reason="no signed webhook has come yet: have one sent, then verify again")
        return Done(details=b'{"kind": "webhook_only"}')

    async def _performed(self, plan: Plan, line: Line) -> Outcome:
        holding = self._holding
        ended = await perform(plan, line, work=LIVE)
        now = holding.ports.clock.now()
        if isinstance(ended, Waiting):
            return Later(reason=ended.reason, retry_after=ended.until - now)
        if isinstance(ended, Later) and ended.maybe_sent:
            self._doubtful_until = now + holding.adapter.manifest.effect_horizon
        return ended

    async def _tell(self, job: Job, outcome: Outcome, connection: ConnectionRecord) -> None:
        """A person is told of a webhook that is lost, and when it is there again."""
        ports = self._holding.ports
        reason = None if isinstance(outcome, Done) else outcome.reason
        self._holding.log.info("webhook.checked", job=job.task.value, reason=reason)
        if job.task is not Task.SUBSCRIBE:
            return
        if isinstance(outcome, Done):
            await incidents.closed(ports, connection, incidents.WEBHOOK_LOST)
        elif not isinstance(outcome, Later | NeedsLogin) or job.tries >= MOST_TRIES:
            await incidents.opened(
                ports, connection, incidents.WEBHOOK_LOST, f"no webhook: {reason}"
            )
