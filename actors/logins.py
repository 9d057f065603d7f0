"""OAuth 2.0 logins: a person is sent to the provider and comes back with a code (RFC 6749, 4.1, with PKCE; FR-3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit
from uuid import UUID

from attrs import evolve, field, frozen

from actors import life, sealing
from actors.connections import Connections, steadily
from actors.errors import BusyError, IncapableError, LoginError, NotSentError
from actors.lifecycle import Move, allows
from actors.line import send_as_it_is
from actors.orders import By, Rotation, Verified
from actors.platform.errors import PlatformError
from actors.ports import Ports
from actors.sealing import VERIFIER
from actors.token_endpoint import TokenEndpoint
from adapters import oauth
from adapters.capabilities import AuthorizationServer
from adapters.contract import Secret
from adapters.credentials import Grant, OAuthTokens
from persistence.changes import LoginRecord
from persistence.records import ConnectionRecord, ConnectionState

CALLBACK = "/v1/integrations/oauth/callback"
_TIME_TO_LOG_IN = timedelta(minutes=10)


@frozen(kw_only=True)
class LoginStarted:
    """Where to send the person's browser, and until when. The URL holds the state."""

    authorization_url: str = field(repr=False)
    expires_at: datetime


@frozen(kw_only=True)
class LoginFinished:
    """What a login led to: the connection has its tokens, and was verified with them."""

    verified: Verified
    return_to: str | None


@frozen(kw_only=True)
class Logins:
    """OAuth 2.0 logins of all tenants. ``return_origins``: where a browser may be sent when it is done."""

    ports: Ports
    connections: Connections
    return_origins: tuple[str, ...] = ()

    async def start(
        self, tenant_id: str, connection_id: UUID, *, by: By, return_to: str | None = None
    ) -> LoginStarted:
        """Begin a login; an earlier one of this connection ends.

        Raises:
            MissingError: no such connection.
            IncapableError: its provider knows no OAuth 2.0, or no client is registered there.
            LoginError: ``return_to`` is of no origin that is allowed.
            WrongStateError, PlatformError: not now.
        """
        ports = self.ports
        found = await self.connections.found(tenant_id, connection_id, by)
        self._check(return_to)
        server, client = await self._client(found)
        now = ports.clock.now()
        state, verifier = sealing.new_secret(ports), sealing.new_secret(ports)
        login_id = ports.ids()
        sealed = await ports.secrets.seal(
            tenant_id, connection_id, f"{VERIFIER}:{login_id}", 1, verifier, now=now
        )
        expires_at = now + _TIME_TO_LOG_IN
        login = LoginRecord(
            login_id=login_id,
            tenant_id=tenant_id,
            connection_id=connection_id,
            state_hash=sealing.hash_of(state.value.decode()),
            verifier_ref=sealed.secret_id,
            subject=by.subject,
            return_to=return_to,
            created_at=now,
            expires_at=expires_at,
        )
        await ports.store.begin_login(login, evolve(sealed, expires_at=expires_at))
        url = oauth.authorization_url(
            server,
            client_id=client.client_id,
            redirect_uri=f"{ports.public_url}{CALLBACK}",
            state=state.value.decode(),
            challenge=oauth.challenge(verifier.value.decode()),
            scopes=server.scopes,
        )
        return LoginStarted(authorization_url=url, expires_at=expires_at)

    async def finish(
        self, *, state: str, code: str | None, error: str | None = None
    ) -> LoginFinished:
        """Take the code that a person brought back, once; keep the tokens, then verify the connection with them.

        Raises:
            LoginError: unknown or used state, its time is over, denied, or the provider does not take the code.
            PlatformError: M33 does not answer; the login has to be begun again.
        """
        ports = self.ports
        login = await ports.store.take_login(sealing.hash_of(state), now=ports.clock.now())
        if login is None:
            raise LoginError("this login is not known, was used, or its time is over")
        if code is None or error is not None:
            raise LoginError("the provider or the person denied it")
        found = await self._found(login)
        verifier = await ports.secrets.unseal(login.tenant_id, login.verifier_ref)
        tokens = await self._tokens(found, Secret(value=code.encode()), verifier)
        by = By(subject=login.subject)
        kept = await steadily(by, lambda: self._keep(login, tokens))
        return LoginFinished(verified=await self._verified(kept, by), return_to=login.return_to)

    async def _found(self, login: LoginRecord) -> ConnectionRecord:
        found = await self.ports.store.connection(login.tenant_id, login.connection_id)
        if found is None or found.state is ConnectionState.DELETED:
            raise LoginError("its connection is gone")
        return found

    async def _tokens(
        self, connection: ConnectionRecord, code: Secret, verifier: Secret
    ) -> OAuthTokens:
        try:
            outcome = await self._endpoint(connection).by_code(
                code, verifier=verifier, redirect_uri=f"{self.ports.public_url}{CALLBACK}"
            )
        except NotSentError as error:
            raise LoginError(f"the provider was not asked: {error}") from error
        if not isinstance(outcome, Grant):
            raise LoginError(f"the provider gave no token: {outcome.reason}")
        return OAuthTokens(
            access_token=outcome.access_token,
            refresh_token=outcome.refresh_token,
            expires_at=outcome.expires_at,
            scopes=outcome.scopes,
        )

    async def _keep(self, login: LoginRecord, tokens: OAuthTokens) -> ConnectionRecord:
        """Make the tokens the connection's; what a person granted is not lost to another change."""
        ports, found = self.ports, await self._found(login)
        rotation = Rotation(credentials=tokens)
        made = await sealing.again(ports, found, rotation)
        return await life.reseal(
            ports, found, made.change, by=login.subject, details={"rotated": ["login"]}
        )

    async def _verified(self, connection: ConnectionRecord, by: By) -> Verified:
        """Try the tokens where the connection's state allows it; they are kept whatever comes of it."""
        if not allows(connection.state, Move.VERIFY):
            reason = f"to be verified when it is {connection.state.value} no more"
            return Verified(connection=connection, passed=False, reason=reason)
        try:
            return await self.connections.verify(
                connection.tenant_id, connection.connection_id, by
            )
        except (BusyError, PlatformError) as error:
            return Verified(connection=connection, passed=False, reason=str(error), again=True)

    def _endpoint(self, connection: ConnectionRecord) -> TokenEndpoint:
        send = partial(send_as_it_is, connection, self.ports)
        return TokenEndpoint(connection=connection, ports=self.ports, send=send)

    async def _client(
        self, connection: ConnectionRecord
    ) -> tuple[AuthorizationServer, oauth.OAuthClient]:
        endpoint = self._endpoint(connection)
        try:
            return endpoint.server(), await endpoint.client()
        except NotSentError as error:
            raise IncapableError(str(error)) from error

    def _check(self, return_to: str | None) -> None:
        if return_to is None:
            return
        parts = urlsplit(return_to)
        if f"{parts.scheme}://{parts.netloc}" not in self.return_origins:
            raise LoginError("return_to is of no origin that is allowed")
