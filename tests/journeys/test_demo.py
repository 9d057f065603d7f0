"""``make demo`` keeps its word."""

from __future__ import annotations

import sys

import pytest
import trio

pytestmark = pytest.mark.thorough


async def test_the_demo_holds_every_promise() -> None:
    """As a user runs it: a process of its own."""
    done = await trio.run_process(
        [sys.executable, "-m", "http_edge", "demo"], capture_stdout=True, check=False
    )

    told = done.stdout.decode()
    assert done.returncode == 0, told
    assert "36 of 36 promises held" in told
