"""A connection's token: opened, renewed ahead of its end, one at a time, kept in memory only (FR-3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import trio
from attrs import evolve, frozen

from actors.errors import NotSentError
from actors.platform.errors import PlatformError, SecretLostError
from actors.ports import Ports
from actors.renewal import Renewal
from actors.token_endpoint import SendTo, TokenEndpoint
from adapters.contract import Later, NeedsLogin, Refused, Secret
from adapters.credentials import (
    AppKey,
    ClientCredentials,
    Credentials,
    Grant,
    GrantOutcome,
    OAuthTokens,
    StaticToken,
    read,
)
from adapters.errors import CredentialsError
from persistence.records import ConnectionRecord, Lease

_AHEAD = timedelta(minutes=5)
_MARGIN = 0.1
"""A token is renewed when five minutes, or a tenth of its life, are left: whichever is shorter."""
_TRY_AGAIN = timedelta(seconds=30)
"""A token that could not be renewed ahead of its end is used on; so often is it tried meanwhile."""


@frozen(kw_only=True)
class Held:
    """A token in use: until when without looking again, and when it ends if no newer one can be had."""

    token: Secret
    until: datetime
    ends: datetime
    scopes: tuple[str, ...] = ()


class Grants:
    """The credentials of one connection; its actor owns it. Several tasks may ask: one at a time opens or renews."""

    def __init__(
        self,
        connection: ConnectionRecord,
        lease: Callable[[], Lease],
        ports: Ports,
        send: SendTo,
        *,
        given: Credentials | None = None,
    ) -> None:
        """Use the sealed credentials, or those ``given``: to try them before they are sealed."""
        self._given = given
        self._connection = connection
        self._auth_ref = connection.auth_ref
        self._lease = lease
        self._ports = ports
        self._send = send
        self._turn = trio.Lock()
        self._held: Held | None = None
        self._renewal = Renewal(connection, lease, ports)
        self._endpoint = TokenEndpoint(connection=connection, ports=ports, send=send)

    async def token(self) -> Secret | NeedsLogin:
        """The token to use now, or why a person must come.

        Raises:
            NotSentError: it can not be had now; nothing was sent to the provider's API.
            FencedError, StoreUnavailableError: a renewed one could not be kept, so it is not used.
        """
        got = await self._current()
        return got.token if isinstance(got, Held) else got

    async def scopes(self) -> tuple[str, ...]:
        """What the grant of the token to use now said that it may do. Raises as ``token``."""
        got = await self._current()
        return got.scopes if isinstance(got, Held) else ()

    async def after_refusal(self, refused: Secret) -> Secret | NeedsLogin | None:
        """Another token than the one that the provider refused with 401; None if there is no other. Raises as ``token``."""
        async with self._turn:
            if self._held is not None and self._held.token != refused:
                return self._held.token  # somebody else has renewed it meanwhile
            self._held = None
            got = await self._obtain(refused)
            if isinstance(got, NeedsLogin):
                return got
            if got.token == refused:
                return None
            self._held = got
            return got.token

    def forget(self) -> None:
        """Keep no token in memory longer than it is needed."""
        self._held = None

    def adapted(self, connection: ConnectionRecord) -> Grants:
        """Those of the connection as it is now: these, as long as its credentials are, so that two never renew at once."""
        known = (self._auth_ref, self._connection.base_url)
        if (connection.auth_ref, connection.base_url) == known:
            return self
        adapted = Grants(connection, self._lease, self._ports, self._send)
        adapted._turn = self._turn
        return adapted

    def trying(self, given: Credentials) -> Grants:
        """The same connection with other credentials, which are kept nowhere."""
        return Grants(self._connection, self._lease, self._ports, self._send, given=given)

    async def _current(self) -> Held | NeedsLogin:
        async with self._turn:
            now = self._ports.clock.now()
            if self._held is not None and now < self._held.until:
                return self._held
            try:
                got = await self._obtain(None)
            except NotSentError:
                self._held = self._used_on()
                if self._held is None:
                    raise
                return self._held
            if isinstance(got, Held):
                self._held = got
            return got

    def _used_on(self) -> Held | None:
        """A token that could not be renewed ahead of its end, while it is good all the same."""
        now, held = self._ports.clock.now(), self._held
        if held is None or now >= held.ends:
            return None
        return evolve(held, until=min(held.ends, now + _TRY_AGAIN))

    async def _obtain(self, refused: Secret | None) -> Held | NeedsLogin:
        """A token that is not ``refused``, if there is another."""
        try:
            if self._given is not None:
                return await self._tried(self._given)
            if self._renewal.pending:
                return await self._kept()
            if self._auth_ref is None:
                return NeedsLogin(reason="the connection has no credentials")
            return await self._exchanged(await self._opened(self._auth_ref), refused)
        except (SecretLostError, CredentialsError) as error:
            return NeedsLogin(reason=str(error))
        except PlatformError as error:
            raise NotSentError(f"the credentials can not be had: {error}") from error

    async def _opened(self, auth_ref: UUID) -> Credentials:
        """What is sealed; or what replaced it, by a caller, or by a write of ours whose answer was lost."""
        ports, tenant_id = self._ports, self._connection.tenant_id
        try:
            return read(await ports.secrets.unseal(tenant_id, auth_ref))
        except SecretLostError as error:
            lost = error
        found = await ports.store.connection(tenant_id, self._connection.connection_id)
        if found is None or found.auth_ref is None or found.auth_ref == auth_ref:
            raise lost
        self._auth_ref = found.auth_ref
        return read(await ports.secrets.unseal(tenant_id, found.auth_ref))

    async def _tried(self, given: Credentials) -> Held | NeedsLogin:
        """Credentials on trial are used as they are: nothing of them is renewed or kept."""
        if isinstance(given, OAuthTokens):
            return self._as_it_is(given.access_token, given.scopes)
        return await self._exchanged(given, None)

    async def _exchanged(
        self, credentials: Credentials, refused: Secret | None
    ) -> Held | NeedsLogin:
        match credentials:
            case StaticToken(token=token):
                return self._as_it_is(token)
            case OAuthTokens():
                return await self._of_login(credentials, refused)
            case ClientCredentials():
                return self._granted(await self._endpoint.by_client(credentials))
            case AppKey():
                return self._granted(await self._endpoint.by_app(credentials))

    async def _of_login(self, tokens: OAuthTokens, refused: Secret | None) -> Held | NeedsLogin:
        now, ends = self._ports.clock.now(), tokens.expires_at
        held = self._as_it_is(tokens.access_token, tokens.scopes)
        if ends is not None:
            ahead = timedelta() if tokens.refresh_token is None else _AHEAD
            held = evolve(held, until=min(held.until, ends - ahead), ends=min(held.ends, ends))
        if tokens.access_token != refused:
            if now < held.until:
                return held
            self._held = held
        return await self._refreshed(tokens)

    async def _refreshed(self, tokens: OAuthTokens) -> Held | NeedsLogin:
        """Renew, and keep what came at M33 before its first use: a rotated refresh token is the only one left."""
        if tokens.refresh_token is None:
            return NeedsLogin(reason="the login is over, and there is no refresh token")
        outcome = await self._endpoint.by_refresh(tokens.refresh_token)
        if not isinstance(outcome, Grant):
            return self._granted(outcome)
        renewed = OAuthTokens(
            access_token=outcome.access_token,
            refresh_token=outcome.refresh_token or tokens.refresh_token,
            expires_at=outcome.expires_at,
            scopes=outcome.scopes or tokens.scopes,
        )
        self._renewal.begin(renewed, expected=self._auth_ref)
        return await self._kept()

    async def _kept(self) -> Held:
        self._auth_ref, renewed = await self._renewal.finish()
        return self._lasting(renewed.access_token, renewed.expires_at, renewed.scopes)

    def _granted(self, outcome: GrantOutcome) -> Held | NeedsLogin:
        match outcome:
            case Grant():
                return self._lasting(outcome.access_token, outcome.expires_at, outcome.scopes)
            case NeedsLogin():
                return outcome
            case Refused(reason=reason):
                return NeedsLogin(reason=f"the token endpoint refuses: {reason}")
            case Later(reason=reason):
                raise NotSentError(f"no token now: {reason}")

    def _lasting(self, token: Secret, ends: datetime | None, scopes: tuple[str, ...]) -> Held:
        if ends is None:
            return self._as_it_is(token, scopes)
        until = ends - min(_AHEAD, (ends - self._ports.clock.now()) * _MARGIN)
        return Held(token=token, until=until, ends=ends, scopes=scopes)

    def _as_it_is(self, token: Secret, scopes: tuple[str, ...] = ()) -> Held:
        kept = self._ports.clock.now() + self._ports.pace.token_kept
        return Held(token=token, until=kept, ends=kept, scopes=scopes)
