"""From rows to records."""

from __future__ import annotations

import orjson
from attrs import evolve

from persistence.dialect import Row
from persistence.records import (
    ActionRecord,
    ActionState,
    ConnectionRecord,
    ConnectionState,
    DeliveryRecord,
    ExchangeRecord,
    ExchangeState,
    OutboxRecord,
    ReceiptRecord,
    SealedSecret,
    TenantKey,
)
from persistence.values import bytes_or_none, time_of, time_or_none, uuid_of, uuid_or_none


def connection_of(row: Row) -> ConnectionRecord:
    """Read a row of ``integration_connections``."""
    return ConnectionRecord(
        connection_id=uuid_of(row["connection_id"]),
        tenant_id=row["tenant_id"],
        provider_id=row["provider_id"],
        display_name=row["display_name"],
        state=ConnectionState(row["state"]),
        base_url=row["base_url"],
        capabilities=tuple(orjson.loads(row["enabled_capabilities"])),
        auth_ref=uuid_or_none(row["auth_ref"]),
        settings=row["settings"].encode(),
        tags=row["tags"].encode(),
        created_at=time_of(row["created_at"]),
        updated_at=time_of(row["updated_at"]),
        verified_at=time_or_none(row["verified_at"]),
        reason=row["reason"],
        version=row["version"],
        network=row["network"].encode(),
        pressure=row["pressure"].encode(),
        deleted_at=time_or_none(row["deleted_at"]),
    )


def secret_of(row: Row, *, made: str = "created_at", ends: str = "expires_at") -> SealedSecret:
    """Read a row of ``sealed_secrets``, or of another table that has its columns and times of other names."""
    return SealedSecret(
        secret_id=uuid_of(row["secret_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        purpose=row["purpose"],
        version=row["version"],
        key_id=uuid_of(row["key_id"]),
        nonce=row["nonce"],
        ciphertext=row["ciphertext"],
        created_at=time_of(row[made]),
        expires_at=time_or_none(row[ends]),
    )


def tenant_key_of(row: Row) -> TenantKey:
    """Read a row of ``tenant_keys``."""
    return TenantKey(
        key_id=uuid_of(row["key_id"]),
        tenant_id=row["tenant_id"],
        version=row["version"],
        kms_key_id=row["kms_key_id"],
        algorithm=row["algorithm"],
        iv=row["iv"],
        ciphertext=row["ciphertext"],
        created_at=time_of(row["created_at"]),
    )


def delivery_of(row: Row) -> DeliveryRecord:
    """Read a row of ``adapter_events`` whose body is still there."""
    return DeliveryRecord(
        delivery_id=uuid_of(row["delivery_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        event_kind=row["event_kind"],
        event_id=row["event_id"],
        received_at=time_of(row["received_at"]),
        attempts=row["attempts"],
        body=row["body"],
        origin=row["origin"],
    )


def signal_of(row: Row) -> OutboxRecord:
    """Read a row of ``outbox`` that waits."""
    return OutboxRecord(
        outbox_id=uuid_of(row["outbox_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        signal_id=row["signal_id"],
        sequence_no=row["sequence_no"],
        signal_type=row["signal_type"],
        attempts=row["attempts"],
        envelope=row["envelope"],
    )


def action_of(row: Row) -> ActionRecord:
    """Read a row of ``normalised_actions``."""
    return ActionRecord(
        action_id=uuid_of(row["action_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        provider_id=row["provider_id"],
        canonical_type=row["canonical_type"],
        target=row["target"].encode(),
        target_key=row["target_key"],
        payload=row["payload"],
        idempotency_key=row["idempotency_key"],
        digest=row["digest"],
        correlation_id=row["correlation_id"],
        created_at=time_of(row["created_at"]),
        updated_at=time_of(row["updated_at"]),
        expires_at=time_of(row["expires_at"]),
        state=ActionState(row["state"]),
        attempts=row["attempts"],
        not_before=time_of(row["not_before"]),
        reason=row["reason"],
        outcome=bytes_or_none(row["outcome"]),
        ended_at=time_or_none(row["ended_at"]),
    )


def due_of(row: Row) -> ActionRecord:
    """Read a row of ``normalised_actions`` that is due, with whether it has a journal."""
    return evolve(action_of(row), begun=bool(row["begun"]))


def new_of(row: Row) -> ActionRecord:
    """Read a row of ``normalised_actions`` that was stored just now, with whether its target's queue was empty."""
    return evolve(action_of(row), begun=False, head=bool(row["head"]))


def exchange_of(row: Row) -> ExchangeRecord:
    """Read a row of ``exchanges``."""
    return ExchangeRecord(
        exchange_id=uuid_of(row["exchange_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        action_id=uuid_of(row["action_id"]),
        step=row["step"],
        digest=row["digest"],
        state=ExchangeState(row["state"]),
        sent_at=time_of(row["sent_at"]),
        status=row["status"],
        headers=row["headers"],
        body=row["body"],
    )


def receipt_of(row: Row) -> ReceiptRecord:
    """Read a row of ``receipts`` that is in a batch."""
    return ReceiptRecord(
        receipt_id=uuid_of(row["receipt_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_or_none(row["connection_id"]),
        operation=row["operation"],
        body=row["body"].encode(),
        sequence_no=row["sequence_no"],
        stamped_at=time_of(row["stamped_at"]),
        previous=row["previous"],
        digest=row["digest"],
    )
