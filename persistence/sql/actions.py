"""The part of the store about what was asked for, and what was sent for it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from persistence import actions, at_once, connections, endings, journal
from persistence.changes import (
    ActionFilter,
    AnsweredWrite,
    NewIncident,
    SettledAction,
)
from persistence.records import (
    ActionRecord,
    ActionState,
    ExchangeRecord,
    ExchangeState,
    Lease,
    NewAction,
    NewReceipt,
)
from persistence.rows import action_of, due_of, exchange_of
from persistence.sql.part import Part


class SqlActions(Part):
    """See ``ActionStore``."""

    async def enqueue(
        self, action: NewAction, *, version: int | None = None
    ) -> tuple[ActionRecord, bool]:
        """See ``ActionStore.enqueue``; it takes a second look only where nothing was stored."""
        rows = await self._engine.ask(actions.enqueue(action, version=version))
        if rows:
            return actions.enqueued_of(rows[0])
        place = (action.tenant_id, action.connection_id)
        known = await self._engine.ask(actions.of_key(*place, action.idempotency_key))
        connection = await self._engine.ask(connections.one(*place))
        return actions.known_of(action, known, connection), False

    async def action(self, tenant_id: str, action_id: UUID) -> ActionRecord | None:
        """See ``ActionStore.action``."""
        rows = await self._engine.ask(actions.one(tenant_id, action_id))
        return action_of(rows[0]) if rows else None

    async def action_of_key(
        self, tenant_id: str, connection_id: UUID, idempotency_key: str
    ) -> ActionRecord | None:
        """See ``ActionStore.action_of_key``."""
        rows = await self._engine.ask(actions.of_key(tenant_id, connection_id, idempotency_key))
        return action_of(rows[0]) if rows else None

    async def actions(
        self, tenant_id: str, only: ActionFilter, *, before: UUID | None, limit: int
    ) -> tuple[ActionRecord, ...]:
        """See ``ActionStore.actions``."""
        asked = actions.page(tenant_id, only, before=before, limit=limit)
        return tuple(action_of(row) for row in await self._engine.ask(asked))

    async def cancel_action(
        self, tenant_id: str, action_id: UUID, *, reason: str, receipt: NewReceipt, now: datetime
    ) -> ActionRecord:
        """See ``ActionStore.cancel_action``."""
        return await self._engine.run(
            endings.cancel, tenant_id, action_id, reason=reason, receipt=receipt, now=now
        )

    async def resolve_action(  # noqa: PLR0913 - what it takes is one fact
        self,
        tenant_id: str,
        action_id: UUID,
        *,
        state: ActionState,
        reason: str,
        outcome: bytes,
        receipt: NewReceipt,
        now: datetime,
    ) -> ActionRecord:
        """See ``ActionStore.resolve_action``."""
        return await self._engine.run(
            endings.find_out,
            tenant_id,
            action_id,
            state=state,
            reason=reason,
            outcome=outcome,
            receipt=receipt,
            now=now,
        )

    async def due_actions(
        self, lease: Lease, *, now: datetime, limit: int
    ) -> tuple[ActionRecord, ...]:
        """See ``ActionStore.due_actions``."""
        rows = await self._engine.ask(actions.due(lease, now=now, limit=limit))
        return tuple(due_of(row) for row in rows)

    async def next_action_at(self, lease: Lease) -> datetime | None:
        """See ``ActionStore.next_action_at``."""
        return actions.next_at_of(await self._engine.ask(actions.next_at(lease)))

    async def exchanges(self, tenant_id: str, action_id: UUID) -> tuple[ExchangeRecord, ...]:
        """See ``ActionStore.exchanges``."""
        rows = await self._engine.ask(journal.of_action(tenant_id, action_id))
        return tuple(exchange_of(row) for row in rows)

    async def intend(
        self, lease: Lease, exchange: ExchangeRecord, *, journalled: int | None = None
    ) -> None:
        """See ``ActionStore.intend``."""
        asked = at_once.intend(lease, exchange, journalled)
        begun = await self._engine.shortcut(at_once.INTEND, *asked)
        if not begun:
            await self._engine.run(journal.intend, lease, exchange, journalled)

    async def resolve_exchange(
        self, lease: Lease, exchange: ExchangeRecord, *, state: ExchangeState
    ) -> None:
        """See ``ActionStore.resolve_exchange``."""
        await self._engine.run(journal.resolve, lease, exchange, state=state)

    async def settle_action(  # noqa: PLR0913 - what it takes is one fact
        self,
        lease: Lease,
        action_id: UUID,
        *,
        state: ActionState,
        reason: str | None,
        outcome: bytes,
        receipt: NewReceipt,
        now: datetime,
        incident: NewIncident | None = None,
        answered: AnsweredWrite | None = None,
        journalled: int | None = None,
    ) -> SettledAction:
        """See ``ActionStore.settle_action``; an incident is rare enough for the long way."""
        ending = endings.Ending(
            action_id=action_id,
            state=state,
            reason=reason,
            outcome=outcome,
            receipt=receipt,
            now=now,
            incident=incident,
            answered=answered,
            journalled=journalled,
        ).of(lease)
        if incident is None:
            ended = await self._engine.shortcut(at_once.SETTLE, *at_once.settle(lease, ending))
            if ended:
                return SettledAction(record=action_of(ended[0]), more=ended[0]["more"])
        return await self._engine.run(endings.settle, lease, ending)

    async def postpone_action(
        self,
        lease: Lease,
        action_id: UUID,
        *,
        not_before: datetime,
        reason: str,
        now: datetime,
        counted: bool = True,
    ) -> None:
        """See ``ActionStore.postpone_action``."""
        await self._engine.run(
            endings.postpone,
            lease,
            action_id,
            not_before=not_before,
            reason=reason,
            now=now,
            counted=counted,
        )
