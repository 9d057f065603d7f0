"""The internal API for ready-made signals: into the connection's inbox, so that they keep its order (PRD 11.3)."""

from __future__ import annotations

from typing import Literal

from attrs import evolve, frozen

from actors import codec
from actors.platform.identity import Caller
from actors.ports import Ports
from adapters.contract import Response
from adapters.envelope import SignalEnvelope, from_document
from adapters.errors import PayloadError
from adapters.signals import SIGNAL_TYPES
from http_edge.answers import json_response
from http_edge.edge import Edge
from http_edge.errors import EdgeError, InvalidError, NotFoundError
from http_edge.management import owned
from http_edge.reading import BODY_LIMIT_BYTES, parse_json
from http_edge.route import Asked, id_in
from persistence.records import ConnectionRecord, ConnectionState


@frozen(kw_only=True)
class SignalTaken:
    """The signal is kept, or was before."""

    signal_id: str
    status: Literal["accepted", "duplicate"]


async def forward(caller: Caller, asked: Asked, edge: Edge) -> Response:
    """Take one SignalEnvelope of the caller's tenant; 202, or 200 if it is known already.

    ``producer_id`` is the connection it belongs to. Its ``sequence_no`` is given by us, in the connection's order.
    """
    ports = edge.ports
    envelope = _read(await asked.read(BODY_LIMIT_BYTES))
    connection = await _producer(caller, envelope, ports)
    _check_fits(envelope, connection, ports)
    fresh = await edge.commit.accept(
        codec.ready_made(
            # A UUID has many spellings; PM-3 knows the producer by one of them.
            evolve(envelope, producer_id=str(connection.connection_id)),
            delivery_id=ports.ids(),
            connection_id=connection.connection_id,
            now=ports.clock.now(),
        )
    )
    if fresh:
        ports.wake.connection(connection.tenant_id, connection.connection_id)
    return json_response(
        SignalTaken(signal_id=envelope.signal_id, status="accepted" if fresh else "duplicate"),
        status=202 if fresh else 200,
    )


def _read(raw: bytes) -> SignalEnvelope:
    try:
        return from_document(parse_json(raw))
    except PayloadError as error:
        raise InvalidError(str(error), field=error.path, status=422) from error


async def _producer(caller: Caller, envelope: SignalEnvelope, ports: Ports) -> ConnectionRecord:
    if envelope.tenant_id != caller.tenant_id:
        raise EdgeError(403, "FORBIDDEN", "the signal is of another tenant")
    try:
        connection = await owned(caller, id_in(envelope.producer_id, "connection"), ports)
    except NotFoundError as error:
        raise InvalidError(
            "is no connection of this tenant", field="producer_id", status=422
        ) from error
    if connection.state is not ConnectionState.ACTIVE:
        raise EdgeError(
            409, "CONNECTION_NOT_ACTIVE", f"the connection is {connection.state.value}"
        )
    return connection


def _check_fits(envelope: SignalEnvelope, connection: ConnectionRecord, ports: Ports) -> None:
    """PM-3 would refuse it later, where nobody waits for the answer."""
    if envelope.environment != ports.environment:
        raise InvalidError(f"this node is {ports.environment}", field="environment", status=422)
    if envelope.signal_type not in SIGNAL_TYPES:
        raise InvalidError("is no canonical signal type", field="signal_type", status=422)
    allowed = ports.registry.get(connection.provider_id).manifest.signal_types
    if envelope.signal_type not in allowed:
        raise InvalidError(
            f"{connection.provider_id} connections do not make it", field="signal_type", status=422
        )
