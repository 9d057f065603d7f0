"""Which of a connection's actions run now: in order per target, beside each other up to the connection's limit."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from attrs import frozen

from actors.drive import Ended
from actors.holding import Holding
from actors.outbound import Errand, carry_out
from adapters.contract import Later, NeedsLogin
from persistence.errors import (
    ChangedError,
    ConflictError,
    FencedError,
    MissingError,
    StoreUnavailableError,
)
from persistence.records import ActionRecord


@frozen
class ActionEnded:
    """A carried-out action reports back to its actor.

    ``login_refused`` says why a person must come. ``last``: nothing else was queued when it ended; who asks for more
    says so, so there is no need to look.
    """

    action_id: UUID
    error: FencedError | ChangedError | StoreUnavailableError | None = None
    login_refused: str | None = None
    last: bool = False


class Dispatcher:
    """Starts the actions of one connection and knows which run; its actor owns it."""

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._running: dict[UUID, str] = {}
        self._left = False
        """Whether something that was due was not started: it waits for one that runs."""

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._running)

    def ended(self, action_id: UUID) -> None:
        """An action runs no more."""
        self._running.pop(action_id, None)

    def is_done_with(self, message: object) -> bool:
        """Whether there is no use in looking: the last action in the queue ended, and nothing had waited for it."""
        return isinstance(message, ActionEnded) and message.last and not self._left

    def begin(self, record: ActionRecord) -> bool:
        """Start an action that was stored just now, if nothing is before it; False: only looking tells.

        Should it have run meanwhile, the store takes nothing of this run.
        """
        if record.action_id in self._running:
            return True
        holding, now = self._holding, self._holding.ports.clock.now()
        pressure = holding.line.pressure
        if not record.head or not holding.active or pressure.blocked(now) is not None:
            return False
        if record.target_key in self._running.values():
            return False
        if len(self._running) >= pressure.room(self._most()):
            return False
        self._run(record)
        return True

    async def start(self) -> datetime | None:
        """Start what is due and has room; returns when to look again, if that is known.

        While nothing may be sent, only what is over is ended: an action that expired, in any state of its connection.
        """
        holding = self._holding
        now = holding.ports.clock.now()
        waiting = holding.line.pressure.blocked(now) if holding.active else None
        can_send = holding.active and waiting is None
        room = holding.line.pressure.room(self._most()) - len(self._running)
        self._left = True
        if room <= 0:
            return None  # the end of one that runs leads here again
        limit = room + len(self._running)
        due = await holding.ports.store.due_actions(holding.lease, now=now, limit=limit)
        idle = [record for record in due if record.target_key not in set(self._running.values())]
        fresh = [record for record in idle if can_send or record.expires_at <= now]
        begun = sum(record.action_id in self._running for record in due)
        self._left = begun + len(fresh[:room]) < len(due) or len(due) == limit
        for record in fresh[:room]:
            self._run(record)
        if fresh:
            return None
        ends = [record.expires_at for record in idle]
        ends += [] if waiting is None else [waiting.until]
        later = await holding.ports.store.next_action_at(holding.lease)
        ends += [] if later is None or later <= now else [later]
        return min(ends, default=None)

    def _run(self, record: ActionRecord) -> None:
        self._running[record.action_id] = record.target_key
        self._holding.context.spawn(self._carry_out, record, name=f"action-{record.action_id}")

    def _most(self) -> int:
        holding = self._holding
        policy = holding.ports.policy.of(holding.tenant_id)
        return min(policy.actions_at_once, holding.adapter.manifest.at_once)

    async def _carry_out(self, record: ActionRecord) -> None:
        holding = self._holding
        errand = Errand(
            connection=holding.connection,
            lease=holding.lease,
            adapter=holding.adapter,
            line=holding.line,
            ports=holding.ports,
            jitter=holding.context.random.random,
            open=holding.active,
        )
        ended = ActionEnded(record.action_id)
        try:
            done = await carry_out(record, errand)
            refusal = _refusal(done.ended, errand)
            ended = ActionEnded(record.action_id, login_refused=refusal, last=done.last)
        except (FencedError, ChangedError, StoreUnavailableError) as error:
            ended = ActionEnded(record.action_id, error=error)
        except (ConflictError, MissingError) as error:
            # It was cancelled before anything was sent, forgotten with its connection, or had run before its hint came.
            holding.log.info("action.gone", action=str(record.action_id), reason=str(error))
        holding.context.tell_self(ended)


def _refusal(ended: Ended, errand: Errand) -> str | None:
    """Why a person must come, if so; without credentials there is no login that could be refused.

    An action in doubt waits for the person itself, and says only that it could not be looked for.
    """
    if errand.connection.auth_ref is None:
        return None
    if isinstance(ended, NeedsLogin):
        return ended.reason
    return errand.line.refusal if isinstance(ended, Later) and ended.maybe_sent else None
