"""Who asks: proven by us and confirmed by IAM; both must agree, and doubt never lets anybody in."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import jwt
import orjson
import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings, strategies as st

from actors.platform.embedded.identity import IdentityService
from actors.platform.errors import (
    InvalidTokenError,
    PlatformMisconfiguredError,
    PlatformUnavailableError,
)
from actors.platform.identity import IamIdentity, IamPace, Identity
from actors.platform.jwks import FetchedKeys, GivenKeys, read_keys
from actors.platform.proof import (
    Caller,
    KeySource,
    SharedSecret,
    TokenRules,
    VerifyingKey,
    header_kid,
    prove,
)
from adapters.contract import Secret
from tests.actors.platform.world import (
    AUDIENCE,
    EPOCH,
    ISSUER,
    SHARED_SECRET,
    Answering,
    HandClock,
    Served,
    always,
    claims,
    served,
    token,
)

RULES = TokenRules(issuer=ISSUER, audience=AUDIENCE)
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - it has to be refused
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def public(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    algorithm = jwt.algorithms.ECAlgorithm if key is EC_KEY else jwt.algorithms.RSAAlgorithm
    entry: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return {**entry, "kid": kid, **more}


JWKS = {"keys": [public(RSA_KEY, "r1"), public(EC_KEY, "e1")]}


def identity(served_by: Any, keys: KeySource | None = None, **more: Any) -> IamIdentity:
    sibling = served_by.sibling
    return IamIdentity(
        sibling() if callable(sibling) else sibling,
        keys or SharedSecret(SHARED_SECRET),
        RULES,
        clock=more.pop("clock", HandClock()),
        **more,
    )


@asynccontextmanager
async def iam() -> AsyncIterator[Served]:
    async with served(IdentityService().handle, name="IAM") as server:
        yield server


async def test_a_good_token_says_who_its_bearer_is() -> None:
    async with iam() as server:
        caller = await identity(server).verify(token())

    assert caller == Caller(
        tenant_id="acme",
        subject="acme:ada",
        roles=("operator",),
        scopes=("connections",),
        valid_until=EPOCH + timedelta(hours=1),
    )


def tampered(text: str) -> str:
    head, body, signature = text.split(".")
    changed = jwt.utils.base64url_encode(orjson.dumps(claims(tenant_id="globex"))).decode()
    assert changed != body
    return f"{head}.{changed}.{signature}"


def without(name: str) -> str:
    changes: dict[str, Any] = {name: None}
    return token(**changes)


def unsigned() -> str:
    return jwt.encode(claims(), "", algorithm="none")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "abc",
        "a.b.c",
        "ü.b.c",
        "x" * 10_000,
        "e30.e30.",
        unsigned(),
        tampered(token()),
        token(Secret(value=b"another secret that is long enough..")),
        jwt.encode(claims(), SHARED_SECRET.value.ljust(64), algorithm="HS512"),
        token(iss="elsewhere"),
        token(aud="elsewhere"),
        token(exp=int(EPOCH.timestamp()) - 5),
        token(exp="soon"),
        token(exp=True),
        token(exp=1e300),
        token(iat=int(EPOCH.timestamp()) + 60),
        token(nbf=int(EPOCH.timestamp()) + 60),
        *[without(name) for name in ("kid", "iat", "exp", "aud", "iss", "sub", "scope")],
        token(tenant_id=None),
        token(tenant_id=""),
        token(tenant_id=7),
        token(tenant_id="t" * 256),
        token(sub="  "),
        token(scope="connections"),
        token(scope=[1]),
        token(roles="operator"),
    ],
)
async def test_what_proves_nobody_is_refused_without_asking_iam(bad: str) -> None:
    answering = always(200, {"sub": "acme:ada"})

    with pytest.raises(InvalidTokenError) as caught:
        await identity(answering).verify(bad)

    assert answering.asked == []
    assert len(bad) < 10 or bad not in str(caught.value)


async def test_iam_alone_would_believe_a_forged_token_p6() -> None:
    forged = token(Secret(value=b"the forger's own secret, long enough"))

    async with iam() as server:
        url, headers = f"{server.url}/iam/v1/verify", {"x-client-id": "test"}
        believed = await server.http.post(url, json={"token": forged}, headers=headers)
        with pytest.raises(InvalidTokenError):
            await identity(server).verify(forged)

    assert believed.status_code == 200


async def test_who_was_confirmed_is_not_proven_again_until_the_verdict_or_the_token_is_old() -> (
    None
):
    class CountedKeys(SharedSecret):
        asked = 0

        async def key(self, kid: str | None) -> VerifyingKey | None:
            self.asked += 1
            return await super().key(kid)

    clock, keys = HandClock(), CountedKeys(SHARED_SECRET)
    verifying = identity(always(200, {"sub": "acme:ada"}), keys, clock=clock)
    short = token(exp=int(EPOCH.timestamp()) + 4)

    first = await verifying.verify(short)
    assert await verifying.verify(short) == first
    assert keys.asked == 1

    clock.advance(seconds=4)
    await verifying.verify(short)  # within the leeway, it is looked at each time
    await verifying.verify(short)
    assert keys.asked == 3
    clock.advance(seconds=5)
    with pytest.raises(InvalidTokenError):
        await verifying.verify(short)


async def test_a_revoked_token_is_refused_once_the_verdict_is_old() -> None:
    clock = HandClock()
    async with iam() as server:
        verifying = identity(server, clock=clock)
        await verifying.verify(token())
        await server.control("revoke", {"jti": "t-1"})
        clock.advance(seconds=9)
        await verifying.verify(token())
        clock.advance(seconds=1)
        with pytest.raises(InvalidTokenError, match="no longer"):
            await verifying.verify(token())
        counts = await server.counts()

    assert counts == {"200": 1, "401": 1}


async def test_a_no_is_remembered_shortly_too() -> None:
    clock, answering = HandClock(), always(401, {"detail": {"error": {"code": "AUTH_FAILED"}}})
    verifying = identity(answering, clock=clock)

    for _ in range(3):
        with pytest.raises(InvalidTokenError):
            await verifying.verify(token())
    clock.advance(seconds=2)
    with pytest.raises(InvalidTokenError):
        await verifying.verify(token())

    assert len(answering.asked) == 2


async def test_a_remembered_verdict_does_not_outlive_the_token() -> None:
    clock = HandClock()
    short = token(exp=int(EPOCH.timestamp()) + 1)
    verifying = identity(always(200, {"sub": "acme:ada"}), clock=clock)

    await verifying.verify(short)
    clock.advance(seconds=7)

    with pytest.raises(InvalidTokenError, match="expired"):
        await verifying.verify(short)


async def test_iam_naming_somebody_else_is_a_no() -> None:
    with pytest.raises(InvalidTokenError):
        await identity(always(200, {"sub": "acme:eve"})).verify(token())


@pytest.mark.parametrize(
    ("answering", "expected"),
    [
        (always(429, {}), PlatformUnavailableError),
        (always(500, {}), PlatformUnavailableError),
        (always(200, "yes"), PlatformUnavailableError),
        (always(404, {"detail": "Not Found"}), PlatformMisconfiguredError),
    ],
)
async def test_doubt_never_lets_anybody_in(
    answering: Answering, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        await identity(answering).verify(token())


async def test_iam_s_rate_limit_is_met_by_asking_once_for_each_token_under_our_name() -> None:
    async with iam() as server:
        verifying: Identity = identity(server)
        async with trio.open_nursery() as nursery:
            for _ in range(300):
                nursery.start_soon(verifying.verify, token())
        counts = await server.counts()

    assert counts == {"200": 1}


async def test_over_iam_s_rate_limit_is_unavailable_with_the_time_to_come_back() -> None:
    async with iam() as server:
        verifying = identity(server)
        with pytest.raises(PlatformUnavailableError) as caught:
            for number in range(60):
                await verifying.verify(token(jti=f"t-{number}"))

    assert caught.value.retry_after == timedelta(seconds=1)


async def test_waiting_for_a_verdict_has_an_end_p7(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    verifying = identity(Answering(slow), pace=IamPace())
    ended = []

    async def verify() -> None:
        with pytest.raises(PlatformUnavailableError):
            await verifying.verify(token())
        ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(verify)

    assert max(ended) == pytest.approx(6)


@pytest.mark.parametrize(
    ("key", "kid", "algorithm"), [(RSA_KEY, "r1", "RS256"), (EC_KEY, "e1", "ES256")]
)
async def test_public_keys_prove_tokens_by_their_own_algorithm(
    key: Any, kid: str, algorithm: str
) -> None:
    signed = jwt.encode(claims(kid=kid), key, algorithm=algorithm, headers={"kid": kid})
    keys = GivenKeys(orjson.dumps(JWKS))

    caller = await identity(always(200, {"sub": "acme:ada"}), keys).verify(signed)

    assert caller.subject == "acme:ada"


def confused() -> str:
    """HS256 under the text of the public RSA key, by hand: libraries refuse to make it."""
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = [orjson.dumps({"alg": "HS256", "kid": "r1"}), orjson.dumps(claims(kid="r1"))]
    signed = b".".join(jwt.utils.base64url_encode(part) for part in parts)
    hs256 = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = hs256.sign(signed, pem)
    return (signed + b"." + jwt.utils.base64url_encode(signature)).decode()


@pytest.mark.parametrize(
    "bad",
    [
        confused(),
        unsigned(),
        jwt.encode(claims(kid="r1"), RSA_KEY, algorithm="RS256"),
        jwt.encode(claims(kid="r2"), RSA_KEY, algorithm="RS256", headers={"kid": "r2"}),
        jwt.encode(claims(kid="e1"), RSA_KEY, algorithm="RS256", headers={"kid": "e1"}),
        jwt.encode(claims(kid="e1"), RSA_KEY, algorithm="RS256", headers={"kid": "r1"}),
        jwt.encode(claims(kid="r1"), RSA_KEY, algorithm="RS512", headers={"kid": "r1"}),
    ],
)
async def test_algorithms_and_kids_can_not_be_confused(bad: str) -> None:
    keys = GivenKeys(orjson.dumps(JWKS))

    with pytest.raises(InvalidTokenError):
        await identity(always(200, {"sub": "acme:ada"}), keys).verify(bad)


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "kid": "s", "k": base64.urlsafe_b64encode(b"s" * 32).decode()},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "no numbers"},
        {"kty": "EC", "crv": "P-521", "kid": "other curve", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "kid": "no point", "x": "AA", "y": "AA"},
        public(RSA_KEY, "for encryption", use="enc"),
        public(RSA_KEY, "for another", alg="RS512"),
        public(SMALL_RSA_KEY, "too small"),
        {name: value for name, value in public(RSA_KEY, "x").items() if name != "kid"},
        "no entry",
    ],
)
def test_unusable_keys_of_a_set_are_passed_over(entry: object) -> None:
    assert set(read_keys({"keys": [entry, public(RSA_KEY, "r1")]})) == {"r1"}
    with pytest.raises(ValueError, match="no RS256 or ES256"):
        read_keys({"keys": [entry]})


@pytest.mark.parametrize("document", [None, [], {}, {"keys": None}, {"keys": []}])
def test_what_is_no_key_set_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="key set"):
        read_keys(document)


def fetched(answering: Answering, clock: HandClock) -> FetchedKeys:
    return FetchedKeys(answering.sibling("IAM"), "/jwks.json", clock=clock)


async def test_fetched_keys_are_remembered_and_looked_at_again_when_their_time_is_over() -> None:
    clock, answering = HandClock(), always(200, JWKS)
    keys = fetched(answering, clock)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(keys.key, "r1")
    clock.advance(minutes=9)
    assert await keys.key("r1") is not None
    assert len(answering.asked) == 1
    clock.advance(minutes=1)
    assert await keys.key("r1") is not None

    assert len(answering.asked) == 2


async def test_an_unknown_kid_looks_again_but_not_as_often_as_somebody_asks() -> None:
    clock, answering = HandClock(), always(200, JWKS)
    keys = fetched(answering, clock)

    for _ in range(5):
        assert await keys.key("unknown") is None
        assert await keys.key(None) is None
    clock.advance(seconds=30)
    assert await keys.key("unknown") is None

    assert len(answering.asked) == 2


@pytest.mark.parametrize(
    ("answering", "expected"),
    [
        (always(500), PlatformUnavailableError),
        (always(200, {"keys": []}), PlatformUnavailableError),
        (always(404, {}), PlatformMisconfiguredError),
    ],
)
async def test_without_keys_nobody_is_let_in(
    answering: Answering, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        await fetched(answering, HandClock()).key("r1")


async def test_waiting_for_keys_has_an_end_p7(autojump_clock: trio.testing.MockClock) -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    keys = fetched(Answering(slow), HandClock())
    ended = []

    async def ask() -> None:
        with pytest.raises(PlatformUnavailableError):
            await keys.key("r1")
        ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(ask)

    assert max(ended) == pytest.approx(10)


def test_a_short_shared_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SharedSecret(Secret(value=b"short"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.text(max_size=50) | st.binary(max_size=50).map(lambda data: f"{data.hex()}.e30.e30"))
def test_no_text_is_more_than_an_invalid_token(text: str) -> None:
    with pytest.raises(InvalidTokenError):
        header_kid(text)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(claims())), JSON)
async def test_no_signed_claim_is_more_than_invalid(name: str, value: Any) -> None:
    key = await SharedSecret(SHARED_SECRET).key(None)
    payload = jwt.utils.base64url_encode(json.dumps({**claims(), name: value}).encode())
    signed = jwt.utils.base64url_encode(b'{"alg":"HS256"}') + b"." + payload
    hs256 = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = jwt.utils.base64url_encode(hs256.sign(signed, SHARED_SECRET.value))

    try:
        caller = prove((signed + b"." + signature).decode(), key=key, rules=RULES, now=EPOCH)
    except InvalidTokenError:
        return

    assert caller.tenant_id
    assert caller.valid_until > EPOCH - RULES.leeway
