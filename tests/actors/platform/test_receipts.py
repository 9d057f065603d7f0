"""ERIS: receipts arrive once, in order, provably as they left, and clean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
import trio
import trio.testing
from attrs import define
from hypothesis import given, settings, strategies as st

from actors.platform.embedded.identity import IdentityService
from actors.platform.embedded.receipts import EvidenceService, merkle
from actors.platform.errors import (
    PlatformMisconfiguredError,
    PlatformRefusedError,
    PlatformUnavailableError,
)
from actors.platform.receipts import (
    CourierReceipts,
    CourierTerms,
    Receipts,
    merkle_root,
    receipt_document,
)
from actors.platform.tokens import MintedClaims, MintedTokens, TenantTokens
from adapters.contract import Secret
from persistence.records import ReceiptBatch, ReceiptRecord
from tests.actors.platform.world import (
    AUDIENCE,
    EPOCH,
    ISSUER,
    SHARED_SECRET,
    Answering,
    HandClock,
    Served,
    always,
    counting_ids,
    served,
)

TERMS = CourierTerms(environment="dev")
OPERATION = "integration.action.github.create_comment"


def body(**changes: Any) -> bytes:
    given: dict[str, Any] = {
        "tenant_id": "acme",
        "connection_id": UUID(int=77),
        "provider_id": "github",
        "operation": OPERATION,
        "request": {"action_id": "a-1", "target": {"number": 7}},
        "result": {"state": "done", "status": 201},
        "correlation_id": "decision-1",
        "succeeded": True,
    }
    return receipt_document(**{**given, **changes})


def batch(first: int = 1, count: int = 3, batch_id: int = 500) -> ReceiptBatch:
    receipts = tuple(
        ReceiptRecord(
            receipt_id=UUID(int=number),
            tenant_id="acme",
            connection_id=UUID(int=77),
            operation=OPERATION,
            body=body(correlation_id=f"decision-{number}"),
            sequence_no=number,
            stamped_at=EPOCH + timedelta(microseconds=number),
            previous=(number - 1).to_bytes(32, "big"),
            digest=number.to_bytes(32, "big"),
        )
        for number in range(first, first + count)
    )
    return ReceiptBatch(batch_id=UUID(int=batch_id), tenant_id="acme", receipts=receipts)


def tokens(scope: tuple[str, ...] = ("admin",)) -> MintedTokens:
    claims = MintedClaims(
        service="ia", issuer=ISSUER, audience=AUDIENCE, key_id="ia-1", scope=scope
    )
    return MintedTokens(SHARED_SECRET, claims, clock=HandClock(), ids=counting_ids())


@define
class Eris:
    receipts: Receipts
    server: Served

    async def stored(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.server.control("receipts?tenant_id=acme"))[
            "receipts"
        ]
        return rows

    async def chain(self) -> dict[str, Any]:
        wish = {
            "tenant_id": "acme",
            "chain_id": "acme:shared_services:dev:integration-adapters",
            "from_timestamp": "2026",
            "to_timestamp": "2027",
        }
        headers = {"authorization": "Bearer " + tokens().token("acme").value.decode()}
        url = f"{self.server.url}/v1/evidence/verify_range"
        answer: dict[str, Any] = (
            await self.server.http.post(url, json=wish, headers=headers)
        ).json()
        return answer


@asynccontextmanager
async def eris(scope: tuple[str, ...] = ("admin",)) -> AsyncIterator[Eris]:
    async with served(EvidenceService(IdentityService()).handle, name="ERIS") as server:
        yield Eris(CourierReceipts(server.sibling, tokens(scope), TERMS), server)


async def test_a_batch_arrives_whole_and_in_one_chain_it_ia_03() -> None:
    async with eris() as world:
        await world.receipts.send(batch())
        await world.receipts.send(batch(first=4, batch_id=501))
        stored, chain = await world.stored(), await world.chain()

    assert [row["receipt_id"] for row in stored] == [str(UUID(int=n)) for n in range(1, 7)]
    assert chain == {"valid": True, "receipt_count": 6, "gaps": []}


async def test_a_receipt_says_all_that_fr_13_and_eris_want() -> None:
    async with eris() as world:
        await world.receipts.send(batch(count=1))
        [row] = await world.stored()

    assert row["inputs"] == {
        "tenant_id": "acme",
        "connection_id": str(UUID(int=77)),
        "provider_id": "github",
        "operation": OPERATION,
        "request": {"action_id": "a-1", "target": {"number": 7}},
        "correlation_id": "decision-1",
    }
    assert row["result"] == {"state": "done", "status": 201, "succeeded": True}
    assert row["decision"]["status"] == "pass"
    assert (row["gate_id"], row["evaluation_point"]) == (OPERATION, "post-deploy")
    assert row["actor"] == {"repo_id": "integration-adapters", "type": "service"}
    assert row["timestamp_utc"] == "2026-03-01T12:00:00.000001+00:00"
    assert row["timestamp_monotonic_ms"] == int(EPOCH.timestamp() * 1000)
    assert (row["module_id"], row["environment"]) == ("M10", "dev")


async def test_a_lost_answer_costs_nothing_because_the_batch_keeps_its_id() -> None:
    async with eris() as world:
        await world.server.control("faults", {"dropped": True, "path": "courier-batch"})
        with pytest.raises(PlatformUnavailableError):
            await world.receipts.send(batch())
        await world.receipts.send(batch())

        assert len(await world.stored()) == 3


async def test_every_try_sends_the_same_bytes() -> None:
    answering = always(201, {"batch_id": str(UUID(int=500))})
    receipts = CourierReceipts(answering.sibling("ERIS"), tokens(), TERMS)

    await receipts.send(batch())
    await receipts.send(batch())

    first, second = answering.asked
    assert first.content == second.content
    assert first.headers["authorization"] != second.headers["authorization"]


async def test_iam_s_rate_limit_behind_eris_s_401_is_no_refusal() -> None:
    async with eris() as world:
        with pytest.raises(PlatformUnavailableError, match="busy"):
            for number in range(60):
                await world.receipts.send(batch(batch_id=number))


@pytest.mark.parametrize(
    ("status", "document", "expected"),
    [
        (401, {"error": {"message": "IAM verification failed: 429"}}, PlatformUnavailableError),
        (401, {"error": {"message": "IAM verification failed: 503"}}, PlatformUnavailableError),
        (403, {"detail": "Access denied: IAM decision failed: 429"}, PlatformUnavailableError),
        (403, {"detail": "Access denied: IAM decision failed: 422"}, PlatformMisconfiguredError),
        (401, {"error": {"message": "IAM verification failed: 401"}}, PlatformMisconfiguredError),
        (429, {"error": {"code": "RATE_LIMIT_EXCEEDED"}}, PlatformUnavailableError),
        (201, {"batch_id": "another"}, PlatformUnavailableError),
    ],
)
async def test_eris_s_noes_are_sorted_by_who_must_act(
    status: int, document: object, expected: type[Exception]
) -> None:
    receipts = CourierReceipts(always(status, document).sibling("ERIS"), tokens(), TERMS)

    with pytest.raises(expected):
        await receipts.send(batch())


async def test_a_token_without_a_role_in_its_scope_is_the_operator_s_to_mend() -> None:
    async with eris(scope=("receipts",)) as world:
        with pytest.raises(PlatformMisconfiguredError):
            await world.receipts.send(batch())
    async with eris(scope=("role:viewer",)) as world:
        with pytest.raises(PlatformMisconfiguredError):
            await world.receipts.send(batch())


async def test_a_batch_that_was_changed_on_its_way_is_refused() -> None:
    async with eris() as world:

        async def meddle(request: httpx.Request) -> httpx.Response:
            changed = request.content.replace(b"decision-2", b"decision-9")
            headers = {"authorization": request.headers["authorization"]}
            url = world.server.url + request.url.path
            return await world.server.http.post(url, content=changed, headers=headers)

        receipts = CourierReceipts(Answering(meddle).sibling("ERIS"), tokens(), TERMS)
        with pytest.raises(PlatformRefusedError) as caught:
            await receipts.send(batch())

        assert await world.stored() == []
    assert caught.value.code == "VALIDATION_ERROR"


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_a_bounded_number_of_receipts(count: int) -> None:
    receipts = CourierReceipts(always(500).sibling("ERIS"), tokens(), TERMS)

    with pytest.raises(ValueError, match="1 to 1000"):
        await receipts.send(batch(count=count))


async def test_a_static_token_is_shown_as_it_is_and_a_larger_batch_may_take_longer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def slow(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer service"
        await trio.sleep(15)
        return httpx.Response(201, json={"batch_id": str(UUID(int=500))})

    static = TenantTokens(template=Secret(value=b"service"))
    receipts = CourierReceipts(Answering(slow).sibling("ERIS"), static, TERMS)

    await receipts.send(batch(count=100))
    with pytest.raises(PlatformUnavailableError):
        await receipts.send(batch(count=1))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_merkle_root_is_what_eris_documents_ut_known_answer() -> None:
    one, two, three = {"b": 1, "a": "é"}, {"x": 1.5}, {"y": None}
    leaves = [sha256('{"a": "\\u00e9", "b": 1}'), sha256('{"x": 1.5}'), sha256('{"y": null}')]

    assert merkle_root([one]) == leaves[0]
    assert merkle_root([one, two]) == sha256(leaves[0] + leaves[1])
    assert merkle_root([one, two, three]) == sha256(
        sha256(leaves[0] + leaves[1]) + sha256(leaves[2])
    )
    with pytest.raises(ValueError, match="leaf"):
        merkle_root([])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)


@settings(deadline=None, max_examples=60)
@given(st.lists(OBJECTS, min_size=1, max_size=5))
def test_eris_reckons_the_same_root_from_what_parsing_gives_back(requests: list[Any]) -> None:
    receipts = [json.loads(body(request=request)) for request in requests]

    wire = json.dumps({"receipts": receipts})

    assert merkle_root(receipts) == merkle(json.loads(wire)["receipts"])


FORBIDDEN = ("password", "secret", "token", "api_key", "ssn", "credit_card")
PLANTED = (
    st.sampled_from(FORBIDDEN)
    .flatmap(
        lambda word: st.tuples(
            st.text(max_size=5), st.sampled_from([word, word.upper()]), st.text(max_size=5)
        )
    )
    .map("".join)
)


@settings(deadline=None, max_examples=60)
@given(OBJECTS, PLANTED, PLANTED)
def test_no_forbidden_word_survives_whatever_is_built_p8(
    about: dict[str, Any], key: str, text: str
) -> None:
    planted = {**about, key: "hunter2", "fine": {"deep": [text, {key: {"x": "hunter2"}}]}}

    made = body(request=planted, result=planted, operation=f"op.{text}", correlation_id=text)

    shown = json.dumps(orjson.loads(made)).lower()
    assert "hunter2" not in shown
    assert not any(word in shown for word in FORBIDDEN)


def test_what_postgresql_and_merkle_readers_choke_on_is_made_harmless() -> None:
    odd = {
        "nul": "a\0b",
        "lone": "\ud800",
        "big": 2**60,
        "nan": float("nan"),
        "object": object(),
        "long": "x" * 5000,
        "many": list(range(1000)),
        "ok": [True, None, 1.5],
    }

    request = orjson.loads(body(request=odd))["inputs"]["request"]

    assert request["nul"] == "ab"
    assert request["lone"] == "?"
    assert (request["big"], request["nan"]) == (str(2**60), "nan")
    assert request["object"] == "[redacted]"
    assert (len(request["long"]), len(request["many"])) == (1000, 100)
    assert request["ok"] == [True, None, 1.5]


def test_nesting_is_cut_and_a_failure_is_a_warning() -> None:
    deep: Any = "end"
    for _ in range(20):
        deep = [deep]

    made = orjson.loads(body(request={"deep": deep}, succeeded=False, connection_id=None))

    assert "end" not in json.dumps(made)
    assert made["decision"]["status"] == "warn"
    assert made["inputs"]["connection_id"] is None
