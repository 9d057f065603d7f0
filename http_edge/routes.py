"""The table of routes: all that the API is. Quart, the OpenAPI document and the tests of who may read it."""

from __future__ import annotations

from functools import cache

import orjson
import trio

from actors.hooks import WEBHOOKS
from adapters.contract import Response
from http_edge import actions, events, health, providers
from http_edge.action_views import ActionDetails, ActionPage, ActionView, CanonicalActions
from http_edge.answers import JSON
from http_edge.auth import Permission
from http_edge.bodies import ActionBody, ReasonBody, ResolutionBody, SignalBody
from http_edge.connection_routes import CONNECTION_ROUTES
from http_edge.edge import Edge
from http_edge.events import SignalTaken
from http_edge.front import from_quart
from http_edge.health_views import HealthView, Live, Ready
from http_edge.openapi import document
from http_edge.poll_routes import POLL_ROUTES
from http_edge.queries import ActionQuery, ProviderQuery
from http_edge.route import Asked, Guarded, Open, Route
from http_edge.views import (
    ProviderDetails,
    ProviderList,
)
from http_edge.webhooks import DeliveryTaken

_V1 = "/v1/integrations"
_INTERNAL = "/internal/integrations"
_ACTION = f"{_INTERNAL}/actions/{{action_id}}"

_REGISTRY = (
    Route(
        method="GET",
        path=f"{_V1}/providers",
        name="list_providers",
        summary="List the providers that the tenant may connect to",
        door=Guarded(permission=Permission.READ_PROVIDERS, handle=providers.listing),
        query=ProviderQuery,
        answers={200: ProviderList},
    ),
    Route(
        method="GET",
        path=f"{_V1}/providers/{{provider_id}}",
        name="show_provider",
        summary="Show a provider, and what a connection of it must be told",
        door=Guarded(permission=Permission.READ_PROVIDERS, handle=providers.show),
        answers={200: ProviderDetails},
    ),
    Route(
        method="GET",
        path=f"{_V1}/actions/schemas",
        name="list_canonical_actions",
        summary="List the canonical actions with the schemas of what they take",
        door=Guarded(permission=Permission.READ_PROVIDERS, handle=actions.schemas),
        answers={200: CanonicalActions},
    ),
)

_WEBHOOKS = (
    Route(
        method="POST",
        path=f"{WEBHOOKS}{{provider_id}}/{{token}}",
        name="webhook",
        summary="Take a provider's webhook, proven by its signature",
        door=Open(handle=from_quart),
        answers={200: DeliveryTaken, 202: DeliveryTaken},
        errors=(400, 401, 408, 410, 413, 429, 503),
        raw=True,
    ),
)

_ACTIONS = (
    Route(
        method="POST",
        path=f"{_INTERNAL}/actions/execute",
        name="execute_action",
        summary="Have an action carried out; `Prefer: wait=n` waits for its outcome",
        door=Guarded(permission=Permission.EXECUTE_ACTIONS, handle=actions.execute),
        body=ActionBody,
        answers={200: ActionView, 202: ActionView},
        errors=(404, 409, 422),
        prefers=True,
        located=(200, 202),
    ),
    Route(
        method="GET",
        path=f"{_INTERNAL}/actions",
        name="list_actions",
        summary="List the tenant's actions, newest first",
        door=Guarded(permission=Permission.READ_ACTIONS, handle=actions.page),
        query=ActionQuery,
        answers={200: ActionPage},
    ),
    Route(
        method="GET",
        path=_ACTION,
        name="show_action",
        summary="Show what became of an action, and what was sent for it",
        door=Guarded(permission=Permission.READ_ACTIONS, handle=actions.show),
        answers={200: ActionDetails},
    ),
    Route(
        method="POST",
        path=f"{_ACTION}/cancel",
        name="cancel_action",
        summary="Cancel an action that was not sent yet",
        door=Guarded(permission=Permission.CANCEL_ACTIONS, handle=actions.cancel),
        body=ReasonBody,
        answers={200: ActionView},
        keyed=True,
    ),
    Route(
        method="POST",
        path=f"{_ACTION}/resolve",
        name="resolve_action",
        summary="Settle an action that was left unsure, as you found out at the provider",
        door=Guarded(permission=Permission.RESOLVE_ACTIONS, handle=actions.resolve),
        body=ResolutionBody,
        answers={200: ActionView},
        keyed=True,
    ),
)

_SIGNALS = (
    Route(
        method="POST",
        path=f"{_INTERNAL}/events/normalised",
        name="forward_signal",
        summary="Forward a ready-made signal in the order of its connection",
        door=Guarded(permission=Permission.FORWARD_SIGNALS, handle=events.forward),
        body=SignalBody,
        raw=True,
        answers={200: SignalTaken, 202: SignalTaken},
        errors=(409, 422),
    ),
)


async def _show_contract(_asked: Asked, _edge: Edge) -> Response:
    await trio.lowlevel.checkpoint()
    return Response(status=200, headers=(JSON,), body=contract())


_HEALTH = (
    Route(
        method="GET",
        path=f"{_INTERNAL}/connections/{{connection_id}}/health",
        name="connection_health",
        summary="Show how a connection does: its provider, its ledger, what was parked and why",
        door=Guarded(permission=Permission.READ_HEALTH, handle=health.connection),
        answers={200: HealthView},
    ),
    Route(
        method="GET",
        path="/health/live",
        name="live",
        summary="The process answers",
        door=Open(handle=health.live),
        answers={200: Live},
    ),
    Route(
        method="GET",
        path="/health/ready",
        name="ready",
        summary="Whether to send it work",
        door=Open(handle=health.ready),
        answers={200: Ready, 503: Ready},
    ),
    Route(
        method="GET",
        path="/metrics",
        name="metrics",
        summary="All counters, for Prometheus",
        door=Open(handle=health.metrics, permission=Permission.READ_METRICS),
        answers={200: None},
        media=health.METRICS_MEDIA,
        errors=(503,),
    ),
    Route(
        method="GET",
        path="/openapi.json",
        name="contract",
        summary="This document",
        door=Open(handle=_show_contract),
        answers={200: None},
    ),
)

ROUTES: tuple[Route, ...] = (
    *_REGISTRY,
    *CONNECTION_ROUTES,
    *POLL_ROUTES,
    *_WEBHOOKS,
    *_ACTIONS,
    *_SIGNALS,
    *_HEALTH,
)


@cache
def contract() -> bytes:
    """The OpenAPI document, as it is served and checked in (docs/openapi.json)."""
    return orjson.dumps(document(ROUTES), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
