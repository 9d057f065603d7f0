"""Every provider's known answers: adapters/<provider>/vectors/*.json, and what follows from each for free."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest

import adapters
from adapters import errors
from adapters.contract import Action, Delivery, Outcome, Request, Response, Secret
from adapters.envelope import Origin, envelope, from_document, to_json
from adapters.registry import discover
from adapters.signals import SIGNAL_TYPES

REGISTRY = discover()
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FOLDER = Path(adapters.__file__).parent


def vectors(kind: str) -> list[Any]:
    found = []
    for path in sorted(FOLDER.glob("*/vectors/*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["kind"] == kind:
            provider = path.parent.parent.name
            found += [
                pytest.param(provider, vector, id=f"{provider}-{vector['name']}")
                for vector in document["vectors"]
            ]
    return found


def request_of(document: dict[str, Any]) -> Request:
    body = document.get("body", "")
    return Request(
        method=document["method"],
        url=document.get("url", "/"),
        headers=tuple(document.get("headers", {}).items()),
        body=body.encode() if isinstance(body, str) else orjson.dumps(body),
        writes=document.get("writes", False),
    )


def response_of(document: dict[str, Any]) -> Response:
    body = document.get("body", "")
    return Response(
        status=document["status"],
        headers=tuple(document.get("headers", {}).items()),
        body=body.encode() if isinstance(body, str) else orjson.dumps(body),
    )


def action_of(document: dict[str, Any]) -> Action:
    first_sent_at = document.get("first_sent_at")
    return Action(
        action_id=document["action_id"],
        canonical_type=document["canonical_type"],
        target=orjson.dumps(document["target"]),
        payload=orjson.dumps(document["payload"]),
        first_sent_at=datetime.fromisoformat(first_sent_at) if first_sent_at else None,
    )


def delivery_of(vector: dict[str, Any], document: object) -> Delivery:
    return Delivery(
        event_kind=vector["event_kind"],
        event_id="event-1",
        replay_key=None,
        received_at=NOW,
        body=orjson.dumps(document),
    )


def told(outcome: Outcome) -> dict[str, Any]:
    fields = {
        name: value
        for name, value in attrs.asdict(outcome, recurse=True).items()
        if value not in (None, b"{}", False)
    }
    if "details" in fields:
        fields["details"] = orjson.loads(fields["details"])
    if "retry_after" in fields:
        fields["retry_after"] = fields["retry_after"].total_seconds()
    return {type(outcome).__name__: fields}


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where every JSON value of a document is."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def without(document: object, path: tuple[str | int, ...], *, null: bool) -> object:
    changed: Any = copy.deepcopy(document)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    if null:
        parent[path[-1]] = None
    else:
        del parent[path[-1]]
    return changed


@pytest.mark.parametrize("provider", sorted(m.provider_id for m in REGISTRY.manifests()))
def test_every_provider_brings_vectors_of_each_kind_with_their_source(provider: str) -> None:
    of_each = {kind: vectors(kind) for kind in ("receive", "normalise", "plan")}

    for kind, params in of_each.items():
        mine = [param.values[1] for param in params if param.values[0] == provider]
        assert mine, f"{provider} has no {kind} vectors"
        assert all(vector["source"].strip() for vector in mine)


@pytest.mark.parametrize(("provider", "vector"), vectors("receive"))
def test_receive_gives_the_known_answer(provider: str, vector: dict[str, Any]) -> None:
    """P3; UT-IA-01."""
    adapter = REGISTRY.get(provider)
    secrets = tuple(Secret(value=secret.encode()) for secret in vector["secrets"])
    request = request_of(vector["request"])

    if "error" in vector:
        with pytest.raises(getattr(errors, vector["error"])):
            adapter.receive(request, secrets=secrets, now=NOW)
        return
    delivery = adapter.receive(request, secrets=secrets, now=NOW)

    assert isinstance(delivery, Delivery)
    assert delivery.event_kind == vector["delivery"]["event_kind"]
    assert delivery.event_id == vector["delivery"]["event_id"]
    assert delivery.replay_key == vector["delivery"]["replay_key"]
    assert orjson.loads(delivery.body) == vector["delivery"]["body"]
    assert delivery.received_at == NOW


@pytest.mark.parametrize(("provider", "vector"), vectors("receive"))
def test_one_changed_byte_is_not_the_providers(provider: str, vector: dict[str, Any]) -> None:
    """P3: every single byte of the body counts."""
    adapter = REGISTRY.get(provider)
    secrets = tuple(Secret(value=secret.encode()) for secret in vector["secrets"])
    request = request_of(vector["request"])

    for at in range(len(request.body)):
        body = request.body[:at] + bytes([request.body[at] ^ 1]) + request.body[at + 1 :]
        with pytest.raises(errors.SignatureError):
            adapter.receive(attrs.evolve(request, body=body), secrets=secrets, now=NOW)


@pytest.mark.parametrize(("provider", "vector"), vectors("receive"))
def test_without_a_secret_nothing_is_accepted(provider: str, vector: dict[str, Any]) -> None:
    """P3: no secret means refused, never skipped."""
    request = request_of(vector["request"])

    for secrets in ((), (Secret(value=b""),)):
        with pytest.raises(errors.SignatureError):
            REGISTRY.get(provider).receive(request, secrets=secrets, now=NOW)


@pytest.mark.parametrize(("provider", "vector"), vectors("normalise"))
def test_normalise_gives_the_known_signals(provider: str, vector: dict[str, Any]) -> None:
    """UT-IA-02: provider payload to SignalEnvelope fields (PRD 10.1)."""
    signals = REGISTRY.get(provider).normalise(delivery_of(vector, vector["body"]))

    assert [
        {
            "signal_type": signal.signal_type,
            "kind": signal.kind.value,
            "occurred_at": signal.occurred_at.isoformat(),
            "actor_id": signal.actor_id,
            "resource": {
                name: value
                for name, value in attrs.asdict(signal.resource).items()
                if value is not None
            }
            if signal.resource
            else None,
            "payload": orjson.loads(signal.payload),
            "canonical_keys": orjson.loads(signal.canonical_keys),
            **({"event_key": signal.event_key} if signal.event_key else {}),
        }
        for signal in signals
    ] == vector["signals"]


@pytest.mark.parametrize(("provider", "vector"), vectors("normalise"))
def test_a_document_that_lacks_a_value_makes_signals_or_a_payload_error(
    provider: str, vector: dict[str, Any]
) -> None:
    adapter = REGISTRY.get(provider)

    for path in places(vector["body"]):
        for null in (True, False):
            document = without(vector["body"], path, null=null)
            assert_signals_or_payload_error(adapter, delivery_of(vector, document))


def assert_signals_or_payload_error(adapter: Any, delivery: Delivery) -> None:
    try:
        signals = adapter.normalise(delivery)
    except errors.PayloadError:
        return
    origin = Origin(
        tenant_id="acme",
        connection_id=uuid.UUID(int=1),
        provider_id=adapter.manifest.provider_id,
        environment="dev",
        event_id=delivery.event_id,
        event_kind=delivery.event_kind,
        received_at=delivery.received_at,
    )
    for index, signal in enumerate(signals):
        assert signal.signal_type in SIGNAL_TYPES
        written = to_json(envelope(signal, origin=origin, index=index))
        assert to_json(from_document(orjson.loads(written))) is not None


@pytest.mark.parametrize(("provider", "vector"), vectors("plan"))
def test_a_plan_asks_and_ends_as_known(provider: str, vector: dict[str, Any]) -> None:
    """P4; UT-IA-03."""
    action = action_of(vector["action"])
    plan = REGISTRY.get(provider).plan(action)
    answer: Response | None = None

    for expected, response in vector["exchanges"]:
        request = plan.send(answer) if answer else next(plan)
        assert request.method == expected["method"]
        assert request.url == expected["url"]
        assert request.writes is expected.get("writes", False)
        if "body" in expected:
            assert orjson.loads(request.body) == expected["body"]
        assert request.header("authorization") is None
        answer = response_of(response)
    assert answer is not None
    with pytest.raises(StopIteration) as ended:
        plan.send(answer)

    assert told(ended.value.value) == vector["outcome"]
