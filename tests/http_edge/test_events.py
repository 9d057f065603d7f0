"""Ready-made signals of internal modules: checked whole, kept in the connection's order, forwarded once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adapters.signals import SIGNAL_TYPES
from http_edge.node import new_id
from persistence.errors import StoreFullError, StoreUnavailableError
from tests.http_edge.scene import EVENTS, Scene, error_of


async def test_a_signal_is_forwarded_once_with_a_number_of_ours(scene: Scene) -> None:
    """P5, PRD 11.3: between two webhooks it keeps its place; the caller's own number does not count."""
    connection = await scene.active()
    envelope = scene.envelope(connection, sequence_no=4711, correlation_id="corr")

    await scene.deliver(connection, "before")
    answer = await scene.call("module", "POST", EVENTS, envelope)
    await scene.deliver(connection, "after")

    assert answer.status_code == 202
    assert answer.json() == {"signal_id": envelope["signal_id"], "status": "accepted"}
    signals = await scene.arrived(3)
    assert [one["correlation_id"] for one in signals] == ["before", "corr", "after"]
    assert [one["sequence_no"] for one in signals] == [1, 2, 3]
    assert signals[1]["signal_id"] == envelope["signal_id"]
    assert signals[1]["payload"] == envelope["payload"]


async def test_p2_a_signal_sent_twice_is_forwarded_once(scene: Scene) -> None:
    """P2: 200 and ``duplicate`` for the second."""
    connection = await scene.active()
    envelope = scene.envelope(connection)

    first = await scene.call("module", "POST", EVENTS, envelope)
    second = await scene.call("module", "POST", EVENTS, envelope)

    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json()["status"] == "duplicate"
    assert len(await scene.arrived(1)) == 1


async def test_the_producer_is_named_as_pm_3_knows_it_however_the_caller_spells_it(
    scene: Scene,
) -> None:
    """A UUID has many spellings, and PM-3 compares texts."""
    connection = await scene.active()
    envelope = scene.envelope(connection, producer_id=connection.connection_id.upper())

    answer = await scene.call("module", "POST", EVENTS, envelope)

    assert answer.status_code == 202
    (signal,) = await scene.arrived(1)
    assert signal["producer_id"] == connection.connection_id


GONE = object()
WRONG: list[tuple[dict[str, Any], str]] = [
    *[
        ({name: wrong}, name)
        for name in (
            "signal_id",
            "tenant_id",
            "environment",
            "producer_id",
            "signal_kind",
            "signal_type",
            "schema_version",
            "occurred_at",
            "ingested_at",
        )
        for wrong in (GONE, None, "", 7)
    ],
    ({"signal_kind": "rumour"}, "signal_kind"),
    ({"environment": "moon"}, "environment"),
    ({"occurred_at": "yesterday"}, "occurred_at"),
    ({"occurred_at": "2026-01-01T00:00:00"}, "occurred_at"),
    ({"payload": GONE}, "payload"),
    ({"payload": {}}, "payload"),
    ({"payload": []}, "payload"),
    ({"resource": "acme/rocket"}, "resource"),
    ({"resource": {"colour": "red"}}, "resource.colour"),
    ({"resource": {"pr_id": "2"}}, "resource.pr_id"),
    ({"resource": {"plane": "astral"}}, "resource.plane"),
    ({"sequence_no": -1}, "sequence_no"),
    ({"sequence_no": True}, "sequence_no"),
    ({"actor_id": 7}, "actor_id"),
    ({"trace_id": []}, "trace_id"),
    ({"signal_id": "x" * 513}, "signal_id"),
    ({"favourite": "yes"}, "favourite"),
]


async def test_each_wrong_field_is_422_by_its_name_and_nothing_is_kept(scene: Scene) -> None:
    """FR-6: PM-3 would refuse the whole batch later, where nobody waits for the answer."""
    connection = await scene.active()

    for changes, field in WRONG:
        envelope = {**scene.envelope(connection), **changes}
        envelope = {name: value for name, value in envelope.items() if value is not GONE}
        answer = await scene.call("module", "POST", EVENTS, envelope)
        assert answer.status_code == 422, changes
        assert error_of(answer)["details"]["field"] == field, changes

    assert (await scene.ledger())["accepted"] == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"environment": "prod"}, "environment"),
        ({"signal_type": "ship_launched"}, "signal_type"),
        ({"signal_type": "chat_reaction"}, "signal_type"),
        ({"producer_id": str(new_id())}, "producer_id"),
        ({"producer_id": "my-module"}, "producer_id"),
    ],
)
async def test_what_does_not_fit_the_connection_is_422(
    scene: Scene, changes: dict[str, Any], field: str
) -> None:
    connection = await scene.active()

    answer = await scene.call("module", "POST", EVENTS, scene.envelope(connection, **changes))

    assert "chat_reaction" in SIGNAL_TYPES  # known, but not GitHub's
    assert answer.status_code == 422
    assert error_of(answer)["details"]["field"] == field


async def test_sec_ia_02_a_signal_of_another_tenant_is_403_and_its_connection_unknown(
    scene: Scene,
) -> None:
    """SEC-IA-02, P6: the tenant must be the token's, and the connection the tenant's."""
    theirs = await scene.active("globex")

    foreign = await scene.call("module", "POST", EVENTS, scene.envelope(theirs))
    borrowed = await scene.call("module", "POST", EVENTS, scene.envelope(theirs, tenant_id="acme"))

    assert foreign.status_code == 403
    assert borrowed.status_code == 422
    assert error_of(borrowed)["details"]["field"] == "producer_id"
    assert (await scene.ledger())["accepted"] == 0


async def test_a_connection_that_is_not_active_is_409(scene: Scene) -> None:
    connection = await scene.create()

    answer = await scene.call("module", "POST", EVENTS, scene.envelope(connection))

    assert answer.status_code == 409
    assert error_of(answer)["code"] == "CONNECTION_NOT_ACTIVE"


@pytest.mark.parametrize(("raw", "status"), [(b"{", 400), (b"", 400), (b"[]", 422), (b"7", 422)])
async def test_a_body_that_is_no_envelope_at_all(scene: Scene, raw: bytes, status: int) -> None:
    answer = await scene.call("module", "POST", EVENTS, raw)

    assert answer.status_code == status
    error_of(answer)


async def test_a_body_over_a_megabyte_is_413(scene: Scene) -> None:
    answer = await scene.call("module", "POST", EVENTS, b'"' + b"x" * 1_000_000 + b'"')

    assert answer.status_code == 413


@pytest.mark.parametrize("error", [StoreUnavailableError("gone"), "full"])
async def test_p1_a_commit_that_fails_is_503(scene: Scene, error: Exception | str) -> None:
    connection = await scene.active()
    full = StoreFullError("full", retry_after=timedelta(seconds=3))
    scene.store.failing["accept"] = full if error == "full" else error  # type: ignore[assignment]

    answer = await scene.call("module", "POST", EVENTS, scene.envelope(connection))

    assert answer.status_code == 503
    assert "retry-after" in answer.headers
