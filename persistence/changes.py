"""The stored shapes of a connection's life beside its row: changes, logins, requests, incidents, chained receipts, ends."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attrs import field, frozen

from persistence.records import (
    ActionRecord,
    ActionState,
    ConnectionState,
    EndpointRecord,
    ExchangeState,
    SealedSecret,
)


@frozen(kw_only=True)
class ConnectionFilter:
    """Which connections to list; None: all. Tags are matched exactly, all of them."""

    provider_id: str | None = None
    states: tuple[ConnectionState, ...] | None = None
    tags: tuple[tuple[str, str], ...] = ()


@frozen(kw_only=True)
class ConnectionChange:
    """What becomes of a connection in one transaction; None leaves a field as it is. ``version`` grows by one.

    ``reason`` belongs to the state: None keeps it only where the state stays.

    ``secrets``: new sealed ones. ``ending``: secret ids that stop being valid, and when (now: at once, and the row
    goes). ``auth_ref``: the secret to use from now on; ``no_auth`` clears it. ``endpoint``: a new one.
    ``endpoints_end_at``: when all older endpoints stop being valid (they answer 410 then). ``open`` False closes all
    endpoints (410), True opens the ones that are not ended. ``cancel_actions``: queued actions that were certainly never
    sent become ``cancelled`` with ``reason``. ``clean_at``: when upkeep shall (try to) tidy up a deleted connection
    (None: at once).
    """

    state: ConnectionState
    reason: str | None = None
    display_name: str | None = None
    base_url: str | None = None
    capabilities: tuple[str, ...] | None = None
    settings: bytes | None = None
    tags: bytes | None = None
    network: bytes | None = field(default=None, repr=False)
    auth_ref: UUID | None = None
    no_auth: bool = False
    secrets: tuple[SealedSecret, ...] = ()
    ending: tuple[tuple[UUID, datetime], ...] = ()
    endpoint: EndpointRecord | None = None
    endpoints_end_at: datetime | None = None
    open: bool | None = None
    cancel_actions: bool = False
    clean_at: datetime | None = None


@frozen(kw_only=True)
class Registration:
    """A row of ``webhook_registrations`` as its connection's owner sees it.

    ``token_ref`` names the sealed token of its URL (None: of before it was sealed). ``hooks`` is what the provider was
    last brought to (JSON), at ``checked_at``. ``ends_at``: when it stops being valid (rotation).
    """

    registration_id: UUID
    tenant_id: str
    connection_id: UUID
    token_ref: UUID | None
    open: bool
    ends_at: datetime | None
    hooks: bytes | None
    checked_at: datetime | None
    created_at: datetime


@frozen(kw_only=True)
class LoginRecord:
    """A row of ``logins``: an OAuth 2.0 flow that a person was sent into. Single use.

    ``state_hash`` is SHA-256 of the state; ``verifier_ref`` names the sealed PKCE verifier.
    """

    login_id: UUID
    tenant_id: str
    connection_id: UUID
    state_hash: bytes = field(repr=False)
    verifier_ref: UUID
    subject: str
    return_to: str | None
    created_at: datetime
    expires_at: datetime


class RequestState(StrEnum):
    """Where a request with an Idempotency-Key is."""

    FRESH = "fresh"
    RUNNING = "running"
    DONE = "done"


@frozen(kw_only=True)
class RequestClaim:
    """A request with an Idempotency-Key, before it is carried out. ``digest`` is of route, query and body.

    ``until``: when a claim that never finished (its node died) may be taken over.
    """

    request_id: UUID
    tenant_id: str
    key: str
    digest: bytes
    created_at: datetime
    until: datetime


@frozen(kw_only=True)
class RequestAnswer:
    """The answer to a claimed request, sealed (it may hold what is shown only once)."""

    request_id: UUID
    tenant_id: str
    status: int
    sealed: SealedSecret
    expires_at: datetime


@frozen(kw_only=True)
class ClaimedRequest:
    """What a claim found: a fresh one is the caller's to carry out (under ``request_id``); a done one has its answer."""

    state: RequestState
    request_id: UUID
    answer: RequestAnswer | None = None


@frozen(kw_only=True)
class NewIncident:
    """Something that a person should know of. At most one is open per connection and ``kind``."""

    incident_id: UUID
    tenant_id: str
    connection_id: UUID
    provider_id: str
    kind: str
    severity: str
    summary: str
    opened_at: datetime


@frozen(kw_only=True)
class IncidentRecord(NewIncident):
    """A row of ``incidents``. ``told``: what the alerting module knows of it (``""``, ``open`` or ``resolved``)."""

    resolved_at: datetime | None
    told: str
    attempts: int


@frozen(kw_only=True)
class ActionFilter:
    """Which actions to list; None: all."""

    connection_id: UUID | None = None
    states: tuple[ActionState, ...] | None = None
    canonical_type: str | None = None
    correlation_id: str | None = None


@frozen(kw_only=True)
class ChainedReceipt:
    """A receipt in its tenant's chain: ``digest`` covers ``sequence_no``, ``stamped_at``, body and ``previous``."""

    receipt_id: UUID
    tenant_id: str
    connection_id: UUID | None
    operation: str
    sequence_no: int
    stamped_at: datetime
    previous: bytes
    digest: bytes
    body: bytes
    sent: bool


@frozen(kw_only=True)
class AnsweredWrite:
    """The write whose answer ended its action; ``state`` is what the answer says of its effect."""

    exchange_id: UUID
    state: ExchangeState
    status: int


@frozen(kw_only=True)
class SettledAction:
    """An action as it ended. ``more``: whether others of its connection were queued then."""

    record: ActionRecord
    more: bool
