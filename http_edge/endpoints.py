"""Who is behind a webhook URL: looked up by the token's hash, kept for seconds, with the signing secrets unsealed."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from uuid import UUID

from attrs import field, frozen

from actors.platform.errors import SecretLostError
from actors.platform.secrets import SecretStore
from actors.sealing import hash_of
from adapters.contract import Secret
from persistence.life_store import ConnectionStore
from persistence.records import EndpointRecord
from runtime import Clock

_MOST_KEPT = 10_000


@frozen(kw_only=True)
class Endpoint:
    """A webhook endpoint and the secrets that sign for it now, newest first."""

    record: EndpointRecord
    secrets: tuple[Secret, ...]
    until: datetime = field(repr=False)


class Endpoints:
    """Finds endpoints. Known ones are kept for ``kept``, unknown ones never are.

    So a change that is made elsewhere takes that long to show.
    """

    def __init__(
        self,
        store: ConnectionStore,
        secrets: SecretStore,
        clock: Clock,
        *,
        kept: timedelta = timedelta(seconds=5),
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._kept = kept
        self._known: OrderedDict[bytes, Endpoint] = OrderedDict()
        self._forgotten = 0

    async def find(self, token: str) -> Endpoint | None:
        """The endpoint of ``token``, or None. The path of an unknown token is the same whatever it looks like.

        Raises:
            StoreUnavailableError, PlatformError: it can not be known now.
        """
        key = hash_of(token)
        known = self._known.get(key)
        if known is not None and self._clock.now() < known.until:
            return known
        before = self._forgotten
        record = await self._store.endpoint(key, now=self._clock.now())
        if record is None:
            self._known.pop(key, None)
            return None
        endpoint = Endpoint(
            record=record,
            secrets=await self._unsealed(record),
            until=self._clock.now() + self._kept,
        )
        if before == self._forgotten:  # else it may be of before the change
            self._keep(key, endpoint)
        return endpoint

    def forget(self, connection_id: UUID) -> None:
        """Look again at the next call: this connection's endpoints or secrets are others now."""
        self._forgotten += 1
        for key, known in tuple(self._known.items()):
            if known.record.connection_id == connection_id:
                del self._known[key]

    async def _unsealed(self, record: EndpointRecord) -> tuple[Secret, ...]:
        """The signing secrets that can be had; one that is lost proves nothing, and others may still sign."""
        found = []
        for secret_id in record.secret_refs:
            try:
                found.append(await self._secrets.unseal(record.tenant_id, secret_id))
            except SecretLostError:
                continue
        return tuple(found)

    def _keep(self, key: bytes, endpoint: Endpoint) -> None:
        self._known[key] = endpoint
        self._known.move_to_end(key)
        if len(self._known) > _MOST_KEPT:
            self._known.popitem(last=False)
