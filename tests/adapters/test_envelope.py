"""The envelope is exactly PM-3's: what we make it takes, and what it would not take we refuse first."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from attrs import evolve

from adapters.contract import Resource, Secret, Signal
from adapters.envelope import (
    Origin,
    SignalEnvelope,
    envelope,
    from_document,
    keyed_signal_id,
    signal_id,
    to_json,
)
from adapters.errors import PayloadError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONNECTION = uuid.UUID("0195a3b0-0000-7000-8000-000000000001")
ORIGIN = Origin(
    tenant_id="acme",
    connection_id=CONNECTION,
    provider_id="github",
    environment="prod",
    event_id="guid-1",
    event_kind="pull_request.opened",
    received_at=NOW,
)
COMPLETE: dict[str, Any] = {
    "signal_id": "s-1",
    "tenant_id": "acme",
    "environment": "stage",
    "producer_id": "p-1",
    "signal_kind": "metric",
    "signal_type": "metric_reported",
    "occurred_at": "2026-03-01T12:00:00+00:00",
    "ingested_at": "2026-03-01T13:00:00+01:00",
    "payload": {"a": {"b": [1, None]}},
    "schema_version": "1.0.0",
    "actor_id": "ada",
    "trace_id": "t",
    "span_id": "s",
    "correlation_id": "c",
    "resource": {"repository": "acme/rocket", "pr_id": 7, "plane": "edge"},
    "sequence_no": 3,
}


def made() -> SignalEnvelope:
    signal = Signal(
        signal_type="pr_opened",
        occurred_at=NOW,
        actor_id="ada",
        resource=Resource(repository="acme/rocket", pr_id=7),
        payload=b'{"pr_number":7,"title":"Cap it"}',
        canonical_keys=b'{"pr_key":"acme/rocket#7"}',
    )
    return envelope(signal, origin=ORIGIN, index=0)


def test_a_signal_in_its_envelope_is_mapped_as_required() -> None:
    """UT-IA-02; PRD 10.1."""
    document = orjson.loads(to_json(made().numbered(9)))

    assert document == {
        "signal_id": signal_id(CONNECTION, "guid-1", 0),
        "tenant_id": "acme",
        "environment": "prod",
        "producer_id": str(CONNECTION),
        "signal_kind": "event",
        "signal_type": "pr_opened",
        "occurred_at": "2026-03-01T12:00:00+00:00",
        "ingested_at": "2026-03-01T12:00:00+00:00",
        "schema_version": "1.0.0",
        "actor_id": "ada",
        "correlation_id": "guid-1",
        "resource": {"repository": "acme/rocket", "pr_id": 7},
        "sequence_no": 9,
        "payload": {
            "provider_metadata": {
                "provider_id": "github",
                "connection_id": str(CONNECTION),
                "event_kind": "pull_request.opened",
            },
            "provider_event_id": "guid-1",
            "canonical_keys": {"pr_key": "acme/rocket#7"},
            "pr_number": 7,
            "title": "Cap it",
        },
    }


def test_a_signal_id_says_connection_event_and_index_and_nothing_else() -> None:
    """P2."""
    other = uuid.UUID(int=9)
    ids = {
        signal_id(CONNECTION, "guid-1", 0),
        signal_id(CONNECTION, "guid-1", 1),
        signal_id(CONNECTION, "guid-2", 0),
        signal_id(other, "guid-1", 0),
    }

    assert len(ids) == 4
    assert signal_id(CONNECTION, "guid-1", 0) == "7da0f1f2-55ab-56ea-bba5-80931e7dfd51"


def test_an_event_with_a_key_is_one_signal_whichever_way_it_was_found() -> None:
    """P2: by webhook, by poll, by backfill; whatever the delivery's own id is."""
    signal = Signal(
        signal_type="issue_closed", occurred_at=NOW, payload=b"{}", event_key="issue:7:opened"
    )
    by_webhook = envelope(signal, origin=ORIGIN, index=0)
    by_poll = envelope(signal, origin=evolve(ORIGIN, event_id="issue:7:opened"), index=0)
    reopened = envelope(evolve(signal, event_key="issue:7:closed"), origin=ORIGIN, index=0)

    assert (
        by_webhook.signal_id == by_poll.signal_id == keyed_signal_id(CONNECTION, "issue:7:opened")
    )
    assert by_webhook.signal_id == "d6c8ee03-a499-5661-a856-5610caf1ea20"
    assert reopened.signal_id != by_webhook.signal_id
    assert keyed_signal_id(uuid.UUID(int=9), "issue:7:opened") != by_webhook.signal_id
    assert signal_id(CONNECTION, "issue:7:opened", 0) != by_webhook.signal_id


def test_a_signal_of_the_past_says_so_and_keeps_its_time() -> None:
    signal = Signal(signal_type="pr_opened", occurred_at=NOW, payload=b"{}", event_key="pr:1")

    now, past = (
        envelope(signal, origin=evolve(ORIGIN, backfilled=told), index=0) for told in (False, True)
    )

    assert "backfilled" not in orjson.loads(now.payload)["provider_metadata"]
    assert orjson.loads(past.payload)["provider_metadata"]["backfilled"] is True
    assert (past.occurred_at, past.signal_id) == (NOW, now.signal_id)


def test_an_envelope_without_a_resource_has_none_on_the_wire() -> None:
    bare = envelope(
        Signal(signal_type="other", occurred_at=NOW, payload=b"{}"), origin=ORIGIN, index=0
    )

    assert "resource" not in orjson.loads(to_json(bare))


def test_a_complete_envelope_is_read_and_written_unchanged() -> None:
    assert orjson.loads(to_json(from_document(COMPLETE))) == COMPLETE


def test_an_envelope_without_a_resource_is_read() -> None:
    bare = {name: value for name, value in COMPLETE.items() if name != "resource"}

    assert orjson.loads(to_json(from_document(bare))) == bare


def test_an_envelope_of_ours_is_read_back() -> None:
    assert from_document(orjson.loads(to_json(made()))) == made()


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        *(
            ({name: None}, name)
            for name in ("signal_id", "tenant_id", "producer_id", "signal_type")
        ),
        *(({name: " "}, name) for name in ("signal_id", "schema_version")),
        ({"signal_id": 7}, "signal_id"),
        ({"signal_id": "s" * 513}, "signal_id"),
        ({"signal_kind": "rumour"}, "signal_kind"),
        ({"environment": "staging"}, "environment"),
        ({"occurred_at": "2026-03-01T12:00:00"}, "occurred_at"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"ingested_at": 1772366400}, "ingested_at"),
        ({"payload": {}}, "payload"),
        ({"payload": [1]}, "payload"),
        ({"payload": None}, "payload"),
        ({"actor_id": 7}, "actor_id"),
        ({"trace_id": "t" * 513}, "trace_id"),
        ({"sequence_no": -1}, "sequence_no"),
        ({"sequence_no": True}, "sequence_no"),
        ({"sequence_no": "3"}, "sequence_no"),
        ({"provider_id": "github"}, "provider_id"),
        ({"resource": []}, "resource"),
        ({"resource": {"repo": "x"}}, "resource.repo"),
        ({"resource": {"plane": "moon"}}, "resource.plane"),
        ({"resource": {"pr_id": "x7"}}, "resource.pr_id"),
        ({"resource": {"pr_id": -7}}, "resource.pr_id"),
        ({"resource": {"branch": 1}}, "resource.branch"),
    ],
)
def test_what_pm3_would_refuse_or_drop_is_refused_with_its_path(
    changes: dict[str, Any], where: str
) -> None:
    with pytest.raises(PayloadError) as caught:
        from_document({**COMPLETE, **changes})

    assert caught.value.path == where


@pytest.mark.parametrize("document", [None, [], "x", 7])
def test_only_an_object_is_an_envelope(document: object) -> None:
    with pytest.raises(PayloadError):
        from_document(document)


def test_a_payload_that_can_not_be_written_again_is_refused() -> None:
    deep = orjson.loads(b'{"a":' * 400 + b"1" + b"}" * 400)

    with pytest.raises(PayloadError, match="payload: is nested too deeply"):
        from_document({**COMPLETE, "payload": deep})


def test_a_secret_never_shows() -> None:
    """P8."""
    secret = Secret(value=b"hush")

    assert "hush" not in f"{secret} {secret!r} {secret!s} {[secret]}"
