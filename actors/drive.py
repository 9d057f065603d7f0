"""Carry a plan out so that its writes have one effect, whatever is lost, repeated or killed (P4).

Each write is journalled before it is sent. After a restart reads are asked afresh; a write that was taken is
answered from the journal; a write whose answer was lost is not repeated before the provider's effect horizon has
passed, and only if the plan, looking again, did not find its effect. A provider that can not be asked gets ``Unsure``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from attrs import frozen

from actors import codec
from actors.errors import MaybeSentError, NotSentError
from adapters.contract import Later, Outcome, Plan, Request, Response, Unsure
from persistence.records import ExchangeRecord, ExchangeState

MOST_SENDS = 5
"""A write is sent at most this often; each time its effect was looked for and was not there."""

Send: TypeAlias = Callable[[Request], Awaitable[Response]]


class Journal(Protocol):
    """What is durably known of an action's writes."""

    def entries(self) -> tuple[ExchangeRecord, ...]:
        """Every try of every write, oldest first."""
        ...

    async def intend(self, step: int, request: Request) -> ExchangeRecord:
        """Make durable that the write, the ``step``-th of this run, is about to be sent."""
        ...

    async def resolve(
        self, entry: ExchangeRecord, state: ExchangeState, response: Response | None = None
    ) -> None:
        """Make durable what became of it."""
        ...


@frozen(kw_only=True)
class Doubt:
    """What a provider allows when an answer was lost: looking, and how long an effect may be late."""

    look_up: bool
    horizon: timedelta


async def drive(
    plan: Plan, *, send: Send, journal: Journal, doubt: Doubt, now: Callable[[], datetime]
) -> Outcome:
    """Run ``plan`` to its outcome, or to ``Later`` where it must be run again.

    Errors of the store pass through: nothing is sent that is not journalled. Cancelled at any await, running a
    fresh plan over the same journal continues safely.
    """
    # A look-up counts from when it was asked: one that began before the horizon may have missed a late effect.
    started = now()
    step: Request | Outcome = _advance(plan, None)
    made: list[bytes] = []
    while isinstance(step, Request):
        if not step.writes:
            step = await _read(plan, step, send)
            continue
        digest = codec.request_digest(step)
        attempt = _Try(len(made), digest, made.count(digest), send, journal, doubt, started)
        made.append(digest)
        step = await _write(plan, step, attempt)
    plan.close()
    return step


async def ask(plan: Plan, *, send: Send) -> Outcome:
    """Run a plan that only reads (a probe), without a journal.

    Raises:
        ValueError: the plan asked for a write.
    """
    step: Request | Outcome = _advance(plan, None)
    while isinstance(step, Request):
        if step.writes:
            plan.close()
            raise ValueError("a plan that only asks wants to write")
        step = await _read(plan, step, send)
    plan.close()
    return step


@frozen
class _Try:
    """One write of this run: the ``step``-th of all, the ``earlier + 1``-th of these bytes."""

    step: int
    digest: bytes
    earlier: int
    send: Send
    journal: Journal
    doubt: Doubt
    started: datetime


async def _read(plan: Plan, request: Request, send: Send) -> Request | Outcome:
    try:
        response = await send(request)
    except (NotSentError, MaybeSentError) as error:
        return Later(reason=str(error))
    return _advance(plan, response)


async def _write(plan: Plan, request: Request, attempt: _Try) -> Request | Outcome:
    entries = attempt.journal.entries()
    # Known again by its bytes, not by its place: a plan that finds the effect of one write goes on to the next.
    taken = [
        entry
        for entry in entries
        if entry.state is ExchangeState.TAKEN and entry.digest == attempt.digest
    ]
    if len(taken) > attempt.earlier:
        return _advance(plan, codec.response_of(taken[attempt.earlier]))
    doubtful = [entry for entry in entries if entry.state is ExchangeState.INTENDED]
    refusal = _not_yet(doubtful, attempt)
    if refusal is not None:
        return refusal
    entry = await attempt.journal.intend(attempt.step, request)
    try:
        response = await attempt.send(request)
    except NotSentError as error:
        await attempt.journal.resolve(entry, ExchangeState.VOID)
        return Later(reason=str(error), maybe_sent=bool(doubtful))
    except MaybeSentError as error:
        return _doubted(str(error), attempt.doubt)
    return await _judged(_advance(plan, response), entry, response, attempt)


def _not_yet(doubtful: list[ExchangeRecord], attempt: _Try) -> Outcome | None:
    """Why a write with doubtful earlier tries must not be sent now, if so."""
    if not doubtful:
        return None
    if not attempt.doubt.look_up:
        return Unsure(
            reason="an earlier try may have had its effect, and the provider can not be asked"
        )
    if len(doubtful) >= MOST_SENDS:
        return Unsure(
            reason=f"sent {MOST_SENDS} times without an answer; its effect was not found"
        )
    if attempt.started < doubtful[-1].sent_at + attempt.doubt.horizon:
        return Later(reason="an earlier try may still take effect", maybe_sent=True)
    return None


async def _judged(
    step: Request | Outcome, entry: ExchangeRecord, response: Response, attempt: _Try
) -> Request | Outcome:
    match step:
        case Request():
            await attempt.journal.resolve(entry, ExchangeState.TAKEN, response)
        case Later(reason=reason, maybe_sent=True):
            return _doubted(reason, attempt.doubt, step)
        case Later():
            await attempt.journal.resolve(entry, ExchangeState.VOID)
        case _:
            pass  # final: the journal ends with the action, in one transaction
    return step


def _doubted(reason: str, doubt: Doubt, later: Later | None = None) -> Outcome:
    if doubt.look_up:
        return later or Later(reason=reason, maybe_sent=True)
    return Unsure(reason=reason)


def _advance(plan: Plan, response: Response | None) -> Request | Outcome:
    try:
        return next(plan) if response is None else plan.send(response)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
