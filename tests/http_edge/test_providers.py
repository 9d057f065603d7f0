"""The registry as callers see it (FR-1)."""

from __future__ import annotations

import jsonschema_rs
import pytest

from actors.platform.policy import StaticPolicy, TenantPolicy
from adapters.canonical import CANONICAL
from adapters.github import MANIFEST
from tests.http_edge.scene import CONNECTIONS, Opened, Scene, error_of, running

PROVIDERS = "/v1/integrations/providers"


async def listed(scene: Scene, query: str = "", tenant: str = "acme") -> list[str]:
    answer = await scene.call("viewer", "GET", f"{PROVIDERS}{query}", tenant=tenant)
    assert answer.status_code == 200, answer.text
    return [provider["provider_id"] for provider in answer.json()["providers"]]


async def test_a_provider_says_what_it_is_and_what_it_can(scene: Scene) -> None:
    """FR-1: category, versions, status, capabilities, scopes, and what a connection must be told."""
    answer = await scene.call("viewer", "GET", f"{PROVIDERS}/github")

    assert answer.status_code == 200
    github = answer.json()
    assert github["category"] == "scm"
    assert github["status"] == MANIFEST.status.value
    assert github["api_version"] == MANIFEST.api_version
    assert github["adapter_version"] == MANIFEST.adapter_version
    assert {"webhook", "outbound_actions"} <= set(github["capabilities"])
    assert github["auth_methods"] == [method.value for method in MANIFEST.auth_methods]
    assert github["actions"] == list(MANIFEST.actions)
    jsonschema_rs.meta.validate(github["config_schema"])
    assert jsonschema_rs.is_valid(github["config_schema"], {})
    assert not jsonschema_rs.is_valid(github["config_schema"], {"colour": "red"})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", True),
        ("?category=scm", True),
        ("?category=chat", False),
        ("?capability=webhook&capability=outbound_actions", True),
        ("?capability=webhook&capability=telepathy", False),
        ("?category=scm&capability=webhook", True),
    ],
)
async def test_providers_are_found_by_category_and_capability(
    scene: Scene, query: str, found: bool
) -> None:
    assert ("github" in await listed(scene, query)) is found


async def test_an_unknown_category_is_400(scene: Scene) -> None:
    answer = await scene.call("viewer", "GET", f"{PROVIDERS}?category=magic")

    assert answer.status_code == 400
    assert error_of(answer)["details"]["field"] == "category"


async def test_a_provider_that_is_not_there_is_404(scene: Scene) -> None:
    assert (await scene.call("viewer", "GET", f"{PROVIDERS}/gopher")).status_code == 404


async def test_what_the_policy_does_not_allow_is_not_there_for_that_tenant(opened: Opened) -> None:
    """FR-1, M23: not in the list, not by its name, and no connection of it."""
    policy = StaticPolicy(tenants={"acme": TenantPolicy(providers=("slack",))})

    async with running(opened, opened.settings(policy_file=policy)) as scene:
        mine, theirs = await listed(scene), await listed(scene, tenant="globex")
        shown = await scene.call("viewer", "GET", f"{PROVIDERS}/github")
        made = await scene.call("tenant_admin", "POST", CONNECTIONS, scene.connection_body())

    assert "github" not in mine
    assert "github" in theirs
    assert shown.status_code == 404
    assert made.status_code == 403
    assert error_of(made)["code"] == "PROVIDER_NOT_ALLOWED"


async def test_the_canonical_actions_are_served_with_their_schemas(scene: Scene) -> None:
    """FR-7: callers can check what they write before they send it."""
    answer = await scene.call("module", "GET", "/v1/integrations/actions/schemas")

    actions = answer.json()["actions"]
    assert set(actions) == set(CANONICAL)
    for kind in actions.values():
        assert kind["summary"]
        for part in ("target", "payload"):
            jsonschema_rs.meta.validate(kind[part])
    good = {"repository": "acme/rocket", "pr_number": 2}
    assert jsonschema_rs.is_valid(actions["comment_on_pr"]["target"], good)
