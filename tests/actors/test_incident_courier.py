"""Incidents on their way to EPC-4 and EPC-5: told once when they begin and once when they end (FR-8)."""

from __future__ import annotations

import pytest
from attrs import evolve

from actors import incidents
from actors.platform.errors import PlatformRefusedError, PlatformUnavailableError
from persistence.records import ConnectionRecord
from tests.actors.scene import PACE, Scene, a_scene

AWAY = PlatformUnavailableError("EPC-4 gave no answer")


async def opened(scene: Scene, connection: ConnectionRecord, *kinds: str) -> None:
    """Open incidents; nobody is woken yet."""
    for kind in kinds:
        await incidents.opened(scene.ports, connection, kind, f"{kind} went bad")


async def all_told(scene: Scene) -> None:
    async def look() -> bool:
        return not await scene.store.inner.tenants_with_incidents(limit=9)

    await scene.watch.until(look)


async def test_an_incident_is_told_to_both_with_what_it_is(store_url):
    async with a_scene(store_url) as scene:
        connection = await scene.connect()
        await opened(scene, connection, "needs_login", "something_new")

        async with scene.node():  # upkeep finds what waits
            await all_told(scene)
            ours = next(one for one in scene.incidents.open if one.kind == "needs_login")
            assert (ours.severity, ours.summary) == ("P1", "needs_login went bad")
            assert ours.connection_id == connection.connection_id
            other = next(one for one in scene.incidents.open if one.kind == "something_new")
            assert other.severity == "P2"
            assert [report.error_rate for report in scene.health.reports] == [1.0, 1.0]
            assert scene.health.reports[0].labels == (("kind", "needs_login"),)

            await incidents.closed(evolve(scene.ports, wake=scene.wake), connection, "needs_login")
            await all_told(scene)

        assert [one.kind for one in scene.incidents.open] == ["something_new"]
        assert scene.health.reports[-1].error_rate == 0.0
        told = [(entry["kind"], entry["state"]) for entry in scene.log.of("incident.told")]
        assert sorted(told) == [
            ("needs_login", "open"),
            ("needs_login", "resolved"),
            ("something_new", "open"),
        ]


async def test_more_than_a_batch_is_told_without_another_hint(sqlite_url):
    pace = evolve(PACE, incidents_at_once=2)
    async with a_scene(sqlite_url, pace=pace) as scene:
        connection = await scene.connect()
        await opened(scene, connection, *[f"kind {number}" for number in range(5)])

        async with scene.node():
            await all_told(scene)

        assert len(scene.incidents.open) == 5


@pytest.mark.parametrize("who", ["incidents", "health"])
async def test_what_is_away_is_waited_for_and_told_when_it_is_back(sqlite_url, who):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        neighbour = getattr(scene, who)
        neighbour.down = AWAY
        await opened(scene, connection, "circuit_open")

        async with scene.node():
            await scene.watch.until(lambda: scene.log.of("courier.waiting"))
            neighbour.down = None
            await all_told(scene)

        assert len(scene.incidents.kept) == 1
        assert len(scene.health.reports) == 1
        assert len(scene.log.of("courier.waiting")) == 1


async def test_an_answer_that_was_lost_is_one_alert(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        scene.incidents.lost = 2
        await opened(scene, connection, "circuit_open")

        async with scene.node():
            await all_told(scene)

        assert len(scene.incidents.told) == 3
        assert len(scene.incidents.kept) == 1


@pytest.mark.parametrize("who", ["incidents", "health"])
async def test_what_is_refused_for_good_holds_up_nothing_behind_it(sqlite_url, who):
    """P7: not tried for ever; and the one who does not refuse is told all the same."""
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        getattr(scene, who).down = PlatformRefusedError("EPC", "MALFORMED")
        await opened(scene, connection, "circuit_open", "webhook_lost")

        async with scene.node():
            await all_told(scene)

        assert len(scene.log.of("incident.refused")) == 2
        told = scene.health.reports if who == "incidents" else scene.incidents.open
        assert len(told) == 2


async def test_where_neither_is_configured_the_log_has_it(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        scene.ports = evolve(scene.ports, incidents=None, health=None)
        connection = await scene.connect()
        await opened(scene, connection, "circuit_open")

        async with scene.node():
            await all_told(scene)

        (entry,) = scene.log.of("incident.told")
        assert (entry["state"], entry["kind"]) == ("open", "circuit_open")
        assert scene.incidents.told == []


async def test_an_incident_that_ended_before_it_was_told_is_told_as_over(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        await opened(scene, connection, "circuit_open")
        await incidents.closed(scene.ports, connection, "circuit_open")

        async with scene.node():
            await all_told(scene)

        (told,) = scene.incidents.told
        assert told.resolved_at is not None


async def test_incidents_of_tenants_are_told_apart(sqlite_url):
    """P6 isolated."""
    async with a_scene(sqlite_url) as scene:
        ours, theirs = await scene.connect(), await scene.connect("globex")
        await opened(scene, ours, "circuit_open")
        await opened(scene, theirs, "circuit_open")

        async with scene.node():
            await all_told(scene)

        assert sorted(one.tenant_id for one in scene.incidents.open) == ["acme", "globex"]
