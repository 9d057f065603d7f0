"""P4 for plans of more than one write, on a provider that keeps named things; and plans that only ask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import trio
from attrs import define, field

from actors.drive import Doubt, Ended, drive, look, perform
from actors.errors import MaybeSentError, NotSentError
from actors.pressure import LIVE, Waiting
from adapters.contract import (
    Done,
    Later,
    NeedsLogin,
    Outcome,
    Plan,
    Reference,
    Refused,
    Request,
    Response,
    Unsure,
)
from persistence.records import ExchangeState
from runtime import TrioClock
from tests.actors.life import EPOCH
from tests.fakes.journals import MemoryJournal
from tests.fakes.lines import OpenLine
from tests.fakes.mortality import cut_short, points

DOUBT = Doubt(look_up=True, horizon=timedelta(seconds=60))


def get(name: str) -> Request:
    return Request(method="GET", url=f"/things/{name}")


def post(name: str) -> Request:
    return Request(method="POST", url=f"/things/{name}", writes=True)


def answers_only(again: bool) -> Plan:
    """Two writes with a read between them; trusts that what was answered is not asked of the provider again."""
    if again:
        found = yield get("second")
        if found.status == 200:
            return Done(reference=Reference(id="second"))
    first = yield post("first")
    if first.status != 201:
        return Refused(reason="no first")
    yield get("first")
    second = yield post("second")
    return _ended(second)


def looks_for_each(again: bool) -> Plan:
    """Two writes, each skipped if its effect is there: in a later run, the second may be the first write."""
    for name in ("first", "second"):
        if again:
            found = yield get(name)
            if found.status == 200:
                continue
        made = yield post(name)
        if made.status != 201:
            return _ended(made)
    return Done(reference=Reference(id="second"))


def _ended(response: Response) -> Outcome:
    if response.status == 201:
        return Done(reference=Reference(id="second"))
    return Later(reason=f"answered {response.status}", maybe_sent=response.status >= 500)


@define(eq=False)
class Things:
    """The provider, and one action's journal. ``lost``: the writes whose answer does not arrive, by number."""

    plan: Callable[[bool], Plan]
    lost: frozenset[int] = frozenset()
    made: list[str] = field(factory=list)
    asked: list[str] = field(factory=list)
    writes: int = 0
    clock: TrioClock = field(factory=lambda: TrioClock(EPOCH))
    journal: MemoryJournal = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.journal = MemoryJournal(self.clock.now)

    async def send(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        name = request.url.rpartition("/")[2]
        self.asked.append(f"{request.method} {name}")
        if not request.writes:
            await trio.lowlevel.checkpoint()
            return Response(status=200 if name in self.made else 404)
        self.writes += 1
        self.made.append(name)
        await trio.lowlevel.checkpoint()
        if self.writes in self.lost:
            raise MaybeSentError("no answer")
        return Response(status=201, headers=(("x-made", name),), body=name.encode())

    async def run(self) -> Ended:
        again = self.journal.first_sent_at is not None
        return await drive(
            self.plan(again),
            line=OpenLine(self.send),
            journal=self.journal,
            doubt=DOUBT,
            now=self.clock.now,
        )

    async def until_final(self) -> Ended:
        for _ in range(20):
            outcome = await self.run()
            if not isinstance(outcome, Later):
                return outcome
            await trio.sleep(13)
        raise AssertionError("not final")


@pytest.mark.parametrize("lost", [frozenset(), {2}])
async def test_a_write_that_was_answered_is_answered_from_the_journal_and_reads_are_asked_afresh(
    lost, autojump_clock
):
    """UT-IA-07. Of the first write, the answer is known; of the second, only a look-up can tell."""
    for point in points():
        things = Things(answers_only, lost)

        survived = await cut_short(point, things.run)
        first_answered = ExchangeState.TAKEN in things.journal.states[:1]
        asked = len(things.asked)
        outcome = await things.until_final()

        if first_answered:
            assert "POST first" not in things.asked[asked:]
            assert isinstance(outcome, Done)
            assert things.made == ["first", "second"]
        if survived is not None:
            break


async def test_a_write_from_the_journal_has_its_whole_answer(autojump_clock):
    answers = []

    def plan(again: bool) -> Plan:
        answers.append((yield post("first")))
        end = yield post("second")
        return _ended(end)

    things = Things(plan, lost=frozenset({2}))

    await things.run()
    await things.run()

    assert answers[0] == answers[1]
    assert answers[1].header("x-made") == "first"


@pytest.mark.parametrize("lost", [frozenset(), {1}, {2}, {1, 2}])
async def test_a_plan_that_skips_what_it_finds_makes_each_thing_once(lost, autojump_clock):
    """Its second write must not be taken for the first, which the journal has an answer of."""
    for point in points():
        things = Things(looks_for_each, lost)

        survived = await cut_short(point, things.run)
        outcome = await things.until_final()

        assert isinstance(outcome, Done)
        assert things.made == ["first", "second"], point
        if survived is not None:
            break


async def test_two_writes_of_the_same_bytes_are_two_writes(autojump_clock):
    def plan(again: bool) -> Plan:
        yield post("bell")
        yield post("bell")
        yield post("bell")
        return Done()

    things = Things(plan)

    await things.run()
    await things.run()

    assert things.made == ["bell"] * 3
    assert things.journal.states == (
        *(ExchangeState.TAKEN, ExchangeState.TAKEN),
        ExchangeState.INTENDED,  # its answer was the plan's end
    )


async def test_a_plan_without_a_request_ends_at_once(autojump_clock):
    def plan(again: bool) -> Plan:
        if not again:
            return Refused(reason="nothing to do")
        yield get("never")
        return Done()

    assert await Things(plan).run() == Refused(reason="nothing to do")


def probe(*requests: Request) -> Plan:
    for request in requests:  # noqa: UP028 - what a plan yields to is its driver
        yield request
    return Done(details=b'{"asked":true}')


async def test_a_look_up_that_is_refused_in_doubt_is_unsure_and_a_refused_login_says_so(
    autojump_clock,
):
    """P4: what can not be looked for may be there; the journal keeps the doubt."""
    endings = iter((Refused(reason="gone"), NeedsLogin(reason="revoked")))

    def plan(again: bool) -> Plan:
        if again:
            yield get("first")
            return next(endings)
        made = yield post("first")
        return _ended(made)

    things = Things(plan, lost=frozenset({1}))
    await things.run()

    assert await things.run() == Unsure(
        reason="an earlier try may have had its effect, and can not be looked for: gone"
    )
    assert await things.run() == NeedsLogin(reason="revoked")
    assert things.journal.states == (ExchangeState.INTENDED,)
    assert things.made == ["first"]


async def test_a_plan_that_needs_no_journal_asks_and_tells():
    things = Things(answers_only)

    outcome = await perform(probe(get("a"), post("b")), OpenLine(things.send), work=LIVE)

    assert outcome == Done(details=b'{"asked":true}')
    assert things.asked == ["GET a", "POST b"]


@pytest.mark.parametrize(
    ("error", "request_", "maybe_sent"),
    [
        (NotSentError("refused"), post("a"), False),
        (MaybeSentError("refused"), get("a"), False),
        (MaybeSentError("refused"), post("a"), True),
    ],
)
async def test_without_an_answer_it_is_for_later_and_says_whether_it_may_have_been_sent(
    error, request_, maybe_sent
):
    async def send(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        raise error

    outcome = await perform(probe(request_), OpenLine(send), work=LIVE)

    assert outcome == Later(reason="refused", maybe_sent=maybe_sent)


async def test_what_the_line_waits_for_ends_a_plan_before_anything_is_sent():
    waiting = Waiting(reason="the budget is used up", until=EPOCH)
    things = Things(answers_only)

    line = OpenLine(things.send, waiting, NotSentError("no token now"))

    assert await perform(probe(get("a")), line, work=LIVE) == waiting
    assert await perform(probe(get("a")), line, work=LIVE) == Later(reason="no token now")
    assert things.asked == []


async def test_looking_sends_no_write(autojump_clock):
    """A look at what is there goes as far as reads lead."""
    things = Things(looks_for_each)
    line = OpenLine(things.send)

    assert await look(things.plan(True), line=line, journal=things.journal) is None
    things.made.extend(["first", "second"])
    found = await look(things.plan(True), line=line, journal=things.journal)

    assert found == Done(reference=Reference(id="second"))
    assert all(asked.startswith("GET") for asked in things.asked)


async def test_looking_goes_past_the_writes_that_were_taken(autojump_clock):
    """Else a plan that died in its second write would be taken for one that did nothing."""
    things = Things(answers_only, lost=frozenset({2}))
    await things.run()
    line = OpenLine(things.send)
    asked = len(things.asked)

    assert await look(answers_only(False), line=line, journal=things.journal) is None

    assert things.asked[asked:] == ["GET first"]
