"""Structured logs: a line is a JSON object, and nothing with the shape of a credential leaves."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import orjson
import pytest

from actors.metrics import Metrics
from adapters.contract import Secret
from http_edge.logs import LoggingObserver, make_log
from runtime import GaveUpError
from tests.actors.platform.world import HandClock


def lines(out: StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_an_event_with_its_fields_its_level_and_our_time() -> None:
    out = StringIO()
    make_log("info", HandClock(), out).info("connection.created", connection=UUID(int=1))

    (line,) = lines(out)

    assert line == {
        "event": "connection.created",
        "connection": "00000000-0000-0000-0000-000000000001",
        "level": "info",
        "timestamp": "2026-03-01T12:00:00+00:00",
    }


@pytest.mark.parametrize(
    ("level", "told"),
    [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)],
)
def test_below_its_level_nothing_is_told(level: str, told: int) -> None:
    out = StringIO()
    log = make_log(level, HandClock(), out)

    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")

    assert len(lines(out)) == told


def test_sec_ia_01_what_looks_like_a_credential_is_masked_wherever_it_stands() -> None:
    """SEC-IA-01, P8: in a field, in a message of an exception, in the event itself."""
    out = StringIO()
    log = make_log("info", HandClock(), out)
    token = "ghp_" + "a1B2" * 9
    error = RuntimeError(f"refused {token}")

    event = f"event {token}"
    log.info(event, field=token, nested={"deep": [token]}, secret=Secret(value=b"hush"))
    log.error("crashed", exc_info=error)

    assert token not in out.getvalue()
    assert "hush" not in out.getvalue()
    assert "[redacted]" in out.getvalue()
    assert "RuntimeError" in lines(out)[1]["exception"]


def observed(level: str = "debug") -> tuple[LoggingObserver, StringIO, Metrics]:
    out, metrics = StringIO(), Metrics()
    return LoggingObserver(make_log(level, HandClock(), out), metrics), out, metrics


def test_what_happens_in_the_tree_is_told_by_name() -> None:
    observer, out, _ = observed()
    address = "/connections/acme/1"

    observer.started(address, "ConnectionActor")
    observer.restarted(address, 2)
    observer.stopped(address, "idle")
    observer.crashed(address, ValueError("broken"))
    observer.gave_up("/", GaveUpError("/", "commit", 10, None))
    observer.quarantined(address, timedelta(seconds=30), ValueError("s3cret"))
    observer.discarded(address, 3)

    told = lines(out)
    assert [line["event"] for line in told] == [
        "actor.started",
        "actor.restarted",
        "actor.stopped",
        "actor.crashed",
        "actor.gave_up",
        "actor.quarantined",
        "actor.discarded",
    ]
    assert all(line["address"] for line in told)
    assert "broken" in told[3]["exception"]
    assert told[5]["retry_after_s"] == 30
    assert "s3cret" not in out.getvalue()


def test_p6_crashes_are_counted_by_kind_and_not_by_tenant() -> None:
    observer, _, metrics = observed("error")

    observer.crashed("/connections/acme/1", ValueError())
    observer.crashed("/connections/globex/2", ValueError())
    observer.crashed("upkeep", ValueError())

    exposed = metrics.exposition(()).decode()
    assert 'actor_crashes_total{kind="connections"} 2.0' in exposed
    assert 'actor_crashes_total{kind="upkeep"} 1.0' in exposed
    assert "acme" not in exposed
