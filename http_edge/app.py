"""The table of routes on Quart: what a request must bring is asked for here, what it does is elsewhere."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial

from attrs import evolve
from quart import Request as QuartRequest, Response as QuartResponse, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed

from actors.errors import DomainError
from actors.platform.errors import PlatformError
from actors.platform.identity import Caller
from adapters.contract import Request, Response
from adapters.errors import AdapterError
from http_edge.asgi import finishing
from http_edge.auth import admit
from http_edge.bodies import NoBody
from http_edge.edge import Edge
from http_edge.errors import EdgeError, from_exception, to_response
from http_edge.front import FAILURE, in_front_of, read_body
from http_edge.idempotency import Claim, digest_of, key_of, once
from http_edge.queries import read_query
from http_edge.reading import BODY_LIMIT_BYTES, structure
from http_edge.route import Asked, Guarded, Handle, Open, Route
from http_edge.routes import ROUTES
from persistence.errors import StoreError

_CORRELATION = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_WITH_BODY = frozenset({"POST", "PATCH"})


def build_app(edge: Edge) -> QuartTrio:
    """The ASGI application; it owns no task, so it may come and go without the tree."""
    app = QuartTrio("integration_adapters", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = None  # each reader has its own bound
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.url_map.merge_slashes = False  # not found, rather than redirected
    app.logger.handlers.clear()
    app.logger.disabled = True  # what Quart would log, the error routes below log
    for route in ROUTES:
        _register(app, route, edge)
    _error_routes(app, edge)
    app.asgi_app = in_front_of(finishing(app.asgi_app), edge.webhooks)  # type: ignore[method-assign, assignment]
    return app


def _register(app: QuartTrio, route: Route, edge: Edge) -> None:
    async def view(**path: str) -> QuartResponse:
        failure = request.scope.get(FAILURE)
        if isinstance(failure, Exception):
            raise failure
        asked = Asked(request=_head(request), path=path, read=_reader(request))
        return _carried(await _answer(route, asked, edge))

    app.add_url_rule(
        route.path.replace("{", "<").replace("}", ">"),
        endpoint=route.name,
        view_func=view,
        methods=[route.method],
        provide_automatic_options=False,
    )


async def _answer(route: Route, asked: Asked, edge: Edge) -> Response:
    """Who asks comes before what is asked: nobody learns anything of a door that is closed to them."""
    match route.door:
        case Open(handle=handle):
            return await handle(await _read(route, asked), edge)
        case Guarded(permission=permission, handle=handle):
            authorization = asked.request.header("authorization")
            caller = await admit(edge.identity, authorization, permission)
            whole = await _read(route, asked)
            key = key_of(whole.request) if route.keyed else None
            if key is None:
                return await handle(caller, whole, edge)
            return await once(
                key,
                digest_of(whole.request),
                edge.ports,
                tenant_id=caller.tenant_id,
                carry_out=partial(_claimed, handle, caller, whole, edge),
            )


async def _claimed(
    handle: Handle, caller: Caller, whole: Asked, edge: Edge, claim: Claim
) -> Response:
    return await handle(caller, evolve(whole, claim=claim), edge)


async def _read(route: Route, asked: Asked) -> Asked:
    """The request with what was sent, of the route's types."""
    _, _, text = asked.request.url.partition("?")
    # What looks whether we live may add what it likes; a caller of the API who does has made a mistake.
    query: object = read_query(text, route.query, tolerant=isinstance(route.door, Open))
    if route.raw or route.method not in _WITH_BODY:
        return evolve(asked, query=query)
    raw = await asked.read(BODY_LIMIT_BYTES)
    body: object = structure(raw, route.body or NoBody)
    return evolve(asked, query=query, body=body, request=evolve(asked.request, body=raw))


def _error_routes(app: QuartTrio, edge: Edge) -> None:
    """Every error leaves in the PRD's shape, the framework's own too."""
    clock, log = edge.ports.clock, edge.ports.log

    # Coroutines all: Quart runs plain functions in a thread, where there is no clock.
    async def told(error: Exception) -> QuartResponse:
        shown = from_exception(error)
        if shown.status >= 500:
            log.warning(
                "request.failed",
                correlation_id=_correlation(edge),
                code=shown.code,
                reason=str(error),
            )
        return _carried(to_response(shown, now=clock.now(), correlation_id=_correlation(edge)))

    for root in (EdgeError, AdapterError, StoreError, PlatformError, DomainError):
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
        log.error("request.crashed", correlation_id=_correlation(edge), exc_info=cause)
        edge.ports.metrics.errors.labels("request_crashed").inc()
        shown = EdgeError(500, "INTERNAL_ERROR", "an internal error; it is in the log")
        return _carried(to_response(shown, now=clock.now(), correlation_id=_correlation(edge)))


def _correlation(edge: Edge) -> str:
    """The caller's id for this request, or one of ours; the same all through the request."""
    if not hasattr(g, "correlation_id"):
        given = request.headers.get("x-correlation-id", "")
        g.correlation_id = given if _CORRELATION.fullmatch(given) else str(edge.ports.ids())
    return str(g.correlation_id)


def _head(incoming: QuartRequest) -> Request:
    headers = tuple((name.lower(), value) for name, value in incoming.headers.items())
    place, query = incoming.scope["raw_path"], incoming.query_string
    return Request(
        method=incoming.method,
        url=f"{place.decode('latin-1')}?{query.decode('latin-1')}",
        headers=headers,
    )


def _reader(incoming: QuartRequest) -> Callable[[int], Awaitable[bytes]]:
    return partial(read_body, incoming.body, incoming.headers.get("content-length"))


def _carried(response: Response) -> QuartResponse:
    return QuartResponse(response.body, status=response.status, headers=dict(response.headers))
