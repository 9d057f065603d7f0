from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

PAGE = Path(__file__).parents[2] / "docs" / "runtime.md"


def test_the_worked_example_does_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    names: dict[str, Any] = {}

    exec(compile(example[1], str(PAGE), "exec"), names)  # noqa: S102 - our own page
    trio.run(names["main"], clock=MockClock(autojump_threshold=0))

    assert capsys.readouterr().out == "depot\nKassel\n"
