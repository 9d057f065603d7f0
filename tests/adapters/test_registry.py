"""The registry finds providers by their folder and refuses broken ones."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from adapters.capabilities import (
    Allowances,
    Apps,
    CredentialsCheck,
    Login,
    Subscriptions,
)
from adapters.contract import Adapter
from adapters.errors import UnknownProviderError
from adapters.github import ADAPTER, MANIFEST
from adapters.manifest import AuthMethod, Manifest
from adapters.registry import capabilities, discover, register
from adapters.signals import SIGNAL_TYPES
from tests.fakes.adapters import ScriptedAdapter

WORKING = """
from attrs import evolve
from adapters.github import GitHub, MANIFEST
ADAPTER = GitHub(manifest=evolve(MANIFEST, provider_id={provider_id!r}))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty package; the test adds provider folders to it before it is discovered."""
    root = tmp_path / "made_up_providers"
    root.mkdir()
    (root / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == root.name]:
        del sys.modules[name]


def add(root: Path, folder: str, text: str) -> None:
    (root / folder).mkdir()
    (root / folder / "__init__.py").write_text(text)


def test_the_program_has_every_provider_folder() -> None:
    registry = discover()

    assert registry.get("github") is ADAPTER
    assert MANIFEST in registry.manifests()


def test_a_new_folder_is_all_a_provider_needs(package: Path) -> None:
    add(package, "first", WORKING.format(provider_id="zed"))
    add(package, "second", WORKING.format(provider_id="abc"))
    (package / "kit.py").write_text("raise RuntimeError('a plain module is no provider')")

    registry = discover(importlib.import_module(package.name))

    assert [manifest.provider_id for manifest in registry.manifests()] == ["abc", "zed"]


def test_two_providers_of_one_name_stop_the_program(package: Path) -> None:
    add(package, "first", WORKING.format(provider_id="same"))
    add(package, "second", WORKING.format(provider_id="same"))

    with pytest.raises(ValueError, match="two adapters for provider 'same'"):
        discover(importlib.import_module(package.name))


def test_a_folder_without_an_adapter_stops_the_program(package: Path) -> None:
    add(package, "empty", "")

    with pytest.raises(ValueError, match="has no ADAPTER"):
        discover(importlib.import_module(package.name))


def test_a_folder_that_can_not_be_imported_stops_the_program(package: Path) -> None:
    add(package, "broken", "import nothing_of_that_name")

    with pytest.raises(ModuleNotFoundError):
        discover(importlib.import_module(package.name))


def test_an_unknown_provider_is_named_in_the_error() -> None:
    with pytest.raises(UnknownProviderError, match="'gitea'"):
        register([]).get("gitea")


class Half:
    """Has a manifest and nothing else."""

    manifest = MANIFEST


def with_manifest(**changes: Any) -> Adapter:
    return attrs.evolve(ADAPTER, manifest=attrs.evolve(MANIFEST, **changes))


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (object(), "has no manifest"),
        (Half(), "lacks receive, normalise"),
        (with_manifest(provider_id="Git Hub"), "is no provider id"),
        (with_manifest(signal_types=("push", "made_up")), "unknown signal types"),
    ],
)
def test_a_broken_adapter_stops_the_program(adapter: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        register([adapter])


@pytest.mark.parametrize("method", [one for one in AuthMethod if one is not AuthMethod.TOKEN])
def test_a_way_to_log_in_that_is_not_built_stops_the_program(method: AuthMethod) -> None:
    scripted = ScriptedAdapter()
    claims = attrs.evolve(
        scripted, manifest=attrs.evolve(scripted.manifest, auth_methods=(method,))
    )

    with pytest.raises(ValueError, match=f"can not log in by .*{method}"):
        register([claims])


def test_an_adapter_has_the_capabilities_it_implements() -> None:
    assert capabilities(ADAPTER) == (
        "webhook",
        "outbound_actions",
        "webhook_registration",
        "polling",
        "gap_heal",
        "oauth2",
        "app",
        *(("limit_headers",) if isinstance(ADAPTER, Allowances) else ()),
    )
    assert capabilities(ScriptedAdapter()) == ("webhook", "outbound_actions")


def test_what_a_manifest_leaves_empty_is_no_capability() -> None:
    quiet = ScriptedAdapter(
        manifest=attrs.evolve(ScriptedAdapter().manifest, event_kinds=(), actions=())
    )

    assert capabilities(quiet) == ()


@pytest.mark.parametrize("kind", [Subscriptions, Login, Apps, CredentialsCheck])
def test_github_implements_what_it_is_asked_for(kind: type) -> None:
    assert isinstance(ADAPTER, kind)
    assert not isinstance(ScriptedAdapter(), kind)


@pytest.mark.parametrize("manifest", discover().manifests(), ids=lambda one: one.provider_id)
def test_a_manifest_claims_only_what_exists(manifest: Manifest) -> None:
    assert set(manifest.signal_types) <= set(SIGNAL_TYPES)
    assert "other" in manifest.signal_types
    assert len(set(manifest.event_kinds)) == len(manifest.event_kinds)
    assert len(set(manifest.actions)) == len(manifest.actions)
    assert not manifest.base_url.endswith("/")
