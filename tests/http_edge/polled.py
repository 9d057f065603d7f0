"""A provider without webhooks among the neighbours of a node: the ledgerbook, served over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest
import trio
from attrs import frozen

from adapters.contract import Secret
from adapters.github import GitHub
from adapters.registry import register
from http_edge import assembly
from http_edge.simulators import serve_simulator
from tests.fakes.ledgerbook import LEDGERBOOK, Book
from tests.http_edge.scene import CONNECTIONS, Connected, Opened, Scene, running

TOKEN = "who-may-read-the-book"
RESOURCE = "entries"


@frozen(kw_only=True)
class Shelf:
    """A node, and the book that its connections read."""

    scene: Scene
    book: Book
    url: str

    def body(self, **changes: object) -> dict[str, Any]:
        """What a tenant sends to create a connection to the book."""
        return self.scene.connection_body(
            **{
                "provider_id": "ledgerbook",
                "base_url": self.url,
                "auth": {"token": TOKEN},
                "webhook": None,
                **changes,
            }
        )

    async def active(self, tenant: str = "acme", **changes: object) -> Connected:
        """Create a connection to the book and verify it."""
        return await self.scene.active(tenant, **self.body(**changes))

    async def call(
        self, method: str, path: str, body: object = None, *, tenant: str = "acme", **headers: str
    ) -> httpx.Response:
        """Ask as somebody of the tenant who may, of its connections."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.scene.call(
            "tenant_admin", method, f"{CONNECTIONS}/{path}", body, tenant=tenant, headers=named
        )

    async def begun(self, connection: Connected, **changes: object) -> dict[str, Any]:
        """Begin a backfill of the book's last days."""
        body = {"resource": RESOURCE, "since": "2020-01-01T00:00:00Z", **changes}
        answer = await self.call("POST", f"{connection.connection_id}/backfill", body)
        assert answer.status_code == 202, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def until_polled(self, connection: Connected) -> None:
        """Wait for the connection's first poll."""

        async def polled() -> bool:
            cursors = await self.scene.store.cursors(
                connection.tenant_id, UUID(connection.connection_id)
            )
            return any(each.last_polled_at for each in cursors)  # type: ignore[attr-defined]

        await self.scene.until(polled)

    def write(self, count: int) -> None:
        """Let the book have so many entries more, as of now."""
        for _ in range(count):
            self.book.write(now=self.scene.clock.now())


@asynccontextmanager
async def shelf_beside(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shelf]:
    """A node that knows the book's adapter besides GitHub's."""
    registry = register((GitHub(), LEDGERBOOK))
    monkeypatch.setattr(assembly, "discover", lambda: registry)
    book = Book(token=Secret(value=TOKEN.encode()), keeps=timedelta(days=20_000))
    async with trio.open_nursery() as nursery:
        serve = partial(serve_simulator, book.handle, clock=opened.clock)
        url = await nursery.start(serve)
        async with running(opened, opened.settings()) as scene:
            yield Shelf(scene=scene, book=book, url=url)
        nursery.cancel_scope.cancel()
