"""The node is killed while it renews a token, and while its provider wants to be left alone."""

from __future__ import annotations

import pytest

from http_edge.child import Child
from http_edge.stage import TOKENS, Stage, until

pytestmark = pytest.mark.thorough

_PATIENCE_S = 30.0
_A_WHILE_S = 1.0


async def killed_while_it_renews(stage: Stage, node: Child, **fault: object) -> str:
    """Kill -9 while the node waits for a token; the id of the action that it wants it for."""
    await stage.connect_by_login()
    await node.kill()
    before = await stage.token_requests()
    await stage.neighbours.fault(**fault, delay_s=20, path=TOKENS)
    await node.start_again(stage.client)
    action = await stage.comment("by-a-renewed-token")

    async def asked() -> bool:
        return await stage.token_requests() > before

    assert await until(asked, within_s=_PATIENCE_S)
    await node.kill()
    await node.start_again(stage.client)
    return str(action["action_id"])


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # the next one runs on both
async def test_kill_9_before_a_token_is_renewed_costs_nothing(hasty: Stage, node: Child) -> None:
    """FR-3: the refresh token was not spent, and is used after the restart."""
    action_id = await killed_while_it_renews(hasty, node, effect="none", dropped=True)

    ended = await hasty.action_ended(action_id, within_s=_PATIENCE_S)

    assert ended["status"] == "done"
    assert await hasty.comments("by-a-renewed-token") == 1
    assert (await hasty.connection())["status"] == "active"


async def test_kill_9_while_a_spent_refresh_tokens_answer_is_on_its_way_asks_for_a_login_and_loses_nothing(
    hasty: Stage, node: Child
) -> None:
    """FR-3: the only token is in the answer that nobody got; a person is told, and what came meanwhile is kept."""
    action_id = await killed_while_it_renews(hasty, node)

    ended = await hasty.action_ended(action_id, within_s=_PATIENCE_S)
    sent = await hasty.send_many(10)
    alerts = await hasty.alerted("needs_login", "open", within_s=_PATIENCE_S)
    failed = await hasty.connection()
    answer = await hasty.log_in()

    assert ended["status"] == "needs_login"
    assert (failed["status"], list(alerts)) == ("error", ["open"])
    assert all(one.acknowledged for one in sent)
    assert answer.json()["status"] == "active"
    counted = await hasty.arrived(hasty.acknowledged(), within_s=_PATIENCE_S)
    assert set(counted.values()) == {1}
    assert len(counted) == len(sent)
    assert (await hasty.comment("logged-in-again", wait_s=10))["status"] == "done"


@pytest.mark.parametrize(
    "store_url", ["sqlite"], indirect=True
)  # what is kept of it is in the store's contract
async def test_kill_9_while_the_breaker_is_open_does_not_shorten_the_silence(
    stage: Stage, node: Child
) -> None:
    """FR-8: after the restart the breaker is open until the same moment, and nothing is sent."""
    await stage.connect()
    assert await until(stage.is_registered, within_s=_PATIENCE_S)
    await stage.neighbours.fault(effect="none", status=429, headers={"retry-after": "60"})
    await stage.comment("left-alone")

    async def silent() -> bool:
        return ((await stage.health())["provider"] or {}).get("circuit") == "open"

    assert await until(silent, within_s=_PATIENCE_S)
    before = (await stage.health())["provider"]["free_at"]
    requests = len(await stage.neighbours.requests())
    await node.kill()
    await node.start_again(stage.client)
    await stage.comment("beside", on_issue=True)
    assert await until(silent, within_s=_PATIENCE_S)

    async def asked() -> bool:
        return len(await stage.neighbours.requests()) > requests

    assert (await stage.health())["provider"]["free_at"] == before
    assert not await until(asked, within_s=_A_WHILE_S)
    assert list(await stage.alerted("circuit_open", "open", within_s=_PATIENCE_S)) == ["open"]
