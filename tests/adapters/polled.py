"""Polls carried to simulators as a poller does it, without a poller: the cursor is kept with what its page brought."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from adapters.contract import Delivery, Request, Response, Signal
from adapters.polling import CursorLost, Item, Page, PollOutcome, PollPlan, Polls
from tests.fakes.plans import carry

MOST_PAGES = 500


class Normalises(Protocol):
    def normalise(self, delivery: Delivery) -> tuple[Signal, ...]: ...


def delivery_of(item: Item, now: datetime) -> Delivery:
    return Delivery(
        event_kind=item.event_kind,
        event_id=item.event_id,
        replay_key=None,
        received_at=now,
        body=item.body,
    )


class Reader:
    """Reads one resource of a provider, and keeps what it found by the id of the event."""

    def __init__(
        self,
        adapter: Polls,
        resource: str,
        send: Callable[[Request], Response],
        clock: Callable[[], datetime],
    ) -> None:
        self.adapter = adapter
        self.resource = resource
        self.clock = clock
        self.cursor: bytes | None = None
        self.found: dict[str, Item] = {}
        self.lost: list[CursorLost] = []
        self.last: PollOutcome | None = None
        self._send = send

    def poll(self, *, keeps: bool = True) -> PollOutcome:
        """One page; one that is not kept is what a process leaves that dies before its commit."""
        return self._take(
            self.adapter.poll(self.resource, self.cursor, now=self.clock()), keeps=keeps
        )

    def drain(self) -> None:
        """Pages until there is no more."""
        for _ in range(MOST_PAGES):
            outcome = self.poll()
            if isinstance(outcome, CursorLost) or (isinstance(outcome, Page) and outcome.more):
                continue
            assert isinstance(outcome, Page), outcome
            return
        raise AssertionError("it does not end")

    def _take(self, plan: PollPlan, *, keeps: bool) -> PollOutcome:
        self.last = outcome = carry(plan, self._send)
        if isinstance(outcome, Page) and keeps:
            self.cursor = outcome.cursor
            self.found |= {item.event_id: item for item in outcome.items}
        if isinstance(outcome, CursorLost):
            self.lost.append(outcome)
            self.cursor = outcome.cursor
        return outcome

    def signals(self, adapter: Normalises) -> dict[str | None, Signal]:
        """What the items mean, by the key of the event."""
        made = (adapter.normalise(delivery_of(item, self.clock())) for item in self.found.values())
        return {signal.event_key: signal for signals in made for signal in signals}


class Clock:
    """A clock that is set by hand."""

    def __init__(self, start: datetime) -> None:
        self.time = start

    def __call__(self) -> datetime:
        return self.time

    def pass_(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
