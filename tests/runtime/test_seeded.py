from __future__ import annotations

from random import Random

import trio
from trio._core import _run

from runtime import DirectorySpec, Strategy
from tests.runtime.scene import CRASH, SECOND, Obedient, actor, running, supervisor
from tests.runtime.seeded import run_seeded


def test_canary_trio_still_has_the_private_names_that_make_a_schedule_repeatable() -> None:
    assert isinstance(vars(_run)["_ALLOW_DETERMINISTIC_SCHEDULING"], bool)
    assert isinstance(vars(_run)["_r"], Random)


async def race() -> tuple[int, ...]:
    order: list[int] = []

    async def step(number: int) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(step, number)
    return tuple(order)


def test_a_seed_decides_the_schedule() -> None:
    schedules = {seed: run_seeded(race, seed=seed) for seed in range(20)}

    assert all(run_seeded(race, seed=seed) == found for seed, found in schedules.items())
    assert len(set(schedules.values())) > 15


async def busy_tree() -> list[object]:
    journal: list[object] = []
    spec = DirectorySpec(
        name="keyed", create=lambda key: Obedient(journal, name=key), idle_after=3 * SECOND
    )
    root = supervisor(
        actor("a", journal), spec, actor("b", journal), strategy=Strategy.REST_FOR_ONE, restarts=9
    )
    async with running(root) as (system, recorder):
        for number in range(20):
            system.directory("keyed").tell(str(number % 7), (number, trio.current_time()))
            if number % 5 == 4:
                system.ref("/b").tell(CRASH)
            if number % 9 == 8:
                system.directory("keyed").tell(str(number % 3), CRASH)
            await trio.sleep(0.4)
    return [*journal, *recorder.heard]


def test_a_whole_tree_runs_the_same_way_again() -> None:
    first = run_seeded(busy_tree, seed=7)

    assert run_seeded(busy_tree, seed=7) == first
    assert any(run_seeded(busy_tree, seed=seed) != first for seed in range(5))
