"""Where a connection's tokens are asked for: plans for a grant, carried out by whichever client it has (FR-3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import urlsplit

from attrs import frozen

from actors.errors import MaybeSentError, NotSentError
from actors.platform.errors import PlatformError
from actors.ports import Ports
from actors.sealing import CLIENT
from adapters import oauth
from adapters.capabilities import Apps, AuthorizationServer, Login
from adapters.contract import Later, Request, Response, Secret
from adapters.credentials import (
    AppKey,
    ClientCredentials,
    Grant,
    GrantOutcome,
    GrantPlan,
    read,
)
from adapters.errors import CredentialsError
from adapters.oauth import OAuthClient
from persistence.records import ConnectionRecord

SendTo: TypeAlias = Callable[[Request, str], Awaitable[Response]]
"""Sends a request, that carries its own credentials, to an origin."""


@frozen(kw_only=True)
class TokenEndpoint:
    """Asks for the tokens of one connection. Each method raises as ``client`` and ``server`` do."""

    connection: ConnectionRecord
    ports: Ports
    send: SendTo

    async def by_code(self, code: Secret, *, verifier: Secret, redirect_uri: str) -> GrantOutcome:
        """What the code is worth that a person brought back."""
        plan = oauth.code_grant(
            self.server(),
            await self.client(),
            code=code.value.decode(),
            verifier=verifier.value.decode(),
            redirect_uri=redirect_uri,
            now=self.ports.clock.now(),
        )
        return await self._asked(plan)

    async def by_refresh(self, refresh_token: Secret) -> GrantOutcome:
        """New tokens for old; the refresh token may be spent by it."""
        client = await self.client()
        now = self.ports.clock.now()
        return await self._asked(
            oauth.refresh_grant(self.server(), client, refresh_token=refresh_token, now=now)
        )

    async def by_client(self, credentials: ClientCredentials) -> GrantOutcome:
        """A token in the client's own name."""
        client = OAuthClient(
            client_id=credentials.client_id, client_secret=credentials.client_secret
        )
        now = self.ports.clock.now()
        return await self._asked(oauth.client_grant(self.server(), client, scopes=(), now=now))

    async def by_app(self, key: AppKey) -> GrantOutcome:
        """A token of the app's installation.

        Raises:
            CredentialsError: the key can not sign.
        """
        adapter = self.ports.registry.get(self.connection.provider_id)
        if not isinstance(adapter, Apps):
            raise NotSentError("the provider knows no apps")
        return await self._asked(adapter.app_grant(key, now=self.ports.clock.now()))

    def server(self) -> AuthorizationServer:
        """The connection's authorization server.

        Raises:
            NotSentError: its provider has none.
        """
        adapter = self.ports.registry.get(self.connection.provider_id)
        if not isinstance(adapter, Login):
            raise NotSentError("the provider knows no OAuth 2.0")
        return adapter.authorization_server(self.connection.base_url)

    async def client(self) -> OAuthClient:
        """The OAuth client of the connection: its own, or the operator's for its provider.

        Raises:
            NotSentError: there is none, or it can not be read now.
        """
        ports, connection = self.ports, self.connection
        own = await ports.store.secrets_of(
            connection.tenant_id, connection.connection_id, CLIENT, now=ports.clock.now()
        )
        if not own:
            registered = ports.oauth_clients.get(connection.provider_id)
            if registered is None:
                raise NotSentError("no OAuth client is registered for the provider")
            return registered
        try:
            credentials = read(await ports.secrets.open(own[0]))
        except (PlatformError, CredentialsError) as error:
            raise NotSentError(f"the OAuth client can not be read: {error}") from error
        if not isinstance(credentials, ClientCredentials):
            raise NotSentError("what is sealed is no OAuth client")
        # A public client was sealed with an empty secret.
        secret = credentials.client_secret if credentials.client_secret.value else None
        return OAuthClient(client_id=credentials.client_id, client_secret=secret)

    async def _asked(self, plan: GrantPlan) -> GrantOutcome:
        """Carry the plan out; requests lead to the base URL or to the authorization server's own origin."""
        step = _next_of(plan, None)
        while isinstance(step, Request):
            try:
                response = await self.send(step, _origin_of(step.url, self.connection.base_url))
            except NotSentError as error:
                step = Later(reason=str(error))
            except MaybeSentError as error:
                step = Later(reason=str(error), maybe_sent=step.writes)
            else:
                step = _next_of(plan, response)
        plan.close()
        self._tell(step)
        return step

    def _tell(self, outcome: GrantOutcome) -> None:
        connection, result = self.connection, type(outcome).__name__.lower()
        counted = self.ports.metrics.token_refreshes
        counted.labels(connection.provider_id, connection.tenant_id, result).inc()
        log = self.ports.log.bind(
            tenant=connection.tenant_id,
            connection=str(connection.connection_id),
            provider=connection.provider_id,
        )
        if isinstance(outcome, Grant):
            log.info("token.granted")
        else:
            log.warning("token.not_granted", result=result, reason=outcome.reason)


def _next_of(plan: GrantPlan, response: Response | None) -> Request | GrantOutcome:
    try:
        return next(plan) if response is None else plan.send(response)
    except StopIteration as end:
        outcome: GrantOutcome = end.value
        return outcome


def _origin_of(url: str, base_url: str) -> str:
    """Where a request of a grant leads: a path is below the base URL, an absolute URL is of its own origin."""
    if url.startswith("/"):
        return base_url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
