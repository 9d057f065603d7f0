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


async def test_two_nodes_on_one_database_do_not_mind_each_other(store_url: str) -> None:
    """P2, P10: whichever takes a delivery, its signal leaves once, and the numbers have no gap."""
    async with neighbours(store_url) as opened:
        settings = opened.settings()
        async with running(opened, settings) as one, running(opened, settings) as other:
            connection = await one.active()
            path = connection.webhook_url.removeprefix(one.url)

            for number in range(3):
                request = one.delivery(connection, event_id=f"guid-{number}")
                answers = [await node.post(node.url + path, request) for node in (one, other)]
                assert [answer.status_code for answer in answers] == [202, 200]
            signals = await one.arrived(3)

    assert [signal["correlation_id"] for signal in signals] == ["guid-0", "guid-1", "guid-2"]
    assert [signal["sequence_no"] for signal in signals] == [1, 2, 3]
