"""What the tests of the actors share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from persistence.opening import open_store
from persistence.store import Store


@pytest.fixture
async def fresh_store(sqlite_url: str) -> AsyncIterator[Store]:
    """A store on SQLite alone, where the engine makes no difference."""
    async with open_store(sqlite_url) as opened:
        yield opened
