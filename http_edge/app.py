"""The routes. Everything they do is elsewhere, in functions of values; Quart carries requests to them and answers back."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

from attrs import frozen
from quart import Request as QuartRequest, Response as QuartResponse, g, request
from quart_trio import QuartTrio
from structlog.typing import FilteringBoundLogger
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed

from actors.platform.errors import PlatformError
from actors.platform.identity import Caller, Identity
from adapters.contract import Request, Response
from adapters.errors import AdapterError
from http_edge import actions, events, health, management
from http_edge.asgi import finishing
from http_edge.auth import Permission, authenticate, demand
from http_edge.bodies import BODY_LIMIT_BYTES
from http_edge.errors import EdgeError, from_exception, to_response
from http_edge.front import FAILURE, WEBHOOKS, in_front_of, read_body
from http_edge.health import Health
from http_edge.management import Management
from http_edge.webhooks import Call, WebhookPorts, accept
from persistence.errors import StoreError
from persistence.group_commit import GroupCommit

_CORRELATION = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@frozen(kw_only=True)
class Edge:
    """What the edge is handed by the composition root."""

    webhooks: WebhookPorts
    management: Management
    health: Health
    identity: Identity
    commit: GroupCommit
    action_expiry: timedelta
    metrics_open: bool
    ids: Callable[[], UUID]
    log: FilteringBoundLogger


def build_app(edge: Edge) -> QuartTrio:
    """The ASGI application; it owns no task, so it may come and go without the tree."""
    app = QuartTrio("integration_adapters", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = None  # each reader has its own bound
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.url_map.merge_slashes = False  # not found, rather than redirected
    app.logger.handlers.clear()
    app.logger.disabled = True  # what Quart would log, the error routes below log
    _webhook_routes(app, edge)
    _management_routes(app, edge)
    _internal_routes(app, edge)
    _health_routes(app, edge)
    _error_routes(app, edge)
    app.asgi_app = in_front_of(finishing(app.asgi_app), edge.webhooks)  # type: ignore[method-assign, assignment]
    return app


def _webhook_routes(app: QuartTrio, edge: Edge) -> None:
    @app.post(f"{WEBHOOKS}<provider_id>/<token>")
    async def webhook(provider_id: str, token: str) -> QuartResponse:
        failure = request.scope.get(FAILURE)
        if isinstance(failure, Exception):
            raise failure
        call = Call(
            provider_id=provider_id, token=token, request=_head(request), read=_reader(request)
        )
        return _carried(await accept(call, edge.webhooks))


def _management_routes(app: QuartTrio, edge: Edge) -> None:
    base = "/v1/integrations/connections"

    @app.post(base)
    async def create_connection() -> QuartResponse:
        caller = await _caller(edge, Permission.WRITE_CONNECTIONS)
        return _carried(await management.create(caller, await _body(), edge.management))

    @app.get(base)
    async def list_connections() -> QuartResponse:
        caller = await _caller(edge, Permission.READ_CONNECTIONS)
        return _carried(await management.page(caller, request.args, edge.management))

    @app.get(f"{base}/<connection_id>")
    async def show_connection(connection_id: str) -> QuartResponse:
        caller = await _caller(edge, Permission.READ_CONNECTIONS)
        return _carried(await management.show(caller, connection_id, edge.management))

    @app.post(f"{base}/<connection_id>/verify")
    async def verify_connection(connection_id: str) -> QuartResponse:
        caller = await _caller(edge, Permission.WRITE_CONNECTIONS)
        return _carried(await management.verification(caller, connection_id, edge.management))


def _internal_routes(app: QuartTrio, edge: Edge) -> None:
    base = "/internal/integrations"
    ports = edge.management.ports

    @app.post(f"{base}/actions/execute")
    async def execute_action() -> QuartResponse:
        caller = await _caller(edge, Permission.EXECUTE_ACTIONS)
        prefer = request.headers.get("prefer")
        raw = await _body()
        return _carried(
            await actions.execute(caller, raw, prefer, ports, expiry=edge.action_expiry)
        )

    @app.get(f"{base}/actions/<action_id>")
    async def show_action(action_id: str) -> QuartResponse:
        caller = await _caller(edge, Permission.READ_ACTIONS)
        return _carried(await actions.show(caller, action_id, ports))

    @app.post(f"{base}/events/normalised")
    async def forward_signal() -> QuartResponse:
        caller = await _caller(edge, Permission.FORWARD_SIGNALS)
        return _carried(await events.forward(caller, await _body(), ports, edge.commit))

    @app.get(f"{base}/connections/<connection_id>/health")
    async def connection_health(connection_id: str) -> QuartResponse:
        caller = await _caller(edge, Permission.READ_HEALTH)
        return _carried(await health.connection(caller, connection_id, edge.health))


def _health_routes(app: QuartTrio, edge: Edge) -> None:
    @app.get("/health/live")
    async def live() -> QuartResponse:
        return _carried(health.live())

    @app.get("/health/ready")
    async def ready() -> QuartResponse:
        return _carried(await health.ready(edge.health))

    @app.get("/metrics")
    async def metrics() -> QuartResponse:
        if not edge.metrics_open:
            await _caller(edge, Permission.READ_METRICS)
        return _carried(await health.metrics(edge.health))


def _error_routes(app: QuartTrio, edge: Edge) -> None:
    """Every error leaves in the PRD's shape, the framework's own too."""
    clock = edge.webhooks.clock

    # Coroutines all: Quart runs plain functions in a thread, where there is no clock.
    async def told(error: Exception) -> QuartResponse:
        shown = from_exception(error)
        if shown.status >= 500:
            edge.log.warning(
                "request.failed",
                correlation_id=_correlation(edge),
                code=shown.code,
                reason=str(error),
            )
        return _carried(to_response(shown, now=clock.now(), correlation_id=_correlation(edge)))

    for root in (EdgeError, AdapterError, StoreError, PlatformError):
        app.register_error_handler(root, told)

    @app.errorhandler(HTTPException)
    async def framework(error: HTTPException) -> QuartResponse:
        if isinstance(error, InternalServerError):
            return unexpected(error)
        name = error.name or "Error"
        shown = EdgeError(error.code or 500, name.upper().replace(" ", "_"), name.lower())
        response = _carried(to_response(shown, now=clock.now(), correlation_id=_correlation(edge)))
        if isinstance(error, MethodNotAllowed):
            response.headers["allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response

    def unexpected(error: InternalServerError) -> QuartResponse:
        cause = error.original_exception or error
        edge.log.error("request.crashed", correlation_id=_correlation(edge), exc_info=cause)
        edge.webhooks.metrics.errors.labels("request_crashed").inc()
        shown = EdgeError(500, "INTERNAL_ERROR", "an internal error; it is in the log")
        return _carried(to_response(shown, now=clock.now(), correlation_id=_correlation(edge)))


async def _caller(edge: Edge, permission: Permission) -> Caller:
    caller = await authenticate(edge.identity, request.headers.get("authorization"))
    demand(caller, permission)
    return caller


def _correlation(edge: Edge) -> str:
    """The caller's id for this request, or one of ours; the same all through the request."""
    if not hasattr(g, "correlation_id"):
        given = request.headers.get("x-correlation-id", "")
        g.correlation_id = given if _CORRELATION.fullmatch(given) else str(edge.ids())
    return str(g.correlation_id)


async def _body() -> bytes:
    return await _reader(request)(BODY_LIMIT_BYTES)


def _head(incoming: QuartRequest) -> Request:
    headers = tuple((name.lower(), value) for name, value in incoming.headers.items())
    return Request(method=incoming.method, url=incoming.full_path, headers=headers)


def _reader(incoming: QuartRequest) -> Callable[[int], Awaitable[bytes]]:
    return partial(read_body, incoming.body, incoming.headers.get("content-length"))


def _carried(response: Response) -> QuartResponse:
    return QuartResponse(response.body, status=response.status, headers=dict(response.headers))
