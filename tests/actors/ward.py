"""A connection whose webhooks come from the simulated GitHub, or do not; what polling and healing make of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from attrs import define, field

from actors import codec
from actors.sealing import WEBHOOK
from adapters.contract import Delivery, Request
from adapters.errors import SignatureError
from adapters.github import ADAPTER
from adapters.redaction import DEFAULT_RULES, redact
from persistence.changes import IncidentRecord
from persistence.polls import CursorRecord
from persistence.records import ConnectionRecord
from tests.actors.hub import Hub, a_hub
from tests.actors.life import REPOSITORY
from tests.actors.reading_room import rested

HEARD = ("webhook", "outbound_actions")
READ = (*HEARD, "polling")


@define(eq=False)
class Ward:
    """``answers``: what GitHub is answered while we are away (0: nobody is there); None: we are there."""

    hub: Hub
    connection: ConnectionRecord
    answers: int | None = None
    received: list[str] = field(factory=list)

    @property
    def place(self) -> tuple[str, Any]:
        """Tenant and connection."""
        return self.connection.tenant_id, self.connection.connection_id

    async def opens(self, number: int = 1) -> None:
        """Somebody opens issues, and GitHub tells whoever is there."""
        github = self.hub.github
        repository = github.world.named(REPOSITORY)
        assert repository is not None
        for _ in range(number):
            self.hub.clock.advance(seconds=1)
            github.history.opens(repository, now=self.hub.clock.now())
        await self.posts()

    async def posts(self) -> None:
        """GitHub sends what it has to send."""
        log = self.hub.github.delivery_log
        for sent, request in log.pending():
            status = await self._taken(request) if self.answers is None else self.answers
            log.answered(sent.id, status, now=self.hub.clock.now())

    async def _taken(self, request: Request) -> int:
        """As the edge does it."""
        hub, now = self.hub, self.hub.clock.now()
        rows = await hub.scene.store.inner.secrets_of(*self.place, WEBHOOK, now=now)
        secrets = tuple([await hub.secrets.open(row) for row in rows])
        try:
            verified = ADAPTER.receive(request, secrets=secrets, now=now)
        except SignatureError:
            await hub.scene.store.inner.count_rejected({self.place: 1})
            return 401
        assert isinstance(verified, Delivery)
        delivery = codec.new_delivery(
            verified,
            delivery_id=uuid4(),
            tenant_id=self.connection.tenant_id,
            connection_id=self.connection.connection_id,
            body=redact(verified.body, DEFAULT_RULES),
        )
        await hub.scene.deliver(self.connection, delivery)
        self.received.append(verified.event_id)
        return 202

    async def later(self, **by: float) -> None:
        """Time passes, and all that is due by then is read."""
        self.hub.clock.advance(**by)
        await rested(self.hub.scene, self.connection)

    async def cursors(self) -> tuple[CursorRecord, ...]:
        """How far its resources are read."""
        found: tuple[CursorRecord, ...] = await self.hub.scene.store.inner.cursors(*self.place)
        return found

    async def arrived(self, number: int) -> list[dict[str, Any]]:
        """The signals about issues at PM-3, once there are so many and nothing is left."""
        scene = self.hub.scene

        async def look() -> bool:
            ledger = await scene.ledger(self.connection)
            return len(self.signals) >= number and ledger.pending == ledger.settled == 0

        await scene.watch.until(look)
        return self.signals

    @property
    def signals(self) -> list[dict[str, Any]]:
        """What PM-3 took; of the pull request that was there just before we came, polling alone tells."""
        taken = self.hub.scene.signals.accepted
        return [one for one in taken if one["signal_type"] != "pr_opened"]

    async def incidents(self, kind: str) -> list[IncidentRecord]:
        """The incidents of that kind, newest last."""
        known = await self.hub.scene.store.inner.incidents(*self.place, limit=20)
        return [one for one in known if one.kind == kind][::-1]

    def asked(self, part: str) -> int:
        """How often GitHub was asked for something with that in its URL."""
        return sum(part in seen.request.url for seen in self.hub.github.seen)

    def healed(self, by: str) -> float:
        """What was healed, as it is counted."""
        found = self.hub.scene.ports.metrics.registry.get_sample_value(
            "integration_adapters_events_healed_total",
            {"provider": "github", "tenant": "acme", "by": by},
        )
        return found or 0.0


@asynccontextmanager
async def a_ward(
    store_url: str, capabilities: tuple[str, ...] = HEARD, **chosen: Any
) -> AsyncIterator[Ward]:
    """A running node whose connection is active, and has read all there is to read."""
    async with a_hub(store_url, **chosen) as hub:
        ward = Ward(hub, await hub.active(capabilities=capabilities))
        await hub.scene.watch.until(ward.cursors)
        await ward.later(seconds=1)
        yield ward
