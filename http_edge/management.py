"""The management API of connections: create, list, show, verify (PRD 11.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import orjson
from attrs import frozen

from actors import evidence
from actors.platform.identity import Caller
from actors.ports import Ports
from actors.verification import VERIFIABLE, verify
from adapters.contract import Adapter, Response, Secret
from adapters.errors import UnknownProviderError
from http_edge.addresses import checked_base_url
from http_edge.answers import json_response
from http_edge.bodies import ConnectionBody, structure
from http_edge.endpoints import hash_of
from http_edge.errors import EdgeError, InvalidError, NotFoundError
from persistence.records import (
    ConnectionRecord,
    ConnectionState,
    EndpointRecord,
    SealedSecret,
)

WEBHOOK = "webhook"
OUTBOUND = "outbound_actions"
CAPABILITIES = (WEBHOOK, OUTBOUND)
MOST_PER_PAGE = 200


@frozen(kw_only=True)
class Management:
    """What the management API is handed. ``new_token`` makes 256 random bits as URL-safe text."""

    ports: Ports
    public_url: str
    development: bool
    new_token: Callable[[], str]


async def create(caller: Caller, raw: bytes, over: Management) -> Response:
    """Create a connection; only this answer carries the webhook URL.

    It waits for verification; what a provider sends before that is kept.
    """
    body = structure(raw, ConnectionBody)
    adapter = _adapter(body, over)
    capabilities = _capabilities(body)
    base_url = _base_url(body, adapter, over)
    now, connection_id, token = over.ports.clock.now(), over.ports.ids(), over.new_token()
    sealed = await _sealed(body, caller, connection_id, over)
    of = {secret.purpose: secret.secret_id for secret in sealed}
    connection = ConnectionRecord(
        connection_id=connection_id,
        tenant_id=caller.tenant_id,
        provider_id=body.provider_id,
        display_name=body.display_name,
        state=ConnectionState.PENDING_VERIFICATION,
        base_url=base_url,
        capabilities=capabilities,
        auth_ref=of.get("auth"),
        settings=b"{}",
        tags=orjson.dumps(body.tags),
        created_at=now,
        updated_at=now,
    )
    endpoint = _endpoint(connection, token, over.ports.ids())
    await over.ports.store.create_connection(
        connection,
        endpoint,
        sealed,
        evidence.of_connection(connection, "create", over.ports, state=connection.state.value),
    )
    over.ports.wake.receipts(caller.tenant_id)
    over.ports.log.info(
        "connection.created", tenant=caller.tenant_id, connection=str(connection_id)
    )
    url = f"{over.public_url}/v1/integrations/webhooks/{body.provider_id}/{token}"
    document = {**shown(connection), "webhook": {"url": url, "secret_ref": _text(of.get(WEBHOOK))}}
    location = f"/v1/integrations/connections/{connection_id}"
    return json_response(document, status=201, headers=(("location", location),))


async def show(caller: Caller, connection_id: str, over: Management) -> Response:
    """One connection of the caller's tenant."""
    return json_response(shown(await owned(caller, connection_id, over.ports)))


async def page(caller: Caller, query: Mapping[str, str], over: Management) -> Response:
    """The tenant's connections by id; ``next_cursor`` is where the next page begins, null on the last."""
    limit = _limit(query.get("limit"))
    after = None if query.get("cursor") is None else _uuid(query["cursor"], "cursor")
    found = await over.ports.store.connections(caller.tenant_id, after=after, limit=limit + 1)
    shown_now = found[:limit]
    more = str(shown_now[-1].connection_id) if len(found) > limit else None
    return json_response(
        {"connections": [shown(connection) for connection in shown_now], "next_cursor": more}
    )


async def verification(caller: Caller, connection_id: str, over: Management) -> Response:
    """Try the connection at its provider; it becomes active if that passes (FR-2)."""
    connection = await owned(caller, connection_id, over.ports)
    if connection.state not in VERIFIABLE:
        raise EdgeError(
            409, "CONFLICT", f"a {connection.state.value} connection can not be verified"
        )
    verified = await verify(over.ports, connection)
    over.ports.log.info(
        "connection.verified" if verified.passed else "connection.verification_failed",
        tenant=caller.tenant_id,
        connection=connection_id,
        reason=verified.reason,
    )
    return json_response(
        {
            **shown(verified.connection),
            "verification": {
                "passed": verified.passed,
                "reason": verified.reason,
                "try_again": verified.again,
                "details": orjson.Fragment(verified.details),
            },
        }
    )


async def owned(caller: Caller, connection_id: str, ports: Ports) -> ConnectionRecord:
    """The caller's own connection; another tenant's does not exist for it (P6).

    Raises:
        NotFoundError: also for what is no id at all.
    """
    try:
        parsed = UUID(connection_id)
    except ValueError as error:
        raise NotFoundError("connection") from error
    connection = await ports.store.connection(caller.tenant_id, parsed)
    if connection is None:
        raise NotFoundError("connection")
    return connection


def shown(connection: ConnectionRecord) -> dict[str, Any]:
    """A connection as callers see it: references to secrets, never secrets."""
    return {
        "connection_id": str(connection.connection_id),
        "tenant_id": connection.tenant_id,
        "provider_id": connection.provider_id,
        "display_name": connection.display_name,
        "status": connection.state.value,
        "reason": connection.reason,
        "base_url": connection.base_url,
        "enabled_capabilities": list(connection.capabilities),
        "auth_ref": _text(connection.auth_ref),
        "tags": orjson.Fragment(connection.tags),
        "created_at": connection.created_at.isoformat(),
        "updated_at": connection.updated_at.isoformat(),
        "last_verified_at": connection.verified_at and connection.verified_at.isoformat(),
    }


def _text(reference: UUID | None) -> str | None:
    return None if reference is None else str(reference)


def _adapter(body: ConnectionBody, over: Management) -> Adapter:
    try:
        return over.ports.registry.get(body.provider_id)
    except UnknownProviderError as error:
        raise InvalidError(str(error), field="provider_id", status=422) from error


def _capabilities(body: ConnectionBody) -> tuple[str, ...]:
    """What the connection may do; each asks for its secret."""
    held = {WEBHOOK: body.webhook is not None, OUTBOUND: body.auth is not None}
    wanted = body.capabilities
    if wanted is None:
        wanted = tuple(name for name in CAPABILITIES if held[name])
    unknown = sorted(set(wanted) - set(CAPABILITIES))
    if unknown or not wanted:
        choice = ", ".join(CAPABILITIES)
        raise InvalidError(f"must be at least one of {choice}", field="capabilities", status=422)
    if WEBHOOK in wanted and not held[WEBHOOK]:
        raise InvalidError("is needed to receive webhooks", field="webhook.secret", status=422)
    if OUTBOUND in wanted and not held[OUTBOUND]:
        raise InvalidError("is needed to carry out actions", field="auth.token", status=422)
    return tuple(name for name in CAPABILITIES if name in wanted)


def _base_url(body: ConnectionBody, adapter: Adapter, over: Management) -> str:
    if body.base_url is None:
        return adapter.manifest.base_url
    return checked_base_url(body.base_url, development=over.development)


async def _sealed(
    body: ConnectionBody, caller: Caller, connection_id: UUID, over: Management
) -> tuple[SealedSecret, ...]:
    given = {
        "auth": body.auth.token if body.auth is not None else None,
        WEBHOOK: body.webhook.secret if body.webhook is not None else None,
    }
    now = over.ports.clock.now()
    return tuple(
        [
            await over.ports.secrets.seal(
                caller.tenant_id, connection_id, purpose, 1, Secret(value=value.encode()), now=now
            )
            for purpose, value in given.items()
            if value is not None
        ]
    )


def _endpoint(connection: ConnectionRecord, token: str, registration_id: UUID) -> EndpointRecord:
    return EndpointRecord(
        registration_id=registration_id,
        tenant_id=connection.tenant_id,
        connection_id=connection.connection_id,
        provider_id=connection.provider_id,
        token_hash=hash_of(token),
        state=connection.state,
        base_url=connection.base_url,
        secret_refs=(),
        created_at=connection.created_at,
    )


def _limit(text: str | None) -> int:
    if text is None:
        return 50
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_PER_PAGE:
        raise InvalidError(f"must be from 1 to {MOST_PER_PAGE}", field="limit")
    return int(text)


def _uuid(text: str, where: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidError("is no cursor of ours", field=where) from error
