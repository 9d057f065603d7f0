"""The sibling modules behind their ports, in this process: they keep, refuse, forget and go away when told to."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import trio
from attrs import define, field, frozen

from actors.platform.budgets import Grant, Taken, Withheld
from actors.platform.errors import (
    BatchMalformedError,
    PlatformError,
    PlatformUnavailableError,
    SecretLostError,
)
from actors.platform.health import HealthReport
from actors.platform.incidents import Incident
from actors.platform.policy import TenantPolicy
from actors.platform.signals import (
    LARGEST_BATCH,
    PRODUCER_NOT_REGISTERED,
    Accepted,
    Duplicate,
    Producer,
    RejectedSignal,
    Verdict,
)
from adapters.contract import Secret
from persistence.records import ReceiptBatch, SealedSecret
from tests.fakes.watching import Watch


@define(eq=False)
class FakeSignals:
    """PM-3 as ``actors.platform.signals.Signals`` describes it.

    ``down``: what every call raises. ``lost``: so many answers do not arrive, though the signals do.
    ``malformed``, ``refused``: by signal id. ``strict``: only registered producers.
    """

    watch: Watch
    down: PlatformError | None = None
    lost: int = 0
    malformed: set[str] = field(factory=set)
    refused: dict[str, str] = field(factory=dict)
    strict: bool = False
    refuses_producers: PlatformError | None = None
    accepted: list[dict[str, Any]] = field(factory=list)
    batches: list[tuple[str, ...]] = field(factory=list)
    producers: dict[str, Producer] = field(factory=dict)
    registrations: list[tuple[str, Producer]] = field(factory=list)

    @property
    def numbers(self) -> list[int]:
        """The sequence numbers of what it took, in that order."""
        return [signal["sequence_no"] for signal in self.accepted]

    @property
    def ids(self) -> list[str]:
        """The ids of what it took, in that order."""
        return [signal["signal_id"] for signal in self.accepted]

    async def ingest(self, tenant_id: str, envelopes: Sequence[bytes]) -> tuple[Verdict, ...]:
        """See ``Signals.ingest``."""
        await trio.lowlevel.checkpoint()
        if len(envelopes) > LARGEST_BATCH:
            raise ValueError("too many")
        signals = [orjson.loads(envelope) for envelope in envelopes]
        self.batches.append(tuple(signal["signal_id"] for signal in signals))
        try:
            if self.down is not None:
                raise self.down
            if any(
                signal["signal_id"] in self.malformed or signal["tenant_id"] != tenant_id
                for signal in signals
            ):
                raise BatchMalformedError("PM-3 can not read an envelope of the batch")
            verdicts = tuple(self._judge(signal) for signal in signals)
            if self.lost:
                self.lost -= 1
                raise PlatformUnavailableError("PM-3 gave no answer")
        finally:
            self.watch.notify()
        return verdicts

    async def register(self, tenant_id: str, producer: Producer) -> None:
        """See ``Signals.register``."""
        await trio.lowlevel.checkpoint()
        self.registrations.append((tenant_id, producer))
        self.watch.notify()
        if self.down or self.refuses_producers:
            raise self.down or self.refuses_producers  # type: ignore[misc]
        self.producers[producer.producer_id] = producer

    def _judge(self, signal: dict[str, Any]) -> Verdict:
        signal_id = signal["signal_id"]
        if self.strict and signal["producer_id"] not in self.producers:
            return RejectedSignal(code=PRODUCER_NOT_REGISTERED, message="who is that?")
        if signal_id in self.refused:
            return RejectedSignal(code=self.refused[signal_id], message="not like this")
        if signal_id in self.ids:
            return Duplicate()
        self.accepted.append(signal)
        return Accepted()


@define(eq=False)
class FakeReceipts:
    """ERIS as ``actors.platform.receipts.Receipts`` describes it; ``lost`` as for ``FakeSignals``."""

    watch: Watch
    down: PlatformError | None = None
    lost: int = 0
    sent: list[ReceiptBatch] = field(factory=list)
    kept: dict[UUID, ReceiptBatch] = field(factory=dict)

    @property
    def documents(self) -> list[dict[str, Any]]:
        """What the kept receipts say."""
        return [
            orjson.loads(receipt.body)
            for batch in self.kept.values()
            for receipt in batch.receipts
        ]

    async def send(self, batch: ReceiptBatch) -> None:
        """See ``Receipts.send``."""
        await trio.lowlevel.checkpoint()
        self.sent.append(batch)
        try:
            if self.down is not None:
                raise self.down
            self.kept.setdefault(batch.batch_id, batch)
            if self.lost:
                self.lost -= 1
                raise PlatformUnavailableError("ERIS gave no answer")
        finally:
            self.watch.notify()


@define(eq=False)
class FakeSecrets:
    """The secrets of connections, by reference; see ``actors.platform.secrets.SecretStore``."""

    values: dict[tuple[str, UUID], Secret] = field(factory=dict)
    down: PlatformError | None = None
    reads: Counter[UUID] = field(factory=Counter)
    on_read: Callable[[], None] = lambda: None

    async def seal(
        self,
        tenant_id: str,
        connection_id: UUID,
        purpose: str,
        version: int,
        value: Secret,
        *,
        now: datetime,
    ) -> SealedSecret:
        """See ``SecretStore.seal``: the value stays here, and the row says nothing of it."""
        await trio.lowlevel.checkpoint()
        secret_id = UUID(int=2**100 + len(self.values))
        self.values[tenant_id, secret_id] = value
        return SealedSecret(
            secret_id=secret_id,
            tenant_id=tenant_id,
            connection_id=connection_id,
            purpose=purpose,
            version=version,
            key_id=UUID(int=1),
            nonce=b"\x00" * 12,
            ciphertext=b"sealed",
            created_at=now,
        )

    async def unseal(self, tenant_id: str, secret_id: UUID) -> Secret:
        """See ``SecretStore.unseal``."""
        await trio.lowlevel.checkpoint()
        self.reads[secret_id] += 1
        self.on_read()
        if self.down is not None:
            raise self.down
        found = self.values.get((tenant_id, secret_id))
        if found is None:
            raise SecretLostError(f"there is no secret {secret_id}")
        return found

    async def open(self, row: SealedSecret) -> Secret:
        """See ``SecretStore.open``."""
        return await self.unseal(row.tenant_id, row.secret_id)


@frozen(kw_only=True)
class Asked:
    """One question to ``FakeBudgets``."""

    tenant_id: str
    connection_id: UUID
    provider_id: str
    calls: int
    work: str


@define(eq=False)
class FakeBudgets:
    """M35 as ``actors.platform.budgets.Budgets`` describes it; ``withheld`` are its next answers, then it grants."""

    watch: Watch
    down: PlatformError | None = None
    withheld: deque[Withheld] = field(factory=deque)
    asked: list[Asked] = field(factory=list)

    async def take(
        self, tenant_id: str, *, connection_id: UUID, provider_id: str, calls: int, work: str
    ) -> Grant:
        """See ``Budgets.take``."""
        await trio.lowlevel.checkpoint()
        if calls < 1 or work not in {"actions", "live", "backfill"}:
            raise ValueError(f"{calls} calls for {work!r}")
        self.asked.append(
            Asked(
                tenant_id=tenant_id,
                connection_id=connection_id,
                provider_id=provider_id,
                calls=calls,
                work=work,
            )
        )
        self.watch.notify()
        if self.down is not None:
            raise self.down
        return self.withheld.popleft() if self.withheld else Taken()


@define(eq=False)
class FakeIncidents:
    """EPC-4 as ``actors.platform.incidents.Incidents`` describes it; ``lost`` as for ``FakeSignals``."""

    watch: Watch
    down: PlatformError | None = None
    lost: int = 0
    told: list[Incident] = field(factory=list)
    kept: dict[UUID, Incident] = field(factory=dict)

    @property
    def open(self) -> tuple[Incident, ...]:
        """What is not over yet."""
        return tuple(one for one in self.kept.values() if one.resolved_at is None)

    async def tell(self, incident: Incident) -> None:
        """See ``Incidents.tell``."""
        await trio.lowlevel.checkpoint()
        self.told.append(incident)
        try:
            if self.down is not None:
                raise self.down
            self.kept[incident.alert_id] = incident
            if self.lost:
                self.lost -= 1
                raise PlatformUnavailableError("EPC-4 gave no answer")
        finally:
            self.watch.notify()


@define(eq=False)
class FakeHealth:
    """EPC-5 as ``actors.platform.health.HealthReports`` describes it."""

    watch: Watch
    down: PlatformError | None = None
    reports: list[HealthReport] = field(factory=list)

    async def report(self, report: HealthReport) -> None:
        """See ``HealthReports.report``."""
        await trio.lowlevel.checkpoint()
        try:
            if self.down is not None:
                raise self.down
            self.reports.append(report)
        finally:
            self.watch.notify()


@define(eq=False)
class FakePolicy:
    """A policy that a test changes while it runs; see ``actors.platform.policy.Policy``."""

    default: TenantPolicy = field(factory=TenantPolicy)
    tenants: dict[str, TenantPolicy] = field(factory=dict)

    def of(self, tenant_id: str) -> TenantPolicy:
        """See ``Policy.of``."""
        return self.tenants.get(tenant_id, self.default)
