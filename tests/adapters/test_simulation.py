"""The stage: planned faults, late effects, and control over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import orjson
import pytest

from adapters.answers import retry_after
from adapters.contract import Request, Response
from adapters.fault_documents import fault_from
from adapters.faults import (
    Effect,
    Fault,
    Says,
    cut,
    dripping,
    dropped_after,
    dropped_before,
    failing,
    failing_after,
    huge,
    late,
    plain,
    rate_limited,
    revoked,
    skewed,
    slow,
)
from adapters.simulation import Reply, Stage, as_json

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
READ = Request(method="GET", url="/notes?page=2")
WRITE = Request(method="POST", url="/notes", writes=True)


class Counter:
    """A provider whose only effect is to count its writes."""

    def __init__(self) -> None:
        self.writes: list[datetime] = []

    def perform(self, request: Request, now: datetime) -> Response:
        if request.method == "POST":
            self.writes.append(now)
        return as_json(200, {"writes": len(self.writes)})


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def stage(counter: Counter) -> Stage:
    return Stage(counter.perform)


def status(reply: Reply) -> int | None:
    return reply.response.status if reply.response else None


@pytest.mark.parametrize(
    ("fault", "answered", "writes"),
    [
        (failing(500), 500, 0),
        (failing_after(502), 502, 1),
        (dropped_before(), None, 0),
        (dropped_after(), None, 1),
        (rate_limited(SECOND), 429, 0),
        (slow(SECOND), 200, 1),
        (cut(3), 200, 1),
        (huge(1_000), 200, 1),
        (dripping(SECOND), 200, 1),
        (late(SECOND), 504, 0),
    ],
)
def test_a_fault_strikes_once_and_then_all_is_well(
    stage: Stage, counter: Counter, fault: Fault, answered: int | None, writes: int
) -> None:
    stage.plan(fault)

    assert status(stage.handle(WRITE, now=NOW)) == answered
    assert len(counter.writes) == writes
    assert status(stage.handle(READ, now=NOW)) == 200
    assert stage.faults == ()


def test_a_slow_or_cut_answer_says_so(stage: Stage) -> None:
    stage.plan(slow(SECOND), cut(3))

    assert stage.handle(WRITE, now=NOW).delay == SECOND
    assert stage.handle(WRITE, now=NOW).cut_at == 3


def test_a_huge_answer_is_the_same_document_and_a_dripping_one_says_so(stage: Stage) -> None:
    stage.plan(huge(1_000), dripping(SECOND), huge(3))

    blown_up = stage.handle(WRITE, now=NOW).response
    assert blown_up
    assert len(blown_up.body) == 1_000
    assert orjson.loads(blown_up.body) == {"writes": 1}
    assert stage.handle(WRITE, now=NOW).drip == SECOND
    never_cut = stage.handle(WRITE, now=NOW).response
    assert never_cut
    assert orjson.loads(never_cut.body) == {"writes": 3}


@pytest.mark.parametrize(
    ("says", "headers"),
    [
        (Says.SECONDS, {"retry-after": "90"}),
        (Says.DATE, {"retry-after": "Sun, 01 Mar 2026 12:01:30 GMT"}),
        (Says.RESET, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1772366490"}),
    ],
)
def test_a_storm_says_in_each_way_how_long_to_wait(
    stage: Stage, counter: Counter, says: Says, headers: dict[str, str]
) -> None:
    stage.plan(rate_limited(timedelta(seconds=90), times=3, says=says))

    storm = [stage.handle(WRITE, now=NOW) for _ in range(3)]

    for reply in storm:
        assert reply.response
        assert reply.response.status == 429
        told = dict(reply.response.headers)
        assert headers.items() <= told.items()
        assert told["date"] == "Sun, 01 Mar 2026 12:00:00 GMT"
        if says is not Says.RESET:
            assert retry_after(reply.response) == timedelta(seconds=90)
    assert counter.writes == []
    assert status(stage.handle(WRITE, now=NOW)) == 200


def test_the_providers_own_date_is_kept(stage: Stage) -> None:
    dated = Response(status=500, headers=(("date", "x"),))
    stage.plan(Fault(effect=Effect.NONE, response=dated))

    reply = stage.handle(WRITE, now=NOW)

    assert reply.response == dated


def test_a_revoked_token_stays_so_until_the_fault_is_lifted(
    stage: Stage, counter: Counter
) -> None:
    stage.plan(revoked(), skewed(SECOND))

    assert [status(stage.handle(WRITE, now=NOW)) for _ in range(5)] == [401] * 5
    assert control(stage, "DELETE", "/_sim/faults?name=revoked") == (200, {"waiting": 1})
    assert status(stage.handle(WRITE, now=NOW)) == 200
    assert counter.writes == [NOW + SECOND]
    stage.clear()
    stage.handle(WRITE, now=NOW)
    assert counter.writes == [NOW + SECOND, NOW]


def test_a_provider_whose_clock_is_off_does_and_says_all_by_its_own(
    stage: Stage, counter: Counter
) -> None:
    off = timedelta(minutes=-10)
    stage.plan(
        attrs.evolve(late(SECOND), clock_off=off), attrs.evolve(failing(503), clock_off=off)
    )
    stage.handle(WRITE, now=NOW)

    stage.settle(NOW + SECOND)
    reply = stage.handle(WRITE, now=NOW)

    assert counter.writes == [NOW + SECOND + off]
    assert reply.response
    assert reply.response.header("date") == "Sun, 01 Mar 2026 11:50:00 GMT"


def test_a_late_effect_appears_when_its_time_has_come(stage: Stage, counter: Counter) -> None:
    stage.plan(late(5 * SECOND), late(2 * SECOND))
    stage.handle(WRITE, now=NOW)
    stage.handle(WRITE, now=NOW)

    stage.settle(NOW + SECOND)
    assert counter.writes == []
    stage.handle(READ, now=NOW + 2 * SECOND)
    assert counter.writes == [NOW + 2 * SECOND]
    stage.settle(NOW + timedelta(hours=1))
    assert counter.writes == [NOW + 2 * SECOND, NOW + 5 * SECOND]


def test_a_fault_waits_for_a_request_that_fits(stage: Stage) -> None:
    stage.plan(failing(503, method="POST", path="/notes", times=2), failing(418, path="/tea"))

    assert status(stage.handle(READ, now=NOW)) == 200
    assert status(stage.handle(WRITE, now=NOW)) == 503
    assert status(stage.handle(WRITE, now=NOW)) == 503
    assert status(stage.handle(WRITE, now=NOW)) == 200
    assert status(stage.handle(Request(method="GET", url="/tea/1"), now=NOW)) == 418


def test_what_was_asked_is_remembered_without_credentials(stage: Stage) -> None:
    """P8."""
    secret = Request(
        method="GET", url="/x", headers=(("authorization", "Bearer hush"), ("accept", "a"))
    )
    stage.plan(dropped_before())

    stage.handle(secret, now=NOW)

    assert [(seen.at, seen.status, seen.request.headers) for seen in stage.seen] == [
        (NOW, None, (("accept", "a"),))
    ]
    assert b"hush" not in stage.control(Request(method="GET", url="/_sim/requests")).body


@pytest.mark.parametrize("effect", [Effect.NONE, Effect.LATE])
def test_a_fault_with_nothing_to_answer_is_refused(effect: Effect) -> None:
    with pytest.raises(ValueError, match="needs a response"):
        Fault(effect=effect)


def test_a_fault_that_never_strikes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least once"):
        Fault(times=0)


def control(stage: Stage, method: str, path: str, document: object = None) -> tuple[int, Any]:
    answer = stage.control(Request(method=method, url=path, body=orjson.dumps(document)))
    return answer.status, orjson.loads(answer.body)


def test_another_process_plans_counts_and_clears_faults(stage: Stage) -> None:
    planned = {"faults": [{"effect": "none", "status": 500, "times": 3}, {"delay_s": 1.5}]}

    assert control(stage, "POST", "/_sim/faults", planned) == (201, {"waiting": 4})
    assert control(stage, "POST", "/_sim/faults", {"dropped": True}) == (201, {"waiting": 5})
    assert status(stage.handle(READ, now=NOW)) == 500
    assert control(stage, "GET", "/_sim/faults") == (200, {"waiting": 4})
    assert control(stage, "GET", "/_sim/requests?x=1") == (
        200,
        {
            "requests": [
                {"at": NOW.isoformat(), "method": "GET", "url": "/notes?page=2", "status": 500}
            ]
        },
    )
    assert control(stage, "DELETE", "/_sim/faults") == (200, {"waiting": 0})
    assert control(stage, "PUT", "/_sim/faults")[0] == 404


def test_every_field_of_a_fault_can_be_planned() -> None:
    document = {
        "effect": "late",
        "status": 504,
        "headers": {"Retry-After": "3"},
        "body": "gone",
        "late_by_s": 2,
        "delay_s": 0.5,
        "cut_at": 2,
        "padded_to": 100,
        "drip_s": 0.25,
        "wait_s": 30,
        "says": "date",
        "clock_off_s": -3,
        "times": 4,
        "lasting": True,
        "name": "bad day",
        "method": "POST",
        "path": "/notes",
    }

    assert fault_from(document) == Fault(
        effect=Effect.LATE,
        response=Response(status=504, headers=(("retry-after", "3"),), body=b"gone"),
        late_by=2 * SECOND,
        delay=SECOND / 2,
        cut_at=2,
        padded_to=100,
        drip=SECOND / 4,
        wait=30 * SECOND,
        says=Says.DATE,
        clock_off=-3 * SECOND,
        times=4,
        lasting=True,
        name="bad day",
        method="POST",
        path="/notes",
    )
    assert fault_from({"status": 500, "effect": "none"}).response == plain(500)


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"stauts": 500}, "stauts"),
        ({"effect": "maybe"}, "effect"),
        ({"effect": "none"}, ""),
        ({"status": 99}, "status"),
        ({"status": "500"}, "status"),
        ({"status": 500, "headers": []}, "headers"),
        ({"delay_s": -1}, "delay_s"),
        ({"delay_s": True}, "delay_s"),
        ({"late_by_s": 1e9}, "late_by_s"),
        ({"times": -1}, "times"),
        ({"padded_to": 10**9}, "padded_to"),
        ({"says": "maybe"}, "says"),
        ({"clock_off_s": "1"}, "clock_off_s"),
        ({"headers": {"a": 1}, "status": 500}, "headers"),
        ({"faults": [1]}, "faults[0]"),
        ({"faults": {}}, "faults"),
        ([], ""),
    ],
)
def test_a_wrong_plan_is_refused_with_its_place(
    stage: Stage, document: object, where: str
) -> None:
    code, answer = control(stage, "POST", "/_sim/faults", document)

    assert code == 400
    assert answer["message"].startswith(where)
    assert stage.faults == ()
