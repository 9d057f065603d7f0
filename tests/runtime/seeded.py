"""Runs a trio program on a schedule that a seed decides, so that a failure can be run again exactly.

trio has no public way to do this; two private names are used, the same that its own plug-in for hypothesis
uses. ``test_seeded.py`` holds the canary that fails when they change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
from trio._core import _run
from trio.testing import MockClock


@contextmanager
def schedule(seed: int) -> Iterator[None]:
    """Have trio sort its run queue and shuffle it by ``seed`` within the block."""
    internals: Any = _run
    flag, state = internals._ALLOW_DETERMINISTIC_SCHEDULING, internals._r.getstate()
    internals._ALLOW_DETERMINISTIC_SCHEDULING = True
    internals._r.seed(seed)
    try:
        yield
    finally:
        internals._ALLOW_DETERMINISTIC_SCHEDULING = flag
        internals._r.setstate(state)


def run_seeded(program: Callable[..., Awaitable[Any]], *args: object, seed: int) -> Any:
    """``trio.run`` on the schedule of ``seed`` and a clock that jumps."""
    with schedule(seed):
        return trio.run(program, *args, clock=MockClock(autojump_threshold=0))
