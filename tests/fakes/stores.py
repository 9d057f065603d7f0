"""A real store with a hand on it: calls are noticed, remembered, failed, held up or followed by something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, cast

import trio
from attrs import define

from persistence.errors import StoreUnavailableError
from persistence.store import Store
from tests.fakes.watching import Watch

Hook = Callable[[], Awaitable[object]]


@define
class _Planned:
    method: str
    hook: Hook
    after: bool
    times: int


class WatchedStore:
    """Passes every call on to ``inner``; see ``as_store`` for its type."""

    def __init__(self, inner: Store, watch: Watch | None = None) -> None:
        self.inner = inner
        self.calls: Counter[str] = Counter()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.around: Hook = trio.lowlevel.checkpoint
        """Awaited before and after each call that gets through."""
        self._watch = watch or Watch()
        self._planned: list[_Planned] = []

    @property
    def as_store(self) -> Store:
        """Itself, as what it stands for."""
        return cast("Store", self)

    def on(self, method: str, hook: Hook, *, after: bool = False, times: int = 1) -> None:
        """Await ``hook`` before, or after, the next ``times`` calls of ``method``; its error is the call's."""
        self._planned.append(_Planned(method, hook, after, times))

    def fail(self, method: str, *, after: bool = False, times: int = 1) -> None:
        """The store does not answer: before anything happened, or after it did."""
        self.on(method, _unavailable, after=after, times=times)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """The store's own methods, with what is planned for them."""
        method = getattr(self.inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            self.asked.append((name, kwargs))
            planned = self._strike(name)
            try:
                if planned is not None and not planned.after:
                    await planned.hook()
                await self.around()
                value = await method(*args, **kwargs)
                await self.around()
                if planned is not None and planned.after:
                    await planned.hook()
            finally:
                self._watch.notify()
            return value

        return call

    def _strike(self, name: str) -> _Planned | None:
        for planned in self._planned:
            if planned.method == name and planned.times:
                planned.times -= 1
                return planned
        return None


async def _unavailable() -> None:
    await trio.lowlevel.checkpoint()
    raise StoreUnavailableError("the database does not answer")
