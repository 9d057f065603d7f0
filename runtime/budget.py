"""How much may be done, and when again: token buckets, windows and reservations, as values.

Nothing here keeps state: the caller holds it, passes it in with ``now`` and gets the next one back.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from attrs import evolve, field, frozen
from attrs.validators import gt

from runtime.backoff import Refusal

_SLACK = 1e-6
"""Refilling by floats may end a hair short of a whole token."""


@frozen
class Level:
    """What is left of one limit. ``at`` is the last refill of a bucket, the reset of a window."""

    tokens: float
    at: datetime


@frozen(kw_only=True)
class TokenBucket:
    """``rate`` tokens a second, of which at most ``capacity`` gather."""

    rate: float = field(validator=gt(0))
    capacity: float = field(validator=gt(0))

    def full(self, now: datetime) -> Level:
        """The state to begin with."""
        return Level(self.capacity, now)

    def take(self, level: Level, n: float, now: datetime) -> tuple[Level, Refusal | None]:
        """Take ``n`` tokens, all or none; a refusal says when it would do if nobody else takes.

        Raises:
            ValueError: ``n`` is more than the bucket ever holds.
        """
        if n > self.capacity:
            raise ValueError("more than the bucket ever holds")
        current = self.refreshed(level, now)
        if current.tokens + _SLACK < n:
            return current, Refusal(retry_after=self.wait(current, n, now))
        return Level(current.tokens - n, current.at), None

    def refreshed(self, level: Level, now: datetime) -> Level:
        """The state at ``now``; a clock that went back changes nothing."""
        at = max(now, level.at)
        gained = (at - level.at).total_seconds() * self.rate
        return Level(min(self.capacity, level.tokens + gained), at)

    def wait(self, level: Level, tokens: float, now: datetime) -> timedelta:
        """How long until it holds ``tokens``, rounded up so that waiting just so long suffices."""
        microseconds = math.ceil((tokens - level.tokens) / self.rate * 1e6)
        return timedelta(microseconds=microseconds) + (level.at - now)

    def learned(self, level: Level, remaining: float, reset: datetime) -> Level:
        """The state once the other side has said what remains."""
        return Level(min(level.tokens, remaining), level.at)


@frozen(kw_only=True)
class Window:
    """``capacity`` per ``per``, all back at once; the first use opens a window."""

    capacity: float = field(validator=gt(0))
    per: timedelta = field(validator=gt(timedelta(0)))

    def full(self, now: datetime) -> Level:
        """The state to begin with."""
        return Level(self.capacity, now)

    def refreshed(self, level: Level, now: datetime) -> Level:
        """The state at ``now``: a new window if the last one is over."""
        return level if now < level.at else Level(self.capacity, now + self.per)

    def wait(self, level: Level, tokens: float, now: datetime) -> timedelta:
        """How long until the window resets."""
        return level.at - now

    def learned(self, level: Level, remaining: float, reset: datetime) -> Level:
        """The state once the other side has said what remains and when it resets.

        Within one window answers may come out of order, so the least counts; another ``reset`` is another window.
        """
        return Level(min(level.tokens, remaining) if reset == level.at else remaining, reset)


@frozen(kw_only=True)
class BudgetState:
    """What is left of each limit of a ``Budget``, in its order; nothing is granted before ``held_until``."""

    levels: tuple[Level, ...]
    held_until: datetime


@frozen(kw_only=True)
class Budget:
    """Several limits at once, shared by classes of work of different worth.

    ``limits`` are named. ``classes`` say which share of every limit that class must leave to those before it:
    ``(("actions", 0.0), ("live", 0.1), ("backfill", 0.4))`` keeps a tenth for actions, whatever the others want.
    """

    limits: tuple[tuple[str, TokenBucket | Window], ...]
    classes: tuple[tuple[str, float], ...]

    def full(self, now: datetime) -> BudgetState:
        """The state to begin with."""
        levels = tuple(limit.full(now) for _, limit in self.limits)
        return BudgetState(levels=levels, held_until=now)

    def take(
        self, state: BudgetState, n: float, now: datetime, *, of: str
    ) -> tuple[BudgetState, Refusal | None]:
        """Take ``n`` from every limit for work of class ``of``, all or nothing.

        Raises:
            ValueError: no limit ever lets that class have ``n``.
            KeyError: there is no such class.
        """
        share = dict(self.classes)[of]
        levels, longest = [], state.held_until - now
        for (name, limit), stale in zip(self.limits, state.levels, strict=True):
            level = limit.refreshed(stale, now)
            needed = n + share * limit.capacity
            if needed > limit.capacity + _SLACK:
                raise ValueError(f"limit {name!r} never lets class {of!r} have {n:g}")
            if level.tokens + _SLACK < needed:
                longest = max(longest, limit.wait(level, needed, now))
            levels.append(level)
        if longest > timedelta(0):
            return evolve(state, levels=tuple(levels)), Refusal(retry_after=longest)
        paid = tuple(Level(level.tokens - n, level.at) for level in levels)
        return evolve(state, levels=paid), None

    def learn(
        self, state: BudgetState, now: datetime, *, limit: str, remaining: float, reset: datetime
    ) -> BudgetState:
        """Believe what the other side says about ``limit``; what it says of a window that is over is dropped."""
        if reset <= now:
            return state
        levels = list(state.levels)
        for i, (name, known) in enumerate(self.limits):
            if name == limit:
                levels[i] = known.learned(known.refreshed(levels[i], now), remaining, reset)
        return evolve(state, levels=tuple(levels))

    def hold(self, state: BudgetState, until: datetime) -> BudgetState:
        """Grant nothing before ``until``, as a Retry-After demands; an earlier hold is never shortened."""
        return evolve(state, held_until=max(state.held_until, until))
