"""A node put together, on each engine: in at one end, out at the other."""

from __future__ import annotations

from tests.http_edge.scene import EXECUTE, neighbours, running


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
