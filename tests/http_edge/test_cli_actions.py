"""``actions`` and ``providers`` over the API of a running node."""

from __future__ import annotations

from uuid import UUID

import orjson
import pytest

from adapters.simulation import as_json
from tests.http_edge.command import call, cli, done
from tests.http_edge.scene import EXECUTE, Scene
from tests.http_edge.test_cli_api import answering

pytestmark = pytest.mark.thorough

NOBODY = str(UUID(int=7))


async def ended(scene: Scene, key: str = "k") -> dict[str, str]:
    """An action that was carried out."""
    connection = await scene.active()
    body = {**scene.action_body(connection, key), "correlation_id": f"c-{key}"}
    answer = await scene.call("module", "POST", EXECUTE, body, headers={"prefer": "wait=10"})
    assert answer.json()["status"] == "done", answer.text
    document: dict[str, str] = answer.json()
    return document


async def test_an_action_is_listed_and_shown_with_what_was_sent(scene: Scene) -> None:
    action = await ended(scene)

    listed = await cli(scene, "actions", role="operator")
    shown = await cli(scene, "actions", "show", action["action_id"], role="operator")

    assert action["action_id"] in listed.stdout
    assert "comment_on_pr" in listed.stdout
    assert shown.exit_code == 0
    assert "exchanges\nstep  digest" in shown.stdout


async def test_actions_are_narrowed(scene: Scene) -> None:
    one, two = await ended(scene, "one"), await ended(scene, "two")

    async def listed(*options: str) -> list[str]:
        page = done(await cli(scene, "actions", "list", "--json", *options))
        return [entry["action_id"] for entry in page["actions"]]

    assert await listed() == [two["action_id"], one["action_id"]]
    assert await listed("--connection", one["connection_id"]) == [one["action_id"]]
    assert await listed("--correlation-id", "c-two") == [two["action_id"]]
    assert await listed("--status", "queued", "--status", "refused") == []
    assert len(await listed("--type", "comment_on_pr", "--limit", "1")) == 1


async def test_what_ended_is_neither_cancelled_nor_resolved(scene: Scene) -> None:
    action = await ended(scene)

    cancelled = await cli(scene, "actions", "cancel", action["action_id"], "--reason", "no more")
    resolved = await cli(
        scene,
        *("actions", "resolve", action["action_id"], "done", "--reason", "seen"),
        role="operator",
    )

    for refused in (cancelled, resolved):
        assert refused.exit_code == 1
        assert "(409 " in refused.stderr


async def test_cancel_and_resolve_say_what_they_are_told() -> None:
    async with answering(*(as_json(200, {"action_id": NOBODY}) for _ in range(4))) as (
        node,
        asking,
    ):
        for arguments in (
            ("cancel", NOBODY),
            ("cancel", NOBODY, "--reason", "no more"),
            ("resolve", NOBODY, "refused", "--reason", "looked"),
            ("resolve", NOBODY, "done", "--reason", "saw it", "--reference", "17"),
        ):
            assert done(await asking("actions", *arguments, "--json")) == {"action_id": NOBODY}

    assert [orjson.loads(request.body) for request in node.asked] == [
        {},
        {"reason": "no more"},
        {"status": "refused", "reason": "looked"},
        {"status": "done", "reason": "saw it", "reference": "17"},
    ]
    path = f"/internal/integrations/actions/{NOBODY}"
    assert [request.url for request in node.asked] == [
        f"{path}/cancel",
        f"{path}/cancel",
        f"{path}/resolve",
        f"{path}/resolve",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("resolve", NOBODY, "done"),
        ("resolve", NOBODY, "unsure", "--reason", "x"),
        ("show", "k"),
        ("list", "--status", "asleep"),
    ],
)
def test_a_wrong_call_is_explained(arguments: tuple[str, ...]) -> None:
    assert call("actions", *arguments, IA_API_TOKEN="x").exit_code == 2


async def test_the_canonical_actions_are_named_and_one_is_shown(scene: Scene) -> None:
    named = await cli(scene, "actions", "schemas", role="viewer")
    one = await cli(scene, "actions", "schemas", "comment_on_pr", role="viewer")
    none = await cli(scene, "actions", "schemas", "make_coffee", role="viewer")
    whole = done(await cli(scene, "actions", "schemas", "--json", role="viewer"))

    assert "create_issue" in named.stdout
    assert len(named.stdout.splitlines()) == len(whole["actions"]) + 1
    assert "\ntarget\nfield" in one.stdout
    assert "pr_number" in one.stdout
    assert (none.exit_code, "no such canonical action" in none.stderr) == (2, True)


async def test_providers_are_listed_and_one_is_shown(scene: Scene) -> None:
    listed = await cli(scene, "providers")
    none = await cli(scene, "providers", "--category", "chat")
    able = await cli(scene, "providers", "list", "--capability", "outbound_actions")
    shown = await cli(scene, "providers", "show", "github")
    exact = done(await cli(scene, "providers", "show", "github", "--json"))
    unknown = await cli(scene, "providers", "show", "../connections")

    assert listed.stdout == able.stdout
    assert listed.stdout.splitlines()[1].startswith("github ")
    assert len(none.stdout.splitlines()) == 1
    assert "auth_methods" in shown.stdout
    assert "config_schema" not in shown.stdout
    assert exact["config_schema"]["type"] == "object"
    assert (unknown.exit_code, "404 NOT_FOUND" in unknown.stderr) == (1, True)
