"""The ports to what a connection's life leaves behind. See ``store`` for what holds of every method."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from persistence.changes import (
    ChainedReceipt,
    ClaimedRequest,
    ConnectionChange,
    ConnectionFilter,
    IncidentRecord,
    LoginRecord,
    NewIncident,
    Registration,
    RequestAnswer,
    RequestClaim,
)
from persistence.records import (
    ConnectionRecord,
    EndpointRecord,
    Lease,
    NewReceipt,
    ProviderRecord,
    SealedSecret,
    TenantKey,
)


class ConnectionStore(Protocol):
    """Connections, their endpoints and their sealed secrets."""

    async def publish_providers(
        self, providers: Sequence[ProviderRecord], *, now: datetime
    ) -> None:
        """Make ``integration_providers`` say what this program's registry says (upsert by provider_id)."""
        ...

    async def create_connection(
        self,
        connection: ConnectionRecord,
        endpoint: EndpointRecord,
        secrets: Sequence[SealedSecret],
        receipt: NewReceipt,
        answer: RequestAnswer | None = None,
    ) -> None:
        """Store a connection with its endpoint, secrets and receipt; and the ``answer`` to its request, if it has a key.

        Raises:
            ConflictError: the tenant has a connection of this provider with this display name, or the request's claim
                is not this one's any more.
        """
        ...

    async def connection(self, tenant_id: str, connection_id: UUID) -> ConnectionRecord | None:
        """The tenant's connection of that id; deleted ones too, as long as they are kept."""
        ...

    async def connections(
        self,
        tenant_id: str,
        *,
        after: UUID | None,
        limit: int,
        only: ConnectionFilter | None = None,
    ) -> tuple[ConnectionRecord, ...]:
        """The tenant's connections by ascending id, at most ``limit``, from behind ``after``; deleted ones only if asked for."""
        ...

    async def change_connection(
        self,
        tenant_id: str,
        connection_id: UUID,
        change: ConnectionChange,
        *,
        version: int,
        receipt: NewReceipt | None,
        now: datetime,
    ) -> ConnectionRecord:
        """Change a connection that still has ``version``; becoming ``active`` sets ``verified_at``, unless by being resumed.

        Raises:
            MissingError: no such connection in this tenant, or a secret in ``ending`` is not the connection's.
            StaleError: it has another version.
            ConflictError: the new name is taken, or a secret of that purpose and version is there.
        """
        ...

    async def renew_credentials(
        self,
        lease: Lease,
        *,
        expected: UUID | None,
        sealed: SealedSecret,
        now: datetime,
        receipt: NewReceipt | None = None,
    ) -> None:
        """Make ``sealed`` the connection's credentials if they are still ``expected``, whose row goes (a used refresh token).

        The connection's version stays: callers see no change.

        Raises:
            FencedError: nothing was written.
            ConflictError: the credentials are others by now; nothing was written.
        """
        ...

    async def keep_pressure(self, lease: Lease, pressure: bytes) -> None:
        """Remember the actor's breaker and holds (a JSON object).

        Raises:
            FencedError: nothing was written.
        """
        ...

    async def endpoint(self, token_hash: bytes, *, now: datetime) -> EndpointRecord | None:
        """The endpoint of that token's hash, with its connection's state and the secrets valid at ``now``.

        Closed ones and deleted connections' too, so that the edge can tell them from unknown ones.
        """
        ...

    async def registrations(
        self, tenant_id: str, connection_id: UUID, *, now: datetime
    ) -> tuple[Registration, ...]:
        """The connection's endpoints that are not ended, newest first."""
        ...

    async def keep_hooks(
        self, tenant_id: str, registration_id: UUID, *, hooks: bytes, now: datetime
    ) -> None:
        """Remember what the provider's webhooks were brought to (a JSON object), checked ``now``."""
        ...

    async def registrations_to_check(
        self, *, checked_before: datetime, limit: int
    ) -> tuple[tuple[str, UUID], ...]:
        """(tenant, connection) of active connections whose webhook was last checked before then, longest ago first.

        Their newest open endpoint was brought to the provider before (it has hooks): upkeep, for every tenant.
        """
        ...

    async def sealed_secret(self, tenant_id: str, secret_id: UUID) -> SealedSecret | None:
        """A sealed secret of the tenant, if it is still kept."""
        ...

    async def secrets_of(
        self, tenant_id: str, connection_id: UUID, purpose: str, *, now: datetime
    ) -> tuple[SealedSecret, ...]:
        """The connection's secrets of ``purpose`` that are valid, newest version first."""
        ...

    async def keep_tenant_key(self, key: TenantKey) -> TenantKey:
        """Store the tenant's data key unless it has one of that version; returns the one that is kept."""
        ...

    async def tenant_key(self, tenant_id: str, key_id: UUID | None = None) -> TenantKey | None:
        """The tenant's data key ``key_id``, or its newest."""
        ...

    async def connections_to_clean(
        self, *, now: datetime, limit: int
    ) -> tuple[tuple[str, UUID], ...]:
        """(tenant, connection) of deleted connections whose time to be tidied up has come: upkeep, for every tenant."""
        ...

    async def cleaned(
        self, tenant_id: str, connection_id: UUID, *, again_at: datetime | None, now: datetime
    ) -> None:
        """A deleted connection was tidied up: its secrets are forgotten. ``again_at``: it was not, try again then.

        Raises:
            MissingError: no such deleted connection in this tenant.
        """
        ...


class LoginStore(Protocol):
    """OAuth 2.0 flows under way, and requests with an Idempotency-Key."""

    async def begin_login(self, login: LoginRecord, verifier: SealedSecret) -> None:
        """Remember a flow; an older one of the same connection ends.

        Raises:
            MissingError: no such connection in this tenant.
        """
        ...

    async def take_login(self, state_hash: bytes, *, now: datetime) -> LoginRecord | None:
        """The flow of that state, which it ends; None if there is none, or its time is over.

        The verifier's row stays until the flow's time is over.
        """
        ...

    async def claim_request(self, claim: RequestClaim) -> ClaimedRequest:
        """Claim a request's key within its tenant, or find what became of it.

        Raises:
            ConflictError: the key was used for another request (``digest`` differs).
        """
        ...

    async def finish_request(self, answer: RequestAnswer) -> None:
        """Keep the answer to a claimed request until it expires.

        Raises:
            ConflictError: the claim is not this one's any more.
        """
        ...

    async def drop_request(self, tenant_id: str, request_id: UUID) -> None:
        """Give a claim back: nothing was done, so the same key may ask again."""
        ...


class IncidentStore(Protocol):
    """What people should know of, on its way to the alerting and health modules."""

    async def open_incident(self, incident: NewIncident) -> bool:
        """Open an incident; False if one of this connection and kind is open already (it stays as it is)."""
        ...

    async def close_incident(
        self, tenant_id: str, connection_id: UUID, kind: str, *, now: datetime
    ) -> bool:
        """Resolve the open incident of that kind; False if there is none."""
        ...

    async def incidents(
        self, tenant_id: str, connection_id: UUID, *, limit: int
    ) -> tuple[IncidentRecord, ...]:
        """The connection's incidents, open ones first, then newest first."""
        ...

    async def tenants_with_incidents(self, *, limit: int) -> tuple[str, ...]:
        """Tenants with incidents that the alerting module does not know as they are."""
        ...

    async def incidents_to_tell(self, tenant_id: str, *, limit: int) -> tuple[IncidentRecord, ...]:
        """The tenant's incidents to tell, oldest first; attempts are counted."""
        ...

    async def incident_told(self, tenant_id: str, incident_id: UUID, *, told: str) -> None:
        """The alerting module knows it as ``open`` or ``resolved``; never goes back from resolved."""
        ...


class EvidenceStore(Protocol):
    """A tenant's receipts as the chain they are."""

    async def chained_receipts(
        self, tenant_id: str, *, after: int, limit: int
    ) -> tuple[ChainedReceipt, ...]:
        """The tenant's receipts that are kept, by ascending ``sequence_no``, from behind ``after``."""
        ...
