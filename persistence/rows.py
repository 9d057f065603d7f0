"""Between records and rows: how values are kept, and how they come back the same from both engines."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

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

_LONGEST_TEXT = 512
_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def kept(text: str) -> str:
    """A text that came from outside, as it is kept: the same for the same text, always storable.

    PostgreSQL takes no U+0000 and no index entry above 2,700 bytes, and one such delivery must not spoil the
    batch of its neighbours; what is too long keeps its beginning and gets its digest.
    """
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if len(text) > _LONGEST_TEXT:
        digest = hashlib.sha256(text.encode()).hexdigest()
        text = f"{text[: _LONGEST_TEXT - len(digest) - 1]}~{digest}"
    return text


def kept_or_none(text: str | None) -> str | None:
    """``kept``, where there may be no text."""
    return None if text is None else kept(text)


def document(value: bytes) -> str:
    """A JSON object or array as it is kept: parsed once, so that both engines refuse the same.

    Raises:
        ValueError: it is no JSON.
    """
    return _ESCAPED_NUL.sub(rb"\1\\ufffd", orjson.dumps(orjson.loads(value))).decode()


def uuid_of(value: Any) -> UUID:  # noqa: ANN401 - text from SQLite, asyncpg's own subclass from PostgreSQL
    """A plain UUID: orjson refuses subclasses, and keys are compared by type in places."""
    return UUID(value) if isinstance(value, str) else UUID(int=value.int)


def _uuid_or_none(value: Any) -> UUID | None:  # noqa: ANN401
    return None if value is None else uuid_of(value)


def time_of(value: Any) -> datetime:  # noqa: ANN401
    """An aware time in UTC."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def time_or_none(value: Any) -> datetime | None:  # noqa: ANN401
    """``time_of``, where there may be none."""
    return None if value is None else time_of(value)


def _bytes_or_none(value: Any) -> bytes | None:  # noqa: ANN401
    return value.encode() if isinstance(value, str) else value


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
        auth_ref=_uuid_or_none(row["auth_ref"]),
        settings=row["settings"].encode(),
        tags=row["tags"].encode(),
        created_at=time_of(row["created_at"]),
        updated_at=time_of(row["updated_at"]),
        verified_at=time_or_none(row["verified_at"]),
        reason=row["reason"],
    )


def secret_of(row: Row) -> SealedSecret:
    """Read a row of ``sealed_secrets``."""
    return SealedSecret(
        secret_id=uuid_of(row["secret_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        purpose=row["purpose"],
        version=row["version"],
        key_id=uuid_of(row["key_id"]),
        nonce=row["nonce"],
        ciphertext=row["ciphertext"],
        created_at=time_of(row["created_at"]),
        expires_at=time_or_none(row["expires_at"]),
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
        outcome=_bytes_or_none(row["outcome"]),
    )


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


def receipt_of(row: Row, stamped_at: datetime) -> ReceiptRecord:
    """Read a row of ``receipts`` that is in a batch, stamped ``stamped_at``."""
    return ReceiptRecord(
        receipt_id=uuid_of(row["receipt_id"]),
        tenant_id=row["tenant_id"],
        connection_id=_uuid_or_none(row["connection_id"]),
        operation=row["operation"],
        body=row["body"].encode(),
        stamped_at=stamped_at,
    )
