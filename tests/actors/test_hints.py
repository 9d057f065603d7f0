"""Hints and announcements: never in the way, never the truth."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
import trio
import trio.testing
from attrs import asdict

from actors import announcements
from actors.announcements import Announcements
from actors.connection import key_of
from persistence.records import ActionRecord, ActionState
from tests.actors.scene import a_scene
from tests.persistence import samples


async def test_a_hint_to_a_full_mailbox_is_dropped_and_the_work_is_done_all_the_same(sqlite_url):
    """P7 bounded: all hints say the same."""
    async with a_scene(sqlite_url) as scene, scene.node() as system:
        connection = await scene.connect()
        await scene.store.accept(scene.deliveries(connection, {"signals": 1}))

        for _ in range(1000):
            scene.wake.connection("acme", connection.connection_id)
            scene.wake.signals("acme")
            scene.wake.receipts("acme")

        address = f"/connections/{key_of('acme', connection.connection_id)}"
        (snapshot,) = [one for one in system.snapshot() if one.address == address]
        assert snapshot.mailbox is not None
        assert snapshot.mailbox.depth <= 16
        await scene.counted(connection, forwarded=1)


async def test_a_hint_after_the_stop_harms_nobody(sqlite_url):
    async with a_scene(sqlite_url) as scene:
        connection = await scene.connect()
        async with scene.node():
            pass

        scene.wake.connection("acme", connection.connection_id)
        scene.wake.signals("acme")

        assert scene.recorder.crashes == []


def ended() -> ActionRecord:
    """An action that has ended."""
    asked = samples.action(samples.connection())
    return ActionRecord(
        **asdict(asked, recurse=False),
        updated_at=asked.created_at,
        state=ActionState.DONE,
        attempts=0,
        not_before=asked.created_at,
        reason=None,
        outcome=b"{}",
    )


async def test_all_who_wait_for_an_action_are_told_and_nobody_else(autojump_clock):
    told: list[ActionRecord | None] = []
    action, other = ended(), ended()
    announced = Announcements()

    async def wait(which: UUID) -> None:
        told.append(await announced.wait_ended(which))

    async with trio.open_nursery() as nursery:
        for which in (action.action_id, action.action_id, other.action_id):
            nursery.start_soon(wait, which)
        await trio.testing.wait_all_tasks_blocked()

        announced.announce(action)
        await trio.testing.wait_all_tasks_blocked()

        assert told == [action, action]
        announced.announce(ended())
        announced.announce(other)


async def test_who_stops_waiting_is_forgotten(autojump_clock):
    announced, record = Announcements(), ended()
    action = record.action_id
    with trio.move_on_after(1):
        await announced.wait_ended(action)
    assert announced._waiting == {}

    async with trio.open_nursery() as nursery:
        nursery.start_soon(announced.wait_ended, action)
        with trio.move_on_after(1):
            await announced.wait_ended(action)
        announced.announce(record)


async def test_too_many_waiters_are_sent_to_the_store_at_once(monkeypatch, autojump_clock):
    """P7 bounded."""
    monkeypatch.setattr(announcements, "_MOST_WAITING", 2)
    announced, begun = Announcements(), trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(announced.wait_ended, uuid4())
        await trio.testing.wait_all_tasks_blocked()

        assert await announced.wait_ended(uuid4()) is None

        assert trio.current_time() == pytest.approx(begun)
        nursery.cancel_scope.cancel()
