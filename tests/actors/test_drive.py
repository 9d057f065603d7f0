"""P4 one-effect: whatever is lost, repeated, late or killed, the provider sees one effect (UT-IA-06, UT-IA-07)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio
from attrs import evolve

from actors.drive import MOST_SENDS, Doubt, drive
from actors.errors import MaybeSentError, NotSentError
from actors.pressure import Waiting
from adapters.contract import (
    Done,
    Later,
    NeedsLogin,
    Plan,
    Refused,
    Request,
    Response,
    Unsure,
)
from adapters.faults import (
    Fault,
    cut,
    dropped_after,
    dropped_before,
    failing,
    failing_after,
    late,
    rate_limited,
    slow,
)
from adapters.github.simulator import secondary_limit
from persistence.errors import StoreUnavailableError
from persistence.records import ExchangeState
from tests.actors.life import EPOCH, KINDS, REPOSITORY, Life
from tests.fakes.journals import MemoryJournal
from tests.fakes.lines import OpenLine
from tests.fakes.mortality import points

HORIZON = timedelta(seconds=60)
WAITING = Waiting(reason="the budget is used up", until=EPOCH, exhausted="core")
ANY = Request(method="GET", url="/")
BLIND = Doubt(look_up=False, horizon=HORIZON)

TROUBLE: dict[str, tuple[Fault, ...]] = {
    "none": (),
    "the answer is lost": (dropped_after(),),
    "502 after the effect": (failing_after(502),),
    "the effect is late": (late(timedelta(seconds=25)),),
    "the 201 is cut": (cut(12),),
    "nothing arrived": (dropped_before(method="POST"),),
    "slower than the deadline": (slow(timedelta(seconds=40), method="POST"),),
    "limited, then lost": (rate_limited(timedelta(seconds=33)), dropped_after()),
}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_trouble = pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE.keys())


def once(life: Life, outcome: object) -> bool:
    """One effect, and the outcome names it; and no ticket of the line is lost, however often it was killed."""
    return (
        life.tickets_out == 0
        and isinstance(outcome, Done)
        and outcome.reference is not None
        and life.effects() == (outcome.reference.id,)
    )


@each_kind
@each_trouble
async def test_killed_at_any_await_it_has_one_effect_in_the_end(kind, trouble, autojump_clock):
    for point in points():
        life = Life(kind, trouble)

        survived = await life.die_at(point)
        outcome = await life.until_final()

        assert once(life, outcome), (point, life.outcomes)
        if survived is not None:
            break


@each_kind
async def test_killed_at_any_await_of_the_second_run_it_has_one_effect_in_the_end(
    kind, autojump_clock
):
    for point in points():
        life = Life(kind, (dropped_after(),))
        await life.run()
        await trio.sleep(61)

        survived = await life.die_at(point)
        outcome = await life.until_final()

        assert once(life, outcome), (point, life.outcomes)
        if survived is not None:
            break


async def test_killed_again_and_again_it_has_one_effect_in_the_end(autojump_clock):
    life = Life("comment_on_pr", (failing_after(500), late(timedelta(seconds=50))))

    for point in range(1, 40):
        await life.die_at(point)
        await trio.sleep(3)
    outcome = await life.until_final()

    assert once(life, outcome)


@each_kind
async def test_an_undisturbed_action_looks_for_nothing_and_writes_once(kind, autojump_clock):
    life = Life(kind)

    outcome = await life.run()

    assert once(life, outcome)
    assert [request.method for request in life.sends] == ["POST"]


@each_kind
async def test_a_lost_answer_is_looked_up_and_not_sent_again(kind, autojump_clock):
    life = Life(kind, (dropped_after(),))

    assert await life.run() == Later(reason="no answer: RemoteProtocolError", maybe_sent=True)
    outcome = await life.until_final()

    assert once(life, outcome)
    assert life.writes == 1


@each_kind
async def test_an_effect_that_is_later_than_the_first_look_up_is_waited_for(kind, autojump_clock):
    life = Life(kind, (late(timedelta(seconds=50)),))

    outcome = await life.until_final()

    looks = [request for request in life.sends if request.method == "GET"]
    assert once(life, outcome)
    assert life.writes == 1
    assert len(looks) > 3


async def test_what_never_arrived_is_sent_again_after_the_horizon_only(autojump_clock):
    life = Life("comment_on_pr", (dropped_before(method="POST"),))
    begun = life.clock.now()

    outcome = await life.until_final()

    assert once(life, outcome)
    assert life.writes == 2
    assert life.journal.kept[-1].sent_at - begun >= HORIZON


async def test_a_look_up_that_was_asked_before_the_horizon_does_not_count(autojump_clock):
    """The answer of a slow look-up may be older than an effect that came meanwhile."""
    life = Life("comment_on_pr", (dropped_before(method="POST"),))
    await life.run()
    await trio.sleep(50)
    life.github.plan(slow(timedelta(seconds=20), method="GET"))

    outcome = await life.run()

    assert outcome == Later(reason="an earlier try may still take effect", maybe_sent=True)
    assert life.clock.now() - life.journal.kept[0].sent_at >= HORIZON
    assert life.writes == 1


async def test_exactly_at_the_horizon_it_may_be_sent_again(autojump_clock):
    life = Life("comment_on_pr", (dropped_before(method="POST"),))
    await life.run()
    await trio.sleep((life.journal.kept[0].sent_at + HORIZON - life.clock.now()).total_seconds())

    assert once(life, await life.run())


@pytest.mark.parametrize("status", [429, 403])
async def test_retry_after_is_passed_on_in_full_and_the_write_is_known_not_to_have_happened(
    status, autojump_clock
):
    life = Life("comment_on_pr", (rate_limited(timedelta(seconds=754), status=status),))

    outcome = await life.run()

    assert isinstance(outcome, Later)
    assert outcome.retry_after == timedelta(seconds=754)
    assert not outcome.maybe_sent
    assert life.journal.states == (ExchangeState.VOID,)
    assert life.effects() == ()


@pytest.mark.parametrize(("said", "waited"), [(90, 90), (None, 60)])
async def test_a_secondary_limit_is_waited_for_and_then_sent_without_a_look_up(
    said, waited, autojump_clock
):
    life = Life("create_issue", (secondary_limit(retry_after_s=said),))

    outcome = await life.run()
    assert isinstance(outcome, Later)
    assert outcome.retry_after == timedelta(seconds=waited)

    assert once(life, await life.run())
    assert [request.method for request in life.sends] == ["POST", "POST"]


async def test_what_was_certainly_not_sent_leaves_no_doubt(autojump_clock):
    life = Life("comment_on_pr")

    outcome = await life.run(raising(NotSentError("not sent: ConnectError")))

    assert outcome == Later(reason="not sent: ConnectError", maybe_sent=False)
    assert life.journal.states == (ExchangeState.VOID,)
    assert once(life, await life.run())


async def test_what_was_not_sent_does_not_end_an_earlier_doubt(autojump_clock):
    life = Life("comment_on_pr", (dropped_before(method="POST"),))
    await life.run()
    await trio.sleep(61)
    look, write = life.send, raising(NotSentError("not sent: PoolTimeout"))

    outcome = await life.run(lambda request: (write if request.writes else look)(request))

    assert outcome == Later(reason="not sent: PoolTimeout", maybe_sent=True)
    assert life.journal.states == (ExchangeState.INTENDED, ExchangeState.VOID)


@pytest.mark.parametrize("error", [NotSentError("no"), MaybeSentError("no")])
async def test_a_look_up_that_gets_no_answer_is_asked_again_and_nothing_is_sent(
    error, autojump_clock
):
    life = Life("comment_on_pr", (dropped_after(),))
    await life.run()

    outcome = await life.run(raising(error))

    assert outcome == Later(reason="no", maybe_sent=True)
    assert once(life, await life.until_final())
    assert life.writes == 1


@pytest.mark.parametrize("trouble", [dropped_after(), failing_after(502), cut(5)])
async def test_where_nobody_can_be_asked_a_lost_answer_is_unsure_and_nothing_is_sent_again(
    trouble, autojump_clock
):
    life = Life("comment_on_pr", (trouble,), doubt=BLIND)

    outcome = await life.run()

    assert isinstance(outcome, Unsure)
    assert life.writes == 1
    assert len(life.effects()) == 1


async def test_where_nobody_can_be_asked_a_crash_after_the_intent_is_unsure_and_nothing_is_sent(
    autojump_clock,
):
    life = Life("create_issue", doubt=BLIND)
    await life.journal.intend(0, Request(method="POST", url="/somewhere", writes=True))
    await trio.sleep(3600)

    outcome = await life.run()

    assert isinstance(outcome, Unsure)
    assert life.writes == 0


async def test_killed_at_any_await_where_nobody_can_be_asked_it_is_never_sent_twice(
    autojump_clock,
):
    for point in points():
        life = Life("create_issue", doubt=BLIND)

        survived = await life.die_at(point)
        outcome = await life.until_final()

        assert life.writes <= 1
        assert isinstance(outcome, Unsure) or once(life, outcome)
        if survived is not None:
            break


async def test_a_provider_that_never_answers_is_sent_to_a_bounded_number_of_times(autojump_clock):
    """P7: every retry has an end."""
    life = Life("comment_on_pr", (dropped_before(times=1000, method="POST"),))

    outcome = await life.until_final()

    assert isinstance(outcome, Unsure)
    assert life.writes == MOST_SENDS
    assert life.effects() == ()


async def test_refused_is_final_and_leaves_nothing_behind(autojump_clock):
    life = Life("comment_on_pr", (failing(422, method="POST"),))

    outcome = await life.run()

    assert isinstance(outcome, Refused)
    assert outcome.status == 422
    assert life.effects() == ()
    assert life.journal.last is not None
    assert (life.journal.last.state, life.journal.last.status) == (ExchangeState.VOID, 422)
    assert life.journal.states == (
        ExchangeState.INTENDED,
    )  # until the end of the action is durable


async def test_the_answer_that_ended_an_action_says_what_became_of_its_write(autojump_clock):
    life = Life("comment_on_pr")

    await life.run()

    assert life.journal.last is not None
    assert (life.journal.last.state, life.journal.last.status) == (ExchangeState.TAKEN, 201)


async def test_an_answer_after_which_nothing_is_known_leaves_its_write_in_doubt(autojump_clock):
    """What the provider did is not told by it."""

    def shrugging() -> Plan:
        yield Request(method="POST", url="/somewhere", writes=True)
        return Unsure(reason="it may be there")

    async def accepting(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(status=202)

    journal = MemoryJournal(lambda: EPOCH)
    outcome = await drive(
        shrugging(),
        line=OpenLine(accepting),
        journal=journal,
        doubt=BLIND,
        now=lambda: EPOCH,
    )

    assert isinstance(outcome, Unsure)
    assert journal.last is not None
    assert (journal.last.state, journal.last.status) == (ExchangeState.INTENDED, 202)


async def test_a_token_that_is_refused_needs_a_login(autojump_clock):
    life = Life("comment_on_pr", (failing(401, method="POST"),))

    assert isinstance(await life.run(), NeedsLogin)
    assert life.journal.states == (ExchangeState.VOID,)


async def test_a_token_that_is_refused_while_in_doubt_leaves_the_doubt(autojump_clock):
    life = Life("comment_on_pr", (dropped_after(), failing(401)))
    await life.run()

    outcome = await life.run()

    assert isinstance(outcome, Later)
    assert outcome.maybe_sent
    assert life.journal.states == (ExchangeState.INTENDED,)
    assert once(life, await life.until_final())
    assert life.writes == 1


async def test_a_look_up_that_is_refused_ends_unsure(autojump_clock):
    """P4: what can not be looked for may be there."""
    life = Life("comment_on_pr", (dropped_after(), failing(403, method="GET")))
    await life.run()

    outcome = await life.run()

    assert isinstance(outcome, Unsure)
    assert len(life.effects()) == 1


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (WAITING, WAITING),
        (NeedsLogin(reason="no credentials"), NeedsLogin(reason="no credentials")),
        (NotSentError("no token now"), Later(reason="no token now")),
    ],
)
async def test_what_the_line_does_not_admit_is_neither_journalled_nor_sent(
    answer, ends, autojump_clock
):
    life = Life("comment_on_pr")

    outcome = await life.run(line=OpenLine(life.send, answer))

    assert outcome == ends
    assert life.journal.kept == []
    assert life.sends == []
    assert once(life, await life.until_final())


async def test_what_the_line_does_not_admit_leaves_an_earlier_doubt(autojump_clock):
    life = Life("comment_on_pr", (dropped_before(method="POST"),))
    await life.run()
    await trio.sleep(61)
    line = OpenLine(life.send)
    looked = await life.run(line=OpenLine(life.send, NotSentError("no token now")))
    assert looked == Later(reason="no token now", maybe_sent=True)

    line = OpenLine(life.send, (await line.admit(ANY, "actions")), NotSentError("no token now"))
    outcome = await life.run(line=line)

    assert outcome == Later(reason="no token now", maybe_sent=True)
    assert life.journal.states == (ExchangeState.INTENDED,)


async def test_nothing_is_sent_that_could_not_be_journalled(autojump_clock):
    life = Life("comment_on_pr")

    async def intend(step: int, request: Request) -> None:
        await trio.lowlevel.checkpoint()
        raise StoreUnavailableError("the database does not answer")

    life.journal.intend = intend  # type: ignore[method-assign, assignment]

    with pytest.raises(StoreUnavailableError):
        await life.run()
    assert life.sends == []
    assert life.tickets_out == 0


async def test_a_repository_that_was_renamed_is_found_by_its_redirect(autojump_clock):
    """GitHub answers 307 to a POST under the old name; it is one write."""
    life = Life("comment_on_pr")
    repository = life.github.world.named(REPOSITORY)
    assert repository is not None
    life.github.world.rename(repository, "acme/shuttle")

    outcome = await life.run()

    assert isinstance(outcome, Done)
    assert len(life.github.comments("acme/shuttle", 1, now=life.clock.now())) == 1
    assert len(life.journal.kept) == 1


async def test_an_answer_that_the_plan_can_not_read_is_looked_up(autojump_clock):
    unreadable = Response(status=201, body=b"[]")
    life = Life("comment_on_pr", (evolve(failing_after(201), response=unreadable),))

    outcome = await life.run()

    assert isinstance(outcome, Later)
    assert outcome.maybe_sent
    assert once(life, await life.until_final())
    assert life.writes == 1


def raising(error: Exception):
    async def send(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        raise error

    return send
