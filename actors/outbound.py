"""One action, from the queue to its end: plan, drive, settle with a receipt, or come back later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import orjson
from attrs import evolve, frozen

from actors import codec, evidence, incidents
from actors.drive import Doubt, Ended, drive, in_doubt, look
from actors.line import Line
from actors.ports import Ports
from actors.pressure import Waiting
from adapters.contract import (
    Adapter,
    Done,
    Later,
    NeedsLogin,
    Refused,
    Request,
    Response,
    Unsure,
)
from persistence.changes import (
    AnsweredWrite,
    NewIncident,
)
from persistence.records import (
    ActionRecord,
    ActionState,
    ConnectionRecord,
    ExchangeRecord,
    ExchangeState,
    Lease,
    NewReceipt,
)

LAST_LOOK = timedelta(minutes=15)
"""So long after its end an action in doubt is still looked for; nothing is sent any more."""

_EXPIRED = "it expired before the provider took it"


@frozen(kw_only=True)
class Errand:
    """What carrying out an action of one connection needs, besides the action. Not ``open``: nothing may be sent."""

    connection: ConnectionRecord
    lease: Lease
    adapter: Adapter
    line: Line
    ports: Ports
    jitter: Callable[[], float]
    open: bool = True


class StoreJournal:
    """The journal of one action in the store; fenced by the connection's lease. See ``drive.Journal``."""

    def __init__(
        self, record: ActionRecord, entries: tuple[ExchangeRecord, ...], errand: Errand
    ) -> None:
        self._record = record
        self._entries = list(entries)
        self._errand = errand
        self.answer: AnsweredWrite | None = None
        """What ended the action, if the answer to a write did."""

    def entries(self) -> tuple[ExchangeRecord, ...]:
        """See ``drive.Journal.entries``."""
        return tuple(self._entries)

    async def intend(self, step: int, request: Request) -> ExchangeRecord:
        """See ``drive.Journal.intend``."""
        ports = self._errand.ports
        entry = ExchangeRecord(
            exchange_id=ports.ids(),
            tenant_id=self._record.tenant_id,
            connection_id=self._record.connection_id,
            action_id=self._record.action_id,
            step=step,
            digest=codec.request_digest(request),
            state=ExchangeState.INTENDED,
            sent_at=ports.clock.now(),
        )
        # A run that was begun by a hint which came late knows nothing of an earlier one; this write would be its second.
        await ports.store.intend(self._errand.lease, entry, journalled=len(self._entries))
        self._entries.append(entry)
        return entry

    async def resolve(
        self, entry: ExchangeRecord, state: ExchangeState, response: Response | None = None
    ) -> None:
        """See ``drive.Journal.resolve``."""
        resolved = evolve(entry, state=state)
        if response is not None:
            resolved = evolve(
                resolved,
                status=response.status,
                headers=codec.headers_json(response.headers),
                body=response.body,
            )
        await self._errand.ports.store.resolve_exchange(self._errand.lease, resolved, state=state)
        self._entries[self._entries.index(entry)] = resolved

    def answered(self, entry: ExchangeRecord, state: ExchangeState, response: Response) -> None:
        """See ``drive.Journal.answered``."""
        self.answer = AnsweredWrite(
            exchange_id=entry.exchange_id, state=state, status=response.status
        )


@frozen(kw_only=True)
class CarriedOut:
    """How a run ended. ``last``: the action ended, and nothing else of its connection was queued then."""

    ended: Ended
    last: bool = False


async def carry_out(record: ActionRecord, errand: Errand) -> CarriedOut:
    """Run the action's plan once and record how it went: ended, or waiting in the queue again.

    ``NeedsLogin`` says so of the credentials, though the action itself may wait, in doubt.

    Raises:
        FencedError: another incarnation owns the connection; nothing more was sent or written.
        ChangedError: the connection is not active any more; nothing more was sent.
        StoreUnavailableError: the journal can not be kept, so nothing more was sent.
        ConflictError, MissingError: it was cancelled before anything was sent, or there was a run of it that was not known.
    """
    ports = errand.ports
    entries: tuple[ExchangeRecord, ...] = ()
    if record.begun:
        entries = await ports.store.exchanges(record.tenant_id, record.action_id)
    journal = StoreJournal(record, entries, errand)
    started = ports.clock.now()
    if started < record.expires_at:
        ended = await _driven(record, journal, errand)
    else:
        ended = await _expired(record, journal, errand)
    outcome = _with_doubt(ended, journal)
    if isinstance(outcome, Later | Waiting):
        outcome = await _postponed(record, outcome, journal, errand)
    last = False
    if not isinstance(outcome, Later | Waiting):
        last = await _settle(record, outcome, journal, errand, started)
    return CarriedOut(ended=ended if isinstance(ended, NeedsLogin) else outcome, last=last)


def _with_doubt(ended: Ended, journal: StoreJournal) -> Ended:
    """A login that is refused says that this run had no effect; of an earlier one, only looking will tell."""
    if isinstance(ended, NeedsLogin) and in_doubt(journal):
        return Later(reason=f"may have been sent; to look: {ended.reason}", maybe_sent=True)
    return ended


async def _driven(record: ActionRecord, journal: StoreJournal, errand: Errand) -> Ended:
    manifest = errand.adapter.manifest
    return await drive(
        errand.adapter.plan(codec.action(record, journal.entries())),
        line=errand.line,
        journal=journal,
        doubt=Doubt(look_up=manifest.look_up, horizon=manifest.effect_horizon),
        now=errand.ports.clock.now,
    )


async def _expired(record: ActionRecord, journal: StoreJournal, errand: Errand) -> Ended:
    """The end of an action whose time is over; where a try is in doubt, the provider is asked once more."""
    doubtful = [entry for entry in journal.entries() if entry.state is ExchangeState.INTENDED]
    if not doubtful:
        return _ended_early(_EXPIRED, journal)
    now, manifest = errand.ports.clock.now(), errand.adapter.manifest
    unsure = Unsure(reason="it expired while a try of it may have had its effect")
    if not errand.open or not manifest.look_up or now >= record.expires_at + LAST_LOOK:
        return unsure
    settled_at = doubtful[-1].sent_at + manifest.effect_horizon
    if now < settled_at:
        return Waiting(reason="expired; a try of it may still take effect", until=settled_at)
    plan = errand.adapter.plan(codec.action(record, journal.entries()))
    found = await look(plan, line=errand.line, journal=journal)
    match found:
        case None:
            reason = "it expired; a try in doubt was looked for and had no effect"
            return _ended_early(reason, journal, besides=doubtful)
        case Refused():
            return unsure
        case _:
            return found


async def _postponed(
    record: ActionRecord, why: Later | Waiting, journal: StoreJournal, errand: Errand
) -> Ended:
    """Put the action back until it is worth trying again, or end it where that is past its end."""
    ports = errand.ports
    now = ports.clock.now()
    not_before = _when(record, why, errand)
    doubtful = in_doubt(journal)
    if record.attempts + 1 >= ports.pace.most_attempts and isinstance(why, Later):
        return _ended_early(f"given up after {record.attempts + 1} tries: {why.reason}", journal)
    latest = record.expires_at + LAST_LOOK if doubtful else record.expires_at
    if not_before >= record.expires_at and not doubtful:
        return _ended_early(_EXPIRED, journal)
    await ports.store.postpone_action(
        errand.lease,
        record.action_id,
        not_before=min(not_before, latest if now >= record.expires_at else record.expires_at),
        reason=why.reason,
        now=now,
        counted=isinstance(why, Later),
    )
    return why


def _when(record: ActionRecord, why: Later | Waiting, errand: Errand) -> datetime:
    """When to try again; a provider's own wish holds up the whole connection, in full."""
    if isinstance(why, Waiting):
        return why.until
    pace, now = errand.ports.pace, errand.ports.clock.now()
    backoff = pace.look_again if why.maybe_sent else pace.retry
    wanted = why.retry_after
    if wanted is not None:
        errand.line.hold(now + wanted)
    return now + backoff.delay(record.attempts + 1, jitter=errand.jitter(), retry_after=wanted)


def _ended_early(
    reason: str, journal: StoreJournal, *, besides: Sequence[ExchangeRecord] = ()
) -> Refused | Unsure:
    """Nothing was done; or the action ends half-way, and a person has to see what there is of it.

    ``besides``: tries that were found to have had no effect.
    """
    left = [
        entry
        for entry in journal.entries()
        if entry.state is not ExchangeState.VOID and entry not in besides
    ]
    return (
        Unsure(reason=f"{reason}; a part of it may be there") if left else Refused(reason=reason)
    )


async def _settle(
    record: ActionRecord,
    outcome: Done | Refused | Unsure | NeedsLogin,
    journal: StoreJournal,
    errand: Errand,
    started: datetime,
) -> bool:
    """End the action, and tell of it; True if it was the last one in the queue."""
    ending = codec.ending(outcome)
    now = errand.ports.clock.now()
    incident = _incident(record, ending, errand.ports)
    settled = await errand.ports.store.settle_action(
        errand.lease,
        record.action_id,
        state=ending.state,
        reason=ending.reason,
        outcome=ending.outcome,
        receipt=_receipt(record, ending, errand.ports),
        now=now,
        incident=incident,
        answered=journal.answer,
        journalled=len(journal.entries()),
    )
    errand.ports.announcements.announce(settled.record)
    errand.ports.wake.receipts(record.tenant_id)
    if incident is not None:
        errand.ports.wake.incidents(record.tenant_id)
    labels = (record.provider_id, record.tenant_id, ending.state.value)
    errand.ports.metrics.actions.labels(*labels).inc()
    errand.ports.metrics.latency.labels("action", record.provider_id).observe(
        (now - record.created_at).total_seconds()
    )
    errand.ports.log.info(
        "action.ended",
        tenant=record.tenant_id,
        connection=str(record.connection_id),
        correlation_id=record.correlation_id,
        action=str(record.action_id),
        state=ending.state.value,
        reason=ending.reason,
        took_ms=round((now - started).total_seconds() * 1000, 1),
    )
    return not settled.more


def _incident(record: ActionRecord, ending: codec.Ending, ports: Ports) -> NewIncident | None:
    """What nobody can know but a person who looks."""
    if ending.state is not ActionState.UNSURE:
        return None
    return incidents.of_action(
        record, ports, summary=f"whether it was done is not known: {ending.reason}"
    )


def _receipt(record: ActionRecord, ending: codec.Ending, ports: Ports) -> NewReceipt:
    """The evidence of what was done."""
    return evidence.of_action(
        record,
        ports,
        result={
            "state": ending.state.value,
            "reason": ending.reason,
            "attempts": record.attempts + 1,
            "outcome": orjson.loads(ending.outcome),
        },
        succeeded=ending.state is ActionState.DONE,
    )
