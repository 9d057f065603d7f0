"""What a GitHub connection needs to be allowed, and what its token's own words say of that.

Names are those of GitHub Apps and fine-grained tokens; a classic token has scopes, each of which allows several.
docs.github.com, "Scopes for OAuth apps" and "Permissions required for GitHub Apps".
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import StrEnum
from types import MappingProxyType

from adapters.github.settings import GitHubSettings, targets

OF_ACTIONS = (
    "checks:write",
    "issues:write",
    "metadata:read",
    "pull_requests:write",
    "statuses:write",
)
SCOPES = tuple(sorted({*OF_ACTIONS, "organization_hooks:write", "repository_hooks:write"}))
"""All that a connection may need; the hooks only where its settings name something to register them for."""

OAUTH_SCOPES = ("repo", "admin:org_hook")
"""What a person is asked to grant; ``repo`` includes the hooks of repositories."""


class Verdict(StrEnum):
    """Whether a token allows something, as far as can be told."""

    GRANTED = "granted"
    MISSING = "missing"
    UNKNOWN = "unknown"


_CLASSIC: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        # Check runs are made by GitHub Apps alone.
        "checks:write": frozenset(),
        "issues:write": frozenset({"repo"}),
        "metadata:read": frozenset({"repo"}),
        "organization_hooks:write": frozenset({"admin:org_hook"}),
        "pull_requests:write": frozenset({"repo"}),
        # Not ``write:repo_hook``, which can not remove one.
        "repository_hooks:write": frozenset({"repo", "admin:repo_hook"}),
        "statuses:write": frozenset({"repo", "repo:status"}),
    }
)
_PUBLIC_ONLY = frozenset(_CLASSIC) - {"checks:write", "organization_hooks:write"}
"""What ``public_repo`` allows in public repositories; whether the connection's are, it does not say."""

_LEVELS = ("read", "write", "admin")


def needed(settings: GitHubSettings) -> tuple[str, ...]:
    """The permissions that a connection with these settings needs."""
    return tuple(sorted({*OF_ACTIONS, *(target.permission for target in targets(settings))}))


def by_scopes(scopes: Set[str], permission: str) -> Verdict:
    """What the scopes of a classic token say of a permission."""
    if scopes & _CLASSIC[permission]:
        return Verdict.GRANTED
    if "public_repo" in scopes and permission in _PUBLIC_ONLY:
        return Verdict.UNKNOWN
    return Verdict.MISSING


def by_grant(granted: Set[str], permission: str) -> Verdict:
    """What a grant that lists permissions (``issues:write``) says of one; a higher level includes the lower."""
    held = dict(_split(entry) for entry in granted if _split(entry)[1] in _LEVELS)
    if not held:
        return Verdict.UNKNOWN
    name, level = _split(permission)
    has = held.get(name)
    enough = has is not None and _LEVELS.index(has) >= _LEVELS.index(level)
    return Verdict.GRANTED if enough else Verdict.MISSING


def _split(permission: str) -> tuple[str, str]:
    name, _, level = permission.partition(":")
    return name, level
