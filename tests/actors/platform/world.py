"""What the tests of the siblings' clients share: served simulators, a clock in the hand, ids that count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import httpx
import jwt
import orjson
import trio
from attrs import define, evolve, field, frozen

from actors.platform.health import HealthReport
from actors.platform.incidents import Incident
from actors.platform.sibling import Sibling
from actors.platform.tokens import MintedClaims, MintedTokens
from adapters.contract import Request, Response, Secret
from adapters.simulation import Reply
from http_edge.simulators import Handle, serve_simulator

EPOCH = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHARED_SECRET = Secret(value=b"a shared secret that is long enough!")
ISSUER, AUDIENCE = "zeroui-iam", "zeroui"
INCIDENT = Incident(
    alert_id=UUID(int=1),
    tenant_id="acme",
    connection_id=UUID(int=77),
    provider_id="github",
    kind="circuit_open",
    severity="P1",
    summary="GitHub fails for connection rocket",
    opened_at=EPOCH,
)
REPORT = HealthReport(
    tenant_id="acme",
    provider_id="github",
    at=EPOCH,
    sample_window=timedelta(minutes=1),
    error_rate=0.5,
    latency_p95=timedelta(milliseconds=120),
    heartbeat_lag=timedelta(seconds=3),
    saturation=0.25,
    labels=(("cause", "circuit_open"),),
)


@define
class HandClock:
    """A clock that moves when told to."""

    at: datetime = EPOCH

    def now(self) -> datetime:
        return self.at

    def advance(self, **by: float) -> None:
        self.at += timedelta(**by)


def counting_ids() -> Callable[[], UUID]:
    numbers = count(1)
    return lambda: UUID(int=next(numbers))


def seeded_entropy(seed: int = 7) -> Callable[[int], bytes]:
    return Random(seed).randbytes  # noqa: S311 - chance in a test is planned


@frozen
class Served:
    """A simulator behind real HTTP."""

    name: str
    url: str
    http: httpx.AsyncClient = field(repr=False)

    @property
    def sibling(self) -> Sibling:
        return Sibling(self.name, self.url, self.http)

    async def control(self, path: str, document: object | None = None) -> Any:
        answer = await (
            self.http.get(f"{self.url}/_sim/{path}")
            if document is None
            else self.http.post(f"{self.url}/_sim/{path}", content=orjson.dumps(document))
        )
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def counts(self) -> dict[str, int]:
        answered: dict[str, int] = (await self.control("counts"))["answered"]
        return answered


@asynccontextmanager
async def served(handle: Handle, *, name: str = "sibling") -> AsyncIterator[Served]:
    """Serve on loopback; for the simulator time stands still, so that its rate limits depend on nothing else."""
    serve = partial(serve_simulator, handle, clock=HandClock())
    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as http:
        url = await nursery.start(serve)
        with trio.fail_after(30):
            yield Served(name, url, http)
        nursery.cancel_scope.cancel()


@define
class Answering:
    """A sibling that says what the test wants, and remembers what it was asked."""

    answer: Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]
    asked: list[httpx.Request] = field(factory=list)

    async def _reply(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        await trio.lowlevel.checkpoint()
        answer = self.answer(request)
        return answer if isinstance(answer, httpx.Response) else await answer

    def sibling(self, name: str = "sibling") -> Sibling:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._reply))
        return Sibling(name, "http://sibling.test", client)


def always(status: int, document: object = None, **headers: str) -> Answering:
    return Answering(lambda _: httpx.Response(status, json=document, headers=headers))


def silent() -> Answering:
    """A sibling that takes the question and never answers."""

    async def never(_: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError("nothing ends this wait but its cancellation")

    return Answering(never)


def minted(secret: Secret = SHARED_SECRET, **changes: Any) -> MintedTokens:
    """Tokens as M35 and EPC-4 take them, good at EPOCH."""
    claims = MintedClaims(service="ia", issuer=ISSUER, audience=None, key_id="ia-1", scope=())
    changed = evolve(claims, **changes)
    return MintedTokens(secret, changed, clock=HandClock(), ids=counting_ids())


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that are good at EPOCH; a change to None leaves the claim out."""
    good = {
        "kid": "k1",
        "iat": int(EPOCH.timestamp()),
        "exp": int(EPOCH.timestamp()) + 3600,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "acme:ada",
        "tenant_id": "acme",
        "scope": ["connections"],
        "roles": ["operator"],
        "jti": "t-1",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(secret: Secret = SHARED_SECRET, **changes: Any) -> str:
    payload = claims(**changes)
    headers = {"kid": payload.get("kid")} if isinstance(payload.get("kid"), str) else None
    return jwt.encode(payload, secret.value, algorithm="HS256", headers=headers)


def ask(simulator: Any, method: str, url: str, document: object = None, **more: Any) -> Response:
    """Ask an embedded sibling in process; headers as ``headers``, the time as ``now``."""
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    headers = tuple(more.get("headers", {}).items())
    request = Request(method=method, url=url, headers=headers, body=body)
    reply: Reply = simulator.handle(request, now=more.get("now", EPOCH))
    assert reply.response is not None
    return reply.response


def read(response: Response) -> Any:
    return orjson.loads(response.body)
