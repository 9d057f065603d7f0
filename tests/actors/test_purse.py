"""Calls that M35 grants: by the block, never twice at once, and what happens while it is down (FR-8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import trio
from attrs import define, evolve

from actors.platform.budgets import Withheld
from actors.platform.errors import PlatformMisconfiguredError, PlatformUnavailableError
from actors.platform.policy import TenantPolicy
from actors.ports import Pace
from actors.pressure import Waiting
from actors.purse import Purse
from persistence.opening import open_store
from tests.actors.platform.world import HandClock
from tests.actors.scene import EPOCH, Scene, make_scene
from tests.persistence import samples

AWAY = PlatformUnavailableError("M35 gave no answer")


@define(eq=False)
class Till:
    """A purse and what it asks."""

    scene: Scene
    clock: HandClock
    purse: Purse

    @property
    def asked(self) -> list[tuple[int, str]]:
        """How many calls of which class M35 was asked for."""
        return [(one.calls, one.work) for one in self.scene.budgets.asked]


@pytest.fixture
async def till(sqlite_url: str) -> AsyncIterator[Till]:
    clock = HandClock(EPOCH)
    async with open_store(sqlite_url) as store:
        scene = make_scene(store, clock=clock, pace=Pace(budget_block=5))
        yield Till(scene, clock, Purse(samples.connection(), scene.ports))


async def test_a_block_is_paid_for_once_and_spent_call_by_call(till):
    for _ in range(5):
        assert await till.purse.pay("actions") is None
    assert till.asked == [(5, "actions")]

    assert await till.purse.pay("actions") is None
    assert till.asked == [(5, "actions")] * 2


async def test_a_block_is_good_for_a_while_only(till):
    await till.purse.pay("actions")
    till.clock.advance(seconds=9)
    await till.purse.pay("actions")
    till.clock.advance(seconds=1)
    await till.purse.pay("actions")

    assert len(till.asked) == 2


async def test_each_class_of_work_pays_for_itself(till):
    """A backfill must not live on what was granted to actions."""
    await till.purse.pay("actions")
    await till.purse.pay("backfill")

    assert till.asked == [(5, "actions"), (5, "backfill")]


async def test_twenty_that_ask_at_once_pay_for_no_more_than_they_use(till):
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(till.purse.pay, "actions")

    assert len(till.asked) == 4


async def test_what_is_withheld_is_not_asked_for_before_its_time(till):
    till.scene.budgets.withheld.append(
        Withheld(retry_after=timedelta(minutes=20), reason="rate limit")
    )
    waiting = Waiting(
        reason="rate limit; free at 12:20:00 UTC",
        until=EPOCH + timedelta(minutes=20),
        exhausted="m35",
    )

    assert await till.purse.pay("backfill") == waiting
    till.clock.advance(minutes=19)
    assert await till.purse.pay("backfill") == waiting
    assert len(till.asked) == 1
    assert await till.purse.pay("actions") is None
    till.clock.advance(minutes=1)
    assert await till.purse.pay("backfill") is None


@pytest.mark.parametrize("error", [AWAY, PlatformMisconfiguredError("M35", "wrong token")])
async def test_while_m35_is_down_an_open_tenant_works_on_and_asks_now_and_then(till, error):
    till.scene.budgets.down = error

    for _ in range(5):
        assert await till.purse.pay("actions") is None

    assert len(till.asked) == 1
    assert 'error_type="budget_unavailable"} 1.0' in metrics(till)


async def test_while_m35_is_down_a_closed_tenant_waits(till):
    till.scene.policy.default = TenantPolicy(budget_open=False)
    till.scene.budgets.down = AWAY

    waiting = await till.purse.pay("actions")
    again = await till.purse.pay("actions")

    assert isinstance(waiting, Waiting)
    assert waiting.exhausted == "m35"
    assert waiting.reason.startswith("M35 does not answer: M35 gave no answer; free at")
    assert again == waiting
    assert len(till.asked) == 1
    till.scene.budgets.down = None
    till.clock.at = waiting.until
    assert await till.purse.pay("actions") is None


async def test_where_there_is_no_m35_nothing_is_paid(till):
    purse = Purse(samples.connection(), evolve(till.scene.ports, budgets=None))

    assert await purse.pay("actions") is None
    assert till.asked == []


async def test_who_gives_up_asking_blocks_nobody(till):
    with trio.CancelScope() as scope:
        scope.cancel()
        await till.purse.pay("actions")

    assert await till.purse.pay("actions") is None


def metrics(till: Till) -> str:
    return till.scene.ports.metrics.exposition(()).decode()
