"""PM-3: what it says on each signal, trap by trap, over real HTTP against its embedded form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid5

import httpx
import orjson
import pytest
import trio
import trio.testing

from actors.platform.embedded.signals import SignalIngestion
from actors.platform.errors import (
    BatchMalformedError,
    PlatformMisconfiguredError,
    PlatformRefusedError,
    PlatformUnavailableError,
)
from actors.platform.signals import (
    CONTRACT_NOT_FOUND,
    PRODUCER_NOT_REGISTERED,
    Accepted,
    Duplicate,
    Pm3Signals,
    Producer,
    RejectedSignal,
    Signals,
)
from actors.platform.tokens import TenantTokens
from adapters import envelope
from adapters.contract import Secret, Signal
from tests.actors.platform.world import (
    EPOCH,
    Answering,
    Served,
    always,
    counting_ids,
    served,
)

CONNECTION = UUID(int=77)
TOKENS = TenantTokens(template=Secret(value=b"valid_token_{tenant}"))
PRODUCER = Producer(
    producer_id=str(CONNECTION), name="acme's GitHub", signal_types=("pr_opened", "push")
)


def document(event_id: str, number: int | None = 1, **changes: Any) -> bytes:
    origin = envelope.Origin(
        tenant_id="acme",
        connection_id=CONNECTION,
        provider_id="github",
        environment="dev",
        event_id=event_id,
        event_kind="pull_request.opened",
        received_at=EPOCH,
    )
    signal = Signal(signal_type="pr_opened", occurred_at=EPOCH, payload=b'{"title":"private"}')
    made = envelope.envelope(signal, origin=origin, index=0)
    made = made if number is None else made.numbered(number)
    return orjson.dumps({**orjson.loads(envelope.to_json(made)), **changes})


@asynccontextmanager
async def pm3() -> AsyncIterator[tuple[Pm3Signals, Served, SignalIngestion]]:
    ingestion = SignalIngestion(("pr_opened", "push"), ids=counting_ids())
    async with served(ingestion.handle, name="PM-3") as server:
        yield Pm3Signals(server.sibling, TOKENS), server, ingestion


async def test_a_registered_producer_s_signals_are_accepted_in_order_it_ia_02() -> None:
    async with pm3() as (signals, server, _):
        await signals.register("acme", PRODUCER)
        verdicts = await signals.ingest("acme", [document("e1", 1), document("e2", 2)])
        shown = await server.control("signals?tenant_id=acme")

    assert verdicts == (Accepted(), Accepted())
    assert [entry["signal_id"] for entry in shown["signals"]] == [
        str(uuid5(CONNECTION, "e1/0")),
        str(uuid5(CONNECTION, "e2/0")),
    ]


async def test_a_producer_pm3_does_not_know_is_told_by_its_code_and_can_be_registered() -> None:
    async with pm3() as (signals, server, _):
        await signals.register("acme", PRODUCER)
        await server.control("forget", {})
        [before] = await signals.ingest("acme", [document("e1")])
        await signals.register("acme", PRODUCER)
        [after] = await signals.ingest("acme", [document("e1")])

    assert isinstance(before, RejectedSignal)
    assert before.code == PRODUCER_NOT_REGISTERED
    assert after == Accepted()


async def test_a_lost_answer_costs_nothing_because_the_same_bytes_are_a_duplicate_p2() -> None:
    async with pm3() as (signals, server, ingestion):
        await signals.register("acme", PRODUCER)
        await server.control("faults", {"dropped": True, "path": "/ingest"})
        with pytest.raises(PlatformUnavailableError):
            await signals.ingest("acme", [document("e1")])
        verdicts = await signals.ingest("acme", [document("e1"), document("e2", 2)])

    assert verdicts == (Duplicate(), Accepted())
    assert len(ingestion.accepted) == 2


async def test_another_sequence_no_makes_another_signal_and_order_is_only_a_warning() -> None:
    async with pm3() as (signals, _, ingestion):
        await signals.register("acme", PRODUCER)
        await signals.ingest("acme", [document("e1", 5)])
        [verdict] = await signals.ingest("acme", [document("e1", 3)])

    assert verdict == Accepted(warnings=("Out-of-order signal: sequence_no 3 <= last 5",))
    assert len(ingestion.accepted) == 2


async def test_one_malformed_envelope_costs_the_batch_and_is_told_so() -> None:
    async with pm3() as (signals, _, ingestion):
        await signals.register("acme", PRODUCER)
        batch = [document("e1", 1), document("e2", 2, environment="staging"), document("e3", 3)]
        with pytest.raises(BatchMalformedError) as caught:
            await signals.ingest("acme", batch)

    assert ingestion.accepted == ()
    assert "private" not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"[]",
        b"{}",
        document("e1", tenant_id="globex"),
        document("e1", signal_id=""),
        document("e1", signal_id=7),
    ],
)
async def test_what_is_no_envelope_of_the_tenant_is_not_sent_p6(bad: bytes) -> None:
    answering = always(200, {"results": []})
    signals = Pm3Signals(answering.sibling(), TOKENS)

    with pytest.raises(BatchMalformedError):
        await signals.ingest("acme", [document("e0"), bad])

    assert answering.asked == []


async def test_a_coded_rejection_ends_in_the_dlq_and_can_be_cured_under_the_same_id() -> None:
    async with pm3() as (signals, server, _):
        await signals.register("acme", PRODUCER)
        rule = {"signal_type": "pr_opened", "required_fields": ["number"]}
        await server.control("contracts", rule)
        tries = [(await signals.ingest("acme", [document("e1")]))[0] for _ in range(5)]
        await server.control("contracts", {"signal_type": "pr_opened"})
        [cured] = await signals.ingest("acme", [document("e1")])

    assert [verdict.code for verdict in tries if isinstance(verdict, RejectedSignal)] == [
        "SCHEMA_VIOLATION"
    ] * 5
    dlq_ids = [verdict.dlq_id for verdict in tries if isinstance(verdict, RejectedSignal)]
    assert dlq_ids[:3] == [None, None, None]
    assert None not in dlq_ids[3:]
    assert dlq_ids[3] != dlq_ids[4]
    assert cured == Accepted()


async def test_registering_again_changes_what_differs_and_only_that() -> None:
    async with pm3() as (signals, server, _):
        await signals.register("acme", PRODUCER)
        await signals.register("acme", PRODUCER)
        unchanged = await server.counts()
        changed = Producer(producer_id=str(CONNECTION), name="other", signal_types=("push",))
        await signals.register("acme", changed)
        [verdict] = await signals.ingest("acme", [document("e1")])

    assert unchanged == {"200": 1, "201": 1, "400": 1}
    assert isinstance(verdict, RejectedSignal)
    assert verdict.code == "SIGNAL_TYPE_NOT_ALLOWED"


@pytest.mark.parametrize("known_before", [False, True])
async def test_a_type_without_a_contract_can_not_be_registered(known_before: bool) -> None:
    async with pm3() as (signals, _, _):
        if known_before:
            await signals.register("acme", PRODUCER)
        unheard = Producer(producer_id=str(CONNECTION), name="x", signal_types=("unheard_of",))
        with pytest.raises(PlatformRefusedError) as caught:
            await signals.register("acme", unheard)

    assert caught.value.code == CONTRACT_NOT_FOUND


async def test_down_is_unavailable_however_it_is_down() -> None:
    async with pm3() as (signals, server, ingestion):
        await signals.register("acme", PRODUCER)
        await server.control("down", {"status": 503, "retry_after": 5})
        with pytest.raises(PlatformUnavailableError) as answered:
            await signals.ingest("acme", [document("e1")])
        await server.control("down", {"refuse": True})
        with pytest.raises(PlatformUnavailableError):
            await signals.ingest("acme", [document("e1")])
        await server.control("up", {})
        verdicts = await signals.ingest("acme", [document("e1")])

    assert answered.value.retry_after is not None
    assert answered.value.retry_after.total_seconds() == 5
    assert verdicts == (Accepted(),)
    assert len(ingestion.accepted) == 1


async def test_a_wrong_token_is_the_operator_s_to_mend_and_never_shown_p8() -> None:
    ingestion = SignalIngestion(("push",), ids=counting_ids())
    async with served(ingestion.handle, name="PM-3") as server:
        wrong = TenantTokens(template=Secret(value=b"hunter2"))
        signals: Signals = Pm3Signals(server.sibling, wrong)
        with pytest.raises(PlatformMisconfiguredError) as ingested:
            await signals.ingest("acme", [document("e1")])
        with pytest.raises(PlatformMisconfiguredError):
            await signals.register("acme", PRODUCER)

    assert "hunter2" not in str(ingested.value)


async def test_no_more_than_100_go_at_once_and_none_cost_no_call() -> None:
    answering = always(500)
    signals = Pm3Signals(answering.sibling(), TOKENS)

    with pytest.raises(ValueError, match="at most 100"):
        await signals.ingest("acme", [document(f"e{number}") for number in range(101)])

    assert await signals.ingest("acme", []) == ()
    assert answering.asked == []


def result(event_id: str, **changes: Any) -> dict[str, Any]:
    signal_id = str(uuid5(CONNECTION, f"{event_id}/0"))
    item: dict[str, Any] = {
        "signal_id": signal_id,
        "status": "accepted",
        "error_code": None,
        "warnings": [],
    }
    return {**item, **changes}


async def test_results_are_matched_by_id_whatever_their_order() -> None:
    results = [result("e2", status="rejected", error_code="X"), result("e1")]
    signals = Pm3Signals(always(200, {"results": results}).sibling(), TOKENS)

    verdicts = await signals.ingest("acme", [document("e1"), document("e2")])

    assert verdicts == (Accepted(), RejectedSignal(code="X", message=""))


@pytest.mark.parametrize(
    "results",
    [
        None,
        {},
        [result("e1")],
        [result("e1"), result("e1")],
        [result("e1"), result("e3")],
        [result("e1"), result("e2"), result("e3")],
        [result("e1"), "e2"],
        [result("e1"), {"status": "accepted"}],
        [result("e1"), result("e2", status="perhaps")],
    ],
)
async def test_an_answer_that_does_not_cover_the_batch_covers_nothing_of_it(
    results: object,
) -> None:
    signals = Pm3Signals(always(200, {"results": results}).sibling(), TOKENS)

    with pytest.raises(PlatformUnavailableError, match="no sense"):
        await signals.ingest("acme", [document("e1"), document("e2")])


async def test_a_rejection_without_code_is_a_duplicate_only_if_it_says_so() -> None:
    results = [
        result("e1", status="rejected", error_message="Duplicate signal discarded"),
        result("e2", status="rejected", error_message="a" * 1000),
    ]
    signals = Pm3Signals(always(200, {"results": results}).sibling(), TOKENS)

    first, second = await signals.ingest("acme", [document("e1"), document("e2")])

    assert first == Duplicate()
    assert second == RejectedSignal(code="REJECTED", message="a" * 300)


async def test_a_larger_batch_may_take_longer(autojump_clock: trio.testing.MockClock) -> None:
    async def slow(request: httpx.Request) -> httpx.Response:
        await trio.sleep(40)
        asked = orjson.loads(request.content)["signals"]
        results = [{"signal_id": one["signal_id"], "status": "accepted"} for one in asked]
        return httpx.Response(200, json={"results": results})

    signals = Pm3Signals(Answering(slow).sibling(), TOKENS)

    verdicts = await signals.ingest("acme", [document(f"e{number}") for number in range(100)])
    with pytest.raises(PlatformUnavailableError):
        await signals.ingest("acme", [document("e1")])

    assert verdicts == (Accepted(),) * 100


async def test_other_refusals_of_a_batch_are_passed_on() -> None:
    signals = Pm3Signals(always(413, {"detail": "too large"}).sibling(), TOKENS)

    with pytest.raises(PlatformRefusedError) as caught:
        await signals.ingest("acme", [document("e1")])

    assert caught.value.code == "HTTP_413"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((404, {"detail": "gone"}), PlatformUnavailableError),
        ((401, {"detail": "no"}), PlatformMisconfiguredError),
        ((200, {"producer": "?"}), PlatformUnavailableError),
    ],
)
async def test_a_producer_that_can_not_be_compared_is_not_taken_for_registered(
    answer: tuple[int, object], expected: type[Exception]
) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(answer[0], json=answer[1])
        return httpx.Response(400, json={"detail": "Producer already registered"})

    with pytest.raises(expected):
        await Pm3Signals(Answering(reply).sibling(), TOKENS).register("acme", PRODUCER)
