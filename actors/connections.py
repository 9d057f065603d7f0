"""What callers can do with their connections (FR-2). Each is one decision, one transaction, one receipt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar
from uuid import UUID

import orjson
from attrs import frozen

from actors import asking, evidence, incidents, life, sealing
from actors.errors import CredentialsRefusedError, IncapableError, NotAllowedError
from actors.hooks import webhook_url
from actors.jobs import Task
from actors.lifecycle import Move, after
from actors.orders import By, Created, Edits, NewConnection, Rotated, Rotation, Verified
from actors.ports import Ports
from actors.relay import producer_of
from actors.sealing import AUTH, ENDPOINT, WEBHOOK
from adapters import registry
from adapters.capabilities import Subscriptions
from adapters.contract import Done, Later, Outcome
from persistence.changes import ConnectionChange, RequestAnswer
from persistence.errors import MissingError, StaleError
from persistence.records import ConnectionRecord, ConnectionState

_Value = TypeVar("_Value")
_TRIES = 5
"""A change without a version in mind is tried again when another came first, this often."""


@frozen(kw_only=True)
class Connections:
    """The connections of all tenants, as callers change them. Every method names the tenant it is for (P6)."""

    ports: Ports

    async def create(
        self,
        tenant_id: str,
        new: NewConnection,
        by: By,
        *,
        answered: Callable[[Created], Awaitable[RequestAnswer | None]],
    ) -> Created:
        """Make a connection; it waits for verification, and what a provider sends before that is kept.

        ``answered`` gives what is kept as the answer to the request, in the same transaction.

        Raises:
            NotAllowedError: the tenant's policy does not allow the provider.
            ConflictError: the name is taken.
            PlatformError: a secret can not be sealed now.
        """
        ports = self.ports
        if not ports.policy.of(tenant_id).allows(new.provider_id):
            raise NotAllowedError(f"{new.provider_id} is not allowed for this tenant")
        now, connection_id, token = ports.clock.now(), ports.ids(), sealing.new_secret(ports)
        sealed = await sealing.first(ports, tenant_id, connection_id, new, token)
        of = {secret.purpose: secret.secret_id for secret in sealed}
        connection = ConnectionRecord(
            connection_id=connection_id,
            tenant_id=tenant_id,
            provider_id=new.provider_id,
            display_name=new.display_name,
            state=ConnectionState.PENDING_VERIFICATION,
            base_url=new.base_url,
            capabilities=new.capabilities,
            auth_ref=of.get(AUTH),
            settings=new.settings,
            tags=new.tags,
            created_at=now,
            updated_at=now,
            network=new.network,
        )
        created = Created(
            connection=connection,
            webhook_url=webhook_url(ports.public_url, new.provider_id, token),
            webhook_secret_ref=of.get(WEBHOOK),
        )
        await ports.store.create_connection(
            connection,
            sealing.endpoint(connection, token, ports, token_ref=of[ENDPOINT]),
            sealed,
            evidence.of_connection(
                connection, "create", ports, state=connection.state.value, by=by.subject
            ),
            await answered(created),
        )
        ports.wake.receipts(tenant_id)
        ports.log.info(
            "connection.created",
            audit=True,
            tenant=tenant_id,
            connection=str(connection_id),
            provider=new.provider_id,
            by=by.subject,
        )
        return created

    async def change(
        self, tenant_id: str, connection_id: UUID, edits: Edits, by: By
    ) -> ConnectionRecord:
        """Change what describes a connection; another address or other settings have to be verified anew."""

        def change(found: ConnectionRecord) -> tuple[Move, ConnectionChange]:
            redo = (
                edits.base_url not in {None, found.base_url}
                or _differ(edits.settings, found.settings)
                or _differ(edits.network, found.network)
            )
            move = Move.REDO if redo else Move.CHANGE
            return move, ConnectionChange(
                state=after(found.state, move),
                reason="changed; to be verified anew" if redo else found.reason,
                display_name=edits.display_name,
                base_url=edits.base_url,
                capabilities=edits.capabilities,
                settings=edits.settings,
                tags=edits.tags,
                network=edits.network,
            )

        return await self._changed(tenant_id, connection_id, by, change)

    async def suspend(
        self, tenant_id: str, connection_id: UUID, by: By, *, reason: str | None = None
    ) -> ConnectionRecord:
        """Send nothing any more, and keep what comes in until it is resumed."""
        return await self._moved(tenant_id, connection_id, Move.SUSPEND, by, reason)

    async def resume(self, tenant_id: str, connection_id: UUID, by: By) -> ConnectionRecord:
        """Go on where it was suspended; one that was disabled, or never verified, is to be verified anew."""
        ports = self.ports

        async def once() -> ConnectionRecord:
            found = await self.found(tenant_id, connection_id, by)
            if not ports.policy.of(tenant_id).allows(found.provider_id):
                raise NotAllowedError(f"{found.provider_id} is not allowed for this tenant")
            endpoints = await ports.store.registrations(
                tenant_id, connection_id, now=ports.clock.now()
            )
            is_open = any(endpoint.open for endpoint in endpoints)
            anew = life.is_disabled(found, endpoints_open=is_open)
            move = Move.REOPEN if anew else Move.RESUME
            change = ConnectionChange(state=after(found.state, move), open=True)
            return await life.make(ports, found, move, change, by=by.subject)

        return await steadily(by, once)

    async def disable(
        self, tenant_id: str, connection_id: UUID, by: By, *, reason: str | None = None
    ) -> ConnectionRecord:
        """Suspend, and take nothing in either: the endpoint answers 410, the provider's webhook is removed if it can be."""
        disabled = await self._changed(
            tenant_id,
            connection_id,
            by,
            lambda found: (
                Move.DISABLE,
                ConnectionChange(
                    state=after(found.state, Move.DISABLE),
                    reason=reason or "disabled",
                    open=False,
                ),
            ),
        )
        if self._registers(disabled):
            asking.insist(self.ports, disabled, Task.UNSUBSCRIBE)
        return disabled

    async def delete(self, tenant_id: str, connection_id: UUID, by: By) -> ConnectionRecord:
        """End it: the endpoint answers 410, what was never sent is cancelled; upkeep removes webhook and secrets.

        The secrets stay until the provider's webhook is gone, a day at the most: removing it needs them.
        """
        now = self.ports.clock.now()
        deleted = await self._changed(
            tenant_id,
            connection_id,
            by,
            lambda found: (
                Move.DELETE,
                ConnectionChange(
                    state=after(found.state, Move.DELETE),
                    reason="deleted",
                    open=False,
                    cancel_actions=True,
                    clean_at=now,
                ),
            ),
        )
        await incidents.close_all(self.ports, deleted)
        return deleted

    async def rotate(
        self, tenant_id: str, connection_id: UUID, rotation: Rotation, by: By
    ) -> Rotated:
        """Replace secrets. New credentials are tried first; the old webhook secret and URL stay good for a grace time.

        Raises:
            CredentialsRefusedError: the provider refuses the new credentials; nothing was changed.
        """
        changed, made = await steadily(
            by, lambda: self._rotated(tenant_id, connection_id, rotation, by)
        )
        is_other = made.token is not None or rotation.webhook_secret is not None
        if is_other and self._registers(changed):
            asking.insist(self.ports, changed, Task.SUBSCRIBE)
        return Rotated(
            connection=changed,
            webhook_url=None
            if made.token is None
            else webhook_url(self.ports.public_url, changed.provider_id, made.token),
            old_valid_until=made.old_until,
        )

    async def verify(self, tenant_id: str, connection_id: UUID, by: By) -> Verified:
        """Try the connection at its provider; it becomes active if that passes (FR-2).

        Raises:
            WrongStateError: a suspended or deleted one is not verified.
            BusyError: no answer in time.
            PlatformError: PM-3 does not answer or refuses; the connection stays as it is.
        """
        return await steadily(by, lambda: self._verified(tenant_id, connection_id, by))

    async def subscribe(self, tenant_id: str, connection_id: UUID, by: By) -> Verified:
        """Bring the provider to exactly one webhook of ours, where it has an API for it.

        Raises:
            IncapableError: it has none.
            BusyError: no answer in time.
        """
        found = await self.found(tenant_id, connection_id, by)
        if not self._registers(found):
            raise IncapableError(f"webhooks of {found.provider_id} are not made by an API")
        outcome = await asking.ask(self.ports, found, Task.SUBSCRIBE, renewed=True)
        if not isinstance(outcome, Done):
            return _refused(found, outcome)
        return Verified(connection=found, passed=True, details=outcome.details)

    # --- how

    def _registers(self, connection: ConnectionRecord) -> bool:
        """Whether the provider's webhook is made by us: by its API, with the connection's credentials."""
        adapter = self.ports.registry.get(connection.provider_id)
        able = isinstance(adapter, Subscriptions) and connection.auth_ref is not None
        return able and registry.WEBHOOK in connection.capabilities

    async def _moved(
        self, tenant_id: str, connection_id: UUID, move: Move, by: By, reason: str | None
    ) -> ConnectionRecord:
        return await self._changed(
            tenant_id,
            connection_id,
            by,
            lambda found: (move, life.to(found, move, reason=reason)),
        )

    async def _changed(
        self,
        tenant_id: str,
        connection_id: UUID,
        by: By,
        change: Callable[[ConnectionRecord], tuple[Move, ConnectionChange]],
    ) -> ConnectionRecord:
        async def once() -> ConnectionRecord:
            found = await self.found(tenant_id, connection_id, by)
            move, wanted = change(found)
            return await life.make(self.ports, found, move, wanted, by=by.subject)

        return await steadily(by, once)

    async def _rotated(
        self, tenant_id: str, connection_id: UUID, rotation: Rotation, by: By
    ) -> tuple[ConnectionRecord, sealing.Resealed]:
        ports = self.ports
        found = await self.found(tenant_id, connection_id, by)
        if rotation.credentials is not None:
            tried = await asking.ask(ports, found, Task.PROBE, credentials=rotation.credentials)
            if not isinstance(tried, Done):
                raise CredentialsRefusedError(asking.reason_of(tried))
        made = await sealing.again(ports, found, rotation)
        purposes = sorted({secret.purpose for secret in made.change.secrets})
        changed = await life.reseal(
            ports, found, made.change, by=by.subject, details={"rotated": purposes}
        )
        return changed, made

    async def _verified(self, tenant_id: str, connection_id: UUID, by: By) -> Verified:
        found = await self.found(tenant_id, connection_id, by)
        after(found.state, Move.VERIFY)
        outcome = await asking.ask(self.ports, found, Task.PROBE)
        if not isinstance(outcome, Done):
            now = await self.found(tenant_id, connection_id, By(subject=by.subject))
            return _refused(now, outcome)
        producer = await producer_of(self.ports, tenant_id, connection_id)
        if producer is not None:
            await self.ports.signals.register(tenant_id, producer)
        # Exactly what was tried becomes active, and nothing that it was changed to meanwhile.
        change = life.to(found, Move.VERIFY)
        active = await life.make(self.ports, found, Move.VERIFY, change, by=by.subject)
        await incidents.closed(self.ports, active, incidents.NEEDS_LOGIN)
        if self._registers(active):
            asking.insist(self.ports, active, Task.SUBSCRIBE)
        return Verified(connection=active, passed=True, details=outcome.details)

    async def found(self, tenant_id: str, connection_id: UUID, by: By) -> ConnectionRecord:
        """The tenant's connection as it is, for whoever is about to change it.

        Raises:
            MissingError: there is none, or it was deleted.
            StaleError: it has another version than the caller has seen.
        """
        found = await self.ports.store.connection(tenant_id, connection_id)
        if found is None or found.state is ConnectionState.DELETED:
            raise MissingError("no such connection")
        if by.version not in {None, found.version}:
            raise StaleError(f"it has version {found.version} by now")
        return found


async def steadily(by: By, once: Callable[[], Awaitable[_Value]]) -> _Value:
    """Do it; where another change came first, do it again with what there is then, unless the caller has seen a version.

    Raises:
        StaleError: it is of another version, or changes all the time.
    """
    for _ in range(_TRIES - 1 if by.version is None else 0):
        with suppress(StaleError):
            return await once()
    return await once()


def _differ(wanted: bytes | None, known: bytes) -> bool:
    return wanted is not None and orjson.loads(wanted) != orjson.loads(known)


def _refused(connection: ConnectionRecord, outcome: Outcome) -> Verified:
    return Verified(
        connection=connection,
        passed=False,
        reason=asking.reason_of(outcome),
        again=isinstance(outcome, Later),
    )
