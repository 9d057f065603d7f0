"""What people do to actions: cancel one that was not sent, say what became of one that nobody could know of (FR-7)."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from actors import codec, evidence, incidents
from actors.ports import Ports
from adapters.contract import Done, Reference, Refused
from persistence.errors import MissingError
from persistence.records import ActionRecord, ActionState, NewReceipt


@frozen(kw_only=True)
class Resolution:
    """What became of an action, as a person found out. ``reference``: what the provider calls the effect."""

    done: bool
    reason: str
    reference: str | None = None


@frozen(kw_only=True)
class ActionsDesk:
    """The actions of all tenants, as people change them. Every method names the tenant it is for (P6)."""

    ports: Ports

    async def cancel(
        self, tenant_id: str, action_id: UUID, *, by: str, reason: str | None = None
    ) -> ActionRecord:
        """End an action before it is sent; whoever is about to send it, does not.

        Raises:
            MissingError: no such action.
            ConflictError: it has ended, or it may have been sent.
        """
        record = await self._found(tenant_id, action_id)
        told = reason or "cancelled"
        cancelled = await self.ports.store.cancel_action(
            tenant_id,
            action_id,
            reason=told,
            receipt=self._receipt(record, ActionState.CANCELLED, told, by),
            now=self.ports.clock.now(),
        )
        labels = (cancelled.provider_id, cancelled.tenant_id, cancelled.state.value)
        self.ports.metrics.actions.labels(*labels).inc()
        self._tell(cancelled, by)
        # What waited behind it for the same target may go now.
        self.ports.wake.connection(cancelled.tenant_id, cancelled.connection_id)
        return cancelled

    async def resolve(
        self, tenant_id: str, action_id: UUID, resolution: Resolution, *, by: str
    ) -> ActionRecord:
        """Settle an action that was left ``unsure``, and close the incident that it was.

        Raises:
            MissingError: no such action.
            ConflictError: it is not ``unsure``.
        """
        ports = self.ports
        record = await self._found(tenant_id, action_id)
        ending = codec.ending(_outcome(resolution))
        resolved = await ports.store.resolve_action(
            tenant_id,
            action_id,
            state=ending.state,
            reason=resolution.reason,
            outcome=ending.outcome,
            receipt=self._receipt(record, ending.state, resolution.reason, by),
            now=ports.clock.now(),
        )
        self._tell(resolved, by)
        await incidents.closed(ports, resolved, incidents.unsure_kind(resolved))
        return resolved

    async def _found(self, tenant_id: str, action_id: UUID) -> ActionRecord:
        record = await self.ports.store.action(tenant_id, action_id)
        if record is None:
            raise MissingError("no such action")
        return record

    def _receipt(
        self, record: ActionRecord, state: ActionState, reason: str, by: str
    ) -> NewReceipt:
        return evidence.of_action(
            record,
            self.ports,
            result={"state": state.value, "reason": reason},
            succeeded=state is not ActionState.REFUSED,
            by=by,
        )

    def _tell(self, record: ActionRecord, by: str) -> None:
        ports = self.ports
        ports.log.info(
            "action.changed",
            audit=True,
            tenant=record.tenant_id,
            connection=str(record.connection_id),
            correlation_id=record.correlation_id,
            action=str(record.action_id),
            state=record.state.value,
            by=by,
        )
        ports.wake.receipts(record.tenant_id)
        ports.announcements.announce(record)


def _outcome(resolution: Resolution) -> Done | Refused:
    if not resolution.done:
        return Refused(reason=resolution.reason)
    named = resolution.reference
    return Done(reference=None if named is None else Reference(id=named))
