"""Records to store, and short ways to bring a store into a state."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

from persistence.changes import ConnectionChange, LoginRecord, NewIncident
from persistence.records import (
    ConnectionRecord,
    ConnectionState,
    EndpointRecord,
    ExchangeRecord,
    ExchangeState,
    Lease,
    NewAction,
    NewDelivery,
    NewReceipt,
    NewSignal,
    SealedSecret,
    SettledDelivery,
    TenantKey,
)
from persistence.store import Store

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class Place(Protocol):
    """Whatever names a connection: its record, a lease on it, or what a caller of the API knows of it."""

    @property
    def tenant_id(self) -> str: ...

    @property
    def connection_id(self) -> UUID | str: ...


def connection(
    tenant_id: str = "acme",
    *,
    state: ConnectionState = ConnectionState.ACTIVE,
    display_name: str | None = None,
    connection_id: UUID | None = None,
) -> ConnectionRecord:
    return ConnectionRecord(
        connection_id=connection_id or uuid4(),
        tenant_id=tenant_id,
        provider_id="github",
        display_name=display_name or uuid4().hex,
        state=state,
        base_url="https://api.example.test",
        capabilities=("webhook", "outbound_actions"),
        auth_ref=uuid4(),
        settings=b'{"depth":1}',
        tags=b"{}",
        created_at=NOW,
        updated_at=NOW,
    )


def endpoint(
    owner: ConnectionRecord,
    token: bytes = b"",
    *,
    token_ref: UUID | None = None,
    created_at: datetime = NOW,
) -> EndpointRecord:
    return EndpointRecord(
        registration_id=uuid4(),
        tenant_id=owner.tenant_id,
        connection_id=owner.connection_id,
        provider_id=owner.provider_id,
        token_hash=hashlib.sha256(owner.connection_id.bytes + token).digest(),
        state=owner.state,
        base_url=owner.base_url,
        secret_refs=(),
        created_at=created_at,
        token_ref=token_ref,
    )


def secret(
    owner: ConnectionRecord,
    *,
    version: int = 1,
    purpose: str = "webhook",
    expires_at: datetime | None = None,
) -> SealedSecret:
    return SealedSecret(
        secret_id=uuid4(),
        tenant_id=owner.tenant_id,
        connection_id=owner.connection_id,
        purpose=purpose,
        version=version,
        key_id=uuid4(),
        nonce=b"\x00" * 12,
        ciphertext=b"sealed\x00\xff",
        created_at=NOW,
        expires_at=expires_at,
    )


def tenant_key(tenant_id: str = "acme", *, version: int = 1) -> TenantKey:
    return TenantKey(
        key_id=uuid4(),
        tenant_id=tenant_id,
        version=version,
        kms_key_id="kms-1",
        algorithm="AES-256-GCM",
        iv="aXY=",
        ciphertext="d3JhcHBlZA==",
        created_at=NOW,
    )


def receipt(tenant_id: str = "acme", *, body: bytes = b'{"result":"ok"}') -> NewReceipt:
    return NewReceipt(
        receipt_id=uuid4(),
        tenant_id=tenant_id,
        connection_id=None,
        operation="connection.created",
        body=body,
        created_at=NOW,
    )


def delivery(
    at: ConnectionRecord | Lease,
    event_id: str | None = None,
    *,
    replay_digest: bytes | None = None,
    received_at: datetime = NOW,
    body: bytes = b'{"number":1}',
) -> NewDelivery:
    return NewDelivery(
        delivery_id=uuid4(),
        tenant_id=at.tenant_id,
        connection_id=at.connection_id,
        event_kind="pull_request.opened",
        event_id=event_id or uuid4().hex,
        replay_digest=replay_digest,
        received_at=received_at,
        body=body,
    )


def signal(sequence_no: int, signal_id: str | None = None) -> NewSignal:
    return NewSignal(
        signal_id=signal_id or str(uuid4()),
        sequence_no=sequence_no,
        signal_type="pr_opened",
        envelope=f'{{"sequence_no":{sequence_no}}}'.encode(),
    )


def action(
    at: ConnectionRecord | Lease,
    key: str | None = None,
    *,
    target_key: str = "repo#1",
    digest: bytes = b"d" * 32,
    created_at: datetime = NOW,
) -> NewAction:
    return NewAction(
        action_id=uuid4(),
        tenant_id=at.tenant_id,
        connection_id=at.connection_id,
        provider_id="github",
        canonical_type="post_comment",
        target=b'{"repository":"acme/site"}',
        target_key=target_key,
        payload=b'{ "text": "a\\u0000b" }',
        idempotency_key=key or uuid4().hex,
        digest=digest,
        correlation_id=None,
        created_at=created_at,
        expires_at=created_at + DAY,
    )


def exchange(lease: Lease, action_id: UUID, *, step: int = 0) -> ExchangeRecord:
    return ExchangeRecord(
        exchange_id=uuid4(),
        tenant_id=lease.tenant_id,
        connection_id=lease.connection_id,
        action_id=action_id,
        step=step,
        digest=b"e" * 32,
        state=ExchangeState.INTENDED,
        sent_at=NOW,
    )


def incident(
    at: Place, kind: str = "needs_login", *, opened_at: datetime = NOW, summary: str = "gone"
) -> NewIncident:
    return NewIncident(
        incident_id=uuid4(),
        tenant_id=at.tenant_id,
        connection_id=UUID(str(at.connection_id)),
        provider_id="github",
        kind=kind,
        severity="high",
        summary=summary,
        opened_at=opened_at,
    )


def flow(
    owner: ConnectionRecord, state: bytes = b"state", *, expires_at: datetime = NOW + DAY
) -> tuple[LoginRecord, SealedSecret]:
    """A login and its verifier."""
    verifier = secret(owner, purpose="verifier")
    login = LoginRecord(
        login_id=uuid4(),
        tenant_id=owner.tenant_id,
        connection_id=owner.connection_id,
        state_hash=hashlib.sha256(owner.connection_id.bytes + state).digest(),
        verifier_ref=verifier.secret_id,
        subject="ada",
        return_to="https://app.example.test/" + "x" * 900,
        created_at=NOW,
        expires_at=expires_at,
    )
    return login, verifier


async def connected(
    store: Store, tenant_id: str = "acme", *, state: ConnectionState = ConnectionState.ACTIVE
) -> ConnectionRecord:
    """A stored connection."""
    made = connection(tenant_id, state=state)
    await store.create_connection(made, endpoint(made), (), receipt(tenant_id))
    return made


async def move(
    store: Any,
    at: Place,
    state: ConnectionState,
    *,
    reason: str | None = None,
    now: datetime = NOW,
) -> ConnectionRecord:
    """Bring a connection into a state, whatever its version is by now."""
    return await changed(store, at, ConnectionChange(state=state, reason=reason), now=now)


async def changed(
    store: Any,
    at: Place,
    change: ConnectionChange,
    *,
    now: datetime = NOW,
    receipt: NewReceipt | None = None,
) -> ConnectionRecord:
    """Change a connection, whatever its version is by now."""
    place = (at.tenant_id, UUID(str(at.connection_id)))
    found = await store.connection(*place)
    record: ConnectionRecord = await store.change_connection(
        *place, change, version=found.version, receipt=receipt, now=now
    )
    return record


async def found(store: Store, made: ConnectionRecord) -> ConnectionRecord:
    """A stored connection as it is now."""
    there = await store.connection(made.tenant_id, made.connection_id)
    assert there is not None
    return there


async def leased(store: Store, tenant_id: str = "acme") -> Lease:
    """A stored connection that is claimed."""
    made = await connected(store, tenant_id)
    return await store.claim_connection(tenant_id, made.connection_id, owner=uuid4())


async def settled(
    store: Store, lease: Lease, signals_each: tuple[int, ...]
) -> tuple[Lease, list[UUID]]:
    """Accept, claim and settle one delivery for each number, with that many signals."""
    deliveries = [delivery(lease) for _ in signals_each]
    await store.accept(deliveries)
    ends = []
    following = lease.sequence_no + 1
    for one, number in zip(deliveries, signals_each, strict=True):
        signals = tuple(signal(following + index) for index in range(number))
        following += number
        ends.append(SettledDelivery(delivery_id=one.delivery_id, signals=signals))
    return await store.settle(lease, ends, now=NOW), [one.delivery_id for one in deliveries]
