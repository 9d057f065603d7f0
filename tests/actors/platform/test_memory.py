"""What is remembered is bounded in number and time, and learned once however many wait."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio
import trio.testing

from actors.platform.memory import Memory, Turns
from tests.actors.platform.world import EPOCH

LATER = EPOCH + timedelta(seconds=10)


def test_a_value_is_forgotten_when_its_time_is_over() -> None:
    memory: Memory[str, int] = Memory(limit=2)
    memory.keep("a", 1, until=LATER)

    assert memory.get("a", now=LATER - timedelta(microseconds=1)) == 1
    assert memory.get("a", now=LATER) is None
    assert len(memory) == 0


def test_the_least_recently_used_goes_first_p7() -> None:
    memory: Memory[str, int] = Memory(limit=2)
    memory.keep("a", 1, until=LATER)
    memory.keep("b", 2, until=LATER)
    memory.get("a", now=EPOCH)

    memory.keep("c", 3, until=LATER)

    assert [memory.get(key, now=EPOCH) for key in "abc"] == [1, None, 3]
    assert len(memory) == 2


def test_a_memory_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        Memory(limit=0)


async def test_turns_are_taken_one_by_one_and_leave_nothing_behind() -> None:
    turns: Turns[str] = Turns()
    inside: list[str] = []
    most = 0

    async def work(key: str) -> None:
        nonlocal most
        async with turns.of(key):
            inside.append(key)
            most = max(most, inside.count(key))
            await trio.testing.wait_all_tasks_blocked()
            inside.remove(key)

    async with trio.open_nursery() as nursery:
        for key in "aaabbb":
            nursery.start_soon(work, key)

    assert most == 1
    assert len(turns) == 0


async def test_a_cancelled_or_failed_holder_gives_the_turn_on() -> None:
    turns: Turns[str] = Turns()

    with trio.CancelScope() as scope:
        async with turns.of("a"):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    with pytest.raises(KeyError):
        async with turns.of("a"):
            raise KeyError

    async with turns.of("a"):
        assert len(turns) == 1
    assert len(turns) == 0
