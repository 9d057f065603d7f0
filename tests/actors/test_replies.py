"""How a job answers: once, within a deadline, and whoever gave up hurts nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio

from actors.errors import BusyError
from actors.replies import Reply

SECOND = timedelta(seconds=1)


async def test_the_first_answer_counts(autojump_clock):
    reply: Reply[str] = Reply()
    reply.give("first")
    reply.give("second")
    reply.fail(BusyError("too late"))

    assert await reply.wait(SECOND) == "first"


async def test_an_error_is_the_asker_s(autojump_clock):
    reply: Reply[str] = Reply()
    reply.fail(ValueError("no"))
    reply.give("too late")

    with pytest.raises(ValueError, match="no"):
        await reply.wait(SECOND)


async def test_an_asker_waits_no_longer_than_its_deadline(autojump_clock):
    """P7; what is answered later is dropped."""
    reply: Reply[str] = Reply()
    begun = trio.current_time()

    with pytest.raises(BusyError):
        await reply.wait(SECOND)

    assert trio.current_time() - begun == pytest.approx(1)
    reply.give("to nobody")
