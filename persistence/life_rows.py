"""From rows to the records of a connection's life."""

from __future__ import annotations

from persistence.changes import (
    ChainedReceipt,
    IncidentRecord,
    LoginRecord,
    Registration,
    RequestAnswer,
)
from persistence.dialect import Row
from persistence.rows import secret_of
from persistence.values import bytes_or_none, time_of, time_or_none, uuid_of, uuid_or_none


def registration_of(row: Row) -> Registration:
    """Read a row of ``webhook_registrations``."""
    return Registration(
        registration_id=uuid_of(row["registration_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        token_ref=uuid_or_none(row["token_ref"]),
        open=row["status"] == "active",
        ends_at=time_or_none(row["ends_at"]),
        hooks=bytes_or_none(row["hooks"]),
        checked_at=time_or_none(row["checked_at"]),
        created_at=time_of(row["created_at"]),
    )


def login_of(row: Row) -> LoginRecord:
    """Read a row of ``logins``."""
    return LoginRecord(
        login_id=uuid_of(row["login_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        state_hash=row["state_hash"],
        verifier_ref=uuid_of(row["verifier_ref"]),
        subject=row["subject"],
        return_to=row["return_to"],
        created_at=time_of(row["created_at"]),
        expires_at=time_of(row["expires_at"]),
    )


def answer_of(row: Row) -> RequestAnswer:
    """Read a row of ``requests`` that was answered."""
    return RequestAnswer(
        request_id=uuid_of(row["request_id"]),
        tenant_id=row["tenant_id"],
        status=row["status"],
        sealed=secret_of(row, made="sealed_at", ends="sealed_until"),
        expires_at=time_of(row["expires_at"]),
    )


def incident_of(row: Row) -> IncidentRecord:
    """Read a row of ``incidents``."""
    return IncidentRecord(
        incident_id=uuid_of(row["incident_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_of(row["connection_id"]),
        provider_id=row["provider_id"],
        kind=row["kind"],
        severity=row["severity"],
        summary=row["summary"],
        opened_at=time_of(row["opened_at"]),
        resolved_at=time_or_none(row["resolved_at"]),
        told=row["told"],
        attempts=row["attempts"],
    )


def chained_of(row: Row) -> ChainedReceipt:
    """Read a row of ``receipts`` as a part of its chain."""
    return ChainedReceipt(
        receipt_id=uuid_of(row["receipt_id"]),
        tenant_id=row["tenant_id"],
        connection_id=uuid_or_none(row["connection_id"]),
        operation=row["operation"],
        sequence_no=row["sequence_no"],
        stamped_at=time_of(row["stamped_at"]),
        previous=row["previous"],
        digest=row["digest"],
        body=row["body"].encode(),
        sent=row["state"] == "sent",
    )
