"""After a connection was deleted: its webhook goes, then its secrets; a day at the most, whatever the provider does (FR-2)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from actors import incidents
from actors.cleaning import AT_MOST, clean
from actors.platform.errors import PlatformUnavailableError
from actors.sealing import AUTH, ENDPOINT, WEBHOOK
from adapters.faults import failing
from persistence.errors import StoreUnavailableError
from persistence.records import ConnectionRecord
from tests.actors.hub import ME, Hub, a_hub
from tests.actors.scene import NEVER

OFTEN = evolve(NEVER, every=timedelta(milliseconds=5))


async def deleted(hub: Hub, **chosen: object) -> ConnectionRecord:
    connection = await hub.active(**chosen)
    return await hub.connections.delete("acme", connection.connection_id, ME)


async def secrets(hub: Hub, connection: ConnectionRecord) -> int:
    """How many of its secrets are still kept."""
    kept = [
        await hub.scene.store.inner.secrets_of(
            "acme", connection.connection_id, purpose, now=hub.clock.now()
        )
        for purpose in (AUTH, WEBHOOK, ENDPOINT)
    ]
    return sum(len(rows) for rows in kept)


async def to_clean(hub: Hub) -> int:
    """How many wait to be tidied up now."""
    waiting = await hub.scene.store.inner.connections_to_clean(now=hub.clock.now(), limit=9)
    return len(waiting)


async def clean_up(hub: Hub, connection: ConnectionRecord) -> None:
    await clean(hub.connections.ports, "acme", connection.connection_id)


async def test_the_webhook_is_removed_and_then_the_secrets_are_forgotten(store_url):
    async with a_hub(store_url) as hub:
        connection = await deleted(hub)
        assert await secrets(hub, connection) == 3

        await clean_up(hub, connection)

        assert hub.hook_urls() == []
        assert await secrets(hub, connection) == 0
        assert await to_clean(hub) == 0
        assert hub.scene.log.of("connection.cleaned")[0]["audit"] is True
        assert hub.scene.log.of("connection.webhook_removed")


async def test_upkeep_does_it_by_itself(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub, hub.scene.node(OFTEN):
        connection = await deleted(hub)

        await hub.scene.watch.until(lambda: hub.scene.log.of("connection.cleaned"))

        assert hub.hook_urls() == []
        assert await secrets(hub, connection) == 0


@pytest.mark.parametrize("trouble", ["provider", "key service"])
async def test_a_provider_that_is_away_is_tried_again_for_a_day_and_no_longer(sqlite_url, trouble):
    """The secrets are needed for it, so they are kept so long; each try does not begin the day anew."""
    async with a_hub(sqlite_url) as hub:
        connection = await deleted(hub)
        if trouble == "provider":
            hub.github.plan(failing(500, times=9_999, path="/hooks"))
        else:
            hub.secrets.down = PlatformUnavailableError("M33 gave no answer")
        ends, tries = hub.clock.now() + AT_MOST, 0

        while await to_clean(hub):
            await clean_up(hub, connection)
            tries += 1
            assert tries < 50
            if await secrets(hub, connection):
                assert not await to_clean(hub)
                hub.clock.advance(minutes=59)

        assert ends - timedelta(hours=1) <= hub.clock.now() <= ends + timedelta(hours=1)
        assert await secrets(hub, connection) == 0
        told = hub.scene.log.of("connection.webhook_left")
        assert [entry["again"] for entry in told] == [True] * (tries - 1) + [False]


async def test_a_provider_that_comes_back_lets_it_be_tidied_up(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await deleted(hub)
        hub.github.plan(failing(500, path="/hooks"))

        await clean_up(hub, connection)
        assert len(hub.hook_urls()) == 1
        assert await secrets(hub, connection) == 3
        hub.clock.advance(minutes=5)
        await clean_up(hub, connection)

        assert hub.hook_urls() == []
        assert await secrets(hub, connection) == 0


@pytest.mark.parametrize("status", [401, 403])
async def test_a_provider_that_does_not_let_us_is_not_asked_again(sqlite_url, status):
    async with a_hub(sqlite_url) as hub:
        connection = await deleted(hub)
        hub.github.plan(failing(status, times=9, path="/hooks"))

        await clean_up(hub, connection)

        assert await secrets(hub, connection) == 0
        (told,) = hub.scene.log.of("connection.webhook_left")
        assert told["again"] is False
        assert not hub.scene.log.of("connection.webhook_removed")


async def test_a_connection_without_credentials_is_only_forgotten(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await deleted(hub, credentials=None)

        await clean_up(hub, connection)

        assert await secrets(hub, connection) == 0
        assert hub.github.seen == ()


async def test_what_is_gone_altogether_needs_no_tidying(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        await clean(hub.connections.ports, "acme", hub.scene.ports.ids())

        assert not hub.scene.log.of("connection.cleaned")


async def test_killed_before_the_secrets_are_forgotten_it_is_done_again(sqlite_url):
    """Crash between the removal and the forgetting: the removal finds nothing left, which is as good."""
    async with a_hub(sqlite_url) as hub:
        connection = await deleted(hub)
        hub.scene.store.fail("cleaned")
        with pytest.raises(StoreUnavailableError):
            await clean_up(hub, connection)
        assert hub.hook_urls() == []
        assert await to_clean(hub) == 1

        await clean_up(hub, connection)

        assert await secrets(hub, connection) == 0


async def test_an_upkeep_whose_store_is_away_cleans_in_a_later_round(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        hub.scene.store.fail("connections_to_clean", times=2)
        async with hub.scene.node(OFTEN):
            await deleted(hub)
            await hub.scene.watch.until(lambda: hub.scene.log.of("connection.cleaned"))

        assert hub.scene.log.of("upkeep.store_unavailable")
        assert hub.scene.recorder.crashes == []


async def test_the_troubles_of_a_deleted_connection_are_over(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await deleted(hub)
        await incidents.opened(hub.connections.ports, connection, "circuit_open", "it fails")

        await clean_up(hub, connection)

        known = await hub.scene.store.inner.incidents("acme", connection.connection_id, limit=9)
        assert all(incident.resolved_at is not None for incident in known)
