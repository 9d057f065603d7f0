"""Budgets (M35): may so many calls be made, and if not, when again.

A check there spends, granted or not said again: it is asked once for a block of calls, never a second time "to
record". A refusal is a 200; a wrong token is a 500, and so is a budget with a soft limit once it is overdrawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol, TypeAlias
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson
from attrs import field, frozen

from actors.platform.sibling import Answer, Ask, Sibling
from actors.platform.tokens import TokenSource, bearer

_RATE_LIMITS = "/budget/v1/rate-limits/check"
_COSTS = "/budget/v1/budgets/check"
_PRIORITIES = {"actions": "high", "live": "normal", "backfill": "low"}
_SHORTEST = timedelta(seconds=1)
_LONGEST = timedelta(days=1)


@frozen(kw_only=True)
class Taken:
    """Go ahead: the calls are paid for, made or not."""


@frozen(kw_only=True)
class Withheld:
    """Not now. ``retry_after`` is from a second to a day; ``reason`` is ``rate limit`` or ``cost``."""

    retry_after: timedelta
    reason: str


Grant: TypeAlias = Taken | Withheld


class Budgets(Protocol):
    """The port to whoever shares out what all modules of a tenant may spend."""

    async def take(
        self, tenant_id: str, *, connection_id: UUID, provider_id: str, calls: int, work: str
    ) -> Grant:
        """Spend ``calls`` calls of a connection on ``work`` (``actions``, ``live`` or ``backfill``), all or none.

        Failed or cancelled, they may be spent all the same; what to do then is the caller's policy.

        Raises:
            PlatformUnavailableError: no answer, or none that makes sense; M35 says so of a wrong token too.
            PlatformRefusedError: it does not understand the question.
            PlatformMisconfiguredError: the address is wrong.
            ValueError: no calls, or no such work.
        """
        ...


@frozen(kw_only=True)
class BudgetTerms:
    """How this installation asks M35.

    ``costs`` is what a call costs there, by provider; of the others no cost is asked. ``look_again`` is how long to
    wait where a refusal names no time, as one for its cost never does.
    """

    costs: Mapping[str, Decimal] = field(factory=dict)
    look_again: timedelta = timedelta(minutes=5)
    within: timedelta = timedelta(seconds=2)


class M35Budgets:
    """M35 over HTTP."""

    def __init__(self, m35: Sibling, tokens: TokenSource, terms: BudgetTerms) -> None:
        """Ask ``m35`` on ``terms``."""
        self._m35 = m35
        self._tokens = tokens
        self._terms = terms

    async def take(
        self, tenant_id: str, *, connection_id: UUID, provider_id: str, calls: int, work: str
    ) -> Grant:
        """See ``Budgets.take``; calls come before costs, so that nobody pays for calls that may not be made."""
        if calls < 1 or work not in _PRIORITIES:
            raise ValueError(
                f"{calls} calls for {work!r}: at least one, for one of {[*_PRIORITIES]}"
            )
        asked = {
            "tenant_id": str(tenant_uuid(tenant_id)),
            "resource_type": resource_type(provider_id),
        }
        rate = {
            "resource_key": str(connection_id),
            "request_count": calls,
            "priority": _PRIORITIES[work],
        }
        grant = await self._check(_RATE_LIMITS, tenant_id, {**asked, **rate}, "rate limit")
        price = self._terms.costs.get(provider_id, Decimal(0)) * calls
        if isinstance(grant, Withheld) or not price:
            return grant
        cost = {"estimated_cost": str(price), "operation_context": {"work": work, "calls": calls}}
        return await self._check(_COSTS, tenant_id, {**asked, **cost}, "cost")

    async def _check(
        self, path: str, tenant_id: str, question: dict[str, Any], reason: str
    ) -> Grant:
        ask = Ask(
            method="POST",
            path=path,
            headers=bearer(self._tokens, tenant_id),
            body=orjson.dumps(question),
        )
        answer = await self._m35.ask(ask, within=self._terms.within)
        if answer.status != 200:
            raise answer.refusal()
        match answer.document().get("allowed"):
            case True:
                return Taken()
            case False:
                return Withheld(retry_after=self._wait(answer), reason=reason)
            case _:
                raise answer.senseless()

    def _wait(self, answer: Answer) -> timedelta:
        """A second at least, so that nobody asks in a circle; and no longer than a day, whatever M35 says."""
        seconds = answer.document().get("retry_after")
        if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
            return self._terms.look_again
        return max(_SHORTEST, timedelta(seconds=min(seconds, _LONGEST.total_seconds())))


def tenant_uuid(tenant_id: str) -> UUID:
    """The UUID that M35 knows a tenant by: the tenant's id if it is one as UUIDs are written, else made from it."""
    try:
        known = UUID(tenant_id)
    except ValueError:
        known = None
    if known is not None and str(known) == tenant_id:
        return known
    return uuid5(NAMESPACE_URL, f"urn:zeroui:tenant:{tenant_id}")


def resource_type(provider_id: str) -> str:
    """What M35 chooses a rate limit by, besides the tenant: an operator sets the limits under this name."""
    return f"integration.{provider_id}"
