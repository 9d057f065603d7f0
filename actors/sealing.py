"""The sealed secrets of a connection, made and replaced: which purposes there are, which version is next, what ends when."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from attrs import field, frozen

from actors.lifecycle import Move, after
from actors.orders import NewConnection, Rotation
from actors.ports import Ports
from adapters.capabilities import Subscriptions
from adapters.contract import Secret
from adapters.credentials import ClientCredentials, Credentials, sealed_form
from adapters.oauth import OAuthClient
from persistence.changes import ConnectionChange
from persistence.records import ConnectionRecord, EndpointRecord, SealedSecret

AUTH, CLIENT, WEBHOOK, ENDPOINT, VERIFIER = "auth", "client", "webhook", "endpoint", "verifier"
"""What sealed secrets are for: credentials, OAuth client, signing secret, the webhook URL's token, PKCE."""

_SECRET_BYTES = 32


@frozen(kw_only=True)
class Resealed:
    """What a rotation changes; ``token`` is the new URL's; what is replaced is good until ``old_until``."""

    change: ConnectionChange
    old_until: datetime
    token: Secret | None = field(default=None, repr=False)


def new_secret(ports: Ports) -> Secret:
    """256 unpredictable bits as URL-safe text."""
    return Secret(value=base64.urlsafe_b64encode(ports.entropy(_SECRET_BYTES)).rstrip(b"="))


def hash_of(token: str) -> bytes:
    """What is kept in the open of a token, to find it by: it is 256 random bits, so a plain hash keeps it."""
    return hashlib.sha256(token.encode()).digest()


async def first(
    ports: Ports, tenant_id: str, connection_id: UUID, new: NewConnection, token: Secret
) -> tuple[SealedSecret, ...]:
    """The secrets of a connection that is being made; where we register its webhook ourselves, a signing secret too.

    Raises:
        PlatformError: M33 does not answer or refuses.
    """
    values = {**_values(new.credentials, new.client), ENDPOINT: token}
    registers = isinstance(ports.registry.get(new.provider_id), Subscriptions)
    if new.webhook_secret is not None or registers:
        values[WEBHOOK] = new.webhook_secret or new_secret(ports)
    return await _sealed(ports, tenant_id, connection_id, values, {})


async def again(ports: Ports, connection: ConnectionRecord, rotation: Rotation) -> Resealed:
    """What a rotation changes: credentials at once, the webhook's secret and URL with a grace time for the old ones.

    Raises:
        PlatformError: M33 does not answer or refuses.
        WrongStateError: not in the connection's state.
    """
    now = ports.clock.now()
    until = now + ports.policy.of(connection.tenant_id).secret_grace
    token = new_secret(ports) if rotation.webhook_url else None
    values = _values(rotation.credentials, rotation.client)
    if rotation.webhook_secret is not None:
        values[WEBHOOK] = rotation.webhook_secret
    if token is not None:
        values[ENDPOINT] = token
    known = {
        purpose: await ports.store.secrets_of(
            connection.tenant_id, connection.connection_id, purpose, now=now
        )
        for purpose in values
    }
    versions = {
        purpose: max((secret.version for secret in rows), default=0)
        for purpose, rows in known.items()
    }
    sealed = await _sealed(ports, connection.tenant_id, connection.connection_id, values, versions)
    of = {secret.purpose: secret.secret_id for secret in sealed}
    change = ConnectionChange(
        state=after(connection.state, Move.ROTATE),
        reason=connection.reason,
        auth_ref=of.get(AUTH),
        secrets=sealed,
        ending=_ending(known, now=now, until=until),
        endpoint=None
        if token is None
        else endpoint(connection, token, ports, token_ref=of[ENDPOINT]),
        endpoints_end_at=until if token is not None else None,
    )
    return Resealed(change=change, old_until=until, token=token)


def endpoint(
    connection: ConnectionRecord, token: Secret, ports: Ports, *, token_ref: UUID
) -> EndpointRecord:
    """A new endpoint of the connection."""
    return EndpointRecord(
        registration_id=ports.ids(),
        tenant_id=connection.tenant_id,
        connection_id=connection.connection_id,
        provider_id=connection.provider_id,
        token_hash=hash_of(token.value.decode()),
        state=connection.state,
        base_url=connection.base_url,
        secret_refs=(),
        created_at=ports.clock.now(),
        token_ref=token_ref,
    )


def _ending(
    known: Mapping[str, tuple[SealedSecret, ...]], *, now: datetime, until: datetime
) -> tuple[tuple[UUID, datetime], ...]:
    """Old credentials end at once; old signing secrets and URLs after their grace, and never later than they would."""
    return tuple(
        (secret.secret_id, min(end, secret.expires_at or end))
        for purpose, rows in known.items()
        for end in (now if purpose in {AUTH, CLIENT} else until,)
        for secret in rows
    )


def _values(credentials: Credentials | None, client: OAuthClient | None) -> dict[str, Secret]:
    values: dict[str, Secret] = {}
    if credentials is not None:
        values[AUTH] = sealed_form(credentials)
    if client is not None:
        values[CLIENT] = sealed_form(
            ClientCredentials(
                client_id=client.client_id, client_secret=client.client_secret or Secret(value=b"")
            )
        )
    return values


async def _sealed(
    ports: Ports,
    tenant_id: str,
    connection_id: UUID,
    values: Mapping[str, Secret],
    versions: Mapping[str, int],
) -> tuple[SealedSecret, ...]:
    now = ports.clock.now()
    return tuple(
        [
            await ports.secrets.seal(
                tenant_id,
                connection_id,
                purpose,
                versions.get(purpose, 0) + 1,
                value,
                now=now,
            )
            for purpose, value in values.items()
        ]
    )
