"""The table of signal types, and the page that is written from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapters.manifest import Category
from adapters.signals import OTHER, SIGNAL_TYPES, render

PAGE = Path(__file__).parents[2] / "docs" / "signals.md"


def test_the_page_says_what_the_table_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == render()


def test_every_family_has_types_of_its_own() -> None:
    for family in Category:
        assert any(family in kind.categories for kind in SIGNAL_TYPES.values()), family


@pytest.mark.parametrize("name", list(SIGNAL_TYPES))
def test_a_type_is_a_word_with_a_meaning(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
    assert SIGNAL_TYPES[name].meaning.endswith(".")


def test_the_types_that_the_requirements_name_exist() -> None:
    """PRD FR-6."""
    assert {"pr_opened", "issue_created", "chat_message", OTHER} <= set(SIGNAL_TYPES)
