"""A node on real HTTP for the tests of the edge."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.http_edge.polled import Shelf, shelf_beside
from tests.http_edge.scene import Opened, Scene, neighbours, running


@pytest.fixture
async def opened(sqlite_url: str) -> AsyncIterator[Opened]:
    """The neighbours and a fresh database, without a node."""
    async with neighbours(sqlite_url) as started:
        yield started


@pytest.fixture
async def scene(opened: Opened) -> AsyncIterator[Scene]:
    """A node among its neighbours."""
    async with running(opened, opened.settings()) as started:
        yield started


@pytest.fixture
async def shelf(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shelf]:
    """A node beside a provider that can only be polled."""
    async with shelf_beside(opened, monkeypatch) as standing:
        yield standing
