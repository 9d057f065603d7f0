"""What the demo and the end-to-end tests play with: a node process, its simulated world, and a provider that sends."""

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

from adapters.contract import Request, Secret
from http_edge.sending import Answered, made_payload, send, signed
from http_edge.surroundings import PULL_REQUEST, REPOSITORY, Surroundings, caller_token
from runtime import Clock

TENANT = "acme"
WEBHOOK_SECRET = Secret(value=b"only-github-and-we-know-this")
KINDS = (
    "pull_request.opened",
    "push",
    "issue_comment.created",
    "workflow_run.completed",
    "check_run.completed",
)
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
    connection_id: str = ""
    webhook_url: str = ""
    sent: list[Sent] = field(factory=list)
    _number: int = 0

    async def connect(self) -> Mapping[str, Any]:
        """Create and verify the connection; returns the verified one."""
        body = {
            "provider_id": "github",
            "display_name": "rocket",
            "base_url": self.around.github_url,
            "auth": {"token": self.around.github_token.value.decode()},
            "webhook": {"secret": WEBHOOK_SECRET.value.decode()},
        }
        created = await self._call("tenant_admin", "POST", "/v1/integrations/connections", body)
        self.connection_id = created["connection_id"]
        self.webhook_url = created["webhook"]["url"]
        path = f"/v1/integrations/connections/{self.connection_id}/verify"
        return await self._call("tenant_admin", "POST", path, {})

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

    async def comment(self, key: str, *, wait_s: int) -> Mapping[str, Any]:
        """Ask for a comment on the pull request, and wait for its outcome."""
        body = {
            "connection_id": self.connection_id,
            "canonical_type": "comment_on_pr",
            "idempotency_key": key,
            "target": {"repository": REPOSITORY, "pr_number": PULL_REQUEST},
            "payload": {"body": f"Comment {key}"},
        }
        prefer = {"prefer": f"wait={wait_s}"} if wait_s else {}
        path = "/internal/integrations/actions/execute"
        return await self._call("module", "POST", path, body, headers=prefer, timeout=wait_s + 10)

    async def action_ended(self, action_id: str, *, within_s: float) -> Mapping[str, Any]:
        """The action once it has ended, or as it stands after ``within_s``."""
        path = f"/internal/integrations/actions/{action_id}"

        async def ended() -> bool:
            shown = await self._call("module", "GET", path, None)
            return bool(shown["status"] != "queued")

        await until(ended, within_s=within_s)
        return await self._call("module", "GET", path, None)

    async def comments(self, key: str) -> int:
        """How many comments of that key there are at GitHub."""
        query = f"repository={REPOSITORY}&number={PULL_REQUEST}"
        answer = await self.client.get(f"{self.around.github_url}/_sim/comments?{query}")
        text = f"Comment {key}"
        return sum(body.partition("\n")[0].strip() == text for body in answer.json()["comments"])

    async def github_fault(self, **fault: object) -> None:
        """Plan a fault at the simulated GitHub."""
        answer = await self.client.post(f"{self.around.github_url}/_sim/faults", json=fault)
        answer.raise_for_status()

    async def pm3(self, what: str) -> None:
        """Take PM-3 ``down``, or bring it ``up``."""
        answer = await self.client.post(f"{self.around.pm3_url}/_sim/{what}", content=b"{}")
        answer.raise_for_status()

    async def signals(self) -> Sequence[Mapping[str, Any]]:
        """What PM-3 accepted of the tenant, in order."""
        url = f"{self.around.pm3_url}/_sim/signals?tenant_id={TENANT}"
        found: Sequence[Mapping[str, Any]] = orjson.loads((await self.client.get(url)).content)[
            "signals"
        ]
        return found

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
        """The accounting of P9, from /metrics, summed over connections."""
        text = (await self.client.get(f"{self.node_url}/metrics")).text
        sums: Counter[str] = Counter()
        difference = math.nan
        for line in text.splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("integration_adapters_deliveries{"):
                sums[name.partition('state="')[2].partition('"')[0]] += int(float(value))
            if name == "integration_adapters_accounting_difference":
                difference = float(value)
        return {**sums, "difference": difference}

    async def _call(
        self,
        role: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30,  # noqa: ASYNC109 - httpx bounds it
    ) -> Mapping[str, Any]:
        token = caller_token(TENANT, role, clock=self.clock, ids=self.ids)
        answer = await self.client.request(
            method,
            f"{self.node_url}{path}",
            content=None if body is None else orjson.dumps(body),
            headers={"authorization": f"Bearer {token}", **(headers or {})},
            timeout=timeout,
        )
        answer.raise_for_status()
        document: Mapping[str, Any] = answer.json()
        return document


async def until(holds: Callable[[], Awaitable[bool]], *, within_s: float) -> bool:
    """Look until ``holds``, at most for ``within_s``; whether it did."""
    with trio.move_on_after(within_s):
        while True:
            if await holds():
                return True
            await trio.sleep(_LOOK_EVERY_S)
    return False
