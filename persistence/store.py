"""The port to what is durable: one method is one business fact is one transaction.

Every method raises StoreUnavailableError when the database does not answer within the store's own deadline.
A method that is cancelled may or may not have happened; none leaves a transaction open.
Rows of a tenant are reached with its ``tenant_id`` only (P6), except by the program's own upkeep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from persistence.changes import (
    ActionFilter,
    AnsweredWrite,
    NewIncident,
    SettledAction,
)
from persistence.life_store import ConnectionStore, EvidenceStore, IncidentStore, LoginStore
from persistence.poll_store import PollStore
from persistence.records import (
    Accounting,
    ActionRecord,
    ActionState,
    DeliveryRecord,
    ExchangeRecord,
    ExchangeState,
    Lease,
    NewAction,
    NewDelivery,
    NewReceipt,
    OutboxRecord,
    ParkedRecord,
    ReceiptBatch,
    RelayedSignal,
    SettledDelivery,
)


class InboxStore(Protocol):
    """What came in, and what became of it."""

    async def accept(self, deliveries: Sequence[NewDelivery]) -> tuple[bool, ...]:
        """Commit deliveries together; False for each that was there already (event id or replay digest).

        Duplicates within ``deliveries`` count too: the first wins. Both numbers go to the ledger in the same
        transaction. Order of acceptance within a connection is the order given.

        Raises:
            MissingError: one names no connection of its tenant; nothing was written.
        """
        ...

    async def count_rejected(self, rejected: Mapping[tuple[str, UUID], int]) -> None:
        """Add to the ledger what the edge refused, by (tenant, connection).

        Raises:
            MissingError: one names no connection of its tenant; nothing was written.
        """
        ...

    async def claim_connection(self, tenant_id: str, connection_id: UUID, *, owner: UUID) -> Lease:
        """Take the connection over: its epoch grows by one and every older lease is fenced.

        Raises:
            MissingError: no such connection.
        """
        ...

    async def claim_deliveries(self, lease: Lease, *, limit: int) -> tuple[DeliveryRecord, ...]:
        """The oldest pending deliveries in order of acceptance, each attempt counted before it is made.

        Deliveries claimed before and not settled (their actor died) come one at a time, so that a poisonous one
        is found without taking its neighbours with it.

        Raises:
            FencedError: the lease is no longer the connection's.
            ChangedError: the connection has another version than the lease, or is not active.
        """
        ...

    async def settle(
        self, lease: Lease, deliveries: Sequence[SettledDelivery], *, now: datetime
    ) -> Lease:
        """Outbox rows and inbox states in one transaction; returns the lease with its new ``sequence_no``.

        A delivery without signals that is not parked is forwarded at once (body erased). A parked one keeps its body.

        Raises:
            FencedError: nothing was written. Also when ``lease`` is behind: its last settle did happen.
            ConflictError: one of them is not pending, or a signal id was sent before; nothing was written.
            ValueError: the signals are not numbered on from the lease's ``sequence_no``.
        """
        ...

    async def connections_with_work(
        self, *, now: datetime, after: UUID | None, limit: int
    ) -> tuple[tuple[str, UUID], ...]:
        """(tenant, connection) of active connections with pending deliveries or due actions, by ascending id.

        And of connections in any state but deleted with due actions that expired: somebody must end them.
        """
        ...

    async def parked(
        self, tenant_id: str, connection_id: UUID, *, limit: int
    ) -> tuple[ParkedRecord, ...]:
        """Newest first, what was set aside and why."""
        ...

    async def accounting(self) -> tuple[Accounting, ...]:
        """The ledger of every connection, in one snapshot."""
        ...

    async def ledger(self, tenant_id: str, connection_id: UUID) -> Accounting | None:
        """The ledger of the tenant's connection."""
        ...

    async def pending_count(self) -> int:
        """How many deliveries wait in all (the bound of the inbox is checked against it)."""
        ...

    async def sweep(
        self,
        *,
        replay_before: datetime,
        forget_before: datetime,
        limit: int,
        now: datetime | None = None,
    ) -> int:
        """End what is over: upkeep, for every tenant.

        The replay window of deliveries received before ``replay_before`` ends. Older than ``forget_before``, these are
        deleted: forwarded deliveries, sent signals and receipts, final actions with their exchanges, resolved incidents
        that were told, ended endpoints and backfills, claims of requests that nobody finished, and deleted connections that are
        tidied up and have nothing left to send, with all that hangs on them but their receipts. What gave itself an end
        is deleted once it is over at ``now`` (None: at ``forget_before``): secrets, logins, answers to requests, cursors of deleted connections.

        Receipts go from the start of their chain, so that the rest of it still holds.

        Returns how many rows were touched, at most about ``limit`` per table.
        """
        ...


class OutboxStore(Protocol):
    """What goes out to PM-3 and ERIS."""

    async def tenants_with_signals(self, *, limit: int) -> tuple[str, ...]:
        """Tenants with signals that wait."""
        ...

    async def next_signals(self, tenant_id: str, *, limit: int) -> tuple[OutboxRecord, ...]:
        """The tenant's oldest waiting signals, in order within each connection; attempts are counted."""
        ...

    async def settle_signals(
        self, tenant_id: str, signals: Sequence[RelayedSignal], *, now: datetime
    ) -> None:
        """Record PM-3's word on signals, and end the deliveries whose last signal it was.

        A delivery whose signals are all forwarded becomes ``forwarded`` and loses its body; one with a refused
        signal becomes ``parked`` with the first code once none of its signals waits any more.

        A signal that is settled already stays as it is.
        """
        ...

    async def tenants_with_receipts(self, *, limit: int) -> tuple[str, ...]:
        """Tenants with receipts that wait."""
        ...

    async def receipt_batch(
        self, tenant_id: str, *, batch_id: UUID, limit: int, now: datetime
    ) -> ReceiptBatch | None:
        """The tenant's unsent batch if there is one (under its own id), else the next of its chain under ``batch_id``.

        Receipts are stamped and chained when they are written (``persistence.chain``): a stamp is the time its receipt
        was made or later, strictly increasing by at least a microsecond within the tenant, for ever.
        """
        ...

    async def settle_receipts(self, tenant_id: str, batch_id: UUID) -> None:
        """The batch is at ERIS."""
        ...


class ActionStore(Protocol):
    """What was asked for, and what was sent for it."""

    async def enqueue(
        self, action: NewAction, *, version: int | None = None
    ) -> tuple[ActionRecord, bool]:
        """Store the action under (tenant, connection, idempotency key); True if it is new.

        A new one says whether it is the ``head`` of its target's queue, as far as what was committed before shows.
        An action that is there already comes back whatever its connection's state is. ``version``: the connection's,
        as the caller knows it.

        Raises:
            StaleError: the connection has another version; nothing was stored.
            ConflictError: the key is taken by an action with another digest.
            ChangedError: the connection is not active, as of the commit; nothing was stored.
            MissingError: no such connection in this tenant.
        """
        ...

    async def action(self, tenant_id: str, action_id: UUID) -> ActionRecord | None:
        """The tenant's action of that id."""
        ...

    async def action_of_key(
        self, tenant_id: str, connection_id: UUID, idempotency_key: str
    ) -> ActionRecord | None:
        """The action that the tenant's connection has under that key."""
        ...

    async def actions(
        self, tenant_id: str, only: ActionFilter, *, before: UUID | None, limit: int
    ) -> tuple[ActionRecord, ...]:
        """The tenant's actions, newest first, at most ``limit``, from behind the action ``before`` (none if it is gone)."""
        ...

    async def cancel_action(
        self, tenant_id: str, action_id: UUID, *, reason: str, receipt: NewReceipt, now: datetime
    ) -> ActionRecord:
        """End a queued action of which nothing can have been sent, whoever is about to send it.

        Raises:
            MissingError: no such action in this tenant.
            ConflictError: it ended, or a write of it may have been sent.
        """
        ...

    async def resolve_action(  # noqa: PLR0913 - what it takes is one fact
        self,
        tenant_id: str,
        action_id: UUID,
        *,
        state: ActionState,
        reason: str,
        outcome: bytes,
        receipt: NewReceipt,
        now: datetime,
    ) -> ActionRecord:
        """Say what became of an ``unsure`` action (``done`` or ``refused``), as a person found out.

        Raises:
            MissingError: no such action in this tenant.
            ConflictError: it is not ``unsure``.
        """
        ...

    async def due_actions(
        self, lease: Lease, *, now: datetime, limit: int
    ) -> tuple[ActionRecord, ...]:
        """Queued actions whose time has come and that no older queued one of the same target precedes.

        Reads only; counts nothing. What the connection's state is does not matter here: ``intend`` asks for it.
        They say whether they have a journal: under the lease, nobody else begins one.
        """
        ...

    async def next_action_at(self, lease: Lease) -> datetime | None:
        """When the earliest action becomes due that no older queued one of its target precedes; None if none is queued."""
        ...

    async def exchanges(self, tenant_id: str, action_id: UUID) -> tuple[ExchangeRecord, ...]:
        """The journal of the action, oldest first."""
        ...

    async def intend(
        self, lease: Lease, exchange: ExchangeRecord, *, journalled: int | None = None
    ) -> None:
        """Journal a write before it is sent.

        ``journalled``: so many writes the action's journal has, as its owner knows it.

        Raises:
            FencedError: it must not be sent.
            ChangedError: the connection is not active any more; it must not be sent.
            MissingError, ConflictError: no such action, it is not queued any more, or has another journal; it must not be sent.
        """
        ...

    async def resolve_exchange(
        self, lease: Lease, exchange: ExchangeRecord, *, state: ExchangeState
    ) -> None:
        """Journal what became of a write (``exchange`` carries the answer when it was taken).

        Raises:
            FencedError: nothing was written.
            MissingError, ConflictError: no such exchange, or it was resolved otherwise before.
        """
        ...

    async def settle_action(  # noqa: PLR0913 - what it takes is one fact
        self,
        lease: Lease,
        action_id: UUID,
        *,
        state: ActionState,
        reason: str | None,
        outcome: bytes,
        receipt: NewReceipt,
        now: datetime,
        incident: NewIncident | None = None,
        answered: AnsweredWrite | None = None,
        journalled: int | None = None,
    ) -> SettledAction:
        """The action's end, its receipt and the incident it is, in one transaction. The journal's kept answers are erased.

        ``answered``: the write whose answer was the end, if one was; the journal then says so. ``journalled``: as for
        ``intend``.

        Raises:
            FencedError: nothing was written.
            MissingError, ConflictError: no such action, it is not queued any more, or has another journal; nothing was
                written.
        """
        ...

    async def postpone_action(
        self,
        lease: Lease,
        action_id: UUID,
        *,
        not_before: datetime,
        reason: str,
        now: datetime,
        counted: bool = True,
    ) -> None:
        """Try again at ``not_before``; the attempt counts unless nothing was tried.

        Raises:
            FencedError: nothing was written.
            MissingError, ConflictError: no such action, or it is not queued any more; nothing was written.
        """
        ...


class Store(
    ConnectionStore,
    LoginStore,
    IncidentStore,
    EvidenceStore,
    InboxStore,
    OutboxStore,
    ActionStore,
    PollStore,
    Protocol,
):
    """All of it: SQLite or PostgreSQL, held to the same contract suite."""

    async def ping(self) -> None:
        """Prove that the database answers and is at this program's revision.

        Raises:
            SchemaError: it is at another revision.
        """
        ...
