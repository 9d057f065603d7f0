"""A node of one tenant at a simulated GitHub: webhooks, logins and apps as the provider has them, secrets in rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import trio
from attrs import define, evolve

from actors.connections import Connections
from actors.logins import CALLBACK, Logins
from actors.orders import By, Created, NewConnection
from actors.ports import Pace
from actors.upkeep import Timetable
from adapters import oauth
from adapters.contract import Request, Response, Secret
from adapters.credentials import Credentials, Grant, OAuthTokens, StaticToken
from adapters.github import ADAPTER, MANIFEST
from adapters.github.simulator import GitHub
from adapters.github.simulator_login import Client
from adapters.github.world import Token
from adapters.oauth import OAuthClient
from persistence.changes import Registration
from persistence.opening import open_store
from persistence.records import ConnectionRecord, NewDelivery
from tests.actors.life import EPOCH, REPOSITORY, TOKEN, a_github
from tests.actors.platform.world import HandClock
from tests.actors.scene import FAST, NEVER, Scene, make_scene
from tests.fakes.plans import carry
from tests.fakes.provider import Simulated
from tests.fakes.sealed import RowSecrets
from tests.fakes.watching import Watch
from tests.persistence import samples

ME = By(subject="ada")
CLIENT_SECRET = b"the-client-secret-that-nobody-may-ever-read"
CLIENT = OAuthClient(client_id="m10", client_secret=Secret(value=CLIENT_SECRET))
PUBLIC_URL = "https://hooks.example.com"
STATIC = StaticToken(token=TOKEN)
PACE = Pace(look_again=FAST, retry=FAST, neighbour=FAST, answer_within=timedelta(seconds=5))
SCOPES = ("repo", "admin:repo_hook")


@define(eq=False)
class Hub:
    """What a test of a connection's life needs; ``connections`` and ``logins`` as the edge calls them."""

    scene: Scene
    clock: HandClock
    github: GitHub
    secrets: RowSecrets

    @property
    def connections(self) -> Connections:
        """The domain, on the tree if one was started."""
        wake = self.scene.hints.wake if self.scene.system is None else self.scene.wake
        return Connections(ports=evolve(self.scene.ports, wake=wake))

    @property
    def logins(self) -> Logins:
        """Logins, on the running tree."""
        return Logins(
            ports=self.connections.ports,
            connections=self.connections,
            return_origins=("https://app.example.com",),
        )

    async def create(
        self,
        *,
        credentials: Credentials | None = STATIC,
        name: str = "rocket",
        **changes: Any,
    ) -> Created:
        """A connection that waits for verification."""
        new = NewConnection(
            provider_id="github",
            display_name=name,
            base_url=MANIFEST.base_url,
            capabilities=("webhook", "outbound_actions"),
            settings=orjson.dumps({"repositories": [REPOSITORY]}),
            credentials=credentials,
        )
        return await self.connections.create("acme", evolve(new, **changes), ME, answered=_nothing)

    async def active(self, **chosen: Any) -> ConnectionRecord:
        """A verified connection whose webhook was registered."""
        created = await self.create(**chosen)
        if created.connection.auth_ref is None:  # then its first webhook proves it
            await self.scene.store.inner.accept(self.deliveries(created.connection, 1))
        verified = await self.connections.verify("acme", created.connection.connection_id, ME)
        assert verified.passed, verified.reason
        connection = verified.connection
        if connection.auth_ref is not None:
            await self.hooked(connection)
        return connection

    async def read(self, connection: ConnectionRecord) -> ConnectionRecord:
        """The connection as it is stored now."""
        place = (connection.tenant_id, connection.connection_id)
        found = await self.scene.store.inner.connection(*place)
        assert found is not None
        return found

    async def registration(self, connection: ConnectionRecord) -> Registration:
        """Its newest endpoint."""
        place = (connection.tenant_id, connection.connection_id)
        known = await self.scene.store.inner.registrations(*place, now=self.clock.now())
        return known[0]

    async def hooked(
        self, connection: ConnectionRecord, fits: Callable[[dict[str, Any]], bool] = bool
    ) -> dict[str, Any]:
        """What is remembered of the provider's webhook, once it is as wanted."""

        async def look() -> dict[str, Any] | None:
            known = (await self.registration(connection)).hooks
            document = None if known is None else orjson.loads(known)
            return document if document is not None and fits(document) else None

        found: dict[str, Any] = await self.scene.watch.until(look)
        return found

    def hook_urls(self) -> list[str]:
        """Where GitHub sends webhooks."""
        return [hook.config["url"] for hook in self.github.hook_shelf.hooks.values()]

    def consent(self, authorization_url: str) -> dict[str, str]:
        """A person goes there and says yes, or no; what the browser brings back."""
        url = urlsplit(authorization_url)
        request = Request(method="GET", url=f"{url.path}?{url.query}")
        answer = self.github.handle(request, now=self.clock.now()).response
        assert answer is not None
        query = parse_qs(urlsplit(answer.header("location") or "").query)
        return {name: values[0] for name, values in query.items()}

    def deliveries(self, connection: ConnectionRecord, number: int) -> list[NewDelivery]:
        """Deliveries that make one signal each, as the edge would store them."""
        made = [
            samples.delivery(connection, body=b"{}", received_at=self.clock.now())
            for _ in range(number)
        ]
        return [evolve(each, event_kind="star.created") for each in made]

    def receipts(self) -> list[tuple[str, str]]:
        """(verb, state) of each receipt about a connection that ERIS has, oldest first."""
        return [
            (one["inputs"]["operation"].rpartition(".")[2], one["result"]["state"])
            for one in self.scene.receipts.documents
            if one["inputs"]["operation"].startswith("integration.connection.")
        ]

    def audited(self) -> list[str]:
        """The moves of the audit log."""
        return [
            str(entry["move"])
            for entry in self.scene.log.of("connection.changed")
            if entry["audit"] is True
        ]

    def client(self, **chosen: Any) -> OAuthClient:
        """Register our OAuth client at GitHub."""
        self.github.login_server.clients[CLIENT.client_id] = Client(
            client_id=CLIENT.client_id,
            client_secret=Secret(value=CLIENT_SECRET),
            redirect_uri=f"{PUBLIC_URL}{CALLBACK}",
            **chosen,
        )
        return CLIENT

    def granted(self, **chosen: Any) -> OAuthTokens:
        """Tokens as a person granted them, by a login that nobody watches here."""
        client = self.client(**chosen)
        brought = self.consent(
            f"https://github.com/login/oauth/authorize?client_id={client.client_id}"
        )
        plan = oauth.code_grant(
            ADAPTER.authorization_server(MANIFEST.base_url),
            client,
            code=brought["code"],
            verifier="v" * 43,
            redirect_uri=f"{PUBLIC_URL}{CALLBACK}",
            now=self.clock.now(),
        )
        grant = carry(plan, self.answer)
        assert isinstance(grant, Grant)
        return OAuthTokens(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            expires_at=grant.expires_at,
            scopes=grant.scopes,
        )

    def answer(self, request: Request) -> Response:
        """GitHub's, without a network."""
        asked = evolve(request, url=urlsplit(request.url).path)
        answer = self.github.handle(asked, now=self.clock.now()).response
        assert answer is not None
        return answer


async def _nothing(created: Created) -> None:
    await trio.lowlevel.checkpoint()


@asynccontextmanager
async def a_hub(
    store_url: str, *, node: bool = True, timetable: Timetable = NEVER, **chosen: Any
) -> AsyncIterator[Hub]:
    """A hub on the database at ``store_url``, its tree running unless ``node`` is False."""
    clock, github, watch = HandClock(EPOCH), a_github(EPOCH), Watch()
    github.world.tokens[:] = [Token(secret=TOKEN, scopes=SCOPES)]
    async with open_store(store_url) as store:
        secrets = RowSecrets(store, clock)
        scene = make_scene(
            store,
            clock=clock,
            adapters=(ADAPTER,),
            transport=Simulated(github.handle, clock, noticed=watch.notify),
            watch=watch,
            pace=chosen.pop("pace", PACE),
        )
        scene.ports = evolve(scene.ports, secrets=secrets, **chosen)
        hub = Hub(scene, clock, github, secrets)
        if not node:
            yield hub
            return
        async with scene.node(timetable):
            yield hub
