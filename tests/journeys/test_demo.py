"""``make demo`` keeps its word."""

from __future__ import annotations

import pytest

from http_edge import demo

pytestmark = pytest.mark.thorough


async def test_the_demo_holds_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    code = await demo.main()

    told = capsys.readouterr().out
    assert code == 0
    assert "36 of 36 promises held" in told
