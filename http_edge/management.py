"""The management API of connections (PRD 11.1): what is asked becomes a call of the domain, what it says an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias
from uuid import UUID

import orjson

from actors import sealing
from actors.orders import By, Created, Verified
from actors.platform.identity import Caller
from actors.ports import Ports
from adapters.contract import Adapter, Response
from adapters.errors import UnknownProviderError
from http_edge import intake
from http_edge.answers import NOT_STORED, json_response
from http_edge.bodies import ConnectionBody, ConnectionEdits, ReasonBody, RotationBody
from http_edge.edge import Edge
from http_edge.errors import InvalidError, NotFoundError
from http_edge.preconditions import is_known, tagged
from http_edge.queries import ConnectionQuery
from http_edge.route import Asked, Handle
from http_edge.views import (
    ConnectionCreated,
    ConnectionPage,
    ConnectionRotated,
    ConnectionVerified,
    ConnectionView,
    NewWebhook,
    RotationView,
    VerificationView,
    connection_fields,
)
from persistence.changes import ConnectionFilter, RequestAnswer
from persistence.records import ConnectionRecord

Verb: TypeAlias = Callable[[str, UUID, By], Awaitable[ConnectionRecord]]


class ReasonedVerb(Protocol):
    """A verb that keeps why."""

    async def __call__(
        self, tenant_id: str, connection_id: UUID, by: By, *, reason: str | None
    ) -> ConnectionRecord:
        """Move the connection."""
        ...


Try: TypeAlias = Callable[[str, UUID, By], Awaitable[Verified]]


async def create(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """Create a connection; only this answer carries the webhook URL."""
    body: ConnectionBody = asked.body
    new = await intake.new_connection(body, _adapter(body.provider_id, edge), edge)

    async def answered(created: Created) -> RequestAnswer | None:
        return None if asked.claim is None else await asked.claim.hand_over(_created(created))

    made = await edge.connections.create(
        caller.tenant_id, new, _by(caller, asked), answered=answered
    )
    return _created(made)


async def show(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """One connection of the caller's tenant; 304 if the caller has it as it is."""
    connection = await owned(caller, asked.id_of("connection"), edge.ports)
    if is_known(asked.request.header("if-none-match"), connection.version):
        return Response(status=304, headers=tagged(connection.version))
    return _shown(connection)


async def page(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """The tenant's connections, by id."""
    query: ConnectionQuery = asked.query
    only = ConnectionFilter(
        provider_id=query.provider_id,
        states=query.status or None,
        tags=tuple(_tag(text) for text in query.tag),
    )
    found = await edge.ports.store.connections(
        caller.tenant_id, after=query.cursor, limit=query.limit + 1, only=only
    )
    here = found[: query.limit]
    return json_response(
        ConnectionPage(
            connections=tuple(ConnectionView(**connection_fields(each)) for each in here),
            next_cursor=here[-1].connection_id if len(found) > query.limit else None,
        )
    )


async def edit(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """Change what describes a connection."""
    body: ConnectionEdits = asked.body
    if body.status is not None:
        return await _move_to(body, caller, asked, edge)
    connection = await owned(caller, asked.id_of("connection"), edge.ports)
    secrets = await edge.ports.store.secrets_of(
        caller.tenant_id, connection.connection_id, sealing.WEBHOOK, now=edge.ports.clock.now()
    )
    adapter = edge.ports.registry.get(connection.provider_id)
    wanted = await intake.edits(body, connection, adapter, edge, signs=bool(secrets))
    changed = await edge.connections.change(
        caller.tenant_id, connection.connection_id, wanted, _by(caller, asked)
    )
    return _changed(changed, edge)


async def _move_to(body: ConnectionEdits, caller: Caller, asked: Asked, edge: Edge) -> Response:
    """Suspend or resume (PRD 11.1: PATCH updates the status)."""
    if body != ConnectionEdits(status=body.status):
        raise InvalidError("is changed alone", field="status", status=422)
    verb = edge.connections.suspend if body.status == "suspended" else edge.connections.resume
    by = _by(caller, asked)
    return _changed(await verb(caller.tenant_id, asked.id_of("connection"), by), edge)


def moved(verb: Callable[[Edge], Verb]) -> Handle:
    """The function of a route that moves a connection to another state."""

    async def move(caller: Caller, asked: Asked, edge: Edge) -> Response:
        connection_id = asked.id_of("connection")
        return _changed(
            await verb(edge)(caller.tenant_id, connection_id, _by(caller, asked)), edge
        )

    return move


def moved_for_a_reason(verb: Callable[[Edge], ReasonedVerb]) -> Handle:
    """The same, where the caller may say why."""

    async def move(caller: Caller, asked: Asked, edge: Edge) -> Response:
        body: ReasonBody = asked.body
        connection_id, by = asked.id_of("connection"), _by(caller, asked)
        moved_there = await verb(edge)(caller.tenant_id, connection_id, by, reason=body.reason)
        return _changed(moved_there, edge)

    return move


def tried(attempt: Callable[[Edge], Try]) -> Handle:
    """The function of a route that tries something at the provider."""

    async def at_provider(caller: Caller, asked: Asked, edge: Edge) -> Response:
        connection_id = asked.id_of("connection")
        found = await attempt(edge)(caller.tenant_id, connection_id, _by(caller, asked))
        edge.webhooks.endpoints.forget(connection_id)
        return json_response(verified(found), headers=tagged(found.connection.version))

    return at_provider


async def rotate(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """Replace secrets of a connection."""
    body: RotationBody = asked.body
    connection = await owned(caller, asked.id_of("connection"), edge.ports)
    adapter = edge.ports.registry.get(connection.provider_id)
    rotated = await edge.connections.rotate(
        caller.tenant_id,
        connection.connection_id,
        intake.rotation(body, adapter, edge),
        _by(caller, asked),
    )
    edge.webhooks.endpoints.forget(connection.connection_id)
    return json_response(
        ConnectionRotated(
            **connection_fields(rotated.connection),
            rotation=RotationView(
                webhook_url=rotated.webhook_url, old_valid_until=rotated.old_valid_until
            ),
        ),
        headers=(*tagged(rotated.connection.version), NOT_STORED),
    )


async def owned(caller: Caller, connection_id: UUID, ports: Ports) -> ConnectionRecord:
    """The caller's own connection; another tenant's does not exist for it (P6).

    Raises:
        NotFoundError: there is none of that id.
    """
    connection = await ports.store.connection(caller.tenant_id, connection_id)
    if connection is None:
        raise NotFoundError("connection")
    return connection


def verified(found: Verified) -> ConnectionVerified:
    """What a try at the provider found, as callers see it."""
    return ConnectionVerified(
        **connection_fields(found.connection),
        verification=VerificationView(
            passed=found.passed,
            reason=found.reason,
            try_again=found.again,
            details=orjson.loads(found.details),
        ),
    )


def _by(caller: Caller, asked: Asked) -> By:
    return By(subject=caller.subject, version=asked.expected_version())


def _created(created: Created) -> Response:
    connection = created.connection
    return json_response(
        ConnectionCreated(
            **connection_fields(connection),
            webhook=NewWebhook(url=created.webhook_url, secret_ref=created.webhook_secret_ref),
        ),
        status=201,
        headers=(
            ("location", f"/v1/integrations/connections/{connection.connection_id}"),
            *tagged(connection.version),
            NOT_STORED,
        ),
    )


def _changed(connection: ConnectionRecord, edge: Edge) -> Response:
    """The connection after a change, which the webhook edge must not learn only when its memory ends."""
    edge.webhooks.endpoints.forget(connection.connection_id)
    return _shown(connection)


def _shown(connection: ConnectionRecord) -> Response:
    view = ConnectionView(**connection_fields(connection))
    return json_response(view, headers=tagged(connection.version))


def _adapter(provider_id: str, edge: Edge) -> Adapter:
    try:
        return edge.ports.registry.get(provider_id)
    except UnknownProviderError as error:
        raise InvalidError(str(error), field="provider_id", status=422) from error


def _tag(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, value
