"""A journal in memory for ``drive``: what is in ``kept`` is durable, before and after which anything may end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import trio
from attrs import evolve

from actors import codec
from adapters.contract import Request, Response
from persistence.records import ExchangeRecord, ExchangeState


class MemoryJournal:
    """See ``drive.Journal``; outlives the runs of one action."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.kept: list[ExchangeRecord] = []
        self.last: ExchangeRecord | None = None
        self._now = now

    @property
    def states(self) -> tuple[ExchangeState, ...]:
        """The state of each try, oldest first."""
        return tuple(entry.state for entry in self.kept)

    @property
    def first_sent_at(self) -> datetime | None:
        """What a plan is told: when a write may first have reached the provider."""
        sent = [entry.sent_at for entry in self.kept if entry.state is not ExchangeState.VOID]
        return min(sent, default=None)

    def entries(self) -> tuple[ExchangeRecord, ...]:
        """See ``drive.Journal.entries``."""
        return tuple(self.kept)

    async def intend(self, step: int, request: Request) -> ExchangeRecord:
        """See ``drive.Journal.intend``."""
        await trio.lowlevel.checkpoint()
        entry = ExchangeRecord(
            exchange_id=UUID(int=len(self.kept) + 1),
            tenant_id="acme",
            connection_id=UUID(int=1),
            action_id=UUID(int=2),
            step=step,
            digest=codec.request_digest(request),
            state=ExchangeState.INTENDED,
            sent_at=self._now(),
        )
        self.kept.append(entry)
        await trio.lowlevel.checkpoint()
        return entry

    async def resolve(
        self, entry: ExchangeRecord, state: ExchangeState, response: Response | None = None
    ) -> None:
        """See ``drive.Journal.resolve``."""
        await trio.lowlevel.checkpoint()
        resolved = evolve(entry, state=state)
        if response is not None:
            headers = codec.headers_json(response.headers)
            resolved = evolve(
                resolved, status=response.status, headers=headers, body=response.body
            )
        at = next(index for index, one in enumerate(self.kept) if one == entry)
        self.kept[at] = resolved
        await trio.lowlevel.checkpoint()

    def answered(self, entry: ExchangeRecord, state: ExchangeState, response: Response) -> None:
        """See ``drive.Journal.answered``; nothing of it is durable before the end is."""
        self.last = evolve(entry, state=state, status=response.status)
