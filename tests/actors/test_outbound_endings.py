"""How an action ends that could not be done: expired, given up, refused, in doubt; and what holds it up until then."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from actors.outbound import LAST_LOOK
from actors.platform.budgets import Withheld
from actors.ports import Pace
from actors.pressure import Waiting
from adapters.contract import (
    Done,
    NeedsLogin,
    Refused,
    Unsure,
)
from adapters.faults import (
    Says,
    dropped_after,
    dropped_before,
    failing,
    late,
    rate_limited,
)
from persistence.errors import StoreUnavailableError
from persistence.records import ActionState
from tests.actors.life import EPOCH
from tests.actors.office import LooksPlainly, an_office


async def test_an_action_that_expired_before_it_was_sent_is_refused(store):
    office = await an_office(store, lasts=timedelta(seconds=10))
    office.clock.advance(seconds=10)

    outcome = await office.run()

    rows = await office.rows()
    assert outcome == Refused(reason="it expired before the provider took it")
    assert rows["action"].state is ActionState.REFUSED
    assert rows["receipts"][0]["result"]["succeeded"] is False
    assert office.comments() == 0


async def test_an_action_that_would_be_due_after_its_expiry_is_refused_at_once(store):
    office = await an_office(store, failing(429), lasts=timedelta(seconds=30))

    outcome = await office.run()

    assert isinstance(outcome, Refused)
    assert (await office.rows())["action"].state is ActionState.REFUSED
    assert office.comments() == 0


async def test_an_action_that_expires_in_doubt_is_unsure(store):
    """P4: the effect came too late to be found, and nothing was sent again."""
    office = await an_office(
        store, late(timedelta(seconds=55)), failing(500, times=99), lasts=timedelta(seconds=40)
    )

    outcome = await office.until_final()

    assert isinstance(outcome, Unsure)
    assert (await office.rows())["action"].state is ActionState.UNSURE
    assert office.comments() == 1


async def test_a_failing_look_up_near_the_expiry_ends_unsure_not_refused(store):
    office = await an_office(
        store,
        dropped_after(),
        failing(429, times=99, headers=(("retry-after", "3600"),)),
        lasts=timedelta(minutes=5),
    )

    outcome = await office.until_final()

    assert isinstance(outcome, Unsure)
    assert office.comments() == 1


@pytest.mark.parametrize(
    ("fault", "comments"),
    [(dropped_before(method="POST"), 0), (late(timedelta(seconds=55)), 1), (dropped_after(), 1)],
)
async def test_an_action_that_expires_in_doubt_is_looked_for_once_more_and_never_sent(
    store, fault, comments
):
    """P4: after its end only a look-up is made, once no effect can be late any more."""
    office = await an_office(store, fault, lasts=timedelta(seconds=5))

    outcome = await office.until_final()

    assert isinstance(outcome, Done if comments else Refused)
    assert office.comments() == comments
    assert [seen.request.method for seen in office.github.seen].count("POST") == 1
    assert office.clock.at <= EPOCH + timedelta(seconds=60)


async def test_the_last_look_is_tried_for_a_while_and_then_it_is_unsure(store):
    office = await an_office(
        store, dropped_before(method="POST"), failing(500, times=999), lasts=timedelta(seconds=5)
    )

    outcome = await office.until_final()

    assert outcome == Unsure(reason="it expired while a try of it may have had its effect")
    assert office.clock.at == EPOCH + timedelta(seconds=5) + LAST_LOOK


async def test_where_nothing_may_be_sent_an_action_in_doubt_ends_unsure_with_its_time(store):
    """A suspended connection's actions end too; not even a look-up is made."""
    office = await an_office(store, dropped_after(), lasts=timedelta(seconds=5))
    await office.run()
    office.open = False
    office.clock.advance(seconds=5)
    asked = len(office.github.seen)

    outcome = await office.run()

    assert isinstance(outcome, Unsure)
    assert len(office.github.seen) == asked


async def test_a_last_look_that_is_refused_is_unsure(store):
    office = await an_office(
        store, dropped_after(), failing(404, method="GET"), lasts=timedelta(seconds=5)
    )

    assert isinstance(await office.until_final(), Unsure)


async def test_a_last_look_that_says_no_is_unsure_too(store):
    """Whatever the adapter makes of it: that it can not be looked for says nothing of an effect."""
    office = await an_office(store, dropped_after(), lasts=timedelta(seconds=5))
    office.adapter = LooksPlainly()  # type: ignore[assignment]
    office.github.plan(failing(404, method="GET", times=9))
    await office.run()
    office.clock.advance(seconds=70)

    outcome = await office.run()

    assert outcome == Unsure(reason="it expired while a try of it may have had its effect")


async def test_an_unsure_action_raises_an_incident_in_the_same_transaction(store):
    """FR-8: nobody can know it but a person who looks."""
    office = await an_office(store, dropped_after(), lasts=timedelta(seconds=5))
    await office.run()
    office.open = False
    office.clock.advance(seconds=5)
    office.scene.store.fail("settle_action")
    with pytest.raises(StoreUnavailableError):
        await office.run()
    place = ("acme", office.connection.connection_id)
    assert await store.incidents(*place, limit=9) == ()

    await office.run()

    (incident,) = await store.incidents(*place, limit=9)
    assert incident.kind == f"action_unsure:{office.action.action_id}"
    assert incident.severity == "P1"
    assert office.scene.hints.incidents == ["acme"]
    assert "Checks passed" not in incident.summary


async def test_a_login_that_is_refused_while_in_doubt_is_told_and_the_action_waits(store):
    """The doubt is settled by a look-up once a person has come."""
    office = await an_office(store)
    office.adapter = LooksPlainly()  # type: ignore[assignment]
    office.github.plan(dropped_after(), failing(401))
    await office.run()

    ended = await office.run()

    assert ended == NeedsLogin(reason="answered 401")
    record = (await office.rows())["action"]
    assert record.state is ActionState.QUEUED
    assert record.reason == "may have been sent; to look: answered 401"


async def test_an_action_is_given_up_after_so_many_tries(store):
    """P7: unbounded in nothing, though its own time be long."""
    office = await an_office(store, failing(500, times=999, method="GET"), dropped_after())
    office.scene.ports = evolve(office.scene.ports, pace=Pace(most_attempts=4))

    outcome = await office.until_final()

    record = (await office.rows())["action"]
    assert isinstance(outcome, Unsure)
    assert record.reason.startswith("given up after 4 tries: ")
    assert office.comments() == 1


async def test_what_was_never_sent_is_given_up_refused(store):
    office = await an_office(store, failing(429, times=999))
    office.scene.ports = evolve(office.scene.ports, pace=Pace(most_attempts=3))

    outcome = await office.until_final()

    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("given up after 3 tries: 429")


async def test_waiting_for_a_budget_is_no_try_and_says_until_when(store):
    """Postponed uncounted, with the forecast for whoever asks."""
    office = await an_office(store)
    office.scene.budgets.withheld.append(
        Withheld(retry_after=timedelta(minutes=20), reason="rate limit")
    )

    outcome = await office.run()

    record = (await office.rows())["action"]
    assert isinstance(outcome, Waiting)
    assert (record.attempts, record.not_before) == (0, EPOCH + timedelta(minutes=20))
    assert record.reason == "rate limit; free at 12:20:00 UTC"
    assert isinstance(await office.until_final(), Done)


@pytest.mark.parametrize("says", [Says.SECONDS, Says.DATE])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_holds_the_whole_connection_in_full(store, status, says):
    """429 and 503, as seconds and as an HTTP date."""
    wanted = timedelta(seconds=754)
    office = await an_office(store, rate_limited(wanted, status=status, says=says))

    await office.run()

    blocked = office.line.pressure.blocked(EPOCH + timedelta(seconds=753))
    assert blocked is not None
    assert blocked.until >= EPOCH + wanted
    assert (await office.rows())["action"].not_before >= EPOCH + wanted


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 422, 451])
async def test_what_the_provider_refuses_is_never_tried_again(fresh_store, status):
    office = await an_office(fresh_store, failing(status, times=9))

    outcome = await office.run()

    assert isinstance(outcome, Refused)
    assert (await office.rows())["action"].state is ActionState.REFUSED
    assert len(office.github.seen) == 1
