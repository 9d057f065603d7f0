"""One action, from the queue to its end: plan, drive, settle with a receipt, or come back later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

import orjson
from attrs import evolve, frozen

from actors import codec, evidence
from actors.drive import Doubt, drive
from actors.ports import Ports
from adapters.contract import (
    Adapter,
    Done,
    Later,
    NeedsLogin,
    Outcome,
    Refused,
    Request,
    Response,
    Unsure,
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


@frozen(kw_only=True)
class Errand:
    """What carrying out an action of one connection needs, besides the action."""

    connection: ConnectionRecord
    lease: Lease
    adapter: Adapter
    send: Callable[[Request], Awaitable[Response]]
    ports: Ports
    jitter: Callable[[], float]


class StoreJournal:
    """The journal of one action in the store; fenced by the connection's lease. See ``drive.Journal``."""

    def __init__(
        self, record: ActionRecord, entries: tuple[ExchangeRecord, ...], errand: Errand
    ) -> None:
        self._record = record
        self._entries = list(entries)
        self._errand = errand

    def entries(self) -> tuple[ExchangeRecord, ...]:
        """See ``drive.Journal.entries``."""
        return tuple(self._entries)

    def in_doubt(self) -> bool:
        """Whether a write may have had an effect that nothing has proven or disproven."""
        return any(entry.state is ExchangeState.INTENDED for entry in self._entries)

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
        await ports.store.intend(self._errand.lease, entry)
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


async def carry_out(record: ActionRecord, errand: Errand) -> Outcome:
    """Run the action's plan once and record how it went; ``Later`` means it waits in the queue again.

    Raises:
        FencedError: another incarnation owns the connection; nothing more was sent or written.
        StoreUnavailableError: the journal can not be kept, so nothing more was sent.
    """
    ports = errand.ports
    entries = await ports.store.exchanges(record.tenant_id, record.action_id)
    journal = StoreJournal(record, entries, errand)
    started = ports.clock.now()
    if started >= record.expires_at:
        outcome: Outcome = _expired(journal)
    else:
        outcome = await _driven(record, journal, errand)
        if isinstance(outcome, Later):
            outcome = await _postponed(record, outcome, journal, errand)
    if not isinstance(outcome, Later):
        await _settle(record, outcome, errand, started)
    return outcome


async def _driven(record: ActionRecord, journal: StoreJournal, errand: Errand) -> Outcome:
    manifest = errand.adapter.manifest
    return await drive(
        errand.adapter.plan(codec.action(record, journal.entries())),
        send=errand.send,
        journal=journal,
        doubt=Doubt(look_up=manifest.look_up, horizon=manifest.effect_horizon),
        now=errand.ports.clock.now,
    )


def _expired(journal: StoreJournal) -> Refused | Unsure:
    if journal.in_doubt():
        return Unsure(reason="it expired while a try of it may have had its effect")
    return Refused(reason="it expired before the provider took it")


async def _postponed(
    record: ActionRecord, later: Later, journal: StoreJournal, errand: Errand
) -> Outcome:
    """Put the action back until ``later``, or end it where that is past its expiry."""
    ports = errand.ports
    now = ports.clock.now()
    backoff = ports.pace.look_again if later.maybe_sent else ports.pace.retry
    delay = backoff.delay(
        record.attempts + 1, jitter=errand.jitter(), retry_after=later.retry_after
    )
    not_before = now + delay
    if not_before >= record.expires_at and not later.maybe_sent:
        return _expired(journal)
    await ports.store.postpone_action(
        errand.lease,
        record.action_id,
        not_before=min(not_before, record.expires_at),
        reason=later.reason,
        now=now,
    )
    return later


async def _settle(
    record: ActionRecord,
    outcome: Done | Refused | Unsure | NeedsLogin,
    errand: Errand,
    started: datetime,
) -> None:
    ending = codec.ending(outcome)
    now = errand.ports.clock.now()
    await errand.ports.store.settle_action(
        errand.lease,
        record.action_id,
        state=ending.state,
        reason=ending.reason,
        outcome=ending.outcome,
        receipt=_receipt(record, ending, errand.ports),
        now=now,
    )
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


def _receipt(record: ActionRecord, ending: codec.Ending, ports: Ports) -> NewReceipt:
    """The evidence of what was done: what was asked as a digest, never its text."""
    return evidence.of_action(
        record,
        ports,
        request={
            "action_id": str(record.action_id),
            "target": orjson.loads(record.target),
            "digest": record.digest.hex(),
        },
        result={
            "state": ending.state.value,
            "reason": ending.reason,
            "attempts": record.attempts + 1,
            "outcome": orjson.loads(ending.outcome),
        },
        succeeded=ending.state is ActionState.DONE,
    )
