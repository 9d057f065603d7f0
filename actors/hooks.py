"""The webhook a connection wants at its provider, and what is remembered of the one that is there (FR-2)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from attrs import frozen

from actors.ports import Ports
from actors.sealing import ENDPOINT, WEBHOOK
from adapters.capabilities import Wanted
from adapters.contract import Done, Outcome, Secret
from persistence.records import ConnectionRecord

WEBHOOKS = "/v1/integrations/webhooks/"
"""Where providers send webhooks (PRD 11.2); behind it come the provider's id and the endpoint's token."""

_MOST_FORMER = 10
"""So many settings of before are remembered; each may have left a webhook behind."""


@frozen(kw_only=True)
class Remembered:
    """What the provider was last brought to.

    ``secret`` names the signing secret it was told; None: not known, or a later try did not end well. ``settings``: all
    that it may still have a webhook for. ``open``: the connection has an endpoint that takes webhooks. ``made``: the
    webhooks that there were at the end of the last try that ended well, a JSON array.
    """

    registration_id: UUID
    open: bool
    secret: str | None
    settings: tuple[bytes, ...]
    made: bytes | None = None


@frozen(kw_only=True)
class Order:
    """The webhook that is wanted, and the name of its signing secret."""

    wanted: Wanted
    secret_id: UUID


async def remembered(connection: ConnectionRecord, ports: Ports) -> Remembered | None:
    """What is known of the provider's webhook; of a URL that is new, what was known of the one before. None: no URL."""
    known = await ports.store.registrations(
        connection.tenant_id, connection.connection_id, now=ports.clock.now()
    )
    if not known:
        return None
    told = next((each.hooks for each in known if each.hooks is not None), b"{}")
    document: dict[str, Any] = orjson.loads(told)
    return Remembered(
        registration_id=known[0].registration_id,
        open=any(each.open for each in known),
        secret=document.get("secret"),
        settings=tuple(orjson.dumps(each) for each in document.get("settings", ())),
        made=orjson.dumps(document["hooks"]) if "hooks" in document else None,
    )


async def told(connection: ConnectionRecord, ports: Ports) -> bytes | None:
    """What the provider told of the webhooks that we made there (``Subscriptions``); None: it has none of ours."""
    known = await ports.store.registrations(
        connection.tenant_id, connection.connection_id, now=ports.clock.now()
    )
    told = next((each.hooks for each in known if each.hooks is not None), b"{}")
    return told if "hooks" in orjson.loads(told) else None


async def order(
    connection: ConnectionRecord, ports: Ports, known: Remembered, *, renewed: bool
) -> Order | None:
    """What to bring the provider to; None if the connection's URL or signing secret is not known.

    Raises:
        PlatformError: a secret can not be read now.
    """
    place, now = (connection.tenant_id, connection.connection_id), ports.clock.now()
    tokens = await ports.store.secrets_of(*place, ENDPOINT, now=now)
    signing = await ports.store.secrets_of(*place, WEBHOOK, now=now)
    if not tokens or not signing:
        return None
    url, *former = [
        webhook_url(ports.public_url, connection.provider_id, await ports.secrets.open(row))
        for row in tokens
    ]
    wanted = Wanted(
        url=url,
        former_urls=tuple(former),
        secret=await ports.secrets.open(signing[0]),
        settings=connection.settings,
        former_settings=_former(connection, known),
        renewed=renewed or known.secret != str(signing[0].secret_id),
    )
    return Order(wanted=wanted, secret_id=signing[0].secret_id)


async def keep(
    outcome: Outcome, ordered: Order, known: Remembered, connection: ConnectionRecord, ports: Ports
) -> None:
    """Remember what the provider was brought to, or why not."""
    here = orjson.loads(ordered.wanted.settings)
    if isinstance(outcome, Done):
        brought: dict[str, Any] = orjson.loads(outcome.details)
        document = {**brought, "secret": str(ordered.secret_id), "settings": [here]}
    else:
        former = [orjson.loads(each) for each in ordered.wanted.former_settings]
        document = {"error": outcome.reason, "settings": [*former, here]}
        if known.made is not None:
            document["hooks"] = orjson.Fragment(known.made)
    await ports.store.keep_hooks(
        connection.tenant_id,
        known.registration_id,
        hooks=orjson.dumps(document),
        now=ports.clock.now(),
    )


def webhook_url(public_url: str, provider_id: str, token: Secret) -> str:
    """Where a provider sends a connection's webhooks (PRD 11.2)."""
    return f"{public_url}{WEBHOOKS}{provider_id}/{token.value.decode()}"


def _former(connection: ConnectionRecord, known: Remembered) -> tuple[bytes, ...]:
    here = orjson.loads(connection.settings)
    former = [each for each in known.settings if orjson.loads(each) != here]
    return tuple(former[-_MOST_FORMER:])
