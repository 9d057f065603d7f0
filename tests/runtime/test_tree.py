from __future__ import annotations

from datetime import timedelta

import pytest
import trio
from attrs.exceptions import FrozenInstanceError
from trio.testing import MockClock

from runtime import GaveUpError, Restart
from runtime.tree import Change, State, where
from tests.runtime.scene import (
    CRASH,
    EPOCH,
    SECOND,
    Pause,
    SabotageError,
    actor,
    running,
    settle,
    supervisor,
)


async def test_a_snapshot_shows_who_is_where_doing_what_and_for_how_long(
    mock_clock: MockClock,
) -> None:
    root = supervisor(supervisor(actor("a", mailbox=9), name="inner"), actor("b"))
    async with running(root) as (system, _):
        mock_clock.jump(5)
        system.ref("/b").tell(CRASH)
        system.ref("/inner/a").tell(Pause(seconds=60))
        await settle()
        system.ref("/inner/a").tell("waits")
        mock_clock.jump(2)

        top, inner, a, b = system.snapshot()
        mock_clock.jump(60)

    assert [place.address for place in (top, inner, a, b)] == ["/", "/inner", "/inner/a", "/b"]
    assert [place.kind for place in (top, a)] == ["supervisor", "Obedient"]
    assert (a.state, a.since, a.restarts) == (State.RUNNING, EPOCH, 0)
    assert (a.message, a.busy) == ("Pause", 2 * SECOND)
    assert a.mailbox is not None
    assert (a.mailbox.depth, a.mailbox.oldest) == (1, 2 * SECOND)
    assert (b.since, b.restarts, b.message, b.busy) == (EPOCH + 5 * SECOND, 1, None, None)
    assert top.mailbox is None


async def test_the_last_error_is_told_by_type_and_place_never_by_its_text() -> None:
    """P8: an error's text may hold what must not be shown."""
    async with running(supervisor(actor("a"))) as (system, _):
        system.ref("/a").tell(CRASH)
        await settle()

        last_error = system.snapshot()[1].last_error

    assert last_error is not None
    assert last_error.startswith("SabotageError at scene.py:")
    assert last_error.endswith(" in on_message")
    assert "told to crash" not in last_error


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert where(SabotageError("secret")) == "SabotageError"


async def test_a_snapshot_of_a_branch_shows_only_that() -> None:
    root = supervisor(supervisor(actor("a"), name="inner"), actor("b"))
    async with running(root) as (system, _):
        branch = system.snapshot(under="/inner")

    assert [place.address for place in branch] == ["/inner", "/inner/a"]


async def test_a_snapshot_can_not_be_changed() -> None:
    async with running(supervisor(actor("a"))) as (system, _):
        with pytest.raises(FrozenInstanceError):
            system.snapshot()[0].state = State.STOPPED  # type: ignore[misc]


async def test_a_subscriber_sees_every_change_from_then_on(mock_clock: MockClock) -> None:
    async with running(supervisor(actor("a", restart=Restart.TRANSIENT))) as (system, _):
        mock_clock.jump(5)
        with system.subscribe() as changes:
            system.ref("/a").tell(CRASH)
            await settle()

            seen = [await anext(changes) for _ in range(4)]

    assert [change.state for change in seen] == [
        State.STOPPED, State.RESTARTING, State.STARTING, State.RUNNING,
    ]  # fmt: skip
    assert {(change.address, change.at) for change in seen} == {("/a", EPOCH + 5 * SECOND)}
    assert seen[0].reason.startswith("SabotageError at")


async def test_a_subscriber_waits_for_the_next_change() -> None:
    states: list[State] = []
    async with running(supervisor(actor("a"))) as (system, _):

        async def watch() -> None:
            with system.subscribe() as changes:
                async for change in changes:
                    states.append(change.state)
                    if change.state is State.RUNNING:
                        return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await settle()
            system.ref("/a").tell(CRASH)

    assert states[-1] is State.RUNNING


async def test_a_slow_subscriber_slows_nobody_and_its_feed_ends_where_it_fell_behind() -> None:
    """P7: the feed is bounded."""
    async with running(supervisor(actor("a"), restarts=100)) as (system, _):
        with system.subscribe(capacity=3) as slow, system.subscribe() as quick:
            for _ in range(5):
                system.ref("/a").tell(CRASH)
                await settle()

            read = [change.state async for change in slow]
            assert read == [State.STOPPED, State.RESTARTING, State.STARTING]
            assert quick.statistics().current_buffer_used == 20


async def test_who_left_gets_no_more_and_costs_nothing() -> None:
    async with running(supervisor(actor("a"))) as (system, _):
        with system.subscribe() as changes:
            pass
        system.ref("/a").tell(CRASH)
        await settle()

        assert changes.statistics().open_send_channels == 0


def test_a_change_is_a_value() -> None:
    change = Change(address="/a", state=State.RUNNING, at=EPOCH, reason="")

    assert change == Change(address="/a", state=State.RUNNING, at=EPOCH, reason="")
    assert str(GaveUpError("/", "/a", 3, SabotageError("x"))).endswith("restarts: SabotageError")
    assert timedelta(0) == EPOCH - change.at
