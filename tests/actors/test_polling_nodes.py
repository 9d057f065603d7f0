"""Two nodes' worth of pollers on one store: each entry is one signal, and no cursor goes back (P2, P10)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from attrs import evolve

from actors.platform.errors import PlatformUnavailableError
from actors.reading import BEGUN_FOR
from persistence.opening import open_store
from persistence.store import Store
from tests.actors.book import SECOND, Library, a_library, since
from tests.actors.scene import NEVER
from tests.fakes.ledgerbook import LIMIT

pytestmark = pytest.mark.thorough

OFTEN = evolve(NEVER, every=timedelta(milliseconds=10))


async def two_nodes(store: Store) -> tuple[Library, Library]:
    """On one database, with one PM-3; both know one connection, which has begun to read. Neither runs."""
    one = a_library(store, repeats=1, token_lives=timedelta(days=9))
    async with one.scene.node():
        await one.begun()
    other = one.another()
    other.scene.signals = one.scene.signals
    other.scene.ports = evolve(
        other.scene.ports, signals=one.scene.signals, incarnation=UUID(int=2**91)
    )
    return one, other


async def test_a_node_goes_on_where_another_one_was(store_url):
    """P2, P10: one after the other takes the connection over, with lists of more than a page."""
    async with open_store(store_url) as store:
        nodes = await two_nodes(store)
        reached = since((await nodes[0].cursor()).cursor)
        for number in range(6):
            node = nodes[number % 2]
            for _ in range(LIMIT + 2):
                node.clock.advance(seconds=50)
                node.write()

            async with node.scene.node():
                after = await node.turn()
                await node.all_told()

            assert since(after.cursor) > reached
            reached = since(after.cursor)


async def test_a_page_of_a_node_that_was_overtaken_in_the_middle_of_it_is_not_kept(store_url):
    """P10: the other has read further by then; nothing goes back."""
    async with open_store(store_url) as store:
        one, other = await two_nodes(store)

        async def overtaken() -> None:
            one.clock.at += BEGUN_FOR + SECOND
            one.write(3)
            await other.turn()

        one.scene.store.on("keep_page", overtaken)
        begun = {node: node.scene.store.calls["connections_to_clean"] for node in (one, other)}
        async with one.scene.node(), other.scene.node():
            for node in (one, other):  # nothing is due yet in the round that each begins with
                await node.scene.watch.until(partial(_had_a_round, node, begun[node]))
            one.clock.advance(minutes=10)
            one.write(3)
            one.look()
            await one.scene.watch.until(lambda: one.scene.log.of("connection.fenced"))
            reached = since((await other.cursor()).cursor)

            other.clock.advance(hours=1)
            other.write()
            await other.turn()

            assert since((await other.cursor()).cursor) > reached
            await other.scene.counted(other.connection, forwarded=7)
            await one.all_told(resent=True)
            assert one.scene.recorder.crashes == other.scene.recorder.crashes == []


async def test_nodes_that_fight_over_a_connection_find_each_entry_once(store_url):
    """P2, P10: both are told again and again, at any moment; whatever comes of it, each entry is one delivery.

    Only of their pollers: what is settled and sent by two nodes on one database is another matter.
    """
    async with open_store(store_url) as store:
        one, other = await two_nodes(store)
        one.scene.signals.down = PlatformUnavailableError("it is away")
        reached = since((await one.cursor()).cursor)
        async with one.scene.node(OFTEN), other.scene.node(OFTEN):
            for _ in range(8):
                one.clock.at += 5 * (BEGUN_FOR + SECOND)
                one.write(2)
                for node in (one, other):
                    await two_rounds(node)
                now_at = since((await one.cursor()).cursor)
                assert now_at >= reached
                reached = now_at

        async with one.scene.node():
            await one.insisted()
        ledger = await one.scene.ledger(one.connection)
        assert ledger.accepted == len(one.book.entries)
        assert ledger.duplicate > 0
        assert one.scene.recorder.crashes == other.scene.recorder.crashes == []


def _had_a_round(node: Library, before: int) -> bool:
    return node.scene.store.calls["connections_to_clean"] > before


async def two_rounds(node: Library) -> None:
    """Of upkeep."""
    calls = node.scene.store.calls
    told = calls["connections_to_poll"] + 2
    await node.scene.watch.until(lambda: calls["connections_to_poll"] >= told)
