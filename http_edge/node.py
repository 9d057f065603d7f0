"""One node: store, siblings, tree and edge in one nursery of ours; ordered start and stop.

Start: migrate, store, tree, then the edge listens. Stop, on SIGTERM or SIGINT: the edge stops accepting and finishes
its requests, the tree drains, the store closes (P11).
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import httpx
import orjson
import trio
from hypercorn.config import Config
from hypercorn.trio import serve as serve_hypercorn
from uuid_utils.compat import uuid7

from actors.pools import provider_pools
from actors.resolution import system_look_up
from adapters.manifest import Manifest
from adapters.registry import Registry
from http_edge.app import build_app
from http_edge.assembly import Node, Outside, assemble
from http_edge.logs import make_log
from http_edge.platform import World, connect
from http_edge.settings import Settings
from persistence.migrate import migrate
from persistence.opening import open_store
from persistence.records import ProviderRecord
from runtime import TrioClock

_EDGE_SHARE = 0.5
"""Of the drain time, what the edge may take to finish its requests; the tree has the rest."""


async def run(  # noqa: ASYNC128 - _live says when it has started
    settings: Settings,
    *,
    shutdown: Callable[[], Awaitable[object]] | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a node until ``shutdown`` returns (None: until SIGTERM or SIGINT); reports its URL when it listens.

    Raises:
        StoreError: the database can not be migrated or opened.
        GaveUpError: an actor that must not be missing crashed too often; end the process and start it again.
    """
    clock = TrioClock(datetime.now(UTC))
    log = make_log(settings.log_level, clock)
    revision = await migrate(settings.database_url)
    async with (
        open_store(settings.database_url) as store,
        aclosing(provider_pools(system_look_up())) as providers,
        _http_client() as siblings,
    ):
        await store.ping()
        log.info("store.ready", revision=revision)
        world = World(clock=clock, ids=new_id, entropy=os.urandom)
        outside = Outside(
            settings=settings,
            store=store,
            platform=connect(settings, store, siblings, world),
            providers=providers,
            world=world,
            log=log,
        )
        node = assemble(outside)
        await store.publish_providers(_published(node.ports.registry), now=clock.now())
        await _live(node, shutdown or _signalled, task_status)
    log.info("node.stopped")


def new_id() -> UUID:
    """A UUIDv7: ordered by time, so that rows and their indexes grow at one end."""
    return uuid7()


async def _live(
    node: Node, shutdown: Callable[[], Awaitable[object]], task_status: trio.TaskStatus[str]
) -> None:
    """The tree, and the edge on it; the edge ends first, so that nothing new comes while the tree drains."""
    over = trio.Event()

    async def watch() -> None:
        await shutdown()
        node.log.info("node.stopping")
        over.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(node.system.run)
        nursery.start_soon(watch)
        async with trio.open_nursery() as edge:
            serve = partial(serve_hypercorn, shutdown_trigger=over.wait)
            bound = await edge.start(serve, build_app(node.edge), _config(node.settings))
            node.log.info("node.listening", address=bound[0])
            task_status.started(bound[0])
        await node.system.stop(drain=node.settings.drain * (1 - _EDGE_SHARE), reason="shutdown")
        nursery.cancel_scope.cancel("the node has stopped")


def _config(settings: Settings) -> Config:
    config = Config()
    config.bind = [settings.bind]
    config.graceful_timeout = settings.drain.total_seconds() * _EDGE_SHARE
    config.read_timeout = 90  # longer than any Prefer: wait
    config.backlog = 1000
    config.include_server_header = False
    config.errorlog = None
    config.accesslog = None
    # Reconnecting costs a provider more than it costs us to keep the connection.
    config.keep_alive_max_requests = 1_000_000
    config.certfile = settings.tls_certificate
    config.keyfile = settings.tls_key
    return config


@asynccontextmanager
async def _http_client() -> AsyncIterator[httpx.AsyncClient]:
    """Redirects and the whole time are the callers' to judge; the environment's proxies are not ours.

    Connecting has its own bound, because what failed before it was connected was certainly not sent.
    """
    patience = httpx.Timeout(None, connect=5.0, pool=5.0)
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=30)
    async with httpx.AsyncClient(
        timeout=patience, limits=limits, follow_redirects=False, trust_env=False
    ) as client:
        yield client


def _published(registry: Registry) -> tuple[ProviderRecord, ...]:
    return tuple(_provider(manifest) for manifest in registry.manifests())


def _provider(manifest: Manifest) -> ProviderRecord:
    capabilities = {
        "webhook_supported": bool(manifest.event_kinds),
        "polling_supported": False,
        "outbound_actions_supported": bool(manifest.actions),
        "actions": list(manifest.actions),
    }
    return ProviderRecord(
        provider_id=manifest.provider_id,
        category=manifest.category.value,
        name=manifest.name,
        status=manifest.status.value,
        api_version=manifest.api_version,
        capabilities=orjson.dumps(capabilities),
    )


async def _signalled() -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return
