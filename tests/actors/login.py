"""A connection that a person logged in to, and what its actor holds of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import trio
from attrs import define, field

from actors.grants import Grants
from adapters.contract import NeedsLogin, Request, Response, Secret
from adapters.credentials import (
    Credentials,
    OAuthTokens,
    read,
)
from persistence.records import ConnectionRecord, Lease
from tests.actors.hub import Hub
from tests.actors.scene import EPOCH

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@define(eq=False)
class Login:
    """A connection with tokens of a person, and what its actor holds of it."""

    hub: Hub
    connection: ConnectionRecord
    lease: Lease
    grants: Grants = field(init=False)
    asked: list[Request] = field(factory=list)
    answered: int = 0

    def __attrs_post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another incarnation, which has nothing but the row."""
        self.grants = Grants(self.connection, lambda: self.lease, self.hub.scene.ports, self.send)

    async def send(self, request: Request, origin: str) -> Response:
        """Send what asks for a token."""
        self.asked.append(request)
        response = await self.hub.scene.ports.transport.send(request, base_url=origin)
        self.answered += 1
        return response

    async def after_death(self) -> Secret | NeedsLogin:
        """The token that the next incarnation uses."""
        self.hub.scene.store.around = trio.lowlevel.checkpoint
        self.connection = await self.hub.read(self.connection)
        self.lease = await self.hub.scene.store.inner.claim_connection(
            "acme", self.connection.connection_id, owner=self.hub.scene.ports.incarnation
        )
        self.restart()
        return await self.grants.token()

    async def kept(self) -> OAuthTokens:
        """What is sealed in the row now."""
        found = await self.hub.read(self.connection)
        assert found.auth_ref is not None
        tokens = read(await self.hub.secrets.unseal("acme", found.auth_ref))
        assert isinstance(tokens, OAuthTokens)
        return tokens

    def works(self, token: Secret | NeedsLogin | None) -> bool:
        """Whether GitHub takes it."""
        now = self.hub.clock.now()
        return any(
            known.secret == token and (known.expires_at is None or now < known.expires_at)
            for known in self.hub.github.world.tokens
        )

    def near_its_end(self) -> None:
        self.hub.clock.at = EPOCH + 8 * HOUR - 4 * MINUTE


async def a_login(hub: Hub, credentials: Credentials, **chosen: Any) -> Login:
    created = await hub.create(credentials=credentials, client=hub.client(**chosen))
    connection = created.connection
    lease = await hub.scene.store.inner.claim_connection(
        "acme", connection.connection_id, owner=hub.scene.ports.incarnation
    )
    return Login(hub, connection, lease)


async def a_login_named(hub: Hub, name: str) -> Login:
    created = await hub.create(credentials=hub.granted(), client=hub.client(), name=name)
    lease = await hub.scene.store.inner.claim_connection(
        "acme", created.connection.connection_id, owner=hub.scene.ports.incarnation
    )
    hub.clock.at = EPOCH
    return Login(hub, created.connection, lease)
