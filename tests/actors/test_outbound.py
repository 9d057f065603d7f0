"""``carry_out`` over a real store, with a clock in the hand: P4 at its commit points, receipts (UT-IA-06, UT-IA-07)."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import orjson
import pytest

from actors import codec
from adapters.contract import (
    Done,
    Later,
    Response,
    Unsure,
)
from adapters.faults import (
    Effect,
    Fault,
    dropped_after,
    dropped_before,
    failing,
    late,
    rate_limited,
)
from persistence.errors import ConflictError, FencedError, StoreUnavailableError
from persistence.records import ActionState, ExchangeState
from persistence.store import Store
from tests.actors.life import EPOCH
from tests.actors.office import Office, Steps, an_office
from tests.fakes.mortality import KilledError, cut_short, points


@pytest.mark.thorough
@pytest.mark.parametrize("faults", [(), (dropped_after(),), (late(timedelta(seconds=40)),)])
async def test_killed_at_any_call_of_store_or_provider_there_is_one_comment(store, faults):
    """P4 one-effect, the receipt with it: enumerated over every commit point, before and after."""
    for point in points():
        office = await an_office(store, *faults)
        office.make_mortal(point)

        try:
            await office.until_final()
            alive = True
        except KilledError:
            alive = False
        await office.until_final()

        rows = await office.rows()
        assert office.comments() == 1, point
        assert rows["action"].state is ActionState.DONE
        about = [
            one
            for one in rows["receipts"]
            if one["inputs"]["request"]["action_id"] == str(office.action.action_id)
        ]
        assert len(about) == 1, point
        if alive:
            break


@pytest.mark.parametrize("faults", [(), (dropped_after(),)])
async def test_cancelled_at_any_await_of_admission_journal_sending_or_settling_there_is_one_comment(
    fresh_store, faults
):
    """P4: enumerated from the first await to the last; a new incarnation with a new lease does the rest."""
    for point in points():
        office = await an_office(fresh_store, *faults)

        survived = await cut_short(point, office.run)
        office.lease = await fresh_store.claim_connection(
            "acme", office.connection.connection_id, owner=uuid4()
        )
        await office.until_final()

        rows = await office.rows()
        assert office.comments() == 1, point
        assert rows["action"].state is ActionState.DONE
        if survived is not None:
            break


async def test_the_reference_is_what_the_provider_made(store):
    office = await an_office(store, dropped_after(), kind="create_issue")

    outcome = await office.until_final()

    record = (await office.rows())["action"]
    _, issue = office.github.world.named("acme/rocket").issues.values()
    assert isinstance(outcome, Done)
    assert orjson.loads(record.outcome) == {
        "reference": {"id": str(issue["id"]), "url": issue["html_url"]},
        "details": {"issue_number": 2, "issue_key": "acme/rocket#2"},
    }


async def test_settling_writes_outcome_and_receipt_or_neither(store):
    office = await an_office(store)
    office.scene.store.fail("settle_action")

    with pytest.raises(StoreUnavailableError):
        await office.run()

    rows = await office.rows()
    assert rows["action"].state is ActionState.QUEUED
    assert rows["receipts"] == []


async def test_a_settle_whose_answer_was_lost_is_not_done_twice(store):
    office = await an_office(store)
    office.scene.store.fail("settle_action", after=True)

    with pytest.raises(StoreUnavailableError):
        await office.run()
    assert (await office.rows())["action"].state is ActionState.DONE
    with pytest.raises(ConflictError):
        await office.scene.store.inner.postpone_action(
            office.lease,
            office.action.action_id,
            not_before=EPOCH,
            reason="late",
            now=EPOCH,
        )


async def test_a_retry_after_is_waited_for_in_full(store):
    office = await an_office(store, rate_limited(timedelta(seconds=754)))

    outcome = await office.run()

    record = (await office.rows())["action"]
    assert isinstance(outcome, Later)
    assert record.not_before == EPOCH + timedelta(seconds=754)
    assert record.attempts == 1
    assert record.reason.startswith("429")
    assert isinstance(await office.until_final(), Done)


async def test_a_postponed_action_waits_longer_each_time(store):
    office = await an_office(store, failing(429, times=4))
    waits = []

    for _ in range(4):
        before = office.clock.at
        await office.run()
        office.clock.at = (await office.rows())["action"].not_before
        waits.append(office.clock.at - before)

    assert waits[0] == timedelta(seconds=60)  # GitHub's own, where it does not say
    assert waits == sorted(waits)


async def test_a_lost_lease_sends_nothing_and_writes_nothing(store):
    """P10 fenced: the intent is what a stale owner can not make."""
    office = await an_office(store)
    await store.claim_connection("acme", office.connection.connection_id, owner=uuid4())

    with pytest.raises(FencedError):
        await office.run()

    assert office.comments() == 0
    assert await store.exchanges("acme", office.action.action_id) == ()


async def test_what_was_answered_is_erased_from_the_journal_with_the_end(store):
    """P8: a provider's answer is kept no longer than a restart may need it."""
    office = await an_office(store, dropped_after())

    await office.until_final()

    journal = await store.exchanges("acme", office.action.action_id)
    assert [entry.state for entry in journal] == [ExchangeState.INTENDED]
    assert all(entry.body is None and entry.headers is None for entry in journal)


async def test_the_journal_keeps_an_answer_while_it_may_be_needed(store):
    """The first of two writes, answered: what the store gives back is what the provider said."""
    office = await two_steps(store, dropped_after(), said=(201, {"x-made": "1"}, b"one"))

    assert isinstance(await office.run(), Later)

    first, second = await store.exchanges("acme", office.action.action_id)
    assert (first.state, second.state) == (ExchangeState.TAKEN, ExchangeState.INTENDED)
    kept = codec.response_of(first)
    assert (kept.status, kept.header("x-made"), kept.body) == (201, "1", b"one")


async def test_an_action_that_ends_half_way_is_unsure_and_not_refused(store):
    """What was taken is there; that nothing more will be done is for a person to see to."""
    office = await two_steps(store, failing(429, times=99), lasts=timedelta(seconds=30))

    outcome = await office.until_final()

    assert outcome == Unsure(
        reason="it expired before the provider took it; a part of it may be there"
    )


async def test_an_action_whose_second_write_did_nothing_is_unsure_because_of_the_first(store):
    office = await two_steps(store, dropped_before(), lasts=timedelta(seconds=30))
    await office.run()
    office.clock.advance(seconds=90)

    outcome = await office.run()

    assert isinstance(outcome, Unsure)
    assert outcome.reason.endswith("had no effect; a part of it may be there")


async def two_steps(
    store: Store,
    *faults: Fault,
    said: tuple[int, dict[str, str], bytes] = (201, {}, b""),
    lasts: timedelta = timedelta(days=1),
) -> Office:
    """An office whose actions are two writes; the faults are the second's."""
    office = await an_office(store, lasts=lasts)
    office.adapter = Steps(("one", "two"))  # type: ignore[assignment]
    status, headers, body = said
    answered = Response(status=status, headers=tuple(headers.items()), body=body)
    office.github.plan(Fault(effect=Effect.NONE, response=answered, path="/one"), *faults)
    return office
