"""Transactions that end an action, or put it back.

Whether a write may have been sent is decided under the lock of the connection's row: ``intend`` takes it too, so of a
cancellation and a write that come together the one that commits first is seen by the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from attrs import frozen

from persistence.changes import (
    AnsweredWrite,
    NewIncident,
    SettledAction,
)
from persistence.dialect import Row, Transaction, query, shared
from persistence.errors import ConflictError, MissingError
from persistence.incidents import insert_incident
from persistence.leases import fence
from persistence.receipts import of_this_tenant, write_receipt
from persistence.records import (
    ActionRecord,
    ActionState,
    Lease,
    NewReceipt,
)
from persistence.rows import action_of
from persistence.sealed import Place
from persistence.values import document, kept, kept_or_none

_POSTPONE = shared(
    """UPDATE normalised_actions SET attempts = attempts + $7::integer, not_before = $4, reason = $5, updated_at = $6
    WHERE tenant_id = $1 AND connection_id = $2 AND action_id = $3 AND state = 'queued' RETURNING state"""
)
_SETTLE = shared(
    """UPDATE normalised_actions SET state = $4, reason = $5, outcome = $6, updated_at = $7, ended_at = $7
    WHERE tenant_id = $1 AND connection_id = $2 AND action_id = $3 AND state = 'queued' RETURNING *"""
)
_MORE = shared(
    """SELECT action_id FROM normalised_actions WHERE tenant_id = $1 AND connection_id = $2 AND state = 'queued' LIMIT 1"""
)
_ANSWERED = shared(
    """UPDATE exchanges SET state = $4, status = $5 WHERE tenant_id = $1 AND action_id = $2 AND exchange_id = $3"""
)
_STATE = shared(
    """SELECT state, (SELECT count(*) FROM exchanges WHERE tenant_id = $1 AND action_id = $3) AS journalled
    FROM normalised_actions WHERE tenant_id = $1 AND connection_id = $2 AND action_id = $3"""
)
_CONNECTION = shared(
    """SELECT c.connection_id FROM normalised_actions a JOIN integration_connections c
        ON c.tenant_id = a.tenant_id AND c.connection_id = a.connection_id
    WHERE a.tenant_id = $1 AND a.action_id = $2 FOR NO KEY UPDATE OF c"""
)
_CANCELLED = """UPDATE normalised_actions AS a SET state = 'cancelled', reason = $3, outcome = '{{}}', updated_at = $4,
        ended_at = $4
    WHERE a.tenant_id = $1 AND {which} = $2 AND a.state = 'queued' AND NOT EXISTS (
        SELECT 1 FROM exchanges e WHERE e.tenant_id = a.tenant_id AND e.action_id = a.action_id
            AND e.state IN ('intended', 'taken'))
    RETURNING *"""
_CANCEL = shared(_CANCELLED.format(which="a.action_id"))
_CANCEL_ALL = shared(_CANCELLED.format(which="a.connection_id"))
_FIND_OUT = shared(
    """UPDATE normalised_actions SET state = $3, reason = $4, outcome = $5, updated_at = $6, ended_at = $6
    WHERE tenant_id = $1 AND action_id = $2 AND state = 'unsure' RETURNING *"""
)
_STATE_OF = shared("SELECT state FROM normalised_actions WHERE tenant_id = $1 AND action_id = $2")
_FORGET_ANSWERS = shared(
    """UPDATE exchanges SET headers = NULL, body = NULL, updated_at = $3
    WHERE tenant_id = $1 AND action_id = ANY($2::uuid[])"""
)
_FOUND_OUT = (ActionState.DONE, ActionState.REFUSED)


@frozen(kw_only=True)
class Ending:
    """All that is written when an action ends."""

    action_id: UUID
    state: ActionState
    reason: str | None
    outcome: bytes
    receipt: NewReceipt
    now: datetime
    incident: NewIncident | None
    answered: AnsweredWrite | None
    journalled: int | None = None

    def of(self, lease: Lease) -> Ending:
        """Itself, if it is an end of an action of the lease's connection."""
        if self.state is ActionState.QUEUED:
            raise ValueError("queued is no end")
        if self.incident is not None and self.incident.connection_id != lease.connection_id:
            raise ValueError("an incident of another connection")
        of_this_tenant(self.receipt, lease.tenant_id)
        return self


def settle(lease: Lease, ending: Ending) -> Transaction[SettledAction]:
    """See ``ActionStore.settle_action``."""
    yield from fence(lease)
    place = (lease.tenant_id, lease.connection_id)
    if ending.journalled is not None:
        yield from still_queued(lease, ending.action_id, ending.journalled)
    settled = yield query(
        _SETTLE,
        *place,
        ending.action_id,
        ending.state,
        kept_or_none(ending.reason),
        document(ending.outcome),
        ending.now,
    )
    if not settled:
        yield from still_queued(lease, ending.action_id)
    yield query(_FORGET_ANSWERS, lease.tenant_id, (ending.action_id,), ending.now)
    answered = ending.answered
    if answered is not None:
        key = (lease.tenant_id, ending.action_id, answered.exchange_id)
        yield query(_ANSWERED, *key, answered.state, answered.status)
    if ending.incident is not None:
        yield insert_incident(ending.incident, tenant_id=lease.tenant_id)
    more = yield query(_MORE, *place)
    yield from write_receipt(ending.receipt, tenant_id=lease.tenant_id)
    return SettledAction(record=action_of(settled[0]), more=bool(more))


def postpone(
    lease: Lease,
    action_id: UUID,
    *,
    not_before: datetime,
    reason: str,
    now: datetime,
    counted: bool = True,
) -> Transaction[None]:
    """See ``ActionStore.postpone_action``."""
    yield from fence(lease)
    key = (lease.tenant_id, lease.connection_id, action_id)
    postponed = yield query(_POSTPONE, *key, not_before, kept(reason), now, int(counted))
    if not postponed:
        yield from still_queued(lease, action_id)


def cancel(
    tenant_id: str, action_id: UUID, *, reason: str, receipt: NewReceipt, now: datetime
) -> Transaction[ActionRecord]:
    """See ``ActionStore.cancel_action``."""
    there = yield query(_CONNECTION, tenant_id, action_id)
    if not there:
        raise MissingError("no such action")
    cancelled = yield query(_CANCEL, tenant_id, action_id, kept(reason), now)
    if not cancelled:
        rows = yield query(_STATE_OF, tenant_id, action_id)
        raise not_in_state("action", rows)
    yield query(_FORGET_ANSWERS, tenant_id, (action_id,), now)
    yield from write_receipt(receipt, tenant_id=tenant_id)
    return action_of(cancelled[0])


def cancel_unsent(place: Place, *, reason: str | None, now: datetime) -> Transaction[None]:
    """Cancel what a connection has in its queue and certainly never sent; its row is locked by the caller."""
    cancelled = yield query(_CANCEL_ALL, *place, kept_or_none(reason), now)
    if cancelled:
        ids = tuple(action_of(row).action_id for row in cancelled)
        yield query(_FORGET_ANSWERS, place[0], ids, now)


def find_out(  # noqa: PLR0913 - what it takes is one fact
    tenant_id: str,
    action_id: UUID,
    *,
    state: ActionState,
    reason: str,
    outcome: bytes,
    receipt: NewReceipt,
    now: datetime,
) -> Transaction[ActionRecord]:
    """See ``ActionStore.resolve_action``."""
    if state not in _FOUND_OUT:
        raise ValueError(f"{state} is nothing that a person finds out")
    known = yield query(
        _FIND_OUT, tenant_id, action_id, state, kept(reason), document(outcome), now
    )
    if not known:
        rows = yield query(_STATE_OF, tenant_id, action_id)
        raise not_in_state("action", rows)
    yield from write_receipt(receipt, tenant_id=tenant_id)
    return action_of(known[0])


def still_queued(
    lease: Lease, action_id: UUID, journalled: int | None = None
) -> Transaction[None]:
    """Say why an action can not be written to, if it can not. ``journalled``: so many writes its journal must have."""
    rows = yield query(_STATE, lease.tenant_id, lease.connection_id, action_id)
    if not rows or rows[0]["state"] != ActionState.QUEUED:
        raise not_in_state("action", rows)
    if journalled is not None and rows[0]["journalled"] != journalled:
        raise ConflictError("the action has another journal than was known")


def not_in_state(what: str, rows: Sequence[Row]) -> ConflictError | MissingError:
    """Why a row was not written to: it is not there, or what it is."""
    if not rows:
        return MissingError(f"no such {what}")
    state = rows[0]["state"]
    return ConflictError(
        f"the {what} is {state}" if state != "queued" else f"the {what} may have been sent"
    )
