"""Receipts of what we did, ready for the transaction that settles it (FR-13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from actors.platform.evidence import receipt_document
from actors.ports import Ports
from persistence.records import ActionRecord, ConnectionRecord, NewReceipt


def of_connection(  # noqa: PLR0913 - what a receipt says
    connection: ConnectionRecord,
    verb: str,
    ports: Ports,
    *,
    state: str,
    by: str | None = None,
    details: Mapping[str, Any] | None = None,
    succeeded: bool = True,
) -> NewReceipt:
    """A receipt of a change to a connection, which is ``state`` after it; ``by`` is who asked for it."""
    return _receipt(
        connection,
        f"integration.connection.{connection.provider_id}.{verb}",
        ports,
        request={
            "display_name": connection.display_name,
            "base_url": connection.base_url,
            **({} if by is None else {"requested_by": by}),
            **(details or {}),
        },
        result={"state": state},
        succeeded=succeeded,
    )


def of_action(
    record: ActionRecord,
    ports: Ports,
    *,
    result: Mapping[str, Any],
    succeeded: bool,
    by: str | None = None,
) -> NewReceipt:
    """A receipt of an action that ended; of what was asked a digest, never its text. ``by`` is who ended it."""
    request = {
        "action_id": str(record.action_id),
        "target": orjson.loads(record.target),
        "digest": record.digest.hex(),
        **({} if by is None else {"requested_by": by}),
    }
    operation = f"integration.action.{record.provider_id}.{record.canonical_type}"
    return _receipt(record, operation, ports, request=request, result=result, succeeded=succeeded)


def _receipt(
    about: ConnectionRecord | ActionRecord,
    operation: str,
    ports: Ports,
    *,
    request: Mapping[str, Any],
    result: Mapping[str, Any],
    succeeded: bool,
) -> NewReceipt:
    return NewReceipt(
        receipt_id=ports.ids(),
        tenant_id=about.tenant_id,
        connection_id=about.connection_id,
        operation=operation,
        body=receipt_document(
            tenant_id=about.tenant_id,
            connection_id=about.connection_id,
            provider_id=about.provider_id,
            operation=operation,
            request=request,
            result=result,
            correlation_id=about.correlation_id if isinstance(about, ActionRecord) else None,
            succeeded=succeeded,
        ),
        created_at=ports.clock.now(),
    )
