"""Policy: what an operator lets each tenant do. M23 has no route to read any from, so it is a TOML file of our own.

``[default]`` holds for every tenant, ``[tenants.<id>]`` changes single rules for one::

    [default]
    requests_per_minute = 600
    secret_grace = 86400                # durations in seconds

    [tenants.acme]
    providers = ["github", "slack"]     # or "all"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Protocol

from attrs import evolve, field, frozen

_LONGEST_S = 1e9


class PolicyMistakesError(ValueError):
    """The policy does not say what it has to; ``mistakes`` are all of them, one line each."""

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@frozen(kw_only=True)
class TenantPolicy:
    """What one tenant may do, and how.

    ``providers``: the only ones it may connect to; None: all. ``actions_at_once`` and ``requests_per_minute`` bound
    each of its connections; None: no cap of its own. ``budget_open``: whether work goes on, within the connection's
    own budget, while M35 can not be asked. ``poll_every``: how often its connections are polled; None: as the
    provider's manifest says. ``secret_grace``: how long the old webhook secret is good after a rotation.
    """

    providers: tuple[str, ...] | None = None
    actions_at_once: int = 4
    requests_per_minute: int | None = None
    budget_open: bool = True
    poll_every: timedelta | None = None
    secret_grace: timedelta = timedelta(days=1)

    def allows(self, provider_id: str) -> bool:
        """Whether the tenant may connect to ``provider_id``."""
        return self.providers is None or provider_id in self.providers


class Policy(Protocol):
    """The port to whoever decides what a tenant may do."""

    def of(self, tenant_id: str) -> TenantPolicy:
        """What holds for the tenant now; from memory, so it neither waits nor fails."""
        ...


@frozen(kw_only=True)
class StaticPolicy:
    """A policy that was read once."""

    default: TenantPolicy = TenantPolicy()
    tenants: Mapping[str, TenantPolicy] = field(factory=dict)

    def of(self, tenant_id: str) -> TenantPolicy:
        """See ``Policy.of``."""
        return self.tenants.get(tenant_id, self.default)


def read_policy(document: Mapping[str, object]) -> StaticPolicy:
    """The policy that ``document`` (a parsed TOML file) states; a rule it does not name is as in ``TenantPolicy``.

    Raises:
        PolicyMistakesError: with every name that is unknown and every value that is wrong.
    """
    mistakes = [f"{name} is no table of a policy" for name in sorted(document.keys() - _TABLES)]
    default = evolve(TenantPolicy(), **_rules(document.get("default", {}), "default", mistakes))
    tenants = document.get("tenants", {})
    if not isinstance(tenants, Mapping):
        mistakes.append("tenants must be a table")
        tenants = {}
    own = {
        tenant_id: evolve(default, **_rules(rules, f"tenants.{tenant_id}", mistakes))
        for tenant_id, rules in tenants.items()
    }
    if mistakes:
        raise PolicyMistakesError(tuple(mistakes))
    return StaticPolicy(default=default, tenants=own)


def _rules(rules: object, where: str, mistakes: list[str]) -> dict[str, Any]:
    if not isinstance(rules, Mapping):
        mistakes.append(f"{where} must be a table")
        return {}
    read: dict[str, Any] = {}
    for name, value in rules.items():
        if name not in _RULES:
            mistakes.append(f"{where}.{name} is no rule")
            continue
        try:
            read[name] = _RULES[name](value)
        except ValueError as error:
            mistakes.append(f"{where}.{name} {error}")
    return read


def _providers(value: object) -> tuple[str, ...] | None:
    if value == "all":
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValueError('must be a list of provider ids, or "all"')
    return tuple(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("must be a whole number of at least 1")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - a mistake in a file, as the others are
    return value


def _seconds(value: object) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LONGEST_S:
        raise ValueError("must be a number of seconds above 0")
    return timedelta(seconds=value)


_TABLES = frozenset({"default", "tenants"})
_RULES: Mapping[str, Callable[[object], Any]] = {
    "providers": _providers,
    "actions_at_once": _count,
    "requests_per_minute": _count,
    "budget_open": _truth,
    "poll_every": _seconds,
    "secret_grace": _seconds,
}
