"""A simulated GitHub where things happen, what its webhooks would tell of them, and those who poll it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from attrs import evolve

from adapters.contract import Delivery, Request, Response, Secret, Signal
from adapters.github import ADAPTER, walking
from adapters.github.simulator import GitHub
from adapters.github.simulator_history import Happened
from adapters.github.world import Token
from tests.adapters.polled import Clock, Reader
from tests.fakes.plans import LostError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = Secret(value=b"ghp_s1mulated")
REPOSITORY = "acme/rocket"
KINDS = ("issues", "pulls", "comments")


@contextmanager
def pages_of(size: int) -> Iterator[None]:
    """Ask for so many items at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walking, "PER_PAGE", size)
        yield


class Hub:
    def __init__(self, *, start: datetime = NOW, ahead: timedelta = timedelta()) -> None:
        self.clock = Clock(start)
        self.github = GitHub(tokens=(Token(secret=TOKEN),))
        self.history = self.github.history
        self.history.ahead = ahead
        self.repository = self.github.world.add_repository(REPOSITORY)
        self.told: list[Happened] = []
        self.asked: list[Request] = []

    @property
    def now(self) -> datetime:
        return self.clock().astimezone(UTC)

    def reader(self, kind: str, *, repository: str = REPOSITORY) -> Reader:
        return Reader(ADAPTER, f"{kind}:{repository}", self.send, self.clock)

    def send(self, request: Request) -> Response:
        """As the transport does it, redirects followed."""
        self.asked.append(request)
        return self._follow(ADAPTER.authorise(request, token=TOKEN))

    def _follow(self, request: Request) -> Response:
        reply = self.github.handle(request, now=self.now)
        if reply.response is None:
            raise LostError
        if reply.response.status in (301, 307):
            target = reply.response.header("location") or ""
            return self._follow(evolve(request, url=target))
        return reply.response

    def opens(self, *, is_pr: bool = False) -> int:
        """Somebody opens an issue; its number."""
        self.told.append(self.history.opens(self.repository, now=self.now, is_pr=is_pr))
        return len(self.repository.issues)

    def closes(self, number: int) -> None:
        self.told.append(self.history.changes(self.repository, number, now=self.now))

    def reopens(self, number: int) -> None:
        self.told.append(self.history.changes(self.repository, number, now=self.now, value="open"))

    def merges(self, number: int) -> None:
        self.told.append(self.history.merges(self.repository, number, now=self.now))

    def retitles(self, number: int) -> None:
        self.told.append(
            self.history.changes(
                self.repository, number, now=self.now, name="title", value=str(len(self.told))
            )
        )

    def comments(self, number: int) -> None:
        self.told.append(self.history.comments(self.repository, number, now=self.now))

    def told_by_webhook(self) -> dict[str, Signal]:
        """The signals of the webhooks that GitHub would have sent, of the events that have a key."""
        signals = [signal_of(happened, self.now) for happened in self.told]
        return {signal.event_key: signal for signal in signals if signal.event_key is not None}

    def standing(self) -> set[str]:
        """The keys of what is still to be seen now: all but the closings that were undone."""
        closings = {
            key
            for item in self.repository.issues.values()
            if item["closed_at"] is not None
            for key in self.told_by_webhook()
            if key.endswith(f":closed:{item['closed_at']}")
            and key.split(":")[1] in _ids(item["id"])
        }
        return closings | {key for key in self.told_by_webhook() if ":closed:" not in key}


def signal_of(happened: Happened, now: datetime) -> Signal:
    """What a webhook about it means."""
    delivery = Delivery(
        event_kind=happened.event_kind,
        event_id="a-guid",
        replay_key=None,
        received_at=now,
        body=orjson.dumps(happened.document),
    )
    (signal,) = ADAPTER.normalise(delivery)
    return signal


def _ids(issue: int) -> tuple[str, str]:
    """An issue's id, and that of the pull request that it may be."""
    return str(issue), str(issue + 500_000_000)
