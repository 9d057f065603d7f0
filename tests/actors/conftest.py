"""What the tests of the actors share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from persistence.opening import open_store
from persistence.store import Store
from tests.actors.hub import a_hub
from tests.actors.login import Login, a_login


@pytest.fixture
async def fresh_store(sqlite_url: str) -> AsyncIterator[Store]:
    """A store on SQLite alone, where the engine makes no difference."""
    async with open_store(sqlite_url) as opened:
        yield opened


@pytest.fixture
async def login(sqlite_url: str) -> AsyncIterator[Login]:
    """A connection whose tokens a person has just granted."""
    async with a_hub(sqlite_url, node=False) as hub:
        yield await a_login(hub, hub.granted())
