"""``carry_out`` over a real store, with a clock in the hand: P4 at its commit points, expiry, receipts (UT-IA-06, UT-IA-07)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
import trio
from attrs import define, evolve, field

from actors import codec
from actors.outbound import Errand, carry_out
from actors.ports import Pace
from actors.transport import Transport
from adapters.contract import Done, Later, Outcome, Refused, Request, Response, Unsure
from adapters.faults import Fault, dropped_after, dropped_before, failing, late, rate_limited
from adapters.github import ADAPTER, MANIFEST
from persistence.errors import ConflictError, FencedError, StoreUnavailableError
from persistence.opening import open_store
from persistence.records import ActionState, ExchangeState, Lease, NewAction
from persistence.store import Store
from tests.actors.life import EPOCH, TOKEN, a_github, action_of
from tests.actors.platform.world import HandClock
from tests.actors.scene import Scene, make_scene
from tests.fakes.mortality import KilledError, Mortal, points
from tests.fakes.provider import Simulated


@define(eq=False)
class Office:
    """One connection to GitHub and one action of it; ``carry_out`` as often as it takes."""

    scene: Scene
    clock: HandClock
    github: Any
    lease: Lease
    connection: Any
    action: NewAction
    mortal: Mortal = field(factory=Mortal)
    outcomes: list[Outcome] = field(factory=list)

    async def run(self) -> Outcome:
        """Carry the action out once, as the connection's actor does."""
        record = await self.scene.store.inner.action("acme", self.action.action_id)
        assert record is not None
        errand = Errand(
            connection=self.connection,
            lease=self.lease,
            adapter=ADAPTER,
            send=self.send,
            ports=self.scene.ports,
            jitter=lambda: 0.999,
        )
        outcome = await carry_out(record, errand)
        self.outcomes.append(outcome)
        return outcome

    async def until_final(self) -> Outcome | None:
        """Come back when the queue says so."""
        for _ in range(60):
            record = await self.scene.store.inner.action("acme", self.action.action_id)
            assert record is not None
            if record.state is not ActionState.QUEUED:
                return self.outcomes[-1] if self.outcomes else None
            self.clock.at = max(self.clock.at, record.not_before)
            await self.run()
        raise AssertionError("not final")

    async def send(self, request: Request) -> Response:
        await self.mortal.point()
        transport = Simulated(self.github.handle, self.clock)
        async with httpx.AsyncClient(transport=transport) as client:
            sending = Transport(client=client, deadline=timedelta(seconds=30))
            authorised = ADAPTER.authorise(request, token=TOKEN)
            response = await sending.send(authorised, base_url=MANIFEST.base_url)
        await self.mortal.point()
        return response

    def make_mortal(self, dies_at: int) -> None:
        """From now on each call of store and provider is a point to die at, before and after."""
        self.mortal = Mortal(dies_at)
        self.scene.store.around = self.mortal.point

    def comments(self) -> int:
        """How many comments GitHub has in the end."""
        later = self.clock.now() + timedelta(days=2)
        return len(self.github.comments("acme/rocket", 1, now=later))

    async def rows(self) -> dict[str, Any]:
        """The action as it is stored, and the receipts that were not read before."""
        record = await self.scene.store.inner.action("acme", self.action.action_id)
        assert record is not None
        store = self.scene.store.inner
        batch = await store.receipt_batch("acme", batch_id=uuid4(), limit=50, now=self.clock.now())
        if batch is not None:
            await store.settle_receipts("acme", batch.batch_id)
        about = [orjson.loads(one.body) for one in batch.receipts] if batch else []
        return {"action": record, "receipts": [one for one in about if "inputs" in one]}


async def an_office(
    store: Store, *faults: Fault, kind: str = "comment_on_pr", lasts: timedelta = timedelta(days=1)
) -> Office:
    clock = HandClock(EPOCH)
    scene = make_scene(store, clock=clock, adapters=(ADAPTER,), pace=Pace())
    connection = await scene.connect(provider_id="github", base_url=MANIFEST.base_url)
    lease = await store.claim_connection("acme", connection.connection_id, owner=uuid4())
    asked = action_of(kind)
    action = evolve(
        scene.action(connection),
        canonical_type=kind,
        target=asked.target,
        payload=asked.payload,
        expires_at=EPOCH + lasts,
    )
    await store.enqueue(action)
    github = a_github(EPOCH)
    github.plan(*faults)
    return Office(scene, clock, github, lease, connection, action)


@pytest.fixture
async def fresh_store(sqlite_url) -> AsyncIterator[Store]:
    async with open_store(sqlite_url) as opened:
        yield opened


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


async def test_a_postponed_action_waits_longer_each_time(fresh_store):
    office = await an_office(fresh_store, failing(429, times=4))
    waits = []

    for _ in range(4):
        before = office.clock.at
        await office.run()
        office.clock.at = (await office.rows())["action"].not_before
        waits.append(office.clock.at - before)

    assert waits[0] == timedelta(seconds=60)  # GitHub's own, where it does not say
    assert waits == sorted(waits)


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


async def test_a_look_up_is_the_last_word_before_the_expiry(store):
    """Waiting for a late effect never goes past the expiry; then the action ends."""
    office = await an_office(store, dropped_before(method="POST"), lasts=timedelta(seconds=20))

    outcome = await office.until_final()

    assert isinstance(outcome, Unsure)
    assert office.clock.at == EPOCH + timedelta(seconds=20)
    assert office.comments() == 0


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
    office = await an_office(store)
    journal_of = await _two_steps(office)

    first, second = await journal_of()

    assert (first.state, second.state) == (ExchangeState.TAKEN, ExchangeState.INTENDED)
    kept = codec.response_of(first)
    assert kept == Response(status=201, headers=(("x-made", "1"),), body=b"one")


async def _two_steps(office: Office):
    def plan(action):
        yield Request(method="POST", url="/one", writes=True)
        yield Request(method="POST", url="/two", writes=True)
        return Done()

    class TwoWrites:
        manifest = MANIFEST

        def plan(self, action):
            return plan(action)

    answers = iter([Response(status=201, headers=(("x-made", "1"),), body=b"one")])

    async def send(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        answer = next(answers, None)
        if answer is None:
            raise KilledError
        return answer

    record = (await office.rows())["action"]
    errand = Errand(
        connection=office.connection,
        lease=office.lease,
        adapter=TwoWrites(),  # type: ignore[arg-type]
        send=send,
        ports=office.scene.ports,
        jitter=lambda: 0.5,
    )
    with pytest.raises(KilledError):
        await carry_out(record, errand)

    async def journal():
        return await office.scene.store.inner.exchanges("acme", office.action.action_id)

    return journal
