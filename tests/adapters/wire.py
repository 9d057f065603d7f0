"""Plans carried to a simulated GitHub as the driver does it, without a driver."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import orjson

from adapters.contract import Action, Done, Later, Outcome, Plan, Request, Secret
from adapters.github import ADAPTER
from adapters.github.simulator import GitHub
from adapters.github.world import Token
from adapters.simulation import Reply

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = Secret(value=b"ghs_simulated")
REPOSITORY = "acme/rocket"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ACTION_ID = "0191-a"


def action(
    spec: dict[str, Any], *, first_sent_at: datetime | None = None, **changes: Any
) -> Action:
    spec = {**spec, **changes}
    return Action(
        action_id=spec.get("action_id", ACTION_ID),
        canonical_type=spec["canonical_type"],
        target=orjson.dumps(spec["target"]),
        payload=orjson.dumps(spec["payload"]),
        first_sent_at=first_sent_at,
    )


class Wire:
    """An App's installation at a GitHub with a pull request (1) and an issue (2). An answer that is lost ends a try."""

    def __init__(self, token: Token | None = None) -> None:
        self.now = NOW
        self.token = token or Token(secret=TOKEN, login=None)
        self.github = GitHub(tokens=(self.token,))
        self.repository = self.github.world.add_repository(REPOSITORY)
        for title, is_pr in (("The PR", True), ("The issue", False)):
            self.github.world.add_issue(
                self.repository,
                title=title,
                author="lin",
                now=NOW - timedelta(days=1),
                labels=("bug", "old"),
                is_pr=is_pr,
            )
        self.dies_at: tuple[int, str] | None = None
        self.between: Callable[[], None] = lambda: None
        self._taken = False

    @property
    def asked(self) -> list[str]:
        """The methods of the requests that reached GitHub."""
        return [seen.request.method for seen in self.github.seen]

    def attempt(self, plan: Plan, *, token: Secret | None = None) -> Outcome:
        self._taken, count = False, 0
        try:
            request = next(plan)
            while True:
                reply = self._send(request, count, token or self.token.secret)
                if reply.response is None or reply.cut_at is not None:
                    plan.close()
                    return Later(reason="connection lost", maybe_sent=request.writes)
                sent, count = request, count + 1
                request = plan.send(reply.response)
                self._taken = self._taken or sent.writes
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]

    def drive(self, spec: dict[str, Any], *, tries: int = 8) -> Outcome:
        """Try until it is settled; after a write that may have been sent, wait out the effect horizon."""
        first_sent_at: datetime | None = None
        outcome: Outcome = Later(reason="not tried")
        for _ in range(tries):
            started = self.now
            outcome = self.attempt(ADAPTER.plan(action(spec, first_sent_at=first_sent_at)))
            if not isinstance(outcome, Later):
                return outcome
            if outcome.maybe_sent or self._taken:
                first_sent_at = first_sent_at or started
            horizon = ADAPTER.manifest.effect_horizon if outcome.maybe_sent else timedelta(0)
            self.now += max(horizon, outcome.retry_after or timedelta(seconds=1))
            self.between()
        return outcome

    def settle(self) -> None:
        """What is late has come by now."""
        self.github.comments(REPOSITORY, 1, now=self.now + timedelta(hours=1))

    def events(self, number: int = 2) -> list[str]:
        """The kinds of the events of an issue."""
        self.settle()
        return [event["event"] for event in self.repository.events[number]]

    def _send(self, request: Request, count: int, token: Secret) -> Reply:
        """One request and its answer, following a redirect as the transport does; or the end of the connection."""
        when = self.dies_at[1] if self.dies_at and self.dies_at[0] == count else ""
        if when:
            self.dies_at = None
        if when == "before":
            return Reply(response=None)
        request = ADAPTER.authorise(request, token=token)
        reply = self.github.handle(request, now=self.now)
        target = reply.response.header("location") if reply.response else None
        if target and reply.response and reply.response.status in (301, 307):
            reply = self.github.handle(attrs.evolve(request, url=target), now=self.now)
        return Reply(response=None) if when else reply


def requests_of(spec: dict[str, Any]) -> int:
    """How many requests the action takes where nothing goes wrong."""
    wire = Wire()
    outcome = wire.drive(spec)
    if not isinstance(outcome, Done):
        raise TypeError(outcome)
    return len(wire.asked)
