"""Carries plans to a simulator, without a network, and loses what a test wants lost."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from adapters.contract import Request, Response

Ending = TypeVar("Ending")


class LostError(Exception):
    """The run ended here: the process died, or no answer came."""


def carry(
    plan: Generator[Request, Response, Ending], send: Callable[[Request], Response]
) -> Ending:
    """Run ``plan`` to its end; what ``send`` raises ends it early."""
    try:
        request = next(plan)
        while True:
            request = plan.send(send(request))
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
    finally:
        plan.close()
