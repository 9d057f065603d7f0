"""A node's actors on a real store, among fakes: short ways to bring work in and to see what came of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import trio
from attrs import define, evolve, field

from actors.announcements import Announcements
from actors.conditions import Conditions
from actors.metrics import Metrics
from actors.pools import Pools
from actors.ports import Pace, Ports, Wake
from actors.transport import Transport
from actors.tree import tree, wake_through
from actors.upkeep import RefusalCount, Timetable
from adapters.contract import Adapter, Secret, SignalKind
from adapters.envelope import SignalEnvelope
from adapters.registry import register
from persistence.group_commit import GroupCommit
from persistence.opening import open_store
from persistence.records import (
    Accounting,
    ActionRecord,
    ActionState,
    ConnectionRecord,
    ConnectionState,
    NewAction,
    NewDelivery,
)
from persistence.store import Store
from runtime import Backoff, Clock, GaveUpError, Observer, System, TrioClock
from tests.fakes.adapters import BASE_URL, PROVIDER, ScriptedAdapter
from tests.fakes.logs import RememberedLog
from tests.fakes.siblings import (
    FakeBudgets,
    FakeHealth,
    FakeIncidents,
    FakePolicy,
    FakeReceipts,
    FakeSecrets,
    FakeSignals,
)
from tests.fakes.stores import WatchedStore
from tests.fakes.watching import Watch
from tests.persistence import samples

EPOCH = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TOKEN = b"the-token-that-nobody-may-ever-read"
FAST = Backoff(base=timedelta(milliseconds=2), cap=timedelta(milliseconds=10))
PACE = Pace(look_again=FAST, retry=FAST, neighbour=FAST, receipts_every=FAST.base)
NEVER = Timetable(
    every=timedelta(hours=1), sweep_every=timedelta(hours=1), replay_window=DAY, retention=DAY
)

Answer = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


async def created(request: httpx.Request) -> httpx.Response:
    """A provider that does what it is asked; the reference is the path."""
    await trio.lowlevel.checkpoint()
    return httpx.Response(201, text=request.url.path)


class Recorder(Observer):
    """The tree's observer."""

    def __init__(self, watch: Watch) -> None:
        self.crashes: list[Exception] = []
        self.stopped_at: list[tuple[str, str]] = []
        self._watch = watch

    def started(self, address: str, kind: str) -> None:
        self._watch.notify()

    def restarted(self, address: str, restarts: int) -> None:
        self._watch.notify()

    def stopped(self, address: str, reason: str) -> None:
        self.stopped_at.append((address, reason))
        self._watch.notify()

    def crashed(self, address: str, error: Exception) -> None:
        self.crashes.append(error)
        self._watch.notify()

    def gave_up(self, address: str, error: GaveUpError) -> None:
        self.crashes.append(error)

    def quarantined(self, address: str, retry_after: timedelta, error: Exception) -> None:
        self.crashes.append(error)

    def discarded(self, address: str, messages: int) -> None:
        self._watch.notify()


@define(eq=False)
class Hints:
    """What was hinted, where no tree runs."""

    connections: list[tuple[str, UUID]] = field(factory=list)
    actions: list[ActionRecord] = field(factory=list)
    polls: list[tuple[str, UUID]] = field(factory=list)
    signals: list[str] = field(factory=list)
    receipts: list[str] = field(factory=list)
    incidents: list[str] = field(factory=list)
    jobs: list[object] = field(factory=list)

    @property
    def wake(self) -> Wake:
        return Wake(
            connection=lambda tenant, connection: self.connections.append((tenant, connection)),
            action=lambda record, _version: self.actions.append(record),
            polls=lambda tenant, connection: self.polls.append((tenant, connection)),
            signals=self.signals.append,
            receipts=self.receipts.append,
            incidents=self.incidents.append,
            job=lambda tenant, connection, job: self.jobs.append(job),
        )


@define(eq=False)
class Scene:
    """One node. ``node`` runs its tree; without it, its parts can be called one by one."""

    store: WatchedStore
    watch: Watch
    clock: Clock
    signals: FakeSignals
    receipts: FakeReceipts
    secrets: FakeSecrets
    budgets: FakeBudgets
    incidents: FakeIncidents
    health: FakeHealth
    policy: FakePolicy
    log: RememberedLog
    recorder: Recorder
    ports: Ports
    hints: Hints = field(factory=Hints)
    refusals: RefusalCount = field(factory=RefusalCount)
    system: System | None = None

    @asynccontextmanager
    async def node(self, timetable: Timetable = NEVER) -> AsyncIterator[System]:
        """The whole tree, started, and stopped at the end of the block."""
        ports = evolve(self.ports, wake=wake_through(self._running))
        root = tree(
            ports,
            commit=GroupCommit(ports.store),
            refusals=self.refusals,
            timetable=timetable,
        )
        self.system = System(root, clock=self.clock, random=Random(1), observer=self.recorder)  # noqa: S311
        async with trio.open_nursery() as nursery:
            await nursery.start(self.system.run)
            yield self.system
            await self.system.stop(drain=timedelta(seconds=5))

    def _running(self) -> System:
        if self.system is None:
            raise RuntimeError("no tree runs")
        return self.system

    @property
    def wake(self) -> Wake:
        """Hints to the running tree."""
        return wake_through(self._running)

    async def connect(
        self,
        tenant_id: str = "acme",
        *,
        state: ConnectionState = ConnectionState.ACTIVE,
        base_url: str = BASE_URL,
        provider_id: str = PROVIDER,
        token: bytes | None = TOKEN,
    ) -> ConnectionRecord:
        """A stored connection with a token (None: it only receives)."""
        auth_ref = None if token is None else uuid4()
        if auth_ref is not None and token is not None:
            self.secrets.values[tenant_id, auth_ref] = Secret(value=token)
        made = evolve(
            samples.connection(tenant_id, state=state),
            provider_id=provider_id,
            base_url=base_url,
            auth_ref=auth_ref,
        )
        receipt = samples.receipt(tenant_id)
        await self.store.create_connection(made, samples.endpoint(made), (), receipt)
        return made

    def deliveries(self, to: ConnectionRecord, *bodies: object) -> list[NewDelivery]:
        """Deliveries as the edge would store them; the n-th event is ``event-n``."""
        return [
            samples.delivery(
                to,
                f"event-{number}",
                body=orjson.dumps(body),
                received_at=self.clock.now(),
            )
            for number, body in enumerate(bodies, start=1)
        ]

    async def deliver(self, to: ConnectionRecord, *deliveries: NewDelivery) -> tuple[bool, ...]:
        """Accept them together and wake the connection, as the edge does."""
        fresh: tuple[bool, ...] = await self.store.accept(deliveries)
        self.wake.connection(to.tenant_id, to.connection_id)
        return fresh

    def action(self, at: ConnectionRecord, name: str = "door", **changes: Any) -> NewAction:
        """An action on the target ``name``."""
        now = self.clock.now()
        made = samples.action(at, target_key=name, created_at=now)
        target = orjson.dumps({"name": name})
        return evolve(made, provider_id=at.provider_id, target=target, **changes)

    async def order(self, at: ConnectionRecord, *actions: NewAction) -> None:
        """Enqueue them and wake the connection, as the edge does."""
        for action in actions:
            await self.store.enqueue(action)
        self.wake.connection(at.tenant_id, at.connection_id)

    async def ended(self, action: NewAction | ActionRecord) -> ActionRecord:
        """The action once it has ended."""

        async def look() -> ActionRecord | None:
            found = await self.store.inner.action(action.tenant_id, action.action_id)
            return found if found and found.state is not ActionState.QUEUED else None

        record: ActionRecord = await self.watch.until(look)
        return record

    async def counted(self, of: ConnectionRecord, **wanted: int) -> Accounting:
        """The connection's ledger once it counts what is wanted; that it adds up is checked (P9)."""

        async def look() -> Accounting | None:
            entry = await self.ledger(of)
            as_wanted = all(getattr(entry, name) == number for name, number in wanted.items())
            return entry if as_wanted else None

        entry: Accounting = await self.watch.until(look)
        return entry

    async def ledger(self, of: ConnectionRecord) -> Accounting:
        """The connection's ledger; that it adds up is checked (P9)."""
        entries = await self.store.inner.accounting()
        assert all(entry.difference == 0 for entry in entries)
        return next(entry for entry in entries if entry.connection_id == of.connection_id)


def envelope_for(connection: ConnectionRecord, signal_id: str) -> SignalEnvelope:
    """An envelope that a module hands us ready-made."""
    return SignalEnvelope(
        signal_id=signal_id,
        tenant_id=connection.tenant_id,
        environment="dev",
        producer_id=str(connection.connection_id),
        signal_kind=SignalKind.EVENT,
        signal_type="other",
        occurred_at=EPOCH,
        ingested_at=EPOCH,
        payload=b'{"ready":"made"}',
    )


def make_scene(
    store: Store,
    *,
    clock: Clock | None = None,
    adapters: tuple[Adapter, ...] = (ScriptedAdapter(),),
    answer: Answer = created,
    transport: httpx.AsyncBaseTransport | None = None,
    pace: Pace = PACE,
    watch: Watch | None = None,
) -> Scene:
    """A scene on ``store``; ``answer`` is what the provider says."""
    watch = watch or Watch()
    chosen = clock or TrioClock(EPOCH)
    watched, log = WatchedStore(store, watch), RememberedLog(watch)
    signals, receipts, secrets = FakeSignals(watch), FakeReceipts(watch), FakeSecrets()
    budgets, incidents = FakeBudgets(watch), FakeIncidents(watch)
    health, policy = FakeHealth(watch), FakePolicy()
    hints = Hints()
    providers = Pools(lambda _: transport or httpx.MockTransport(answer))
    ports = Ports(
        store=watched.as_store,
        registry=register(adapters),
        secrets=secrets,
        signals=signals,
        receipts=receipts,
        budgets=budgets,
        incidents=incidents,
        health=health,
        policy=policy,
        transport=Transport(pools=providers, deadline=timedelta(seconds=5)),
        clock=chosen,
        ids=uuid4,
        incarnation=UUID(int=2**90),
        environment="dev",
        wake=hints.wake,
        announcements=Announcements(),
        conditions=Conditions(),
        metrics=Metrics(),
        log=log.log,
        public_url="https://hooks.example.com",
        entropy=os.urandom,
        pace=pace,
    )
    return Scene(
        store=watched,
        watch=watch,
        clock=chosen,
        signals=signals,
        receipts=receipts,
        secrets=secrets,
        budgets=budgets,
        incidents=incidents,
        health=health,
        policy=policy,
        log=log,
        recorder=Recorder(watch),
        ports=ports,
        hints=hints,
    )


@asynccontextmanager
async def a_scene(store_url: str, **chosen: Any) -> AsyncIterator[Scene]:
    """A scene on the database at ``store_url``."""
    async with open_store(store_url) as store:
        yield make_scene(store, **chosen)
