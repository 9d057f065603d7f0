"""Connections and providers as callers see them: references to secrets, never secrets. Every field is always there."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from attrs import field, frozen
from msgspec import Meta

from adapters import registry
from adapters.contract import Adapter
from adapters.manifest import AuthMethod, Category, ProviderStatus
from adapters.schema import json_schema
from persistence.records import ConnectionRecord, ConnectionState

Moment = Annotated[datetime, Meta(tz=True)]


@frozen(kw_only=True)
class ErrorView:
    """What is wrong. ``code`` is for programs, ``message`` for people; ``details.field`` says where in the request."""

    code: Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]*$")]
    message: str
    details: dict[str, Any]
    timestamp: Moment


@frozen(kw_only=True)
class ErrorAnswer:
    """Every error has this shape (PRD, section 11)."""

    error: ErrorView


@frozen(kw_only=True)
class ConnectionView:
    """A connection. Its version is its ETag."""

    connection_id: UUID
    tenant_id: str
    provider_id: str
    display_name: str
    status: ConnectionState
    reason: str | None
    base_url: str
    enabled_capabilities: tuple[str, ...]
    settings: dict[str, Any]
    auth_ref: UUID | None
    tags: dict[str, str]
    created_at: Moment
    updated_at: Moment
    last_verified_at: Moment | None


@frozen(kw_only=True)
class NewWebhook:
    """Where the provider must send its webhooks, told once; and the name of the secret it signs them with."""

    url: Annotated[str, Meta(description="Holds a token: keep it as you keep a password.")] = (
        field(repr=False)
    )
    secret_ref: UUID | None


@frozen(kw_only=True)
class ConnectionCreated(ConnectionView):
    """A new connection; only this answer carries the webhook URL."""

    webhook: NewWebhook


@frozen(kw_only=True)
class ConnectionPage:
    """Connections by id. ``next_cursor`` is where the next page begins, null on the last."""

    connections: tuple[ConnectionView, ...]
    next_cursor: UUID | None


@frozen(kw_only=True)
class VerificationView:
    """What a try at the provider found. ``passed`` false: ``reason`` says why, and whether to ``try_again``."""

    passed: bool
    reason: str | None
    try_again: bool
    details: dict[str, Any]


@frozen(kw_only=True)
class ConnectionVerified(ConnectionView):
    """A connection after a try at its provider."""

    verification: VerificationView


@frozen(kw_only=True)
class RotationView:
    """What was replaced. ``webhook_url`` is new and told once; what it replaces is good until ``old_valid_until``."""

    webhook_url: str | None = field(repr=False)
    old_valid_until: Moment | None


@frozen(kw_only=True)
class ConnectionRotated(ConnectionView):
    """A connection after its secrets were replaced."""

    rotation: RotationView


@frozen(kw_only=True)
class LoginView:
    """Send the person's browser to ``authorization_url`` before ``expires_at``."""

    authorization_url: Annotated[str, Meta(extra_json_schema={"format": "uri"})] = field(
        repr=False
    )
    expires_at: Moment


@frozen(kw_only=True)
class ProviderView:
    """A provider. ``actions`` and ``signal_types`` are canonical names."""

    provider_id: str
    name: str
    category: Category
    status: ProviderStatus
    api_version: str
    adapter_version: str
    base_url: str
    capabilities: tuple[str, ...]
    auth_methods: tuple[AuthMethod, ...]
    scopes: tuple[str, ...]
    actions: tuple[str, ...]
    signal_types: tuple[str, ...]


@frozen(kw_only=True)
class ProviderDetails(ProviderView):
    """A provider, with what a connection's ``settings`` must be."""

    event_kinds: tuple[str, ...]
    config_schema: Annotated[dict[str, Any], Meta(description="JSON Schema 2020-12.")]


@frozen(kw_only=True)
class ProviderList:
    """The providers that the tenant's policy allows, by id."""

    providers: tuple[ProviderView, ...]


def connection_fields(connection: ConnectionRecord) -> dict[str, Any]:
    """The fields of ``ConnectionView``, for those that have more."""
    return {
        "connection_id": connection.connection_id,
        "tenant_id": connection.tenant_id,
        "provider_id": connection.provider_id,
        "display_name": connection.display_name,
        "status": connection.state,
        "reason": connection.reason,
        "base_url": connection.base_url,
        "enabled_capabilities": connection.capabilities,
        "settings": orjson.loads(connection.settings),
        "auth_ref": connection.auth_ref,
        "tags": orjson.loads(connection.tags),
        "created_at": connection.created_at,
        "updated_at": connection.updated_at,
        "last_verified_at": connection.verified_at,
    }


def provider_fields(adapter: Adapter) -> dict[str, Any]:
    """The fields of ``ProviderView``, for those that have more."""
    manifest = adapter.manifest
    return {
        "provider_id": manifest.provider_id,
        "name": manifest.name,
        "category": manifest.category,
        "status": manifest.status,
        "api_version": manifest.api_version,
        "adapter_version": manifest.adapter_version,
        "base_url": manifest.base_url,
        "capabilities": registry.capabilities(adapter),
        "auth_methods": manifest.auth_methods,
        "scopes": manifest.scopes,
        "actions": manifest.actions,
        "signal_types": manifest.signal_types,
    }


def provider_details(adapter: Adapter) -> ProviderDetails:
    """The whole of a provider."""
    return ProviderDetails(
        **provider_fields(adapter),
        event_kinds=adapter.manifest.event_kinds,
        config_schema=json_schema(adapter.manifest.settings),
    )
