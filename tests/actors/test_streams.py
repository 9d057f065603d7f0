"""What of a connection is read again and again, and what becomes of its cursors when that changes (FR-5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from attrs import evolve

from actors.streams import HEALING, streams_of
from adapters.contract import Adapter
from adapters.errors import SettingsError
from adapters.github import ADAPTER
from adapters.polling import Resource
from persistence.changes import ConnectionChange
from persistence.opening import open_store
from persistence.records import ConnectionState
from tests.actors.book import Turns, a_library, a_running_library, since
from tests.actors.hub import a_hub
from tests.actors.life import REPOSITORY
from tests.fakes.adapters import ScriptedAdapter
from tests.fakes.ledgerbook import ENTRIES, LEDGERBOOK, LedgerbookAdapter
from tests.persistence import samples

LISTS = tuple(f"{kind}:{REPOSITORY}" for kind in ("issues", "pulls", "comments"))


def streams(adapter: Adapter, *capabilities: str, **changes: Any) -> tuple[Resource, ...]:
    settings = orjson.dumps({"repositories": [REPOSITORY]})
    connection = evolve(
        samples.connection(), capabilities=capabilities, settings=settings, **changes
    )
    return streams_of(connection, adapter)


def names(*found: Resource) -> tuple[str, ...]:
    return tuple(one.name for one in found)


def test_a_connection_that_polls_reads_its_lists_at_their_own_pace():
    found = streams(ADAPTER, "polling")

    assert names(*found) == LISTS
    assert found == ADAPTER.resources(orjson.dumps({"repositories": [REPOSITORY]}))


def test_one_with_webhooks_too_looks_through_the_record_of_those_that_failed():
    assert names(*streams(ADAPTER, "polling", "webhook")) == (*LISTS, HEALING.name)


def test_one_with_webhooks_alone_looks_through_their_record_where_the_provider_shows_it():
    assert streams(ADAPTER, "webhook", "outbound_actions") == (HEALING,)


def test_where_no_record_shows_what_failed_its_lists_are_compared_as_seldom_as_may_be():
    (seldom,) = streams(LEDGERBOOK, "webhook")

    assert seldom == evolve(ENTRIES, every=ENTRIES.slowest, fastest=ENTRIES.slowest)


@pytest.mark.parametrize(
    ("adapter", "capabilities", "changes"),
    [
        (ADAPTER, ("outbound_actions",), {}),
        (LEDGERBOOK, ("outbound_actions",), {}),
        (ScriptedAdapter(), ("polling", "webhook"), {}),
        (ADAPTER, ("polling", "webhook"), {"auth_ref": None}),
    ],
    ids=["not asked for", "nor here", "can not be polled", "no credentials"],
)
def test_else_nothing_is_read(adapter, capabilities, changes):
    assert streams(adapter, *capabilities, **changes) == ()


def test_settings_that_can_not_be_read_are_told_of():
    with pytest.raises(SettingsError):
        streams_of(
            evolve(samples.connection(), capabilities=("polling",), settings=b'{"reposit'), ADAPTER
        )


async def test_new_settings_bring_new_lists_and_those_that_are_no_more_are_forgotten(store_url):
    """Those that stay, stay where they are."""
    async with a_hub(store_url) as hub:
        hub.github.world.add_repository("acme/moon")
        hub.github.world.add_repository("acme/mars")
        settings = orjson.dumps({"repositories": [REPOSITORY, "acme/moon"]})
        capabilities = ("webhook", "polling", "outbound_actions")
        connection = await hub.active(capabilities=capabilities, settings=settings)
        turns = Turns(hub.scene, hub.clock, connection)
        before = {one.resource: one.cursor for one in await turns.rested()}

        other = orjson.dumps({"repositories": [REPOSITORY, "acme/mars"]})
        change = ConnectionChange(state=ConnectionState.ACTIVE, settings=other)
        await samples.changed(hub.scene.store.inner, connection, change)
        hub.scene.wake.connection("acme", connection.connection_id)

        async def planned() -> bool:
            return any("mars" in one.resource for one in await turns.cursors())

        await hub.scene.watch.until(planned)
        after = {one.resource: one.cursor for one in await turns.rested()}
        kinds = ("issues", "pulls", "comments")
        assert before.keys() == {*LISTS, *(f"{kind}:acme/moon" for kind in kinds), HEALING.name}
        assert after.keys() == {*LISTS, *(f"{kind}:acme/mars" for kind in kinds), HEALING.name}
        assert all(cursor is not None for cursor in after.values())
        assert {name: after[name] for name in LISTS} == {name: before[name] for name in LISTS}


async def test_a_connection_that_is_polled_no_more_has_no_cursors_after_its_next_turn(store_url):
    async with a_running_library(store_url) as library:
        change = ConnectionChange(state=ConnectionState.ACTIVE, capabilities=("outbound_actions",))
        await samples.changed(library.scene.store.inner, library.connection, change)
        library.scene.wake.connection("acme", library.connection.connection_id)
        await library.scene.watch.until(lambda: library.scene.log.of("connection.read_again"))
        asked = library.asked

        library.clock.at = (await library.cursor()).next_poll_at
        library.look()

        async def gone() -> bool:
            return not await library.turns.cursors()

        await library.scene.watch.until(gone)
        due = await library.scene.store.inner.connections_to_poll(
            now=library.clock.now() + timedelta(days=9), after=None, limit=9
        )
        assert (due, library.asked) == ((), asked)


async def test_a_suspended_connection_is_not_polled_and_goes_on_at_its_cursor_when_resumed(
    store_url,
):
    async with a_running_library(store_url) as library:
        library.write()
        before = await library.turn()
        await library.move(ConnectionState.SUSPENDED)
        library.scene.wake.connection("acme", library.connection.connection_id)
        await library.scene.watch.until(lambda: library.scene.log.of("connection.read_again"))
        library.clock.advance(days=1)
        library.write(7)
        asked = library.asked
        later = library.clock.now()
        store = library.scene.store

        assert await store.inner.connections_to_poll(now=later, after=None, limit=9) == ()
        await library.looked(reads="connection")
        assert library.asked == asked
        assert (await library.cursor()).cursor == before.cursor

        await library.move(ConnectionState.ACTIVE)
        assert len(await store.inner.connections_to_poll(now=later, after=None, limit=9)) == 1
        after = await library.turn()
        await library.all_told()
        assert since(after.cursor) > since(before.cursor)


class Unreadable(LedgerbookAdapter):
    """An older version, which knows no settings but the ones it had."""

    def resources(self, settings: bytes) -> tuple[Resource, ...]:
        if settings != b"{}":
            raise SettingsError("what is that?", field="depth")
        return super().resources(settings)


async def test_while_settings_can_not_be_read_what_is_polled_stays_as_it_is(sqlite_url):
    """To forget the cursors would be to lose what comes until somebody mends the settings."""
    async with open_store(sqlite_url) as store:
        library = a_library(store)
        async with library.scene.node():
            await library.begun(settings=b'{"depth":9}')
        older = library.another(adapter=Unreadable())
        async with older.scene.node():
            older.write(7)
            await older.turn()
            await older.turn()

            await older.all_told()
            assert [one["reason"] for one in older.scene.log.of("poll.settings_unreadable")] == [
                "depth: what is that?"
            ]
