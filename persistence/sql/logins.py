"""The part of the store about logins, and requests with an Idempotency-Key."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from persistence import logins, requests
from persistence.changes import ClaimedRequest, LoginRecord, RequestAnswer, RequestClaim
from persistence.records import SealedSecret
from persistence.sql.part import Part


class SqlLogins(Part):
    """See ``LoginStore``."""

    async def begin_login(self, login: LoginRecord, verifier: SealedSecret) -> None:
        """See ``LoginStore.begin_login``."""
        await self._engine.run(logins.begin, login, verifier)

    async def take_login(self, state_hash: bytes, *, now: datetime) -> LoginRecord | None:
        """See ``LoginStore.take_login``."""
        return logins.taken_of(await self._engine.ask(logins.take(state_hash)), now=now)

    async def claim_request(self, claim: RequestClaim) -> ClaimedRequest:
        """See ``LoginStore.claim_request``."""
        return await self._engine.run(requests.claim, claim)

    async def finish_request(self, answer: RequestAnswer) -> None:
        """See ``LoginStore.finish_request``."""
        await self._engine.run(requests.finish, answer)

    async def drop_request(self, tenant_id: str, request_id: UUID) -> None:
        """See ``LoginStore.drop_request``."""
        await self._engine.ask(requests.drop(tenant_id, request_id))
