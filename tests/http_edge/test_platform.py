"""The ports to the siblings, as the settings say: who is asked, where, and with which credentials."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import httpx
import jwt
import pytest
from attrs import evolve
from cryptography.hazmat.primitives.asymmetric import rsa

from actors.platform.errors import InvalidTokenError, PlatformError
from actors.platform.policy import StaticPolicy, TenantPolicy
from adapters.contract import Secret
from http_edge.platform import Platform, World, connect
from http_edge.settings import Settings, load
from persistence.records import ReceiptBatch, ReceiptRecord, SealedSecret, TenantKey
from tests.actors.platform.world import (
    EPOCH,
    INCIDENT,
    REPORT,
    Answering,
    HandClock,
    claims,
    counting_ids,
    seeded_entropy,
)
from tests.http_edge.test_settings import LEAST


class NoRows:
    """A store without secrets."""

    async def sealed_secret(self, tenant_id: str, secret_id: UUID) -> SealedSecret | None:
        return None

    async def tenant_key(self, tenant_id: str, key_id: UUID | None = None) -> TenantKey | None:
        return None

    async def keep_tenant_key(self, key: TenantKey) -> TenantKey:
        return key


def platform(answering: Answering, **changes: object) -> Platform:
    settings: Settings = evolve(load(LEAST), **changes)  # type: ignore[arg-type]
    client = httpx.AsyncClient(transport=httpx.MockTransport(answering._reply))
    world = World(clock=HandClock(), ids=counting_ids(), entropy=seeded_entropy())
    return connect(settings, NoRows(), client, world)  # type: ignore[arg-type]


def batch(tenant: str = "acme") -> ReceiptBatch:
    receipt = ReceiptRecord(
        receipt_id=UUID(int=1),
        tenant_id=tenant,
        connection_id=None,
        operation="integration.connection.github.create",
        body=b"{}",
        sequence_no=1,
        stamped_at=EPOCH,
        previous=bytes(32),
        digest=b"d" * 32,
    )
    return ReceiptBatch(batch_id=UUID(int=2), tenant_id=tenant, receipts=(receipt,))


async def test_nothing_is_asked_before_it_is_needed() -> None:
    answering = Answering(lambda _: httpx.Response(500))

    platform(answering)

    assert answering.asked == []


async def test_pm3_is_asked_at_its_url_with_the_tenants_own_token_first() -> None:
    answering = Answering(lambda _: httpx.Response(503))
    connected = platform(
        answering,
        pm3_token=Secret(value=b"all-{tenant}"),
        pm3_tokens={"acme": Secret(value=b"only-acme")},
    )

    for tenant in ("acme", "globex"):
        with pytest.raises(PlatformError):
            signal = json.dumps({"signal_id": "1", "tenant_id": tenant}).encode()
            await connected.signals.ingest(tenant, (signal,))

    assert {request.url.host for request in answering.asked} == {"pm3.internal"}
    sent = [request.headers["authorization"] for request in answering.asked]
    assert sent == ["Bearer only-acme", "Bearer all-globex"]


async def test_eris_takes_the_service_token_where_one_is_set() -> None:
    answering = Answering(lambda _: httpx.Response(503))

    with pytest.raises(PlatformError):
        await platform(answering).receipts.send(batch())

    assert answering.asked[0].url.host == "eris.internal"
    assert answering.asked[0].headers["authorization"] == "Bearer s3cret-of-eris"


async def test_eris_gets_a_minted_token_where_a_signing_secret_is_set() -> None:
    """Signed by us, for the tenant, named as issuer and audience say."""
    secret = b"a shared secret that is long enough!"
    answering = Answering(lambda _: httpx.Response(503))

    with pytest.raises(PlatformError):
        await platform(answering, eris_jwt_secret=Secret(value=secret)).receipts.send(batch())

    token = answering.asked[0].headers["authorization"].removeprefix("Bearer ")
    minted = jwt.decode(
        token,
        secret,
        algorithms=["HS256"],
        audience="zeroui",
        issuer="zeroui-iam",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert minted["tenant_id"] == "acme"


@pytest.mark.parametrize(
    ("settings", "tenant", "environment"),
    [
        ({}, "acme", "dev"),
        ({"kms_tenant": "dev-tenant", "environment": "stage"}, "dev-tenant", "staging"),
    ],
)
async def test_m33_is_told_the_tenant_and_environment_in_its_own_words(
    settings: dict[str, object], tenant: str, environment: str
) -> None:
    answering = Answering(lambda _: httpx.Response(503))
    connected = platform(answering, kms_approval_token=Secret(value=b"approved"), **settings)

    with pytest.raises(PlatformError):
        await connected.secrets.seal("acme", UUID(int=1), "auth", 1, Secret(value=b"x"), now=EPOCH)

    request = answering.asked[0]
    assert request.url.host == "kms.internal"
    told = json.loads(request.content)
    assert told["tenant_id"] == tenant
    assert told["environment"] == environment
    assert told["approval_token"] == "approved"


async def test_callers_are_proven_with_the_shared_secret_and_confirmed_by_iam() -> None:
    answering = Answering(lambda _: httpx.Response(200, json={"sub": "acme:ada"}))
    secret = LEAST["IA_IAM_SECRET"]
    connected = platform(answering)

    token = jwt.encode(claims(), secret, algorithm="HS256", headers={"kid": "k1"})
    caller = await connected.identity.verify(token)

    assert caller.tenant_id == "acme"
    assert answering.asked[0].url.host == "iam.internal"


async def test_callers_are_proven_with_the_published_keys_where_there_is_no_secret() -> None:
    """The key set may be elsewhere than IAM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    published = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    key_set = {"keys": [{**published, "kid": "k1"}]}

    def answer(request: httpx.Request) -> httpx.Response:
        document = key_set if request.url.host == "keys.internal" else {"sub": "acme:ada"}
        return httpx.Response(200, json=document)

    answering = Answering(answer)
    connected = platform(
        answering, iam_secret=None, iam_jwks_url="https://keys.internal/v1/keys.json"
    )

    good = jwt.encode(claims(), key, algorithm="RS256", headers={"kid": "k1"})
    caller = await connected.identity.verify(good)
    forged = jwt.encode(claims(), b"x" * 32, algorithm="HS256", headers={"kid": "k1"})

    assert caller.tenant_id == "acme"
    assert str(answering.asked[0].url) == "https://keys.internal/v1/keys.json"
    with pytest.raises(InvalidTokenError):
        await connected.identity.verify(forged)


async def test_iams_word_is_believed_as_long_as_the_settings_say() -> None:
    answering = Answering(lambda _: httpx.Response(200, json={"sub": "acme:ada"}))
    settings: Settings = evolve(load(LEAST), iam_cache=timedelta(seconds=30))
    clock = HandClock()
    client = httpx.AsyncClient(transport=httpx.MockTransport(answering._reply))
    world = World(clock=clock, ids=counting_ids(), entropy=seeded_entropy())
    identity = connect(settings, NoRows(), client, world).identity  # type: ignore[arg-type]
    secret = LEAST["IA_IAM_SECRET"]
    token = jwt.encode(claims(), secret, algorithm="HS256", headers={"kid": "k1"})

    for _ in range(2):
        await identity.verify(token)
    clock.advance(seconds=30)
    await identity.verify(token)

    assert len(answering.asked) == 2


OPTIONAL: dict[str, object] = {
    "budget_url": "http://budget.internal",
    "budget_jwt_secret": Secret(value=b"s3cret-of-m35-with-32-bytes-or-more"),
    "alerting_url": "http://alerting.internal",
    "alerting_jwt_secret": Secret(value=b"s3cret-of-epc4-with-32-bytes-or-more"),
    "health_url": "http://health.internal",
    "health_token": Secret(value=b"valid_epc1_admin"),
}


def test_neighbours_without_an_address_are_absent_and_named() -> None:
    answering = Answering(lambda _: httpx.Response(500))

    without = platform(answering)
    whole = platform(answering, **OPTIONAL)

    assert (without.budgets, without.incidents, without.health) == (None, None, None)
    assert without.absent == ("budgets", "incidents", "health")
    assert whole.absent == ()


async def test_each_optional_neighbour_is_asked_at_its_url_with_its_own_credential() -> None:
    answering = Answering(lambda _: httpx.Response(403))
    connected = platform(answering, **OPTIONAL, health_tenant="tenant-default")
    assert connected.budgets
    assert connected.incidents
    assert connected.health

    with pytest.raises(PlatformError):
        await connected.budgets.take(
            "acme", connection_id=UUID(int=1), provider_id="github", calls=1, work="live"
        )
    with pytest.raises(PlatformError):
        await connected.incidents.tell(INCIDENT)
    with pytest.raises(PlatformError):
        await connected.health.report(REPORT)

    hosts = [request.url.host for request in answering.asked]
    tokens = [
        request.headers["authorization"].removeprefix("Bearer ") for request in answering.asked
    ]
    assert hosts == ["budget.internal", "alerting.internal", "health.internal"]
    assert tokens[2] == "valid_epc1_admin"
    for token, name in zip(tokens, ("budget_jwt_secret", "alerting_jwt_secret"), strict=False):
        secret = OPTIONAL[name]
        assert isinstance(secret, Secret)
        said = jwt.decode(
            token,
            secret.value,
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_iat": False},
        )
        assert said["tenant_id"] == "acme"
        assert "aud" not in said


async def test_a_call_costs_at_m35_what_the_settings_say() -> None:
    answering = Answering(lambda _: httpx.Response(200, json={"allowed": True}))
    connected = platform(answering, **OPTIONAL, budget_costs={"github": Decimal("0.5")})
    assert connected.budgets

    await connected.budgets.take(
        "acme", connection_id=UUID(int=1), provider_id="github", calls=3, work="live"
    )

    asked = [json.loads(request.content) for request in answering.asked]
    assert [question.get("estimated_cost") for question in asked] == [None, "1.5"]


async def test_epc5_is_told_the_tenant_that_the_settings_say() -> None:
    answering = Answering(lambda _: httpx.Response(201))
    for settings in ({}, {"health_tenant": "tenant-default"}):
        connected = platform(answering, **OPTIONAL, **settings)
        assert connected.health
        with pytest.raises(PlatformError):
            await connected.health.report(REPORT)

    told = [json.loads(request.content).get("tenant_id") for request in answering.asked]
    assert told == [None, "acme", None, "tenant-default"]


def test_the_policy_is_the_file_s_or_the_defaults() -> None:
    answering = Answering(lambda _: httpx.Response(500))
    strict = StaticPolicy(default=TenantPolicy(providers=()))

    assert platform(answering).policy == StaticPolicy()
    assert platform(answering, policy_file=strict).policy == strict
