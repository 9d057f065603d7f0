"""A whole node on real HTTP among simulated neighbours, and a store beneath it that can be made to fail or to wait."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from io import StringIO
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import orjson
import trio
from attrs import define, evolve, field, frozen
from hypercorn.config import Config
from hypercorn.trio import serve as serve_hypercorn

from actors.pools import Pools, provider_pools
from actors.resolution import system_look_up
from adapters.contract import Request, Secret
from http_edge import surroundings
from http_edge.app import build_app
from http_edge.assembly import Node, Outside, assemble
from http_edge.logs import make_log
from http_edge.node import new_id
from http_edge.platform import World, connect
from http_edge.sending import made_payload, signed
from http_edge.settings import Settings, load
from http_edge.surroundings import Surroundings, caller_token
from persistence.opening import open_store
from persistence.store import Store
from runtime import TrioClock

PATIENCE_S = 20.0
WEBHOOK_SECRET = "only-github-and-we-know-this"
CONNECTIONS = "/v1/integrations/connections"
EXECUTE = "/internal/integrations/actions/execute"
EVENTS = "/internal/integrations/events/normalised"


class ShakyStore:
    """The real store; its methods fail or wait when told to, and ``changed`` fires when one has ended."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failing: dict[str, Exception] = {}
        self.gates: dict[str, trio.Event] = {}
        self.entered = trio.Event()
        self.changed = trio.Event()

    def hold(self, method: str) -> trio.Event:
        """Let calls of ``method`` wait for the event; ``entered`` fires when the first one does."""
        self.entered = trio.Event()
        self.gates[method] = trio.Event()
        return self.gates[method]

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        method = getattr(self._store, name)

        async def shaky(*args: object, **kwargs: object) -> object:
            if name in self.failing:
                await trio.lowlevel.checkpoint()
                raise self.failing[name]
            if name in self.gates:
                self.entered.set()
                await self.gates[name].wait()
            answer: object = await method(*args, **kwargs)
            self.changed.set()
            self.changed = trio.Event()
            return answer

        return shaky


@frozen(kw_only=True)
class Connected:
    """A connection as its owner knows it."""

    connection_id: str
    webhook_url: str
    tenant_id: str
    secret: Secret


@define(kw_only=True)
class Scene:
    """A node that listens on ``url``."""

    url: str
    http: httpx.AsyncClient
    store: ShakyStore
    around: Surroundings
    node: Node
    log: StringIO
    clock: TrioClock
    _tokens: dict[tuple[str, str], str] = field(factory=dict)
    _number: int = 0

    def token(self, role: str, tenant: str = "acme") -> str:
        """A token of the tenant; the same each time, as IAM counts questions."""
        key = (role, tenant)
        if key not in self._tokens:
            self._tokens[key] = caller_token(tenant, role, clock=self.clock, ids=new_id)
        return self._tokens[key]

    async def call(
        self,
        role: str,
        method: str,
        path: str,
        document: object = None,
        *,
        tenant: str = "acme",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Call the node's API; ``document`` may be bytes."""
        body = document if isinstance(document, bytes) else orjson.dumps(document)
        authorization = {"authorization": f"Bearer {self.token(role, tenant)}"}
        return await self.http.request(
            method,
            f"{self.url}{path}",
            content=None if document is None else body,
            headers={**authorization, **(headers or {})},
        )

    def connection_body(self, **changes: object) -> dict[str, Any]:
        """What a tenant sends to create a connection to the simulated GitHub."""
        self._number += 1
        return {
            "provider_id": "github",
            "display_name": f"rocket {self._number}",
            "base_url": self.around.github_url,
            "auth": {"token": self.around.github_token.value.decode()},
            "webhook": {"secret": WEBHOOK_SECRET},
            **changes,
        }

    async def create(self, tenant: str = "acme", **changes: object) -> Connected:
        """Create a connection; it waits for its verification."""
        body = self.connection_body(**changes)
        made = await self.call("tenant_admin", "POST", CONNECTIONS, body, tenant=tenant)
        assert made.status_code == 201, made.text
        return Connected(
            connection_id=made.json()["connection_id"],
            webhook_url=made.json()["webhook"]["url"],
            tenant_id=tenant,
            secret=Secret(value=((body["webhook"] or {}).get("secret", "")).encode()),
        )

    async def active(self, tenant: str = "acme", **changes: object) -> Connected:
        """Create a connection and verify it."""
        made = await self.create(tenant, **changes)
        if changes.get("auth", "given") is None:
            await self.deliver(made)  # which is all there is to verify it by
        path = f"{CONNECTIONS}/{made.connection_id}/verify"
        verified = await self.call("tenant_admin", "POST", path, tenant=tenant)
        assert verified.json()["status"] == "active", verified.text
        return made

    def delivery(
        self, connection: Connected, *, event_id: str | None = None, secret: Secret | None = None
    ) -> Request:
        """The next pull request that GitHub would report, signed."""
        self._number += 1
        return signed(
            "github",
            "pull_request",
            made_payload("pull_request.opened", self._number, at=self.clock.now()),
            secret=secret or connection.secret,
            event_id=event_id or str(new_id()),
        )

    async def post(self, url: str, request: Request, **headers: str) -> httpx.Response:
        """Send a webhook; ``headers`` replace those of the request (an empty one stays empty)."""
        sent = {**dict(request.headers), **{k.replace("_", "-"): v for k, v in headers.items()}}
        return await self.http.post(url, content=request.body, headers=sent)

    async def deliver(self, connection: Connected, event_id: str | None = None) -> httpx.Response:
        """Sign the next event and send it."""
        request = self.delivery(connection, event_id=event_id)
        return await self.post(connection.webhook_url, request)

    def action_body(self, connection: Connected, key: str, **changes: object) -> dict[str, Any]:
        """A comment to make on the simulated GitHub's pull request."""
        return {
            "connection_id": connection.connection_id,
            "canonical_type": "comment_on_pr",
            "idempotency_key": key,
            "target": {
                "repository": surroundings.REPOSITORY,
                "pr_number": surroundings.PULL_REQUEST,
            },
            "payload": {"body": f"Comment {key}"},
            **changes,
        }

    def envelope(self, connection: Connected, **changes: object) -> dict[str, Any]:
        """A SignalEnvelope as a module would forward it."""
        now = self.clock.now().isoformat()
        return {
            "signal_id": str(new_id()),
            "tenant_id": connection.tenant_id,
            "environment": "dev",
            "producer_id": connection.connection_id,
            "signal_kind": "event",
            "signal_type": "pr_opened",
            "occurred_at": now,
            "ingested_at": now,
            "schema_version": "1.0.0",
            "payload": {"title": "Warm the engine"},
            **changes,
        }

    async def control(self, url: str, path: str, document: object | None = None) -> Any:
        """Ask a simulator, or tell it something."""
        answer = await self.http.request(
            "GET" if document is None else "POST",
            f"{url}/_sim/{path}",
            content=None if document is None else orjson.dumps(document),
        )
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def signals(self, tenant: str = "acme") -> list[dict[str, Any]]:
        """What PM-3 accepted of a tenant, in order."""
        found = await self.control(self.around.pm3_url, f"signals?tenant_id={tenant}")
        return cast("list[dict[str, Any]]", found["signals"])

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Look again whenever the store has done something, until ``holds``."""
        with trio.fail_after(PATIENCE_S):
            while True:
                changed = self.store.changed
                if await holds():
                    return
                await changed.wait()

    async def arrived(self, count: int, tenant: str = "acme") -> list[dict[str, Any]]:
        """The tenant's signals at PM-3 once there are ``count`` and all deliveries are accounted for."""

        async def all_there() -> bool:
            ledger = await self.ledger()
            there = len(await self.signals(tenant)) >= count
            return there and ledger["pending"] == ledger["settled"] == 0

        await self.until(all_there)
        return await self.signals(tenant)

    async def ledger(self, tenant: str | None = None) -> dict[str, int]:
        """The accounting of P9, summed over the connections."""
        rows = await cast("Store", self.store).accounting()
        mine = [row for row in rows if tenant in {None, row.tenant_id}]
        names = ("accepted", "duplicate", "rejected", "forwarded", "parked", "pending", "settled")
        sums = {name: sum(getattr(row, name) for row in mine) for name in names}
        return {**sums, "difference": sum(row.difference for row in mine)}


@frozen(kw_only=True)
class Opened:
    """What all scenes of a test stand on."""

    around: Surroundings
    clock: TrioClock
    database_url: str

    def settings(self, **changes: object) -> Settings:
        """The settings of a node among these neighbours."""
        environ = {
            **self.around.environ(),
            "IA_PUBLIC_URL": "http://127.0.0.1:1",
            "IA_DATABASE_URL": self.database_url,
            "IA_BIND": "127.0.0.1:0",
            "IA_UPKEEP_EVERY": "0.2",
        }
        return evolve(load(environ), **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def neighbours(database_url: str) -> AsyncIterator[Opened]:
    """Every simulator, until the block ends."""
    clock = TrioClock(datetime.now(UTC))
    async with trio.open_nursery() as nursery:
        around = await surroundings.start(nursery, clock=clock, ids=new_id)
        yield Opened(around=around, clock=clock, database_url=database_url)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def running(opened: Opened, settings: Settings) -> AsyncIterator[Scene]:
    """A node put together by the composition root, tree and edge running, until the block ends."""
    log, listening = StringIO(), socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    settings = evolve(settings, public_url=url)
    async with (
        trio.open_nursery() as nursery,
        open_store(settings.database_url) as real,
        httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http,
        httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as siblings,
        aclosing(provider_pools(system_look_up())) as providers,
    ):
        store = ShakyStore(real)
        node = _assembled(opened, settings, cast("Store", store), siblings, providers, log)
        await nursery.start(node.system.run)
        await nursery.start(_listen, node, listening)
        scene = Scene(
            url=url,
            http=http,
            store=store,
            around=opened.around,
            node=node,
            log=log,
            clock=opened.clock,
        )
        yield scene
        nursery.cancel_scope.cancel()


def _assembled(
    opened: Opened,
    settings: Settings,
    store: Store,
    siblings: httpx.AsyncClient,
    providers: Pools,
    log: StringIO,
) -> Node:
    world = World(clock=opened.clock, ids=new_id, entropy=os.urandom)
    return assemble(
        Outside(
            settings=settings,
            store=store,
            platform=connect(settings, store, siblings, world),
            providers=providers,
            world=world,
            log=make_log("debug", opened.clock, log),
        )
    )


async def _listen(
    node: Node,
    listening: socket.socket,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.errorlog = config.accesslog = None
    await serve_hypercorn(
        build_app(node.edge),
        config,
        shutdown_trigger=trio.sleep_forever,
        task_status=task_status,
    )


def resigned(body: bytes, event: str = "pull_request") -> Request:
    secret = Secret(value=WEBHOOK_SECRET.encode())
    return signed("github", event, body, secret=secret, event_id=str(new_id()))


async def send_chunked(
    url: str, *, megabytes: int, headers: Mapping[str, str], until: bytes
) -> bytes:
    """Send a body of no declared length, one byte over ``megabytes``; gives the answer up to ``until``.

    One byte, because a server that closes while more of the body waits resets the connection, and the reset may
    overtake its answer.
    """
    address = urlsplit(url)
    stream = await trio.open_tcp_stream("127.0.0.1", address.port or 0)
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = [f"POST {address.path} HTTP/1.1", "host: x", "transfer-encoding: chunked", *lines]

    async def send() -> None:
        await stream.send_all("\r\n".join([*head, "", ""]).encode())
        with suppress(trio.BrokenResourceError):  # it may hang up on what it will not read
            for _ in range(megabytes):
                await stream.send_all(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
            await stream.send_all(b"1\r\n \r\n")

    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        answer = b""
        with trio.fail_after(PATIENCE_S):
            while until not in answer:
                answer += await stream.receive_some(65_536)
        nursery.cancel_scope.cancel()
    return answer


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error in the PRD's shape (section 11); fails on any other."""
    document = answer.json()
    assert set(document) == {"error"}
    error: dict[str, Any] = document["error"]
    assert set(error) == {"code", "message", "details", "timestamp"}
    assert error["code"] == error["code"].upper()
    assert error["message"]
    assert isinstance(error["details"], dict)
    assert datetime.fromisoformat(error["timestamp"]).tzinfo is not None
    assert answer.headers["content-type"] == "application/json"
    return error


def beyond_the_moment(answer: httpx.Response) -> dict[str, Any]:
    """An error without its time and correlation id, to compare two."""
    error = error_of(answer)
    details = {k: v for k, v in error["details"].items() if k != "correlation_id"}
    return {**error, "details": details, "timestamp": ""}
