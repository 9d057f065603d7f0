"""How much a connection may ask of its provider now: breaker, own limits, the provider's limits, holds.

One per connection, owned by its actor. It decides from what it is told and does no I/O; what must outlive the actor
(an open breaker, a hold) is dumped into the connection's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from attrs import evolve, frozen

from actors.conditions import Condition, LimitLevel
from adapters.capabilities import Allowance
from adapters.manifest import Limit
from runtime import (
    Breaker,
    BreakerState,
    Budget,
    BudgetState,
    Level,
    Permit,
    Phase,
    Refusal,
    Result,
    TokenBucket,
    Window,
)

ACTIONS, LIVE, BACKFILL = "actions", "live", "backfill"
"""Classes of work, the most worthy first; each later one leaves a share of every limit to those before it."""

_CLASSES = ((ACTIONS, 0.0), (LIVE, 0.1), (BACKFILL, 0.4))
_MINUTE = timedelta(minutes=1)
_OWN = "own"
_PROBE_AGAIN = timedelta(seconds=1)


@frozen(kw_only=True)
class Waiting:
    """Nothing is sent before ``until``. ``exhausted`` names the limit, if it is one."""

    reason: str
    until: datetime
    exhausted: str | None = None


class Pressure:
    """The state of one connection's breaker and budgets."""

    def __init__(
        self,
        limits: Sequence[Limit],
        *,
        per_minute: int | None,
        breaker: Breaker,
        now: datetime,
        kept: bytes = b"{}",
    ) -> None:
        """Start full, except for what ``kept`` (an earlier ``dump``) says; ``per_minute`` is the tenant's own cap."""
        self._breaker = breaker
        self._all = Budget(
            limits=_own(per_minute) + _windows(limits, writes_only=False), classes=_CLASSES
        )
        self._writes = Budget(limits=_windows(limits, writes_only=True), classes=_CLASSES)
        self._all_state = self._all.full(now)
        self._writes_state = self._writes.full(now)
        self.breaker_state, held = _restored(kept)
        if held is not None:
            self.hold(held)

    @property
    def phase(self) -> Phase:
        """The breaker's phase."""
        return self.breaker_state.phase

    def blocked(self, now: datetime) -> Waiting | None:
        """Why nothing can be sent at all now, if so."""
        until = self.breaker_state.until
        if self.phase is Phase.OPEN and until is not None and now < until:
            return Waiting(reason=forecast("the circuit breaker is open", until), until=until)
        held = self._all_state.held_until
        if now < held:
            return Waiting(reason=forecast("the provider asked to wait", held), until=held)
        return None

    def room(self, most: int) -> int:
        """How many pieces of work may run at once: while the breaker tries again, as many as it lets through."""
        return most if self.phase is Phase.CLOSED else min(most, self._breaker.probes)

    def admit(self, *, writes: bool, work: str, now: datetime) -> Permit | Waiting:
        """Take what one request costs, or say when it is worth asking again.

        What the breaker then refuses is paid all the same; it happens only while it lets single requests through.
        """
        waiting = self.blocked(now) or self._take(writes=writes, work=work, now=now)
        if waiting is not None:
            return waiting
        self.breaker_state, verdict = self._breaker.decide(self.breaker_state, now)
        if isinstance(verdict, Refusal):
            # Half-open, and the probe is out: it may be back long before it would be taken for lost.
            until = now + min(verdict.retry_after, _PROBE_AGAIN)
            return Waiting(reason="the circuit breaker lets single requests through", until=until)
        return verdict

    def _take(self, *, writes: bool, work: str, now: datetime) -> Waiting | None:
        """Take it from all limits or from none."""
        taken, decision = self._all.take(self._all_state, 1, now, of=work)
        if isinstance(decision, Refusal):
            self._all_state = taken
            return _exhausted(self._all, taken, work, now + decision.retry_after)
        if writes:
            self._writes_state, decision = self._writes.take(self._writes_state, 1, now, of=work)
            if isinstance(decision, Refusal):
                until = now + decision.retry_after
                return _exhausted(self._writes, self._writes_state, work, until)
        self._all_state = taken
        return None

    def record(
        self,
        permit: Permit,
        result: Result,
        *,
        now: datetime,
        jitter: float,
        retry_after: timedelta | None = None,
    ) -> None:
        """What became of a permitted request. See ``Breaker.record``."""
        self.breaker_state = self._breaker.record(
            self.breaker_state, permit, result, now, jitter=jitter, retry_after=retry_after
        )

    def left(self, now: datetime) -> float:
        """The share that is left of the limit that is used up most, 1.0 where there is none."""
        levels = (
            *_levels(self._all, self._all_state, now),
            *_levels(self._writes, self._writes_state, now),
        )
        return min((level.remaining / level.capacity for level in levels), default=1.0)

    def learn(self, allowance: Allowance, now: datetime) -> None:
        """Believe what the provider says is left."""
        name, left, reset = allowance.name, allowance.remaining, allowance.resets_at
        self._all_state = self._all.learn(
            self._all_state, now, limit=name, remaining=left, reset=reset
        )
        self._writes_state = self._writes.learn(
            self._writes_state, now, limit=name, remaining=left, reset=reset
        )

    def hold(self, until: datetime) -> None:
        """Send nothing before ``until``, whatever it is."""
        self._all_state = self._all.hold(self._all_state, until)

    def dump(self, now: datetime) -> bytes:
        """What must outlive the actor, as a JSON object: an open breaker, a hold. Limits are learned again."""
        state, held = self.breaker_state, self._all_state.held_until
        is_open = state.phase is Phase.OPEN and state.until is not None
        return orjson.dumps(
            {
                "circuit": state.phase.value,
                "until": state.until.isoformat() if is_open and state.until else None,
                "trips": state.trips,
                "held_until": held.isoformat() if now < held else None,
            }
        )

    def condition(self, before: Condition, now: datetime, *, running: int) -> Condition:
        """The connection's condition: what ``before`` counted, with what is known here."""
        waiting = self.blocked(now)
        return evolve(
            before,
            circuit=self.phase.value,
            waiting_for=None if waiting is None else waiting.reason,
            free_at=None if waiting is None else waiting.until,
            limits=(
                *_levels(self._all, self._all_state, now),
                *_levels(self._writes, self._writes_state, now),
            ),
            running=running,
        )


def forecast(reason: str, until: datetime) -> str:
    """A reason to wait, with when it is over."""
    return f"{reason}; free at {until.astimezone(UTC):%H:%M:%S} UTC"


def _own(per_minute: int | None) -> tuple[tuple[str, Window], ...]:
    if per_minute is None:
        return ()
    # A window of one would leave nothing to the classes that have to leave something to actions.
    minutes = 1 if per_minute > 1 else 2
    return ((_OWN, Window(capacity=per_minute * minutes, per=_MINUTE * minutes)),)


def _windows(limits: Sequence[Limit], *, writes_only: bool) -> tuple[tuple[str, Window], ...]:
    return tuple(
        (limit.name, Window(capacity=limit.amount, per=limit.per))
        for limit in limits
        if limit.writes_only is writes_only
    )


def _exhausted(budget: Budget, state: BudgetState, work: str, until: datetime) -> Waiting:
    share = dict(_CLASSES)[work]
    lacking = [
        name
        for (name, limit), level in zip(budget.limits, state.levels, strict=True)
        if level.tokens < 1 + share * limit.capacity
    ]
    name = lacking[0] if lacking else _OWN
    reason = forecast(f"the budget {name!r} is used up", until)
    return Waiting(reason=reason, until=until, exhausted=name)


def _levels(budget: Budget, state: BudgetState, now: datetime) -> tuple[LimitLevel, ...]:
    return tuple(
        _level(name, limit, limit.refreshed(level, now))
        for (name, limit), level in zip(budget.limits, state.levels, strict=True)
    )


def _level(name: str, limit: TokenBucket | Window, level: Level) -> LimitLevel:
    full_at = level.at if isinstance(limit, Window) and level.tokens < limit.capacity else None
    return LimitLevel(name=name, remaining=level.tokens, capacity=limit.capacity, full_at=full_at)


def _restored(kept: bytes) -> tuple[BreakerState, datetime | None]:
    """The breaker and hold of an earlier incarnation; one that was trying again begins that anew."""
    document: dict[str, Any] = orjson.loads(kept)
    held = document.get("held_until")
    state = BreakerState(trips=int(document.get("trips", 0)))
    until = document.get("until")
    if document.get("circuit", Phase.CLOSED) != Phase.CLOSED and until is not None:
        state = evolve(state, phase=Phase.OPEN, era=1, until=datetime.fromisoformat(until))
    return state, None if held is None else datetime.fromisoformat(held)
