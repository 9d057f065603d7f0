"""When to stop calling something that fails, and when to try again: a pure state machine.

    closed --(failures in a row, or too large a share of the last calls)--> open
    open --(its time is over)--> half-open: a few probes pass
    half-open --(enough probes succeed)--> closed;  --(one fails)--> open, for longer

Nothing here keeps state: the caller holds it, passes it in with ``now`` and gets the next one back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from attrs import evolve, field, frozen
from attrs.validators import ge, gt, le

from runtime.backoff import Backoff, Refusal


class Phase(StrEnum):
    """Whether calls pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Result(StrEnum):
    """How a call ended. One that says nothing about the other side (cancelled, say) is ``UNKNOWN``."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


@frozen(kw_only=True)
class Permit:
    """Call, and pass this to ``record`` with the result. ``era`` tells a late result from one that counts."""

    era: int


@frozen(kw_only=True)
class BreakerState:
    """Where a breaker is. ``era`` counts phases; ``trips`` how often it opened since it last closed.

    ``recent`` are the last calls of the phase, the newest last, True for a failure; ``probing`` how many are out while
    it is half-open. ``until`` is the end of a phase that does not stay for ever.
    """

    phase: Phase = Phase.CLOSED
    era: int = 0
    trips: int = 0
    until: datetime | None = None
    recent: tuple[bool, ...] = ()
    probing: int = 0


@frozen(kw_only=True)
class Breaker:
    """The rules.

    It opens after ``failures`` in a row, or when of the last ``sample`` calls at least ``share`` failed; for
    the delays of ``pause`` (drawn in their upper half), or as long as a Retry-After says. Then at most ``probes`` calls
    are out at once, and as many must succeed. Probes without a result for ``patience`` are taken for lost.
    """

    failures: int = field(default=5, validator=ge(1))
    share: float = field(default=0.5, validator=(gt(0), le(1)))
    sample: int = field(default=20, validator=ge(1))
    probes: int = field(default=1, validator=ge(1))
    pause: Backoff = field(default=Backoff(base=timedelta(seconds=30), cap=timedelta(minutes=10)))
    patience: timedelta = timedelta(minutes=1)

    def decide(self, state: BreakerState, now: datetime) -> tuple[BreakerState, Permit | Refusal]:
        """Whether a call may be made at ``now``."""
        if state.until is not None and now >= state.until:
            # The pause is over, or the probes that were out are taken for lost.
            state = self._enter(state, Phase.HALF_OPEN, until=now + self.patience)
        if state.phase is Phase.CLOSED:
            return state, Permit(era=state.era)
        if state.phase is Phase.HALF_OPEN and state.probing + len(state.recent) < self.probes:
            return evolve(state, probing=state.probing + 1), Permit(era=state.era)
        return state, Refusal(retry_after=(state.until or now) - now)

    def record(
        self,
        state: BreakerState,
        permit: Permit,
        result: Result,
        now: datetime,
        *,
        jitter: float,
        retry_after: timedelta | None = None,
    ) -> BreakerState:
        """What follows from the result of a permitted call.

        ``jitter`` in [0, 1) is used when it opens. A ``retry_after`` opens it whatever the count: the other side
        asked for silence. A late result changes nothing, unless it asks for a longer one.
        """
        asked = retry_after if result is Result.FAILED else None
        if permit.era != state.era:
            if asked is not None and state.phase is Phase.OPEN:
                return evolve(state, until=max(state.until or now, now + asked))
            return state
        state = self._count(state, result)
        if asked is not None or self._is_too_much(state):
            trips = state.trips + 1
            pause = self.pause.delay(trips, jitter=0.5 + jitter / 2, retry_after=asked)
            return evolve(self._enter(state, Phase.OPEN, until=now + pause), trips=trips)
        if state.phase is Phase.HALF_OPEN and len(state.recent) == self.probes:
            return BreakerState(era=state.era + 1)
        return state

    def _count(self, state: BreakerState, result: Result) -> BreakerState:
        new = () if result is Result.UNKNOWN else (result is Result.FAILED,)
        recent = (*state.recent, *new)[-max(self.failures, self.sample, self.probes) :]
        return evolve(state, recent=recent, probing=max(0, state.probing - 1))

    def _is_too_much(self, state: BreakerState) -> bool:
        if state.phase is Phase.HALF_OPEN:
            return any(state.recent)
        row, sample = state.recent[-self.failures :], state.recent[-self.sample :]
        return (len(row) == self.failures and all(row)) or (
            len(sample) == self.sample and sum(sample) >= self.share * self.sample
        )

    def _enter(self, state: BreakerState, phase: Phase, *, until: datetime) -> BreakerState:
        return BreakerState(phase=phase, era=state.era + 1, trips=state.trips, until=until)
