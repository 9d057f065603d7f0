"""M35 (budgets) for development and tests.

Like the real one: a wrong or missing token, a tenant id that is no UUID, its own limit of 1,000 calls a minute and a
soft budget once it is overdrawn all come out as a plain-text 500; a check spends; a refusal is a 200; the tenant in
the token is compared with nothing. Without a limit or a budget, everything is allowed.

Controls of its own: POST ``/_sim/limits`` (``{"tenant_id", "resource_type", "limit", "window_s"}``) and
``/_sim/budgets`` (``{"tenant_id", "amount", "soft"?}``), as its own routes for them are not simulated; POST
``/_sim/withhold`` (``{"times", "retry_after"}``) refuses the next rate checks; GET ``/_sim/checks?tenant_id=`` (what
was asked and whether it was allowed, in order). ``tenant_id`` is the UUID that M35 knows.
"""

from __future__ import annotations

import math
from collections import deque
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from attrs import define, frozen

from actors.platform.embedded.answers import (
    body_of,
    crashed,
    demand,
    detail,
    fault,
    unprocessable,
)
from actors.platform.embedded.bearers import claims_of
from actors.platform.embedded.controls import Controls, matching, query_of
from actors.platform.embedded.limits import RateLimit
from adapters.contract import Request, Response, Secret
from adapters.simulation import Reply, as_json

_PRIORITIES = ("low", "normal", "high", "critical")
_UNLIMITED = 999_999_999
_KEPT = 10_000


@frozen(kw_only=True)
class _Limit:
    """So many requests in a window; each ``resource_key`` counts for itself."""

    limit: int
    window: timedelta


@define(kw_only=True)
class _Window:
    """What one counter has seen since its window began."""

    ends: datetime
    used: int = 0


@define(kw_only=True)
class _Budget:
    """What a tenant may still spend; ``soft``: it may spend more, which M35 can not put into words."""

    left: Decimal
    soft: bool


class BudgetService:
    """M35's state: limits, budgets, counters, and what it was asked."""

    def __init__(self, secret: Secret) -> None:
        """Let in tokens that are signed with ``secret``."""
        self._secret = secret
        self._limits: dict[tuple[str, str], _Limit] = {}
        self._windows: dict[tuple[str, str, str], _Window] = {}
        self._budgets: dict[str, _Budget] = {}
        self._planned: deque[int] = deque(maxlen=_KEPT)
        """The ``retry_after`` of each planned refusal."""
        self._checks: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._calls = RateLimit((1000, 60))
        own = {
            ("POST", "/_sim/limits"): self._set_limit,
            ("POST", "/_sim/budgets"): self._set_budget,
            ("POST", "/_sim/withhold"): self._withhold,
            ("GET", "/_sim/checks"): self._show,
        }
        self._controls = Controls(self._perform, own)

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer as M35 does."""
        return self._controls.handle(request, now=now)

    def _perform(self, request: Request, now: datetime) -> Response:
        path = urlsplit(request.url).path
        if request.method == "GET" and path == "/budget/v1/health":
            return as_json(200, {"status": "healthy"})
        claims = claims_of(request, self._secret, demanded=("sub", "tenant_id", "exp"), now=now)
        if claims is None or not self._calls.admits("", now=now):
            raise crashed()
        match request.method, path:
            case "POST", "/budget/v1/rate-limits/check":
                answer = self._check_rate(_question(request), now)
            case "POST", "/budget/v1/budgets/check":
                answer = self._check_cost(_question(request))
            case _:
                raise detail(404, "Not Found")
        return as_json(200, {**answer, "correlation_id": request.header("x-correlation-id")})

    def _check_rate(self, asked: dict[str, Any], now: datetime) -> dict[str, Any]:
        count, priority = asked.get("request_count", 1), asked.get("priority", "normal")
        if isinstance(count, bool) or not isinstance(count, int) or priority not in _PRIORITIES:
            wrong = fault("value_error", ("request_count",), "Input is not valid", count)
            raise unprocessable([wrong])
        answer = self._refused() if self._planned else self._counted(asked, count, now)
        self._checks.append({**asked, "allowed": answer["allowed"]})
        return answer

    def _refused(self) -> dict[str, Any]:
        refusal = {"allowed": False, "remaining_requests": 0, "limit_value": 0}
        return {**refusal, "retry_after": self._planned.popleft(), "policy_id": "planned"}

    def _counted(self, asked: dict[str, Any], count: int, now: datetime) -> dict[str, Any]:
        kind = (asked["tenant_id"], asked["resource_type"])
        limit = self._limits.get(kind)
        if limit is None:
            free = {"remaining_requests": _UNLIMITED, "limit_value": _UNLIMITED}
            return {"allowed": True, **free, "retry_after": None, "policy_id": None}
        key = (*kind, str(asked.get("resource_key")))
        window = self._windows.get(key)
        if window is None or window.ends <= now:
            window = self._windows[key] = _Window(ends=now + limit.window)
        allowed = window.used + count <= limit.limit
        window.used += count if allowed else 0
        wait = math.ceil((window.ends - now).total_seconds())
        return {
            "allowed": allowed,
            "remaining_requests": limit.limit - window.used,
            "limit_value": limit.limit,
            "reset_time": window.ends.replace(tzinfo=None).isoformat(),
            "retry_after": None if allowed else wait,
            "policy_id": ":".join(kind),
        }

    def _check_cost(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A debit, even where the answer is a 500."""
        cost = _amount(asked, "estimated_cost")
        budget = self._budgets.get(asked["tenant_id"])
        if budget is None:
            free = {"allowed": True, "remaining_budget": str(_UNLIMITED), "budget_id": ""}
            self._checks.append({**asked, "allowed": True})
            return free
        allowed = budget.soft or cost <= budget.left
        budget.left -= cost if allowed else 0
        self._checks.append({**asked, "allowed": allowed})
        if budget.left < 0:
            raise crashed()
        return {
            "allowed": allowed,
            "remaining_budget": str(budget.left),
            "budget_id": asked["tenant_id"],
            "enforcement_action": "soft_limit" if budget.soft else "hard_stop",
        }

    def _set_limit(self, request: Request) -> Response:
        wish = body_of(request)
        demand(wish, tenant_id=str, resource_type=str, limit=int, window_s=int)
        limit = _Limit(limit=wish["limit"], window=timedelta(seconds=wish["window_s"]))
        self._limits[wish["tenant_id"], wish["resource_type"]] = limit
        return as_json(201, {"limits": len(self._limits)})

    def _set_budget(self, request: Request) -> Response:
        wish = body_of(request)
        demand(wish, tenant_id=str, amount=str)
        budget = _Budget(left=_amount(wish, "amount"), soft=wish.get("soft") is True)
        self._budgets[wish["tenant_id"]] = budget
        return as_json(201, {"budgets": len(self._budgets)})

    def _withhold(self, request: Request) -> Response:
        wish = body_of(request)
        demand(wish, times=int, retry_after=int)
        self._planned.extend([wish["retry_after"]] * min(wish["times"], _KEPT))
        return as_json(201, {"waiting": len(self._planned)})

    def _show(self, request: Request) -> Response:
        wanted = query_of(request)
        return as_json(200, {"checks": matching(self._checks, wanted)})


def _question(request: Request) -> dict[str, Any]:
    """What both checks ask; a tenant id that is no UUID falls through to the database there."""
    asked = body_of(request)
    demand(asked, tenant_id=str, resource_type=str)
    try:
        asked["tenant_id"] = str(UUID(asked["tenant_id"]))
    except ValueError as reason:
        raise crashed() from reason
    return asked


def _amount(document: dict[str, Any], name: str) -> Decimal:
    """Amounts are numbers or texts there, from 0."""
    try:
        amount = Decimal(str(document.get(name)))
    except InvalidOperation:
        amount = Decimal("nan")
    if not amount.is_finite() or amount < 0:
        message = "Input should be greater than or equal to 0"
        raise unprocessable([fault("greater_than_equal", (name,), message, document.get(name))])
    return amount
