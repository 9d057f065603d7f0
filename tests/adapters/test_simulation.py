"""The stage: planned faults, late effects, and control over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from adapters.contract import Request, Response
from adapters.faults import (
    Effect,
    Fault,
    cut,
    dropped_after,
    dropped_before,
    failing,
    failing_after,
    fault_from,
    late,
    plain,
    rate_limited,
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
        "times": 4,
        "method": "POST",
        "path": "/notes",
    }

    assert fault_from(document) == Fault(
        effect=Effect.LATE,
        response=Response(status=504, headers=(("retry-after", "3"),), body=b"gone"),
        late_by=2 * SECOND,
        delay=SECOND / 2,
        cut_at=2,
        times=4,
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
        ({"times": -1}, ""),
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
