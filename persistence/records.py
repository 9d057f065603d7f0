"""The stored shapes: frozen, provider-blind, bytes and keys. All times are aware, in UTC."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attrs import field, frozen


class ConnectionState(StrEnum):
    """Where a connection is in its life (PRD, FR-2)."""

    PENDING_VERIFICATION = "pending_verification"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    ERROR = "error"
    DELETED = "deleted"


@frozen(kw_only=True)
class ProviderRecord:
    """A row of ``integration_providers``: what the registry of adapters says, for those who read the database.

    ``provider_id`` is unique; ``capabilities`` is a JSON object.
    """

    provider_id: str
    category: str
    name: str
    status: str
    api_version: str
    capabilities: bytes


@frozen(kw_only=True)
class ConnectionRecord:
    """A row of ``integration_connections``. ``settings`` and ``tags`` are JSON objects as bytes.

    ``auth_ref`` names a sealed secret; ``epoch`` and ``sequence_no`` belong to its actor (P10, P5). ``version`` counts
    the changes that callers may see (it is the ETag). ``network`` (CA bundle, proxy) and ``pressure`` (the actor's breaker
    and holds) are JSON objects.
    """

    connection_id: UUID
    tenant_id: str
    provider_id: str
    display_name: str
    state: ConnectionState
    base_url: str
    capabilities: tuple[str, ...]
    auth_ref: UUID | None
    settings: bytes
    tags: bytes
    created_at: datetime
    updated_at: datetime
    verified_at: datetime | None = None
    reason: str | None = None
    version: int = 1
    network: bytes = field(default=b"{}", repr=False)
    pressure: bytes = b"{}"
    deleted_at: datetime | None = None


@frozen(kw_only=True)
class SealedSecret:
    """A row of ``sealed_secrets``: AES-256-GCM under the tenant's data key; useless without M33.

    ``purpose`` is ``auth`` or ``webhook``. ``expires_at`` is when an old version stops being valid (rotation).
    """

    secret_id: UUID
    tenant_id: str
    connection_id: UUID
    purpose: str
    version: int
    key_id: UUID
    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None


@frozen(kw_only=True)
class TenantKey:
    """A row of ``tenant_keys``: one tenant's data key as M33 wrapped it.

    ``kms_key_id`` is M33's; ``iv``, ``ciphertext`` and ``algorithm`` are its answer, as it gave them.
    """

    key_id: UUID
    tenant_id: str
    version: int
    kms_key_id: str
    algorithm: str
    iv: str = field(repr=False)
    ciphertext: str = field(repr=False)
    created_at: datetime


@frozen(kw_only=True)
class EndpointRecord:
    """A row of ``webhook_registrations``: where a provider sends a connection's webhooks.

    ``token_hash`` is SHA-256 of the token in the URL (the token itself is nowhere); ``secret_refs`` names the
    signing secrets that are valid now, newest first. ``token_ref`` names the token, sealed. ``open`` False: closed, or
    its time is over (the edge answers 410).
    """

    registration_id: UUID
    tenant_id: str
    connection_id: UUID
    provider_id: str
    token_hash: bytes = field(repr=False)
    state: ConnectionState
    base_url: str
    secret_refs: tuple[UUID, ...]
    created_at: datetime
    token_ref: UUID | None = None
    open: bool = True


@frozen(kw_only=True)
class NewDelivery:
    """What the edge asks to accept: verified, redacted, not yet stored.

    ``event_id`` is unique within the connection; ``replay_digest`` too while the replay window lasts
    (None: the provider signs a time). ``origin``: ``webhook``, ``poll``, ``backfill`` or ``module``.
    """

    delivery_id: UUID
    tenant_id: str
    connection_id: UUID
    event_kind: str
    event_id: str
    replay_digest: bytes | None = field(repr=False)
    received_at: datetime
    body: bytes = field(repr=False)
    origin: str = "webhook"


@frozen(kw_only=True)
class DeliveryRecord:
    """A row of ``adapter_events`` that an actor claimed. ``attempts`` counts this claim too."""

    delivery_id: UUID
    tenant_id: str
    connection_id: UUID
    event_kind: str
    event_id: str
    received_at: datetime
    attempts: int
    body: bytes = field(repr=False)
    origin: str = "webhook"


@frozen(kw_only=True)
class Lease:
    """The right to write a connection's state: valid while the row still carries ``epoch`` (P10).

    ``sequence_no`` is the number of the last signal settled; the next one is this plus one (P5). ``version`` is the
    connection's as its owner knows it: new work is not begun on another (``ChangedError``).
    """

    tenant_id: str
    connection_id: UUID
    owner: UUID
    epoch: int
    sequence_no: int
    version: int = 1


@frozen(kw_only=True)
class NewSignal:
    """A signal ready to leave: ``envelope`` is the JSON that PM-3 gets, ``sequence_no`` included."""

    signal_id: str
    sequence_no: int
    signal_type: str
    envelope: bytes = field(repr=False)


@frozen(kw_only=True)
class SettledDelivery:
    """How a delivery's turn ended: its signals, or why it is parked (then ``signals`` is empty)."""

    delivery_id: UUID
    signals: tuple[NewSignal, ...] = ()
    parked: str | None = None


@frozen(kw_only=True)
class OutboxRecord:
    """A row of ``outbox``: a signal that waits for PM-3."""

    outbox_id: UUID
    tenant_id: str
    connection_id: UUID
    signal_id: str
    sequence_no: int
    signal_type: str
    attempts: int
    envelope: bytes = field(repr=False)


@frozen(kw_only=True)
class RelayedSignal:
    """PM-3's word on one signal: forwarded (``parked`` None), or refused with a code."""

    outbox_id: UUID
    parked: str | None = None


class ActionState(StrEnum):
    """Where an action is. All but ``queued`` are final."""

    QUEUED = "queued"
    DONE = "done"
    REFUSED = "refused"
    UNSURE = "unsure"
    NEEDS_LOGIN = "needs_login"
    CANCELLED = "cancelled"


@frozen(kw_only=True)
class NewAction:
    """A normalised action as it is stored before anything is sent.

    ``digest`` is SHA-256 of what was asked, canonically: the same key with another digest is a conflict.
    ``target_key``: actions of one connection with the same one run in order.
    """

    action_id: UUID
    tenant_id: str
    connection_id: UUID
    provider_id: str
    canonical_type: str
    target: bytes
    target_key: str
    payload: bytes = field(repr=False)
    idempotency_key: str
    digest: bytes
    correlation_id: str | None
    created_at: datetime
    expires_at: datetime


@frozen(kw_only=True)
class ActionRecord:
    """A row of ``normalised_actions``. ``outcome`` is a JSON object once it is final.

    ``begun`` False: it had no journal when it was read, so nothing had been sent for it. Only of those that are due or new
    is that known. ``head``: when it was stored, nothing was queued for its target.
    """

    action_id: UUID
    tenant_id: str
    connection_id: UUID
    provider_id: str
    canonical_type: str
    target: bytes
    target_key: str
    payload: bytes = field(repr=False)
    idempotency_key: str
    digest: bytes
    correlation_id: str | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    state: ActionState
    attempts: int
    not_before: datetime
    reason: str | None
    outcome: bytes | None
    ended_at: datetime | None = None
    begun: bool = field(default=True, eq=False)
    head: bool = field(default=False, eq=False)


class ExchangeState(StrEnum):
    """What is known of a write: it may have been sent, it was taken, or it certainly had no effect."""

    INTENDED = "intended"
    TAKEN = "taken"
    VOID = "void"


@frozen(kw_only=True)
class ExchangeRecord:
    """A row of ``exchanges``: one write of an action, journalled before it is sent.

    ``step`` counts the writes of the plan from 0; ``digest`` is SHA-256 of the request without credentials;
    the answer is kept (``status``, ``headers`` as JSON, ``body``) once the write was taken.
    """

    exchange_id: UUID
    tenant_id: str
    connection_id: UUID
    action_id: UUID
    step: int
    digest: bytes
    state: ExchangeState
    sent_at: datetime
    status: int | None = None
    headers: bytes | None = None
    body: bytes | None = field(default=None, repr=False)


@frozen(kw_only=True)
class NewReceipt:
    """Evidence of a sensitive operation, written in the transaction that settles it. ``body`` is JSON."""

    receipt_id: UUID
    tenant_id: str
    connection_id: UUID | None
    operation: str
    body: bytes
    created_at: datetime


@frozen(kw_only=True)
class ReceiptRecord:
    """A row of ``receipts`` in a batch for ERIS; see ``persistence.chain`` for how it is bound to the one before.

    ``sequence_no`` counts a tenant's receipts from 1; ``stamped_at`` strictly increases within a tenant.
    """

    receipt_id: UUID
    tenant_id: str
    connection_id: UUID | None
    operation: str
    body: bytes
    sequence_no: int
    stamped_at: datetime
    previous: bytes
    digest: bytes


@frozen(kw_only=True)
class ReceiptBatch:
    """Receipts that go to ERIS together, under an id that is kept across tries."""

    batch_id: UUID
    tenant_id: str
    receipts: tuple[ReceiptRecord, ...]


LEDGER = ("accepted", "duplicate", "rejected", "forwarded", "parked", "pending", "settled")
"""The numbers of an ``Accounting``, by name."""


@frozen(kw_only=True)
class Accounting:
    """The ledger of P9 for one connection, read in one snapshot: ``accepted = pending + settled + forwarded + parked``.

    ``accepted``, ``duplicate``, ``forwarded``, ``parked`` are counted by the transactions that cause them;
    ``pending`` and ``settled`` are rows counted now. Rejected deliveries leave only their number.
    """

    tenant_id: str
    connection_id: UUID
    provider_id: str
    accepted: int
    duplicate: int
    rejected: int
    forwarded: int
    parked: int
    pending: int
    settled: int

    @property
    def difference(self) -> int:
        """Deliveries the ledger can not explain; anything but 0 is a bug."""
        return self.accepted - self.forwarded - self.parked - self.pending - self.settled


@frozen(kw_only=True)
class ParkedRecord:
    """A delivery or signal that was set aside, and why."""

    delivery_id: UUID
    event_kind: str
    event_id: str
    received_at: datetime
    reason: str
