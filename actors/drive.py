"""Carry a plan out so that its writes have one effect, whatever is lost, repeated or killed (P4).

Each write is journalled before it is sent. After a restart reads are asked afresh; a write that was taken is
answered from the journal; a write whose answer was lost is not repeated before the provider's effect horizon has
passed, and only if the plan, looking again, did not find its effect. A provider that can not be asked gets ``Unsure``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from attrs import evolve, frozen

from actors import codec
from actors.errors import MaybeSentError, NotSentError
from actors.line import Admission, Ticket
from actors.pressure import ACTIONS, Waiting
from adapters.contract import (
    Done,
    Later,
    NeedsLogin,
    Outcome,
    Plan,
    Refused,
    Request,
    Response,
    Unsure,
)
from persistence.records import ExchangeRecord, ExchangeState

MOST_SENDS = 5
"""A write is sent at most this often; each time its effect was looked for and was not there."""

_IN_DOUBT = "an earlier try may have had its effect"


class Line(Protocol):
    """The way to the provider: see ``actors.line.Line``."""

    async def admit(self, request: Request, work: str) -> Admission:
        """Pay for one request, or say what it waits for."""
        ...

    def give_back(self, ticket: Ticket) -> None:
        """The request is not sent after all."""
        ...

    async def send(self, request: Request, ticket: Ticket) -> Response:
        """Send it."""
        ...


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

    def answered(self, entry: ExchangeRecord, state: ExchangeState, response: Response) -> None:
        """Remember the answer that ends the action: it becomes durable with the end."""
        ...


@frozen(kw_only=True)
class Doubt:
    """What a provider allows when an answer was lost: looking, and how long an effect may be late."""

    look_up: bool
    horizon: timedelta


Ended: TypeAlias = Outcome | Waiting


async def drive(
    plan: Plan,
    *,
    line: Line,
    journal: Journal,
    doubt: Doubt,
    now: Callable[[], datetime],
    work: str = ACTIONS,
) -> Ended:
    """Run ``plan`` to its outcome, to ``Later`` where it must be run again, or to ``Waiting`` where the line holds it.

    Errors of the store pass through: nothing is sent that is not journalled. Cancelled at any await, running a
    fresh plan over the same journal continues safely. ``NeedsLogin`` speaks of this run only: an earlier try may be in doubt.
    """
    # A look-up counts from when it was asked: one that began before the horizon may have missed a late effect.
    started = now()
    step: Request | Ended = _advance(plan, None)
    made: list[bytes] = []
    while isinstance(step, Request):
        if not step.writes:
            step = _looked(await _read(plan, step, line, work), journal)
            continue
        digest = codec.request_digest(step)
        attempt = _Try(len(made), digest, made.count(digest), line, work, journal, doubt, started)
        made.append(digest)
        step = await _write(plan, step, attempt)
    plan.close()
    return _with_doubt(step, journal)


async def look(plan: Plan, *, line: Line, journal: Journal, work: str = ACTIONS) -> Ended | None:
    """Run a plan without sending a write: its outcome, or None where it found nothing and would write."""
    step: Request | Ended = _advance(plan, None)
    made: list[bytes] = []
    while isinstance(step, Request):
        if not step.writes:
            step = await _read(plan, step, line, work)
            continue
        digest = codec.request_digest(step)
        answered = _taken(journal, digest, earlier=made.count(digest))
        if answered is None:
            plan.close()
            return None
        made.append(digest)
        step = _advance(plan, answered)
    plan.close()
    return step


async def perform(plan: Plan, line: Line, *, work: str) -> Ended:
    """Run a plan that needs no journal: one that only reads, or that looks at what is there before each change."""
    step: Request | Ended = _advance(plan, None)
    while isinstance(step, Request):
        step = await _read(plan, step, line, work)
    plan.close()
    return step


@frozen
class _Try:
    """One write of this run: the ``step``-th of all, the ``earlier + 1``-th of these bytes."""

    step: int
    digest: bytes
    earlier: int
    line: Line
    work: str
    journal: Journal
    doubt: Doubt
    started: datetime


async def _read(plan: Plan, request: Request, line: Line, work: str) -> Request | Ended:
    try:
        ticket = await line.admit(request, work)
        if not isinstance(ticket, Ticket):
            return ticket
        response = await line.send(request, ticket)
    except NotSentError as error:
        return Later(reason=str(error))
    except MaybeSentError as error:
        return Later(reason=str(error), maybe_sent=request.writes)
    return _advance(plan, response)


async def _write(plan: Plan, request: Request, attempt: _Try) -> Request | Ended:
    answered = _taken(attempt.journal, attempt.digest, earlier=attempt.earlier)
    if answered is not None:
        return _advance(plan, answered)
    refusal = _not_yet(attempt)
    if refusal is not None:
        return refusal
    try:
        ticket = await attempt.line.admit(request, attempt.work)
    except NotSentError as error:
        return Later(reason=str(error))
    return await _sent(plan, request, ticket, attempt) if isinstance(ticket, Ticket) else ticket


async def _sent(plan: Plan, request: Request, ticket: Ticket, attempt: _Try) -> Request | Ended:
    entry: ExchangeRecord | None = None
    try:
        entry = await attempt.journal.intend(attempt.step, request)
    finally:
        if entry is None:
            attempt.line.give_back(ticket)
    try:
        response = await attempt.line.send(request, ticket)
    except NotSentError as error:
        await attempt.journal.resolve(entry, ExchangeState.VOID)
        return Later(reason=str(error))
    except MaybeSentError as error:
        return _doubted(str(error), attempt.doubt)
    return await _judged(_advance(plan, response), entry, response, attempt)


def _with_doubt(end: Ended, journal: Journal) -> Ended:
    """What was not sent this time may have been before."""
    if not isinstance(end, Later) or end.maybe_sent:
        return end
    return evolve(end, maybe_sent=in_doubt(journal))


def _looked(found: Request | Ended, journal: Journal) -> Request | Ended:
    """A provider that does not let us look says nothing of an effect that may be there."""
    if isinstance(found, Refused) and in_doubt(journal):
        return Unsure(reason=f"{_IN_DOUBT}, and can not be looked for: {found.reason}")
    return found


def in_doubt(journal: Journal) -> bool:
    """Whether a write may have had an effect that nothing has proven or disproven."""
    return any(entry.state is ExchangeState.INTENDED for entry in journal.entries())


def _taken(journal: Journal, digest: bytes, *, earlier: int) -> Response | None:
    """The answer to a write that was taken, if this one was.

    Known again by its bytes, not by its place: a plan that finds the effect of one write goes on to the next.
    """
    taken = [
        entry
        for entry in journal.entries()
        if entry.state is ExchangeState.TAKEN and entry.digest == digest
    ]
    return codec.response_of(taken[earlier]) if len(taken) > earlier else None


def _not_yet(attempt: _Try) -> Outcome | None:
    """Why a write with doubtful earlier tries must not be sent now, if so."""
    doubtful = [
        entry for entry in attempt.journal.entries() if entry.state is ExchangeState.INTENDED
    ]
    if not doubtful:
        return None
    if not attempt.doubt.look_up:
        return Unsure(reason=f"{_IN_DOUBT}, and the provider can not be asked")
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
        case Later() | NeedsLogin():
            await attempt.journal.resolve(entry, ExchangeState.VOID)
        case (
            Done() | Refused() | Unsure()
        ):  # final: the journal ends with the action, in one transaction
            attempt.journal.answered(entry, _effect(step, response), response)
    return step


def _effect(end: Done | Refused | Unsure, response: Response) -> ExchangeState:
    """What the answer that ended an action says of its write."""
    match end:
        case Done():
            return ExchangeState.TAKEN
        case Refused() if 400 <= response.status < 500:
            return ExchangeState.VOID
        case _:
            return ExchangeState.INTENDED


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
