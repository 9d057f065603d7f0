"""A connection is suspended and resumed while its provider sends."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from http_edge.child import Child
from http_edge.stage import Stage, until

pytestmark = pytest.mark.thorough

_PATIENCE_S = 30.0


async def test_suspended_and_resumed_under_load_nothing_is_lost(stage: Stage, node: Child) -> None:
    """FR-2, P1, P5: what comes in while it is suspended is kept, and goes on in order."""
    await stage.connect()
    reached = {number: trio.Event() for number in (60, 150)}

    def told(done: int) -> None:
        if done in reached:
            reached[done].set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(stage.send_many, 250, told=told))
        await reached[60].wait()
        await stage.verb("suspend")
        await reached[150].wait()
        while_suspended = len(await stage.signals())
        await stage.verb("resume")

    assert all(one.acknowledged for one in stage.sent)
    counted = await stage.arrived(stage.acknowledged(), within_s=_PATIENCE_S)
    assert while_suspended < 250
    assert len(counted) == 250
    assert set(counted.values()) == {1}
    signals = await stage.signals()
    assert [signal["sequence_no"] for signal in signals] == list(range(1, 251))
    assert await until(stage.is_settled, within_s=_PATIENCE_S)
    assert (await stage.ledger())["difference"] == 0
