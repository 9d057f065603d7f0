"""What people do to actions: cancel before it is sent, settle what nobody could know; told, receipted, once (FR-7)."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import orjson
import pytest
import trio
import trio.testing

from actors.actions_desk import ActionsDesk, Resolution
from adapters.faults import dropped_after
from persistence.errors import ConflictError, MissingError
from persistence.records import ActionState
from persistence.store import Store
from tests.actors.office import Office, an_office

DONE = Resolution(done=True, reason="I saw it there", reference="IC_7")
NOT_DONE = Resolution(done=False, reason="it is not there")


@pytest.fixture
async def unsure(fresh_store: Store) -> Office:
    """An action whose effect nobody could find out."""
    office = await an_office(fresh_store, dropped_after(), lasts=timedelta(seconds=5))
    await office.run()
    office.open = False
    office.clock.advance(seconds=5)
    await office.run()
    return office


def desk(office: Office) -> ActionsDesk:
    return ActionsDesk(ports=office.scene.ports)


async def incidents_open(office: Office) -> list[bool]:
    known = await office.scene.store.inner.incidents(
        "acme", office.connection.connection_id, limit=9
    )
    return [one.resolved_at is None for one in known]


async def test_an_action_that_was_not_sent_is_cancelled_told_and_receipted(store):
    office = await an_office(store)
    announced = office.scene.ports.announcements
    async with trio.open_nursery() as nursery:
        nursery.start_soon(announced.wait_ended, office.action.action_id)
        await trio.testing.wait_all_tasks_blocked()

        record = await desk(office).cancel("acme", office.action.action_id, by="ada")

    assert (record.state, record.reason) == (ActionState.CANCELLED, "cancelled")
    assert office.scene.hints.connections == [("acme", office.connection.connection_id)]
    assert office.scene.hints.receipts == ["acme"]
    (line,) = office.scene.log.of("action.changed")
    assert (line["audit"], line["by"], line["state"]) == (True, "ada", "cancelled")
    (receipt,) = (await office.rows())["receipts"]
    assert receipt["inputs"]["request"]["requested_by"] == "ada"
    assert receipt["result"]["reason"] == "cancelled"
    assert office.comments() == 0


async def test_what_may_have_been_sent_is_not_cancelled(store):
    office = await an_office(store, dropped_after())
    await office.run()

    with pytest.raises(ConflictError, match="may have been sent"):
        await desk(office).cancel("acme", office.action.action_id, by="ada", reason="no")

    await office.until_final()
    assert office.comments() == 1


@pytest.mark.parametrize(
    ("resolution", "state", "reference"),
    [
        (DONE, ActionState.DONE, {"id": "IC_7", "url": None}),
        (Resolution(done=True, reason="I saw it"), ActionState.DONE, None),
        (NOT_DONE, ActionState.REFUSED, None),
    ],
)
async def test_a_person_settles_what_nobody_could_know_and_its_incident_ends(
    unsure, resolution, state, reference
):
    assert await incidents_open(unsure) == [True]
    await unsure.rows()

    record = await desk(unsure).resolve("acme", unsure.action.action_id, resolution, by="ada")

    assert (record.state, record.reason) == (state, resolution.reason)
    assert orjson.loads(record.outcome or b"{}").get("reference") == reference
    assert await incidents_open(unsure) == [False]
    (receipt,) = (await unsure.rows())["receipts"]
    assert receipt["result"]["succeeded"] is (state is ActionState.DONE)
    with pytest.raises(ConflictError):
        await desk(unsure).resolve("acme", unsure.action.action_id, resolution, by="eve")


async def test_nobody_reaches_the_action_of_another_tenant(unsure):
    """P6 isolated (SEC-IA-02)."""
    action_id: UUID = unsure.action.action_id
    for tenant_id, asked in (("globex", action_id), ("acme", uuid4())):
        with pytest.raises(MissingError):
            await desk(unsure).cancel(tenant_id, asked, by="eve")
        with pytest.raises(MissingError):
            await desk(unsure).resolve(tenant_id, asked, DONE, by="eve")

    assert (await unsure.rows())["action"].state is ActionState.UNSURE
