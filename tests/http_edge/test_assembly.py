"""A node put together, on each engine: in at one end, out at the other."""

from __future__ import annotations

import orjson
from attrs import evolve

from tests.http_edge.scene import EXECUTE, Opened, neighbours, running


async def test_a_node_works_the_same_on_each_engine(store_url: str) -> None:
    """UT-IA-01, UT-IA-02, UT-IA-04, P5, P9: a webhook, its replay, an action, the ledger; text that JSONB refuses too."""
    async with neighbours(store_url) as opened, running(opened, opened.settings()) as scene:
        connection = await scene.active(display_name="ro\x00cket", tags={"a": "\x00"})
        request = scene.delivery(connection, event_id="guid-1")

        first = await scene.post(connection.webhook_url, request)
        replayed = await scene.post(connection.webhook_url, request)
        action = await scene.call(
            "module",
            "POST",
            EXECUTE,
            scene.action_body(connection, "k\x00"),
            headers={"prefer": "wait=15"},
        )

        assert (first.status_code, replayed.status_code) == (202, 200)
        assert action.json()["status"] == "done"
        (signal,) = await scene.arrived(1)
        assert signal["sequence_no"] == 1
        ledger = await scene.ledger()
        assert (ledger["forwarded"], ledger["duplicate"], ledger["difference"]) == (1, 1, 0)


async def test_a_node_says_once_which_neighbours_it_does_without(opened: Opened) -> None:
    """A node may live without M35, EPC-4 and EPC-5; without a word of it nobody would know why nothing is told."""
    settings = evolve(opened.settings(), budget_url=None, health_url=None)

    async with running(opened, settings) as scene:
        lines = [orjson.loads(line) for line in scene.log.getvalue().splitlines()]
        ports = scene.node.ports

    [said] = [line for line in lines if line["event"] == "platform.not_configured"]
    assert said["ports"] == ["budgets", "health"]
    assert (ports.budgets, ports.health) == (None, None)
    assert ports.incidents is not None
