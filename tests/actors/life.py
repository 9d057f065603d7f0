"""The life of one GitHub action over as many runs of ``drive`` as it takes, in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import trio
from attrs import define, field

from actors.drive import Doubt, Ended, drive
from actors.pools import Pools
from actors.pressure import Waiting
from actors.transport import Transport
from adapters.contract import Action, Later, Request, Response, Secret
from adapters.faults import Fault
from adapters.github import ADAPTER, MANIFEST
from adapters.github.simulator import GitHub
from adapters.github.world import Token
from runtime import TrioClock
from tests.fakes.journals import MemoryJournal
from tests.fakes.lines import OpenLine, Send
from tests.fakes.mortality import cut_short
from tests.fakes.provider import Simulated

EPOCH = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = Secret(value=b"ghp_a-token-that-nobody-may-ever-read")
REPOSITORY = "acme/rocket"
ACTION_ID = "018f0000-0000-7000-8000-00000000beef"
KINDS = ("comment_on_pr", "create_issue")
DOUBT = Doubt(look_up=MANIFEST.look_up, horizon=MANIFEST.effect_horizon)
PAUSE = timedelta(seconds=7)
"""Between two runs, where the provider does not ask for more: no divisor of the horizon."""

_ASKED = {
    "comment_on_pr": ({"repository": REPOSITORY, "pr_number": 1}, {"body": "Checks passed."}),
    "create_issue": ({"repository": REPOSITORY}, {"title": "Engine cold", "body": "Look."}),
}


def action_of(kind: str, first_sent_at: datetime | None = None) -> Action:
    """What is asked for, as its plan sees it."""
    target, payload = _ASKED[kind]
    return Action(
        action_id=ACTION_ID,
        canonical_type=kind,
        target=orjson.dumps(target),
        payload=orjson.dumps(payload),
        first_sent_at=first_sent_at,
    )


def a_github(now: datetime) -> GitHub:
    """GitHub with one repository and a pull request in it."""
    github = GitHub(tokens=(Token(secret=TOKEN, scopes=("repo",)),))
    repository = github.world.add_repository(REPOSITORY)
    github.world.add_issue(repository, title="Warm the engine", author="ada", now=now, is_pr=True)
    return github


@define(eq=False)
class Life:
    """Make it inside ``trio.run``: its clock is trio's."""

    kind: str
    faults: tuple[Fault, ...] = ()
    deadline: timedelta = timedelta(seconds=30)
    doubt: Doubt = DOUBT
    clock: TrioClock = field(init=False)
    github: GitHub = field(init=False)
    journal: MemoryJournal = field(init=False)
    sends: list[Request] = field(factory=list)
    outcomes: list[Ended] = field(factory=list)
    lines: list[OpenLine] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.clock = TrioClock(EPOCH)
        self.journal = MemoryJournal(self.clock.now)
        self.github = a_github(EPOCH)
        self.github.plan(*self.faults)

    async def run(self, send: Send | None = None, line: OpenLine | None = None) -> Ended:
        """A fresh plan over the same journal, once."""
        line = line or OpenLine(send or self.send)
        self.lines.append(line)
        outcome = await drive(
            ADAPTER.plan(action_of(self.kind, self.journal.first_sent_at)),
            line=line,
            journal=self.journal,
            doubt=self.doubt,
            now=self.clock.now,
        )
        self.outcomes.append(outcome)
        return outcome

    async def until_final(self, most: int = 60) -> Ended:
        """Run again and again, with pauses, until it is over."""
        for _ in range(most):
            outcome = await self.run()
            if not isinstance(outcome, Later | Waiting):
                return outcome
            wanted = outcome.retry_after if isinstance(outcome, Later) else None
            await trio.sleep(max(wanted or PAUSE, PAUSE).total_seconds())
        raise AssertionError(f"not final after {most} runs: {self.outcomes[-3:]}")

    async def die_at(self, point: int) -> Ended | None:
        """Run, but be killed at the ``point``-th await; None if that was the end."""
        return await cut_short(point, self.run)

    async def send(self, request: Request) -> Response:
        """To GitHub, as the node does it."""
        self.sends.append(request)
        simulated = Simulated(self.github.handle, self.clock)
        transport = Transport(pools=Pools(lambda _: simulated), deadline=self.deadline)
        authorised = ADAPTER.authorise(request, token=TOKEN)
        return await transport.send(authorised, base_url=MANIFEST.base_url)

    @property
    def tickets_out(self) -> int:
        """How many tickets were neither used nor given back."""
        return sum(line.out for line in self.lines)

    @property
    def writes(self) -> int:
        """How many writes left us."""
        return sum(request.writes for request in self.sends)

    def effects(self) -> tuple[str, ...]:
        """What the provider has of it in the end: the ids of what was made."""
        later = self.clock.now() + timedelta(days=1)
        self.github.comments(REPOSITORY, 1, now=later)  # what is late has come by then
        repository = self.github.world.named(REPOSITORY)
        if repository is None:
            return ()
        made = [
            *repository.comments[1],
            *(item for item in repository.issues.values() if item["number"] > 1),
        ]
        return tuple(str(item["id"]) for item in made)
