"""Renewed tokens on their way to M33: kept before their first use, whatever is cancelled or lost meanwhile (FR-3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import trio
from attrs import evolve, frozen

from actors import evidence
from actors.errors import NotSentError
from actors.ports import Ports
from actors.sealing import AUTH
from adapters.credentials import OAuthTokens, sealed_form
from persistence.errors import ConflictError
from persistence.records import ConnectionRecord, Lease, SealedSecret

_TIME_TO_KEEP = timedelta(seconds=5)


@frozen(kw_only=True)
class _Unkept:
    """Tokens that were granted in place of ``expected``; ``sealed`` once they are."""

    tokens: OAuthTokens
    expected: UUID | None
    sealed: SealedSecret | None = None


class Renewal:
    """What was granted and is not kept yet. A spent refresh token is worth nothing: this is the only one left."""

    def __init__(
        self, connection: ConnectionRecord, lease: Callable[[], Lease], ports: Ports
    ) -> None:
        self._connection = connection
        self._place = (connection.tenant_id, connection.connection_id)
        self._lease = lease
        self._ports = ports
        self._unkept: _Unkept | None = None

    @property
    def pending(self) -> bool:
        """Whether something is to be kept before anything else is asked for."""
        return self._unkept is not None

    def begin(self, tokens: OAuthTokens, *, expected: UUID | None) -> None:
        """Remember what was granted in place of the sealed secret ``expected``."""
        self._unkept = _Unkept(tokens=tokens, expected=expected)

    async def finish(self) -> tuple[UUID, OAuthTokens]:
        """Seal it and make it the connection's; its name, and what it is. Cancelled, it still ends within seconds.

        Raises:
            NotSentError: a caller has replaced the credentials meanwhile; or it took too long, and is to be finished.
            PlatformError, FencedError, StoreUnavailableError: not now; it is to be finished.
        """
        unkept = self._unkept
        if unkept is None:
            raise NotSentError("nothing was granted")
        with trio.move_on_after(_TIME_TO_KEEP.total_seconds(), shield=True) as scope:
            sealed = unkept.sealed or await self._sealed(unkept.tokens)
            self._unkept = evolve(unkept, sealed=sealed)
            await self._renew(unkept.expected, sealed)
        if scope.cancelled_caught:
            raise NotSentError("the renewed token could not be kept in time")
        self._unkept = None
        return sealed.secret_id, unkept.tokens

    async def _sealed(self, tokens: OAuthTokens) -> SealedSecret:
        ports, now = self._ports, self._ports.clock.now()
        known = await ports.store.secrets_of(*self._place, AUTH, now=now)
        version = max((secret.version for secret in known), default=0) + 1
        return await ports.secrets.seal(*self._place, AUTH, version, sealed_form(tokens), now=now)

    async def _renew(self, expected: UUID | None, sealed: SealedSecret) -> None:
        store, now = self._ports.store, self._ports.clock.now()
        try:
            await store.renew_credentials(
                self._lease(),
                expected=expected,
                sealed=sealed,
                now=now,
                receipt=evidence.of_connection(
                    self._connection, "refresh", self._ports, state=self._connection.state.value
                ),
            )
        except ConflictError as error:
            conflict = error
        else:
            return
        found = await store.connection(*self._place)
        if found is None or found.auth_ref != sealed.secret_id:
            self._unkept = None
            raise NotSentError("the credentials were replaced meanwhile") from conflict
        # The try before had happened, and only its answer was lost.
