"""What the demo and the end-to-end tests play with: a tenant's connection, a provider that sends, a module that asks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import httpx
import orjson
import trio
from attrs import define, field, frozen

from actors.logins import CALLBACK
from adapters.contract import Request, Secret
from http_edge.neighbours import Document, Neighbours
from http_edge.sending import Answered, made_payload, send, signed
from http_edge.surroundings import ISSUE, PULL_REQUEST, REPOSITORY, Surroundings, caller_token
from runtime import Clock

WEBHOOK_SECRET = Secret(value=b"only-github-and-we-know-this")
CLIENT = {"client_id": "Iv1.demo", "client_secret": "only-github-and-our-client-know-this"}
KINDS = (
    "pull_request.opened",
    "push",
    "issue_comment.created",
    "workflow_run.completed",
    "check_run.completed",
)
CONNECTIONS = "/v1/integrations/connections"
ACTIONS = "/internal/integrations/actions"
TOKENS = "/login/oauth/access_token"
_LEDGER = "integration_adapters_deliveries{"
_SENDERS = 8
_LOOK_EVERY_S = 0.1


@frozen(kw_only=True)
class Sent:
    """A delivery and what the node said; ``answered`` None: the connection broke first."""

    event_id: str
    answered: Answered | None

    @property
    def acknowledged(self) -> bool:
        """Whether the provider was told that its delivery is safe."""
        return self.answered is not None and 200 <= self.answered.status < 300


@define(kw_only=True)
class Stage:
    """A tenant with one GitHub connection, seen from outside: all over HTTP, as its users see it."""

    node_url: str
    around: Surroundings
    client: httpx.AsyncClient
    clock: Clock
    ids: Callable[[], UUID]
    tenant: str = "acme"
    connection_id: str = ""
    webhook_url: str = ""
    capabilities: Sequence[str] | None = None
    """What the connection is for; None: what it can be for without being asked."""
    sent: list[Sent] = field(factory=list)
    asked: list[str] = field(factory=list)
    """The ids of the actions that were asked for."""
    _number: int = 0

    @property
    def neighbours(self) -> Neighbours:
        """The other side."""
        return Neighbours(around=self.around, client=self.client)

    # --- the tenant's administrator

    async def connect(self) -> Document:
        """Create and verify the connection, by a token that a person made; returns the verified one."""
        await self._create({"token": self.around.github_token.value.decode()})
        return await self.verb("verify")

    async def connect_by_login(self) -> httpx.Response:
        """Create the connection, and log in for it; returns what the person's browser got in the end."""
        redirect_uri = f"{self.node_url}{CALLBACK}"
        await self.neighbours.tell_github("clients", **CLIENT, redirect_uri=redirect_uri)
        await self._create({"method": "oauth2", **CLIENT})
        return await self.log_in()

    async def log_in(self) -> httpx.Response:
        """Follow a person's browser to GitHub and back; whether they consent, GitHub was told before."""
        return await self.client.get(await self.consented(), timeout=60)

    async def consented(self) -> str:
        """The URL that GitHub sends a person's browser back to."""
        started = await self.verb("oauth/start")
        answer = await self.client.get(started["authorization_url"])
        return answer.headers["location"]

    async def connection(self) -> Document:
        """The connection as it is."""
        return await self.call("tenant_admin", "GET", self._path)

    async def verb(self, name: str) -> Document:
        """Do something with the connection: verify, suspend, resume ..."""
        return await self.call("tenant_admin", "POST", f"{self._path}/{name}", {}, timeout=60)

    async def ask(self, name: str, body: Document) -> Document:
        """Have something done for the connection: ``backfill``, ``poll`` ..."""
        return await self.call("tenant_admin", "POST", f"{self._path}/{name}", body)

    async def read(self, name: str) -> Document:
        """What there is below the connection: ``cursors``, ``backfills/...``."""
        return await self.call("tenant_admin", "GET", f"{self._path}/{name}")

    async def delete(self) -> Document:
        """Delete the connection."""
        return await self.call("tenant_admin", "DELETE", self._path)

    async def health(self) -> Document:
        """How the connection does."""
        path = f"/internal/integrations/connections/{self.connection_id}/health"
        return await self.call("operator", "GET", path)

    # --- the provider

    def delivery(self, *, secret: Secret = WEBHOOK_SECRET) -> tuple[str, Request]:
        """The next event that GitHub would report, signed; its id comes with it."""
        self._number += 1
        event = KINDS[self._number % len(KINDS)]
        event_id = str(self.ids())
        body = made_payload(event, self._number, at=self.clock.now())
        name = event.partition(".")[0]
        return event_id, signed("github", name, body, secret=secret, event_id=event_id)

    async def send(self, event_id: str, request: Request) -> Sent:
        """Send one delivery and remember what became of it."""
        try:
            answered = await send(self.client, self.webhook_url, request)
        except httpx.TransportError:
            answered = None
        sent = Sent(event_id=event_id, answered=answered)
        self.sent.append(sent)
        return sent

    async def forward(self, outgoing: Document) -> Sent:
        """Send what GitHub made and signed."""
        headers = tuple(outgoing["headers"].items())
        body = outgoing["body"].encode()
        guid = dict(headers)["x-github-delivery"]
        return await self.send(guid, Request(method="POST", url="/", headers=headers, body=body))

    async def send_many(
        self, number: int, *, told: Callable[[int], object] = lambda _: None
    ) -> Sequence[Sent]:
        """Send ``number`` deliveries from several connections at once; ``told`` hears how many are done."""
        todo = [self.delivery() for _ in range(number)]
        done: list[Sent] = []

        async def work() -> None:
            while todo:
                event_id, request = todo.pop(0)
                done.append(await self.send(event_id, request))
                told(len(done))

        async with trio.open_nursery() as nursery:
            for _ in range(_SENDERS):
                nursery.start_soon(work)
        return done

    # --- a module that asks for actions, and an operator who settles them

    async def act(
        self, canonical_type: str, target: Document, payload: Document, key: str
    ) -> Document:
        """Ask for an action; its answer comes at once, with or without the outcome."""
        return await self._execute(canonical_type, target, payload, key, wait_s=0)

    async def comment(self, key: str, *, wait_s: int = 0, on_issue: bool = False) -> Document:
        """Ask for a comment on the pull request, or the issue, and wait for its outcome."""
        kind, number = ("issue", ISSUE) if on_issue else ("pr", PULL_REQUEST)
        target = {"repository": REPOSITORY, f"{kind}_number": number}
        payload = {"body": f"Comment {key}"}
        return await self._execute(f"comment_on_{kind}", target, payload, key, wait_s=wait_s)

    async def action(self, action_id: str) -> Document:
        """The action as it is."""
        return await self.call("module", "GET", f"{ACTIONS}/{action_id}")

    async def action_ended(self, action_id: str, *, within_s: float) -> Document:
        """The action once it has ended, or as it stands after ``within_s``."""

        async def ended() -> bool:
            return bool((await self.action(action_id))["status"] != "queued")

        await until(ended, within_s=within_s)
        return await self.action(action_id)

    async def endings(self, *, within_s: float) -> Sequence[str]:
        """How the actions that were asked for ended, in order; each is given ``within_s``."""
        return [
            (await self.action_ended(each, within_s=within_s))["status"] for each in self.asked
        ]

    async def comments(self, key: str) -> int:
        """How many comments of that key there are at GitHub."""
        return list(await self.neighbours.comments()).count(f"Comment {key}")

    async def is_commented(self, key: str) -> bool:
        """Whether GitHub has the comment of that key."""
        return await self.comments(key) > 0

    # --- what arrived, and the books

    async def is_registered(self) -> bool:
        """Whether there is a webhook at GitHub."""
        return bool(await self.neighbours.hooks())

    async def token_requests(self) -> int:
        """How often GitHub was asked for the tokens of a login."""
        return len(await self.neighbours.requests(method="POST", path=TOKENS))

    async def is_settled(self) -> bool:
        """Whether none of the tenant's deliveries is under way."""
        ledger = await self.ledger()
        return ledger.get("pending") == 0 and ledger.get("settled") == 0

    async def alerted(self, kind: str, status: str, *, within_s: float) -> Sequence[str]:
        """How the tenant's alerts of that kind stand at EPC-4, once the last is ``status``, or after ``within_s``."""

        async def stands() -> Sequence[str]:
            return [row["status"] for row in await self.neighbours.alerts(self.tenant, kind)]

        async def turned() -> bool:
            return (await stands())[-1:] == [status]

        await until(turned, within_s=within_s)
        return await stands()

    async def signals(self) -> Sequence[Document]:
        """What PM-3 accepted of the tenant, in order."""
        return await self.neighbours.signals(self.tenant)

    async def arrived(self, event_ids: set[str], *, within_s: float) -> Counter[str]:
        """How often each event is at PM-3, once all of ``event_ids`` are, or after ``within_s``."""

        async def all_there() -> bool:
            return event_ids <= (await self.counted()).keys()

        await until(all_there, within_s=within_s)
        return await self.counted()

    async def counted(self) -> Counter[str]:
        """How often each event is at PM-3 now."""
        return Counter(signal["correlation_id"] for signal in await self.signals())

    def acknowledged(self) -> set[str]:
        """The events whose provider was told that they are safe."""
        return {sent.event_id for sent in self.sent if sent.acknowledged}

    async def ledger(self) -> Mapping[str, float]:
        """The accounting of P9, from /metrics, of the tenant; ``difference`` is of all."""
        text = (await self.client.get(f"{self.node_url}/metrics")).text
        sums: Counter[str] = Counter()
        difference = math.nan
        for line in text.splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith(_LEDGER) and f'tenant="{self.tenant}"' in name:
                sums[name.partition('state="')[2].partition('"')[0]] += int(float(value))
            if name == "integration_adapters_accounting_difference":
                difference = float(value)
        return {**sums, "difference": difference}

    async def call(
        self,
        role: str,
        method: str,
        path: str,
        body: Document | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30,  # noqa: ASYNC109 - httpx bounds it
    ) -> Document:
        """Ask the node's API; what is no 2xx is an ``httpx.HTTPStatusError``."""
        token = caller_token(self.tenant, role, clock=self.clock, ids=self.ids)
        answer = await self.client.request(
            method,
            f"{self.node_url}{path}",
            content=None if body is None else orjson.dumps(body),
            headers={"authorization": f"Bearer {token}", **(headers or {})},
            timeout=timeout,
        )
        answer.raise_for_status()
        document: Document = answer.json()
        return document

    @property
    def _path(self) -> str:
        return f"{CONNECTIONS}/{self.connection_id}"

    async def _create(self, auth: Document) -> None:
        body: dict[str, Any] = {
            "provider_id": "github",
            "display_name": "rocket",
            "base_url": self.around.github_url,
            "settings": {"repositories": [REPOSITORY]},
            "auth": auth,
            "webhook": {"secret": WEBHOOK_SECRET.value.decode()},
        }
        if self.capabilities is not None:
            body["capabilities"] = self.capabilities
        created = await self.call("tenant_admin", "POST", CONNECTIONS, body)
        self.connection_id = created["connection_id"]
        self.webhook_url = created["webhook"]["url"]

    async def _execute(
        self, canonical_type: str, target: Document, payload: Document, key: str, *, wait_s: int
    ) -> Document:
        body: dict[str, Any] = {
            "connection_id": self.connection_id,
            "canonical_type": canonical_type,
            "idempotency_key": key,
            "target": target,
            "payload": payload,
        }
        prefer = {"prefer": f"wait={wait_s}"} if wait_s else {}
        path = f"{ACTIONS}/execute"
        action = await self.call("module", "POST", path, body, headers=prefer, timeout=wait_s + 10)
        self.asked.append(action["action_id"])
        return action


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float) -> bool:
    """Look until ``holds``, at most for ``within_s``; whether it did."""
    with trio.move_on_after(within_s):
        while True:
            if await holds():
                return True
            await trio.sleep(_LOOK_EVERY_S)
    return False
