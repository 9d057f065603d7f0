"""The webhook edge: verify the raw bytes, store, commit, answer. Knows HTTP as values and nothing of Quart.

The order is the promise: who it is for (404, 410), how fast (429), how large (413), whose bytes (401), what document (400),
and only what passed is stored and committed before the provider is told so (P1, P3).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Literal, TypeAlias
from uuid import UUID

import trio
from attrs import evolve, field, frozen
from structlog.typing import FilteringBoundLogger

from actors import codec
from actors.metrics import Metrics
from actors.upkeep import RefusalCount
from adapters.contract import Adapter, Delivery, Request, Response
from adapters.errors import PayloadError, SignatureError
from adapters.redaction import Rules, redact
from adapters.registry import Registry
from http_edge.answers import json_response
from http_edge.endpoints import Endpoint, Endpoints
from http_edge.errors import EdgeError, NotFoundError, TooLargeError
from http_edge.rates import Rates
from persistence.errors import StoreError, StoreUnavailableError
from persistence.group_commit import GroupCommit
from persistence.records import ConnectionState, NewDelivery
from runtime import Clock

LARGE_BYTES = 256_000
"""A body from here on is examined in a thread, so that it does not hold up the small ones."""

_MOST_DIGITS = 18

Read: TypeAlias = Callable[[int], Awaitable[bytes]]
"""Reads the body of the request, at most so many bytes; raises TooLargeError."""


@frozen(kw_only=True)
class WebhookPorts:
    """What the webhook edge is handed."""

    registry: Registry
    endpoints: Endpoints
    rates: Rates
    rules: Rules
    commit: GroupCommit
    wake: Callable[[str, UUID], None]
    clock: Clock
    ids: Callable[[], UUID]
    refusals: RefusalCount
    metrics: Metrics
    log: FilteringBoundLogger
    deadline: timedelta
    threads: trio.CapacityLimiter


@frozen(kw_only=True)
class Call:
    """One webhook call as it arrives; ``request`` has no body yet."""

    provider_id: str
    token: str = field(repr=False)
    request: Request = field(repr=False)  # the token is in its URL, the signature in its headers
    read: Read


@frozen(kw_only=True)
class DeliveryTaken:
    """The delivery is kept, or was before."""

    status: Literal["accepted", "duplicate"]
    delivery_id: UUID | None
    event_id: str


async def accept(call: Call, ports: WebhookPorts) -> Response:
    """Take one webhook call; the answer says what became of it.

    A caller that hangs up while its delivery is committed changes nothing: the commit is shielded, and bounded by
    ``ports.deadline``.

    Raises:
        EdgeError, AdapterError, StoreError, PlatformError: see ``http_edge.errors`` for what each answers.
    """
    started = ports.clock.now()
    endpoint = await _endpoint(call, ports)
    try:
        response = await _accept(call, endpoint, ports)
    except (SignatureError, PayloadError, EdgeError) as error:
        _refused(endpoint, error, ports)
        raise
    except StoreError:
        _count(endpoint, "unavailable", ports)
        raise
    took = ports.clock.now() - started
    ports.metrics.latency.labels("webhook", call.provider_id).observe(took.total_seconds())
    return response


async def _endpoint(call: Call, ports: WebhookPorts) -> Endpoint:
    """Find the endpoint; unknown provider, unknown token and a token of another provider are one answer."""
    endpoint = await ports.endpoints.find(call.token)
    provider_id = endpoint.record.provider_id if endpoint is not None else ""
    same = hmac.compare_digest(provider_id.encode(), call.provider_id.encode())
    if endpoint is None or not same:
        ports.metrics.webhooks.labels("unknown", "unknown", "unknown").inc()
        raise NotFoundError("webhook endpoint")
    if not endpoint.record.open or endpoint.record.state is ConnectionState.DELETED:
        _count(endpoint, "gone", ports)
        raise EdgeError(410, "GONE", "this webhook endpoint is closed for good")
    return endpoint


async def _accept(call: Call, endpoint: Endpoint, ports: WebhookPorts) -> Response:
    adapter = ports.registry.get(endpoint.record.provider_id)
    wait = ports.rates.take(endpoint.record.connection_id)
    if wait is not None:
        raise EdgeError(429, "RATE_LIMITED", "too many webhooks", retry_after=wait)
    body = await call.read(adapter.manifest.body_limit_bytes)
    request = evolve(call.request, body=body)
    delivery = await _examined(request, adapter, endpoint, ports)
    if isinstance(delivery, Response):
        _count(endpoint, "handshake", ports)
        return delivery
    fresh = await _commit(delivery, endpoint, ports)
    _count(endpoint, "accepted" if fresh else "duplicate", ports)
    return json_response(
        DeliveryTaken(
            status="accepted" if fresh else "duplicate",
            delivery_id=delivery.delivery_id if fresh else None,
            event_id=delivery.event_id,
        ),
        status=adapter.manifest.accepted if fresh else 200,
    )


async def _examined(
    request: Request, adapter: Adapter, endpoint: Endpoint, ports: WebhookPorts
) -> NewDelivery | Response:
    """Verify, read and redact: pure, and in a thread where it would take long."""
    delivery_id, now = ports.ids(), ports.clock.now()

    def examine() -> NewDelivery | Response:
        verified = adapter.receive(request, secrets=endpoint.secrets, now=now)
        if not isinstance(verified, Delivery):
            return verified
        return codec.new_delivery(
            verified,
            delivery_id=delivery_id,
            tenant_id=endpoint.record.tenant_id,
            connection_id=endpoint.record.connection_id,
            body=redact(verified.body, ports.rules),
        )

    if len(request.body) < LARGE_BYTES:
        return examine()
    return await trio.to_thread.run_sync(examine, limiter=ports.threads)


async def _commit(delivery: NewDelivery, endpoint: Endpoint, ports: WebhookPorts) -> bool:
    try:
        with trio.fail_after(ports.deadline.total_seconds(), shield=True):
            fresh = await ports.commit.accept(delivery)
    except trio.TooSlowError as error:
        raise StoreUnavailableError("the commit took too long") from error
    if fresh and endpoint.record.state is ConnectionState.ACTIVE:
        ports.wake(delivery.tenant_id, delivery.connection_id)
    return fresh


def _refused(endpoint: Endpoint, error: Exception, ports: WebhookPorts) -> None:
    """Count and tell a refusal: the reason, never what was sent."""
    record = endpoint.record
    ports.refusals.add(record.tenant_id, record.connection_id)
    _count(endpoint, "rejected", ports)
    ports.log.warning(
        "webhook.rejected",
        tenant=record.tenant_id,
        connection=str(record.connection_id),
        provider=record.provider_id,
        reason=str(error),
    )


def _count(endpoint: Endpoint, status: str, ports: WebhookPorts) -> None:
    ports.metrics.webhooks.labels(
        endpoint.record.provider_id, endpoint.record.tenant_id, status
    ).inc()


def reject_oversized(declared: str | None, limit_bytes: int) -> None:
    """Refuse by the declared length, before a byte is read.

    Raises:
        TooLargeError: ``declared`` (a Content-Length) is over the limit.
    """
    digits = (declared or "").strip()
    if not digits.isascii() or not digits.isdigit():
        return
    # int() refuses thousands of digits.
    if len(digits) > _MOST_DIGITS or int(digits) > limit_bytes:
        raise TooLargeError(limit_bytes)
