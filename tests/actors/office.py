"""One connection to GitHub and one action of it, carried out by hand over a real store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
from attrs import define, evolve, field

from actors.drive import Ended
from actors.grants import Grants
from actors.line import Line
from actors.outbound import Errand, carry_out
from actors.ports import Pace
from actors.pressure import Pressure
from adapters import answers
from adapters.contract import (
    Adapter,
    Done,
    Plan,
    Request,
    Response,
)
from adapters.faults import (
    Fault,
)
from adapters.github import ADAPTER, MANIFEST
from persistence.records import ActionState, Lease, NewAction
from persistence.store import Store
from tests.actors.life import EPOCH, TOKEN, a_github, action_of
from tests.actors.platform.world import HandClock
from tests.actors.scene import Scene, make_scene
from tests.fakes.mortality import Mortal
from tests.fakes.provider import Simulated

LIMITLESS = evolve(MANIFEST, limits=())


@define(eq=False)
class Office:
    """One connection to GitHub and one action of it; ``carry_out`` as often as it takes, each time by a new line."""

    scene: Scene
    clock: HandClock
    github: Any
    lease: Lease
    connection: Any
    action: NewAction
    mortal: Mortal = field(factory=Mortal)
    outcomes: list[Ended] = field(factory=list)
    adapter: Adapter = ADAPTER
    open: bool = True
    line: Line = field(init=False)

    async def run(self) -> Ended:
        """Carry the action out once, as the connection's actor does."""
        record = await self.scene.store.inner.action("acme", self.action.action_id)
        assert record is not None
        self.line = self.new_line()
        errand = Errand(
            connection=self.connection,
            lease=self.lease,
            adapter=self.adapter,
            line=self.line,
            ports=self.scene.ports,
            jitter=lambda: 0.999,
            open=self.open,
        )
        outcome = (await carry_out(record, errand)).ended
        self.outcomes.append(outcome)
        return outcome

    async def until_final(self) -> Ended | None:
        """Come back when the queue says so."""
        for _ in range(60):
            record = await self.scene.store.inner.action("acme", self.action.action_id)
            assert record is not None
            if record.state is not ActionState.QUEUED:
                return self.outcomes[-1] if self.outcomes else None
            self.clock.at = max(self.clock.at, record.not_before)
            await self.run()
        raise AssertionError("not final")

    def new_line(self) -> Line:
        async def send(request: Request, origin: str) -> Response:
            raise AssertionError("a static token is not asked for")

        ports = self.scene.ports
        grants = Grants(self.connection, lambda: self.lease, ports, send)
        pressure = Pressure(
            self.adapter.manifest.limits,
            per_minute=None,
            breaker=ports.pace.breaker,
            now=self.clock.now(),
        )
        return Line(self.connection, self.adapter, grants, pressure, ports, lambda: 0.5)

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
    clock, github = HandClock(EPOCH), a_github(EPOCH)
    office: Office

    async def point() -> None:
        await office.mortal.point()

    scene = make_scene(
        store,
        clock=clock,
        adapters=(ADAPTER,),
        pace=Pace(),
        transport=Simulated(github.handle, clock, around=point),
    )
    connection = await scene.connect(
        provider_id="github", base_url=MANIFEST.base_url, token=TOKEN.value
    )
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
    github.plan(*faults)
    office = Office(scene, clock, github, lease, connection, action)
    return office


@define
class LooksPlainly:
    """An adapter that looks for the effect of an earlier try, and says of a refused login just that."""

    manifest: Any = LIMITLESS

    def plan(self, action: Any) -> Plan:
        if action.first_sent_at is not None:
            request = Request(method="GET", url="/one")
            return answers.ending((yield request), request=request) or Done()
        yield Request(method="POST", url="/one", writes=True)
        return Done()

    def authorise(self, request: Request, *, token: Any) -> Request:
        return request


@define
class Steps:
    """An adapter whose actions are some writes, one after the other; it can be asked for nothing."""

    names: tuple[str, ...]
    manifest: Any = LIMITLESS

    def plan(self, action: Any) -> Plan:
        for name in self.names:
            request = Request(method="POST", url=f"/{name}", writes=True)
            ending = answers.ending((yield request), request=request)
            if ending is not None:
                return ending
        return Done()

    def authorise(self, request: Request, *, token: Any) -> Request:
        return request
