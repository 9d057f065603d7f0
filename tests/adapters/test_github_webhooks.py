"""GitHub's webhooks: what is refused, and that nothing else can go wrong."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import attrs
import orjson
import pytest
from hypothesis import given, strategies as st

from adapters.contract import Delivery, Request, Secret, Signal
from adapters.envelope import Origin, envelope, from_document, to_json
from adapters.errors import PayloadError, SignatureError
from adapters.github import ADAPTER, events, samples
from adapters.github.events import EVENT_KINDS, READINGS, SIGNAL_OF
from adapters.github.sending import deliver
from adapters.signals import SIGNAL_TYPES
from adapters.signing import hmac_hex

SECRET = Secret(value=b"It is a test")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GUID = "0b989ba4-242f-11e5-81e1-c7b6966d2516"
RECORDED = Path(__file__).parents[3] / "shared" / "providers" / "github" / "payloads"
SIGNED = RECORDED.parents[1] / "signature_vectors_scm.json"
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=8,
)


def signed(body: bytes = b'{"action":"opened"}', /, **headers: str | None) -> Request:
    """A rightly signed request with some headers replaced, or taken away (None)."""
    request = deliver("pull_request", body, secret=SECRET, guid=GUID)
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = [(name, value) for name, value in request.headers if name not in changed]
    added = [(name, value) for name, value in changed.items() if value is not None]
    return attrs.evolve(request, headers=(*kept, *added))


def receive(request: Request) -> Delivery:
    return ADAPTER.receive(request, secrets=(SECRET,), now=NOW)


def delivery(kind: str, document: object) -> Delivery:
    return Delivery(
        event_kind=kind,
        event_id=GUID,
        replay_key=None,
        received_at=NOW,
        body=orjson.dumps(document),
    )


def round_trip(signal: Signal, kind: str) -> None:
    """The envelope of the signal is one that our own strict reader takes, unchanged."""
    origin = Origin(
        tenant_id="acme",
        connection_id=uuid.UUID(int=5),
        provider_id="github",
        environment="prod",
        event_id=GUID,
        event_kind=kind,
        received_at=NOW,
    )
    written = to_json(envelope(signal, origin=origin, index=0))
    assert orjson.loads(to_json(from_document(orjson.loads(written)))) == orjson.loads(written)
    assert signal.signal_type in SIGNAL_TYPES


def test_what_we_send_as_github_we_receive() -> None:
    received = receive(signed())

    assert received.event_kind == "pull_request.opened"
    assert received.event_id == GUID
    assert received.replay_key == hmac_hex(b'{"action":"opened"}', secret=SECRET)


@pytest.mark.parametrize(
    ("headers", "where"),
    [
        ({"x_github_event": None}, "x-github-event"),
        ({"x_github_event": ""}, "x-github-event"),
        ({"x_github_event": "push\n"}, "x-github-event"),
        ({"x_github_event": "p" * 65}, "x-github-event"),
        ({"x_github_event": "push.opened"}, "x-github-event"),
        ({"x_github_delivery": None}, "x-github-delivery"),
        ({"x_github_delivery": "x" * 101}, "x-github-delivery"),
        ({"x_github_delivery": "a b"}, "x-github-delivery"),
        ({"x_github_delivery": "é"}, "x-github-delivery"),
        ({"content_type": None}, "content-type"),
        ({"content_type": "text/plain"}, "content-type"),
    ],
)
def test_a_verified_call_with_odd_headers_is_a_payload_error(
    headers: dict[str, str | None], where: str
) -> None:
    with pytest.raises(PayloadError) as caught:
        receive(signed(**headers))

    assert caught.value.path == where


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"action":7}',
        b'{"action":"Open It"}',
        b'{"action":""}',
        b"\xff",
    ],
)
def test_a_verified_body_that_is_no_event_is_a_payload_error(body: bytes) -> None:
    with pytest.raises(PayloadError):
        receive(signed(body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"other=1",
        b"payload=%7B%7D&payload=%7B%7D",
        b"payload=%FF",
        "payload=ü".encode(),
        b"payload=nonsense",
        b"&".join(b"a=1" for _ in range(20)),
    ],
)
def test_a_verified_form_without_one_readable_payload_is_a_payload_error(body: bytes) -> None:
    with pytest.raises(PayloadError):
        receive(signed(body, content_type="application/x-www-form-urlencoded"))


def test_a_form_is_received_as_its_json() -> None:
    body = urlencode({"payload": '{"action":"opened","t":"ü & ="}'}).encode()

    received = receive(
        signed(body, content_type="application/x-www-form-urlencoded; charset=utf-8")
    )

    assert orjson.loads(received.body) == {"action": "opened", "t": "ü & ="}


def test_only_post_is_received() -> None:
    with pytest.raises(PayloadError, match="POST"):
        receive(attrs.evolve(signed(), method="GET"))


def test_the_sha1_signature_proves_nothing() -> None:
    request = signed(x_hub_signature_256=None, x_hub_signature="sha1=" + "0" * 40)

    with pytest.raises(SignatureError):
        receive(request)


def test_nothing_is_read_before_the_signature_is_verified() -> None:
    """P3: an unsigned call learns nothing about what else is wrong with it."""
    request = attrs.evolve(signed(b"{"), body=b"{{", method="PUT", headers=())

    with pytest.raises(SignatureError):
        receive(request)


@pytest.mark.skipif(
    not SIGNED.exists(), reason="the collected vectors are not part of the project"
)
def test_every_collected_signature_is_judged_rightly() -> None:
    ours = [one for one in orjson.loads(SIGNED.read_bytes()) if one["provider"] == "github"]
    assert ours
    for vector in ours:
        request = Request(
            method="POST",
            url="/",
            headers=tuple((name.lower(), value) for name, value in vector["headers"].items()),
            body=vector["body"].encode(),
        )
        error = PayloadError if vector["valid"] else SignatureError
        with pytest.raises(error):  # verified, they lack the other headers
            ADAPTER.receive(request, secrets=(Secret(value=vector["secret"].encode()),), now=NOW)


@given(
    body=st.binary(max_size=50),
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                ["x-hub-signature-256", "x-github-event", "x-github-delivery", "content-type"]
            ),
            st.text(st.characters(max_codepoint=255), max_size=30)
            | st.sampled_from(["push", "application/json", "application/x-www-form-urlencoded"]),
        )
    ),
    right=st.booleans(),
)
def test_any_call_is_received_or_refused_and_never_fails(
    body: bytes, headers: list[tuple[str, str]], right: bool
) -> None:
    proof = [("x-hub-signature-256", f"sha256={hmac_hex(body, secret=SECRET)}")] if right else []
    request = Request(method="POST", url="/", headers=(*proof, *headers), body=body)

    assert told(request) in (("delivery", "payload") if right else ("signature",))


def told(request: Request) -> str:
    try:
        receive(request)
    except SignatureError:
        return "signature"
    except PayloadError:
        return "payload"
    return "delivery"


@given(
    kind=st.sampled_from(EVENT_KINDS), document=st.dictionaries(st.text(max_size=9), json_values)
)
def test_any_json_object_makes_signals_or_a_payload_error(kind: str, document: Any) -> None:
    checked(kind, document)


@given(
    kind=st.sampled_from(EVENT_KINDS),
    wrong=json_values,
    path=st.sampled_from(
        ["number", "id", "head", "labels", "updated_at", "user", "sha", "full_name", "pushed_at"]
    ),
)
def test_a_value_of_any_type_anywhere_makes_signals_or_a_payload_error(
    kind: str, wrong: Any, path: str
) -> None:
    subject = {"id": 1, "number": 2, "updated_at": "2026-03-01T10:00:00Z", path: wrong}
    names = (
        "check_run",
        "check_suite",
        "comment",
        "deployment",
        "deployment_status",
        "issue",
        "pull_request",
        "release",
        "repository",
        "review",
        "workflow_job",
        "workflow_run",
    )
    checked(
        kind,
        {"ref": "refs/heads/x", "ref_type": "tag", **dict.fromkeys(names, subject), path: wrong},
    )


def checked(kind: str, document: object) -> None:
    try:
        body = orjson.dumps(document)
    except TypeError:  # an integer beyond 64 bits, which orjson does not write
        return
    try:
        signals = ADAPTER.normalise(attrs.evolve(delivery(kind, {}), body=body))
    except PayloadError:
        return
    for signal in signals:
        round_trip(signal, kind)


def test_the_tables_fit_each_other_and_the_canonical_types() -> None:
    assert {kind.partition(".")[0] for kind in EVENT_KINDS} == set(READINGS)
    assert set(SIGNAL_OF.values()) <= set(SIGNAL_TYPES)
    assert all(key.partition("/")[0] in SIGNAL_OF for key in SIGNAL_OF)


@pytest.mark.parametrize("kind", ["mystery", "mystery.created", "pull_request", "push.opened"])
def test_an_unknown_kind_is_other_and_keeps_githubs_name(kind: str) -> None:
    [signal] = ADAPTER.normalise(delivery(kind, {"action": "x"}))

    assert signal.signal_type == "other"
    assert signal.occurred_at == NOW
    assert orjson.loads(signal.payload)["event"] == kind.partition(".")[0]
    round_trip(signal, kind)


def test_a_huge_push_makes_a_small_signal() -> None:
    commit = {"id": "a" * 40, "message": "m" * 10_000, "added": ["f" * 100] * 50}
    document = {
        "ref": "refs/heads/" + "x" * 600,
        "commits": [commit] * 2_048,
        "repository": {"full_name": "o/" + "r" * 600, "pushed_at": 1772366400},
        "sender": {"login": "l" * 600},
    }

    [signal] = ADAPTER.normalise(delivery("push", document))
    payload = orjson.loads(signal.payload)

    assert len(signal.payload) < 20_000
    assert payload["commit_count"] == 2_048
    assert payload["files_changed"] == 2_048 * 50
    assert len(payload["commits"]) == 20
    assert signal.resource is not None
    assert signal.resource.branch is None  # too long for PM-3's resource, so not said wrongly
    assert signal.actor_id is None
    round_trip(signal, "push")


def test_a_long_text_is_cut_and_says_so() -> None:
    document = {"issue": {"number": 1, "body": "b" * 9_000, "labels": [{"name": "l"}] * 80}}

    [signal] = ADAPTER.normalise(delivery("issues.opened", document))
    payload = orjson.loads(signal.payload)

    assert len(payload["body"]) == 2_000
    assert payload["body"].endswith("[cut]")
    assert len(payload["labels"]) == 50


@pytest.mark.parametrize("number", [-1, 2**53 + 1, 2**70, True, 1.0, '"7"'])
def test_a_number_that_can_not_be_one_is_a_payload_error(number: Any) -> None:
    body = b'{"issue":{"number":%s}}' % str(number).lower().encode()

    with pytest.raises(PayloadError):
        ADAPTER.normalise(attrs.evolve(delivery("issues.opened", {}), body=body))


def test_an_e_mail_address_is_no_part_of_a_signal() -> None:
    [signal] = ADAPTER.normalise(
        delivery(
            "push",
            {
                "ref": "refs/heads/m",
                "commits": [{"id": "1", "author": {"name": "Ada", "email": "ada@example.com"}}],
                "pusher": {"name": "ada", "email": "ada@example.com"},
            },
        )
    )

    assert b"ada@example.com" not in signal.payload


@pytest.mark.parametrize("kind", samples.KINDS)
@pytest.mark.parametrize("n", [1, 4, 5, 20])
def test_every_sample_travels_from_github_to_an_envelope(kind: str, n: int) -> None:
    """UT-IA-02: the mapping of PRD 10.1."""
    body = samples.sample(kind, n, at=NOW, repository="acme/x")
    event = kind.partition(".")[0]

    received = receive(deliver(event, body, secret=SECRET, guid=GUID))
    [signal] = ADAPTER.normalise(received)

    assert received.event_kind == kind
    assert signal.signal_type != "other"
    assert signal.occurred_at == NOW
    assert signal.resource is not None
    assert signal.resource.repository == "acme/x"
    assert samples.sample(kind, n, at=NOW, repository="acme/x") == body
    assert samples.sample(kind, n + 1, at=NOW, repository="acme/x") != body
    round_trip(signal, kind)


def test_there_is_no_sample_of_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match=r"no sample of 'push\.opened'"):
        samples.sample("push.opened", 1, at=NOW)


@pytest.mark.skipif(
    not RECORDED.exists(), reason="the recorded payloads are not part of the project"
)
def test_every_recorded_payload_normalises_and_makes_an_envelope() -> None:
    paths = sorted(RECORDED.glob("*/*.json"))
    assert paths
    for path in paths:
        received = receive(deliver(path.parent.name, path.read_bytes(), secret=SECRET, guid=GUID))
        for signal in events.normalise(received):
            round_trip(signal, received.event_kind)
            if received.event_kind in EVENT_KINDS:
                assert signal.signal_type != "other" or "requested_action" in received.event_kind
