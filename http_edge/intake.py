"""What a caller says of a connection, checked against its provider: the body's types become the domain's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, assert_never

import orjson

from actors import sealing
from actors.orders import Edits, NewConnection, Rotation
from adapters import registry, schema
from adapters.capabilities import CredentialsCheck, Subscriptions
from adapters.contract import Adapter, Secret
from adapters.credentials import AppKey, ClientCredentials, Credentials, StaticToken
from adapters.errors import SettingsError
from adapters.oauth import OAuthClient
from adapters.polling import Polls
from adapters.registry import OUTBOUND, POLLING, WEBHOOK
from http_edge.addresses import check_reach, checked_base_url, checked_network
from http_edge.bodies import (
    AppAuth,
    ClientAuth,
    ConnectionBody,
    ConnectionEdits,
    LoginAuth,
    NetworkBody,
    RotationBody,
    TokenAuth,
    WebhookBody,
)
from http_edge.edge import Edge
from http_edge.errors import InvalidError
from http_edge.reading import auth_of
from persistence.records import ConnectionRecord

CAPABILITIES = (WEBHOOK, OUTBOUND, POLLING)
"""What a connection can be for; what else a provider is capable of serves these."""

_NEEDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        WEBHOOK: ("webhook.secret", "receive webhooks"),
        OUTBOUND: ("auth", "carry out actions"),
        POLLING: ("auth", "poll"),
    }
)
"""The field that each needs, and what for."""


async def new_connection(body: ConnectionBody, adapter: Adapter, edge: Edge) -> NewConnection:
    """The connection that ``body`` asks for; nothing is stored or sent to the provider yet.

    Raises:
        InvalidError, SettingsError, CredentialsError: with the field that is wrong.
    """
    credentials, client = _auth(body.auth, adapter, edge)
    webhook = body.webhook
    held = _held(signs=_signs(body, adapter), asks=body.auth is not None)
    capabilities = _capabilities(body.capabilities, adapter, held=held)
    base_url = await _place(body, adapter, edge)
    settings = _settings(body.settings, adapter)
    _check_polled(capabilities, settings, adapter)
    return NewConnection(
        provider_id=adapter.manifest.provider_id,
        display_name=body.display_name,
        base_url=base_url,
        capabilities=capabilities,
        settings=settings,
        tags=orjson.dumps(body.tags),
        network=_network(body.network),
        credentials=credentials,
        client=client,
        webhook_secret=_secret(webhook.secret) if webhook and webhook.secret else None,
    )


async def edits(
    body: ConnectionEdits,
    connection: ConnectionRecord,
    adapter: Adapter,
    edge: Edge,
    *,
    signs: bool,
) -> Edits:
    """The changes that ``body`` asks for; ``signs``: the connection has a secret that webhooks are signed with.

    Raises:
        InvalidError, SettingsError: with the field that is wrong.
    """
    if body == ConnectionEdits():
        raise InvalidError("nothing is to be changed")
    wanted, moved = body.capabilities, body.base_url is not None or body.network is not None
    # One whose person has yet to log in has no credentials, and is for what they are for.
    asks = connection.auth_ref is not None or bool(
        {OUTBOUND, POLLING} & {*connection.capabilities}
    )
    held = _held(signs=signs, asks=asks)
    base_url = await _moved(body, connection, edge) if moved else None
    capabilities = None if wanted is None else _capabilities(wanted, adapter, held=held)
    settings = None if body.settings is None else _settings(body.settings, adapter)
    if capabilities is not None or settings is not None:
        _check_polled(
            capabilities or connection.capabilities, settings or connection.settings, adapter
        )
    return Edits(
        display_name=body.display_name,
        base_url=base_url,
        capabilities=capabilities,
        settings=settings,
        tags=None if body.tags is None else orjson.dumps(body.tags),
        network=None if body.network is None else _network(body.network),
    )


def rotation(body: RotationBody, adapter: Adapter, edge: Edge) -> Rotation:
    """The secrets that ``body`` replaces.

    Raises:
        InvalidError, CredentialsError: with the field that is wrong.
    """
    if body == RotationBody():
        raise InvalidError("nothing is to be rotated")
    credentials, client = _auth(body.auth, adapter, edge)
    return Rotation(
        credentials=credentials,
        client=client,
        webhook_secret=None
        if body.webhook is None
        else _new_signing_secret(body.webhook, adapter, edge),
        webhook_url=body.webhook_url,
    )


def _auth(
    document: dict[str, Any] | None, adapter: Adapter, edge: Edge
) -> tuple[Credentials | None, OAuthClient | None]:
    """The credentials, or the client that a person will log in to: then there are no credentials yet."""
    auth = auth_of(document)
    if auth is None:
        return None, None
    allowed = [method.value for method in adapter.manifest.auth_methods]
    if auth.method not in allowed:
        raise InvalidError(f"must be one of {', '.join(allowed)}", field="auth.method", status=422)
    match auth:
        case LoginAuth():
            return None, _client(auth, adapter, edge)
        case TokenAuth():
            found: Credentials = StaticToken(token=_secret(auth.token))
        case ClientAuth():
            found = ClientCredentials(
                client_id=auth.client_id, client_secret=_secret(auth.client_secret)
            )
        case AppAuth():
            found = AppKey(
                app_id=auth.app_id,
                installation_id=auth.installation_id,
                private_key=_secret(auth.private_key),
            )
        case _:
            assert_never(auth)
    if isinstance(adapter, CredentialsCheck):
        adapter.check_credentials(found)
    return found, None


def _client(auth: LoginAuth, adapter: Adapter, edge: Edge) -> OAuthClient | None:
    """The tenant's own client, or None where the operator has one for all."""
    if auth.client_id is None:
        if auth.client_secret is not None or adapter.manifest.provider_id not in (
            edge.ports.oauth_clients
        ):
            raise InvalidError("is needed", field="auth.client_id", status=422)
        return None
    secret = None if auth.client_secret is None else _secret(auth.client_secret)
    return OAuthClient(client_id=auth.client_id, client_secret=secret)


def _signs(body: ConnectionBody, adapter: Adapter) -> bool:
    """Whether webhooks will be signed: by the secret that was given, or by one of ours where we tell the provider."""
    if body.webhook is not None and body.webhook.secret is not None:
        return True
    wanted = body.webhook is not None or WEBHOOK in (body.capabilities or ())
    if wanted and (body.auth is None or not isinstance(adapter, Subscriptions)):
        raise InvalidError("is needed to receive webhooks", field="webhook.secret", status=422)
    return wanted


def _new_signing_secret(body: WebhookBody, adapter: Adapter, edge: Edge) -> Secret:
    if body.secret is not None:
        return _secret(body.secret)
    if not isinstance(adapter, Subscriptions):
        raise InvalidError("is needed to receive webhooks", field="webhook.secret", status=422)
    return sealing.new_secret(edge.ports)


def _secret(text: str) -> Secret:
    return Secret(value=text.encode())


def _held(*, signs: bool, asks: bool) -> Mapping[str, bool]:
    """Whether there is the secret that each capability needs."""
    return {WEBHOOK: signs, OUTBOUND: asks, POLLING: asks}


def _capabilities(
    wanted: list[str] | None, adapter: Adapter, *, held: Mapping[str, bool]
) -> tuple[str, ...]:
    """What the connection is for; each needs its secret."""
    able = [name for name in CAPABILITIES if name in registry.capabilities(adapter)]
    named = _usual(able, held) if wanted is None else wanted
    if not named or not set(named) <= set(able):
        choice = ", ".join(able)
        raise InvalidError(f"must be at least one of {choice}", field="capabilities", status=422)
    lacking = next((name for name in able if name in named and not held[name]), None)
    if lacking is not None:
        field, what = _NEEDS[lacking]
        raise InvalidError(f"is needed to {what}", field=field, status=422)
    return tuple(name for name in able if name in named)


def _usual(able: Sequence[str], held: Mapping[str, bool]) -> list[str]:
    """What it is for where nothing is said: polling only where the provider sends nothing by itself."""
    return [name for name in able if (WEBHOOK not in able if name == POLLING else held[name])]


def _check_polled(capabilities: Sequence[str], settings: bytes, adapter: Adapter) -> None:
    """Refuse to poll nothing.

    Raises:
        InvalidError, SettingsError: 422.
    """
    if POLLING not in capabilities or not isinstance(adapter, Polls):
        return
    if not adapter.resources(settings):
        raise InvalidError("names nothing to poll", field="settings", status=422)


def _settings(document: dict[str, Any], adapter: Adapter) -> bytes:
    try:
        schema.read(document, adapter.manifest.settings)
    except schema.ShapeError as error:
        where = f"settings.{error.path}" if error.path else "settings"
        raise SettingsError(error.message, field=where) from error
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


async def _place(body: ConnectionBody, adapter: Adapter, edge: Edge) -> str:
    if body.base_url is None and body.network is None:
        return adapter.manifest.base_url
    return await _reached(body.base_url or adapter.manifest.base_url, body.network, edge)


async def _moved(body: ConnectionEdits, connection: ConnectionRecord, edge: Edge) -> str:
    network = body.network
    if network is None:
        network = schema.read(orjson.loads(connection.network), NetworkBody)
    return await _reached(body.base_url or connection.base_url, network, edge)


async def _reached(base_url: str, network: NetworkBody | None, edge: Edge) -> str:
    """The base URL, if a connection may lead there by that way."""
    way = network or NetworkBody()
    development = edge.ports.transport.network.development
    checked = checked_base_url(base_url, development=development)
    by = checked_network(way.ca_bundle, way.proxy, development=development)
    await check_reach(checked, by, edge.ports.transport)
    return checked


def _network(body: NetworkBody | None) -> bytes:
    way = body or NetworkBody()
    told = {"ca_bundle": way.ca_bundle, "proxy": way.proxy}
    return orjson.dumps({name: value for name, value in told.items() if value is not None})
