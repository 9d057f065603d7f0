"""What an adapter must say to be polled, backfilled and healed: Protocols of their own, like every capability (FR-5)."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Protocol, TypeAlias, runtime_checkable

import msgspec
from attrs import evolve, field, frozen

from adapters.contract import Later, NeedsLogin, Refused, Request, Response


@frozen(kw_only=True)
class Resource:
    """One list that is polled. ``name`` is stable (``issues:acme/shop``): cursors are kept under it.

    It is asked every ``every``, adapted to what comes between ``fastest`` and ``slowest``.
    ``overlap`` is read again each time, against what the provider shows late or under a clock of its own.
    """

    name: str
    every: timedelta = timedelta(minutes=5)
    fastest: timedelta = timedelta(minutes=1)
    slowest: timedelta = timedelta(hours=1)
    overlap: timedelta = timedelta(minutes=2)

    def paced(self, seconds: int | None) -> Resource:
        """The same, asked as often as the connection's settings say, and no oftener; None: they do not say."""
        if seconds is None:
            return self
        every = timedelta(seconds=seconds)
        return evolve(self, every=every, fastest=every, slowest=max(self.slowest, every))


PollEvery: TypeAlias = Annotated[
    int,
    msgspec.Meta(
        ge=30,
        le=86_400,
        description="Seconds between polls when there is news; seldomer when there is none.",
    ),
]
"""The setting of a connection by which its ``Resource.paced`` is."""


@frozen(kw_only=True)
class Item:
    """One event that a poll found; it becomes a delivery like any other, so ``body`` is what ``normalise`` reads.

    ``event_id`` is the event's own identity, the same whenever and however often it is found. A signal of it has the
    same ``Signal.event_key`` as one of the webhook about the same event: that is how both make one signal.
    """

    event_kind: str
    event_id: str
    occurred_at: datetime
    body: bytes = field(repr=False)


@frozen(kw_only=True)
class Page:
    """One page of a poll. ``cursor`` is where the next one begins (JSON, the adapter's own), valid with these items only.

    ``more``: there is another page already. ``fresh`` False: the provider said that nothing has changed (304).
    ``again_after``: the provider's own wish. ``done``, ``total``: how far a backfill is, where that is known.
    """

    items: tuple[Item, ...]
    cursor: bytes
    more: bool = False
    fresh: bool = True
    again_after: timedelta | None = None
    done: int | None = None
    total: int | None = None


@frozen(kw_only=True)
class CursorLost:
    """The provider does not know the cursor any more; ``cursor`` is where to begin instead, as early as it still can.

    What lies between is a gap, and is told.
    """

    reason: str
    cursor: bytes
    since: datetime


PollOutcome: TypeAlias = Page | CursorLost | Later | Refused | NeedsLogin
PollPlan: TypeAlias = Generator[Request, Response, PollOutcome]


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)


@frozen(kw_only=True)
class Span:
    """From when to when a backfill reads; ``until`` is not in it. Kept in UTC, whatever zone they are said in."""

    since: datetime = field(converter=_utc)
    until: datetime = field(converter=_utc)


@runtime_checkable
class Polls(Protocol):
    """The capability to be polled. Plans only read; each is one page, and a failing one is simply asked again."""

    def resources(self, settings: bytes) -> tuple[Resource, ...]:
        """What there is to poll for a connection with these settings."""
        ...

    def poll(self, resource: str, cursor: bytes | None, *, now: datetime) -> PollPlan:
        """The page behind ``cursor``; None: from about now on (a backfill fetches what was before).

        The cursor's clock is the provider's: ``now`` only begins the first one, where the answer has no ``Date``.
        """
        ...

    def backfill(self, resource: str, span: Span, cursor: bytes | None) -> PollPlan:
        """The page behind ``cursor`` of what happened in ``span``; None: the first.

        Oldest first within a page; from page to page as the provider's list goes.
        """
        ...


@frozen(kw_only=True)
class Healed:
    """What one look at the provider's own record of deliveries found: how many failed, how many are sent once more.

    ``cursor`` is where the next look begins, ``more`` says that it may be at once. ``unreachable``: the targets whose
    record is not shown, and why; a webhook that somebody removed is one.
    """

    failed: int
    asked_again: int
    cursor: bytes
    more: bool = False
    unreachable: tuple[str, ...] = ()


HealOutcome: TypeAlias = Healed | Later | Refused | NeedsLogin
HealPlan: TypeAlias = Generator[Request, Response, HealOutcome]


@runtime_checkable
class Heals(Protocol):
    """The capability to have failed deliveries sent once more by the provider."""

    def heal(self, hooks: bytes, *, since: datetime, cursor: bytes | None) -> HealPlan:
        """Look through the provider's record of our webhook's deliveries from ``since``; ask for what failed once more.

        ``hooks`` is what ``Subscriptions.subscribe`` told (``Done.details``). What the provider sends again comes to the
        edge as a webhook, and what had come already is a duplicate there: so a plan that failed is simply run again.
        """
        ...
