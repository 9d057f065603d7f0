"""Which adapters this program has: every provider package in ``adapters`` that has an ``ADAPTER``."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType, ModuleType
from typing import cast

from attrs import frozen

import adapters
from adapters.capabilities import Allowances, Apps, Login, Subscriptions
from adapters.contract import Adapter
from adapters.errors import UnknownProviderError
from adapters.manifest import AuthMethod, Manifest
from adapters.polling import Heals, Polls
from adapters.signals import SIGNAL_TYPES

WEBHOOK = "webhook"
OUTBOUND = "outbound_actions"
POLLING = "polling"
_PROVIDER_ID = re.compile(r"[a-z][a-z0-9_]{1,49}")
_METHODS = ("receive", "normalise", "check", "target_key", "plan", "probe", "authorise")
_OPTIONAL: Mapping[str, type] = MappingProxyType(
    {
        "webhook_registration": Subscriptions,
        POLLING: Polls,
        "gap_heal": Heals,
        "oauth2": Login,
        "app": Apps,
        "limit_headers": Allowances,
    }
)
"""What an adapter may implement besides, by the name that callers see."""

_NEEDED: Mapping[AuthMethod, type] = MappingProxyType(
    {AuthMethod.OAUTH2: Login, AuthMethod.CLIENT_CREDENTIALS: Login, AuthMethod.APP: Apps}
)


@frozen
class Registry:
    """The adapters by provider id; never changes after start."""

    _adapters: Mapping[str, Adapter]

    def get(self, provider_id: str) -> Adapter:
        """The adapter of ``provider_id``.

        Raises:
            UnknownProviderError: there is none.
        """
        adapter = self._adapters.get(provider_id)
        if adapter is None:
            raise UnknownProviderError(provider_id)
        return adapter

    def manifests(self) -> tuple[Manifest, ...]:
        """What is true of each provider, ordered by provider id."""
        return tuple(adapter.manifest for adapter in self._adapters.values())


def capabilities(adapter: Adapter) -> tuple[str, ...]:
    """What the adapter can do, by the names that callers see: no more than it implements."""
    manifest = adapter.manifest
    named = ((WEBHOOK, manifest.event_kinds), (OUTBOUND, manifest.actions))
    always = [name for name, kinds in named if kinds]
    return (*always, *(name for name, kind in _OPTIONAL.items() if isinstance(adapter, kind)))


def register(found: Iterable[Adapter]) -> Registry:
    """Make a registry of adapters.

    Raises:
        ValueError: two have one provider id, or one lacks what every adapter has: the program must not start.
    """
    by_id: dict[str, Adapter] = {}
    for adapter in found:
        provider_id = _checked(adapter).provider_id
        if provider_id in by_id:
            raise ValueError(f"two adapters for provider {provider_id!r}")
        by_id[provider_id] = adapter
    return Registry(MappingProxyType(dict(sorted(by_id.items()))))


def discover(package: ModuleType = adapters) -> Registry:
    """Make a registry of every provider package directly in ``package``.

    Raises:
        ValueError: a package has no ``ADAPTER``, or see ``register``. What an import raises is not caught.
    """
    return register(
        _adapter_of(importlib.import_module(f"{package.__name__}.{module.name}"))
        for module in pkgutil.iter_modules(package.__path__)
        if module.ispkg
    )


def _adapter_of(module: ModuleType) -> Adapter:
    adapter = getattr(module, "ADAPTER", None)
    if adapter is None:
        raise ValueError(f"provider package {module.__name__} has no ADAPTER")
    return cast("Adapter", adapter)


def _checked(adapter: Adapter) -> Manifest:
    manifest = getattr(adapter, "manifest", None)
    if not isinstance(manifest, Manifest):
        raise ValueError(f"{type(adapter).__name__} has no manifest")  # noqa: TRY004  (one error to catch)
    lacking = [name for name in _METHODS if not callable(getattr(adapter, name, None))]
    if lacking:
        raise ValueError(f"adapter {manifest.provider_id!r} lacks {', '.join(lacking)}")
    if not _PROVIDER_ID.fullmatch(manifest.provider_id):
        raise ValueError(f"{manifest.provider_id!r} is no provider id")
    unfounded = [
        method.value
        for method in manifest.auth_methods
        if method in _NEEDED and not isinstance(adapter, _NEEDED[method])
    ]
    if unfounded:
        raise ValueError(f"adapter {manifest.provider_id!r} can not log in by {unfounded}")
    unknown = sorted(set(manifest.signal_types) - set(SIGNAL_TYPES))
    if unknown:
        raise ValueError(f"adapter {manifest.provider_id!r} has unknown signal types {unknown}")
    return manifest
