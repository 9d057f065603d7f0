"""Concurrent accepts share a commit: while one is in flight, the next batch collects.

Measured, that is several times the rate of one commit for each request; a lone delivery waits for nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta

import trio
from attrs import define, field, frozen

from persistence.errors import StoreError, StoreFullError, StoreUnavailableError
from persistence.records import NewDelivery
from persistence.store import InboxStore


@frozen(kw_only=True)
class CommitLimits:
    """The bounds of a group commit (P7).

    ``batch_*``: what one commit takes. ``waiting_*``: what may wait for one, beyond that StoreFullError.
    ``deadline``: how long one delivery may wait, commit included; also how long stopping may take.
    ``pending``: how many deliveries the inbox may hold, counted every ``recount``.
    ``retry_after``: what a caller is told when it is full.
    """

    batch_count: int = 256
    batch_bytes: int = 8 * 1024 * 1024
    waiting_count: int = 4096
    waiting_bytes: int = 64 * 1024 * 1024
    deadline: timedelta = timedelta(seconds=5)
    pending: int = 1_000_000
    recount: timedelta = timedelta(seconds=1)
    retry_after: timedelta = timedelta(seconds=1)


@define(eq=False)
class _Waiter:
    """A caller of ``accept``: its delivery, and in the end an answer or an error."""

    delivery: NewDelivery
    done: trio.Event = field(factory=trio.Event)
    answer: bool = False
    error: Exception | None = None
    gone: bool = False

    def end(self, outcome: bool | Exception) -> None:
        if isinstance(outcome, Exception):
            self.error = outcome
        else:
            self.answer = outcome
        self.done.set()


class GroupCommit:
    """``accept`` for the edge, and the service that commits for all its callers.

    ``run`` is a child of the supervision tree; it may be run again after it ended.
    """

    def __init__(self, store: InboxStore, *, limits: CommitLimits | None = None) -> None:
        self._store = store
        self._limits = limits or CommitLimits()
        self._queue: deque[_Waiter] = deque()
        self._in_flight: list[_Waiter] = []
        self._count = 0
        self._bytes = 0
        self._bell = trio.Event()
        self._open = False
        self._pending = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit for the callers of ``accept`` until cancelled; then commit what was taken in, and refuse the rest.

        A failing commit fails those who wait for it, not the service. Whatever ends it, nobody keeps waiting.
        """
        self._open = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._recount_for_ever)
                task_status.started()
                while True:
                    await self._bell.wait()
                    await self._commit_all()
        finally:
            self._open = False
            try:
                seconds = self._limits.deadline.total_seconds()
                with trio.move_on_after(seconds, shield=True):  # bounded by its deadline
                    await self._commit_all()
            finally:
                self._refuse_all()

    async def accept(self, delivery: NewDelivery) -> bool:
        """Commit a delivery together with others; False if it was there already (see ``InboxStore.accept``).

        A caller that is cancelled hurts nobody; its delivery may be committed all the same.

        Raises:
            StoreFullError: too much waits, here or in the inbox.
            StoreUnavailableError: not committed in time, or the service does not run; it may yet be committed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check_room(delivery)
        waiter = _Waiter(delivery)
        self._enter(waiter)
        try:
            with trio.move_on_after(self._limits.deadline.total_seconds()):
                await waiter.done.wait()
        finally:
            waiter.gone = True
            self._leave(waiter)
        if waiter.error is not None:
            raise waiter.error
        if not waiter.done.is_set():
            raise StoreUnavailableError("not committed in time")
        return waiter.answer

    def _check_room(self, delivery: NewDelivery) -> None:
        limits = self._limits
        if not self._open:
            raise StoreUnavailableError("nobody commits now")
        full = (
            self._count >= limits.waiting_count
            or self._bytes + len(delivery.body) > limits.waiting_bytes
            or self._pending + self._count >= limits.pending
        )
        if full:
            raise StoreFullError("too many deliveries wait", retry_after=limits.retry_after)

    def _enter(self, waiter: _Waiter) -> None:
        self._queue.append(waiter)
        self._count += 1
        self._bytes += len(waiter.delivery.body)
        self._bell.set()

    def _leave(self, waiter: _Waiter) -> None:
        self._count -= 1
        self._bytes -= len(waiter.delivery.body)

    async def _commit_all(self) -> None:
        """Commit batch by batch until nobody waits."""
        await trio.lowlevel.checkpoint()
        self._bell = trio.Event()
        while batch := self._next_batch():
            self._in_flight = batch
            with trio.move_on_after(self._limits.deadline.total_seconds(), shield=True):
                await self._commit(batch)
            _refuse(batch, "not committed in time")
            self._in_flight = []
            await trio.lowlevel.checkpoint()

    def _next_batch(self) -> list[_Waiter]:
        batch: list[_Waiter] = []
        room = self._limits.batch_bytes
        while self._queue and len(batch) < self._limits.batch_count:
            size = len(self._queue[0].delivery.body)
            if batch and size > room:
                break
            waiter = self._queue.popleft()
            if not waiter.gone:
                batch.append(waiter)
                room -= size
        return batch

    async def _commit(self, batch: Sequence[_Waiter]) -> None:
        try:
            answers = await self._store.accept([waiter.delivery for waiter in batch])
        except StoreUnavailableError:
            _refuse(batch, "the store is not available")
        except (StoreError, ValueError) as error:
            await self._commit_apart(batch, error)
        else:
            self._pending += sum(answers)
            for waiter, answer in zip(batch, answers, strict=True):
                waiter.end(answer)
        await trio.lowlevel.checkpoint()

    async def _commit_apart(self, batch: Sequence[_Waiter], error: Exception) -> None:
        """One of the batch can not be kept: let it fail alone (P6)."""
        if len(batch) == 1:
            batch[0].end(error)
            await trio.lowlevel.checkpoint()
            return
        for waiter in batch:
            await self._commit([waiter])
        await trio.lowlevel.checkpoint()

    async def _recount_for_ever(self) -> None:
        """Learn how many deliveries wait in the inbox; between two counts our own are added."""
        while True:
            with suppress(
                StoreUnavailableError
            ):  # the last count stands; accepting says it by itself
                self._pending = await self._store.pending_count()
            await trio.sleep(self._limits.recount.total_seconds())

    def _refuse_all(self) -> None:
        _refuse(self._in_flight, "the commit was cut off")
        _refuse(self._queue, "nobody commits any more")
        self._in_flight = []
        self._queue.clear()


def _refuse(waiters: Iterable[_Waiter], why: str) -> None:
    for waiter in waiters:
        if not waiter.done.is_set():
            waiter.end(StoreUnavailableError(why))
