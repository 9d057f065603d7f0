"""P9: whatever happens in whatever order, every delivery is accounted for, on both engines."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest
import trio
from attrs import define, field
from hypothesis import HealthCheck, given, settings, strategies as st

from persistence.opening import open_store
from persistence.records import DeliveryRecord, Lease, RelayedSignal, SettledDelivery
from persistence.store import Store
from tests.persistence.samples import DAY, NOW, connected, delivery, signal

COMMANDS = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.lists(st.integers(0, 9), max_size=4)),
        st.tuples(st.just("claim"), st.integers(1, 3)),
        st.tuples(st.just("settle"), st.lists(st.integers(-1, 2), max_size=4)),
        st.tuples(st.just("relay"), st.lists(st.booleans(), max_size=3)),
        st.tuples(st.just("reject"), st.integers(1, 3)),
        st.tuples(st.just("takeover"), st.just(0)),
        st.tuples(st.just("sweep"), st.just(0)),
    ),
    max_size=14,
)


@define
class Model:
    """What the ledger must say, and the order in which signals must leave."""

    seen: set[str] = field(factory=set)
    pending: list[str] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    forwarded: set[str] = field(factory=set)
    event_of: dict[str, str] = field(factory=dict)
    open: Counter[str] = field(factory=Counter)
    refused: set[str] = field(factory=set)

    def end(self, event_id: str, *, parked: bool) -> None:
        self.counts["parked" if parked else "forwarded"] += 1
        if not parked:
            self.forwarded.add(event_id)


@define
class Run:
    """One sequence of commands on a connection of its own."""

    store: Store
    lease: Lease
    model: Model = field(factory=Model)
    claimed: tuple[DeliveryRecord, ...] = ()

    async def accept(self, numbers: list[int]) -> None:
        deliveries = [delivery(self.lease, f"e{number}") for number in numbers]
        answers = await self.store.accept(deliveries)
        expected = []
        for one in deliveries:
            new = one.event_id not in self.model.seen
            expected.append(new)
            self.model.counts["accepted" if new else "duplicate"] += 1
            if new:
                self.model.seen.add(one.event_id)
                self.model.pending.append(one.event_id)
        assert list(answers) == expected

    async def claim(self, limit: int) -> None:
        self.claimed = await self.store.claim_deliveries(self.lease, limit=limit)
        ids = [one.event_id for one in self.claimed]
        assert ids == self.model.pending[: len(ids)]
        assert bool(ids) == bool(self.model.pending)

    async def settle(self, fates: list[int]) -> None:
        """A fate is a number of signals, or -1 for parked."""
        ends, number = [], self.lease.sequence_no
        for one, fate in zip(self.claimed, fates, strict=False):
            signals = tuple(signal(number + 1 + index) for index in range(max(fate, 0)))
            number += len(signals)
            ends.append(
                SettledDelivery(
                    delivery_id=one.delivery_id,
                    signals=signals,
                    parked="why" if fate < 0 else None,
                )
            )
            self._model_settled(one.event_id, fate, [each.signal_id for each in signals])
        self.lease = await self.store.settle(self.lease, ends, now=NOW)
        assert self.lease.sequence_no == number
        self.claimed = self.claimed[len(ends) :]

    def _model_settled(self, event_id: str, fate: int, signal_ids: list[str]) -> None:
        self.model.pending.remove(event_id)
        if fate > 0:
            self.model.counts["settled"] += 1
            self.model.open[event_id] = fate
            self.model.event_of.update(dict.fromkeys(signal_ids, event_id))
        else:
            self.model.end(event_id, parked=fate < 0)

    async def relay(self, fates: list[bool]) -> None:
        tenant = self.lease.tenant_id
        found = await self.store.next_signals(tenant, limit=len(fates) or 1)
        numbers = [one.sequence_no for one in found]
        assert numbers == sorted(numbers)
        words = []
        for one, forwarded in zip(found, fates, strict=False):
            words.append(
                RelayedSignal(outbox_id=one.outbox_id, parked=None if forwarded else "no")
            )
            self._model_relayed(self.model.event_of[one.signal_id], forwarded=forwarded)
        await self.store.settle_signals(tenant, words, now=NOW)

    def _model_relayed(self, event_id: str, *, forwarded: bool) -> None:
        self.model.open[event_id] -= 1
        if not forwarded:
            self.model.refused.add(event_id)
        if self.model.open[event_id] == 0:
            self.model.counts["settled"] -= 1
            self.model.end(event_id, parked=event_id in self.model.refused)
            self.model.refused.discard(event_id)

    async def reject(self, number: int) -> None:
        await self.store.count_rejected({(self.lease.tenant_id, self.lease.connection_id): number})
        self.model.counts["rejected"] += number

    async def takeover(self, _: int) -> None:
        lease = self.lease
        self.lease = await self.store.claim_connection(
            lease.tenant_id, lease.connection_id, owner=lease.connection_id
        )
        assert self.lease.sequence_no == lease.sequence_no

    async def sweep(self, _: int) -> None:
        """Forwarded events are unknown again afterwards; all others are still there."""
        await self.store.sweep(replay_before=NOW, forget_before=NOW + DAY, limit=99)
        self.model.seen -= self.model.forwarded
        self.model.forwarded.clear()

    async def check(self) -> None:
        (ledger,) = [
            one
            for one in await self.store.accounting()
            if one.connection_id == self.lease.connection_id
        ]
        assert ledger == await self.store.ledger(self.lease.tenant_id, self.lease.connection_id)
        assert await self.store.ledger("nobody", self.lease.connection_id) is None
        assert ledger.difference == 0
        assert ledger.pending == len(self.model.pending)
        for name in ("accepted", "duplicate", "rejected", "forwarded", "parked", "settled"):
            assert getattr(ledger, name) == self.model.counts[name], name


@pytest.fixture
def run_all(store_url: str):
    """Run each sequence in a trio of its own, on a new tenant of the same database."""
    tenants = count()

    async def run_one(commands: list[tuple[str, object]]) -> None:
        async with open_store(store_url) as store:
            tenant = f"t{next(tenants)}"
            made = await connected(store, tenant)
            lease = await store.claim_connection(
                tenant, made.connection_id, owner=made.connection_id
            )
            run = Run(store=store, lease=lease)
            for name, argument in commands:
                await getattr(run, name)(argument)
            await run.check()

    return lambda commands: trio.run(run_one, commands)


@pytest.mark.thorough
@settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(commands=COMMANDS)
def test_the_ledger_adds_up_after_any_sequence_of_commands(run_all, commands):
    """P5, P9, P2."""
    run_all(commands)
