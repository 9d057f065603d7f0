"""The embedded siblings behave like the real ones, traps included; what the clients' tests do not show already."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings, strategies as st

from actors.platform.embedded.identity import IdentityService
from actors.platform.embedded.keys import KeyManagement
from actors.platform.embedded.receipts import EvidenceService, merkle
from actors.platform.embedded.signals import SignalIngestion
from adapters.contract import Request, Response
from tests.actors.platform.world import EPOCH, ask, counting_ids, read, seeded_entropy, token

BEARER = {"authorization": "Bearer valid_token_acme"}
PRODUCER = {
    "producer_id": "p1",
    "name": "p",
    "plane": "edge",
    "owner": "o",
    "allowed_signal_kinds": ["event"],
    "allowed_signal_types": ["push"],
    "contract_versions": {"push": "1.0.0"},
}
SIGNAL = {
    "signal_id": "s1",
    "tenant_id": "acme",
    "environment": "dev",
    "producer_id": "p1",
    "signal_kind": "event",
    "signal_type": "push",
    "occurred_at": "2026-03-01T12:00:00Z",
    "ingested_at": 1772366400,
    "payload": {"a": 1},
    "schema_version": "1",
}


def pm3(*, registered: bool = True) -> SignalIngestion:
    made = SignalIngestion(("push",), ids=counting_ids())
    if registered:
        assert register(made, PRODUCER).status == 201
    return made


def register(simulator: SignalIngestion, producer: object) -> Response:
    body = {"producer": producer}
    return ask(simulator, "POST", "/v1/producers/register", body, headers=BEARER)


def ingest(simulator: SignalIngestion, *signals: object, **more: Any) -> Response:
    headers = more.pop("headers", BEARER)
    body = {"signals": list(signals)}
    return ask(simulator, "POST", "/v1/signals/ingest", body, headers=headers, **more)


def test_pm3_answers_200_and_counts_even_when_all_is_refused() -> None:
    answer = ingest(pm3(registered=False), SIGNAL, {**SIGNAL, "tenant_id": "globex"})

    assert answer.status == 200
    assert read(answer)["summary"] == {"total": 2, "accepted": 0, "rejected": 2, "dlq": 0}
    codes = [result["error_code"] for result in read(answer)["results"]]
    assert codes == ["PRODUCER_NOT_REGISTERED", "TENANT_ISOLATION_VIOLATION"]


@pytest.mark.parametrize(
    "change",
    [
        {"trace_id": 7},
        {"environment": "staging"},
        {"signal_kind": "rumour"},
        {"payload": []},
        {"occurred_at": "yesterday"},
        {"occurred_at": None},
        {"sequence_no": "x7"},
        {"resource": "repo"},
        {"resource": {"pr_id": "x7"}},
        {"resource": {"plane": "tenant"}},
        {"signal_id": None},
    ],
)
def test_pm3_s_422_quotes_what_was_sent_and_takes_nothing(change: dict[str, Any]) -> None:
    simulator = pm3()

    answer = ingest(simulator, {**SIGNAL, "signal_id": "s0"}, {**SIGNAL, **change})

    assert answer.status == 422
    [wrong] = read(answer)["detail"]
    assert wrong["loc"][:3] == ["body", "signals", 1]
    assert {"type", "loc", "msg", "input"} <= wrong.keys()
    assert simulator.accepted == ()


@pytest.mark.parametrize(
    "body", [b"{", b"[]", {}, {"signals": []}, {"signals": [SIGNAL] * 1001}, {"signals": [7]}]
)
def test_pm3_takes_one_to_a_thousand_objects(body: object) -> None:
    assert ask(pm3(), "POST", "/v1/signals/ingest", body, headers=BEARER).status == 422


def test_pm3_drops_unknown_fields_and_is_lax_about_numbers() -> None:
    simulator = pm3()
    odd = {"provider_id": "github", "sequence_no": "7", "resource": {"pr_id": "7", "odd": 1}}

    ingest(simulator, {**SIGNAL, **odd})

    [kept] = simulator.accepted
    assert "provider_id" not in kept
    assert kept["sequence_no"] == 7
    assert kept["resource"] == {"pr_id": "7"}


def test_pm3_forgets_a_signal_after_24_hours_and_only_then() -> None:
    simulator = pm3()
    ingest(simulator, SIGNAL)

    almost = ingest(simulator, SIGNAL, now=EPOCH + timedelta(hours=23, minutes=59))
    after = ingest(simulator, SIGNAL, now=EPOCH + timedelta(hours=24))
    again = ingest(simulator, SIGNAL, now=EPOCH + timedelta(hours=25))

    [first], [second], [third] = (read(one)["results"] for one in (almost, after, again))
    assert (first["status"], first["error_code"]) == ("rejected", None)
    assert second["status"] == "accepted"
    assert third["status"] == "rejected"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"payload": {}}, "SCHEMA_VIOLATION"),
        ({"producer_id": "p2"}, "PRODUCER_NOT_REGISTERED"),
        ({"signal_kind": "log"}, "SIGNAL_TYPE_NOT_ALLOWED"),
        ({"signal_type": "pull"}, "SIGNAL_TYPE_NOT_ALLOWED"),
    ],
)
def test_pm3_s_first_failing_step_decides(change: dict[str, Any], code: str) -> None:
    [result] = read(ingest(pm3(), {**SIGNAL, **change}))["results"]

    assert (result["status"], result["error_code"]) == ("rejected", code)


def test_pm3_has_no_route_to_make_a_contract_nor_the_documented_batch_route() -> None:
    for path in ("/v1/contracts", "/v1/signals/ingest/batch"):
        assert ask(pm3(), "POST", path, {}, headers=BEARER).status == 404


def test_a_producer_without_contracts_registers_and_can_send_nothing() -> None:
    simulator = pm3(registered=False)

    assert register(simulator, {**PRODUCER, "contract_versions": {}}).status == 201
    [result] = read(ingest(simulator, SIGNAL))["results"]

    assert result["error_code"] == "SCHEMA_VIOLATION"


def test_a_disallowed_field_breaks_the_contract() -> None:
    simulator = pm3()
    ask(simulator, "POST", "/_sim/contracts", {"signal_type": "push", "disallowed_fields": ["a"]})

    [result] = read(ingest(simulator, SIGNAL))["results"]

    assert result["error_code"] == "SCHEMA_VIOLATION"


def test_pm3_s_dlq_belongs_to_the_token_s_tenant() -> None:
    simulator = pm3(registered=False)
    for _ in range(4):
        ingest(simulator, SIGNAL)
    url, other = "/v1/signals/dlq", {"authorization": "valid_token_globex"}

    own = read(ask(simulator, "GET", url, headers=BEARER))
    foreign = read(ask(simulator, "GET", url, headers=other))

    assert own["total"] == 1
    assert own["entries"][0]["error_code"] == "PRODUCER_NOT_REGISTERED"
    assert own["entries"][0]["retry_count"] == 3
    assert foreign["total"] == 0
    assert ask(simulator, "GET", f"{url}?tenant_id=acme", headers=other).status == 403


def test_any_tenant_reads_and_overwrites_any_producer_and_put_says_400_for_unknown() -> None:
    simulator, other = pm3(), {"authorization": "valid_token_globex"}
    body = {"producer": {**PRODUCER, "name": "mine now"}}

    assert ask(simulator, "PUT", "/v1/producers/p1", body, headers=other).status == 200
    kept = read(ask(simulator, "GET", "/v1/producers/p1", headers=BEARER))
    assert kept["producer"]["name"] == "mine now"
    assert ask(simulator, "PUT", "/v1/producers/p2", body, headers=other).status == 400
    assert ask(simulator, "GET", "/v1/producers/p2", headers=other).status == 404


@pytest.mark.parametrize(
    "producer",
    [None, {}, {**PRODUCER, "plane": "moon"}, {**PRODUCER, "allowed_signal_kinds": [7]}],
)
def test_a_malformed_producer_is_a_422(producer: object) -> None:
    assert register(pm3(registered=False), producer).status == 422


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer valid_token_", "Bearer hunter2"])
def test_pm3_knows_a_tenant_by_its_token_only(header: str) -> None:
    assert ingest(pm3(), SIGNAL, headers={"authorization": header}).status == 401


def kms(**more: Any) -> KeyManagement:
    return KeyManagement(entropy=seeded_entropy(), **more)


def base64ed(data: bytes) -> str:
    return base64.b64encode(data).decode()


KMS_TERMS = {"tenant_id": "dev-tenant", "environment": "dev", "plane": "shared"}
APPROVED = {**KMS_TERMS, "approval_token": "approved-by-ops"}
NEW_KEY = {**APPROVED, "key_type": "AES-256", "key_usage": ["encrypt"]}


def spread(number: int = 0) -> Any:
    """A time at which no rate limit has been reached."""
    return EPOCH + timedelta(seconds=number)


def new_key(simulator: KeyManagement) -> str:
    answer = ask(simulator, "POST", "/kms/v1/keys", NEW_KEY)
    assert answer.status == 201
    return str(read(answer)["key_id"])


def encrypt(simulator: KeyManagement, key_id: str, number: int = 0, **more: Any) -> Response:
    body = {**KMS_TERMS, "key_id": key_id, "plaintext": base64ed(b"x"), **more}
    return ask(simulator, "POST", "/kms/v1/encrypt", body, now=spread(number))


def decrypt(simulator: KeyManagement, sealed: Response, number: int = 0, **more: Any) -> Response:
    body = {**KMS_TERMS, **read(sealed), **more}
    return ask(simulator, "POST", "/kms/v1/decrypt", body, now=spread(number))


@pytest.mark.parametrize("algorithm", ["AES-256-GCM", "CHACHA20-POLY1305"])
def test_m33_gives_back_what_it_took_and_another_aad_is_a_400(algorithm: str) -> None:
    simulator = kms()
    sealed = encrypt(simulator, new_key(simulator), algorithm=algorithm, aad="mine")

    assert read(decrypt(simulator, sealed, aad="mine"))["plaintext"] == base64ed(b"x")
    wrong = decrypt(simulator, sealed, aad="yours")
    assert wrong.status == 400
    assert read(wrong)["detail"]["error"]["message"] == "Decryption failed"
    assert decrypt(simulator, sealed).status == 400


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"tenant_id": "acme"}, 403),
        ({"approval_token": "short"}, 403),
        ({"approval_token": None}, 403),
        ({"key_type": "RSA-2048"}, 400),
        ({"environment": "stage"}, 422),
        ({"plane": "edge"}, 422),
        ({"plane": None}, 422),
    ],
)
def test_m33_makes_keys_for_one_forced_tenant_with_approval(
    change: dict[str, Any], status: int
) -> None:
    assert ask(kms(), "POST", "/kms/v1/keys", {**NEW_KEY, **change}).status == status


def test_m33_takes_the_approval_from_a_header_too() -> None:
    headers = {"x-approval-token": "approved-by-ops"}
    body = {**NEW_KEY, "approval_token": None}

    assert ask(kms(), "POST", "/kms/v1/keys", body, headers=headers).status == 201


def test_after_a_thousand_uses_a_day_m33_refuses_decryption_too_until_midnight() -> None:
    simulator = kms()
    key_id = new_key(simulator)
    sealed = encrypt(simulator, key_id)
    for number in range(1, 1000):
        encrypt(simulator, key_id, number)

    refused = decrypt(simulator, sealed, 1001)
    tomorrow = decrypt(simulator, sealed, 24 * 3600)

    assert refused.status == 403
    assert read(refused)["detail"]["error"]["code"] == "POLICY_VIOLATION"
    assert encrypt(simulator, key_id, 1002).status == 403
    assert tomorrow.status == 200


@pytest.mark.parametrize(("how", "code"), [("rotate", "KEY_INACTIVE"), ("revoke", "KEY_REVOKED")])
def test_a_rotated_or_revoked_key_refuses_decryption_at_once(how: str, code: str) -> None:
    simulator = kms()
    key_id = new_key(simulator)
    sealed = encrypt(simulator, key_id)
    url = f"/kms/v1/keys/{key_id}/{how}"

    assert ask(simulator, "POST", url, KMS_TERMS).status == 403
    assert ask(simulator, "POST", url, APPROVED).status == 200
    answer = decrypt(simulator, sealed)

    assert answer.status == 409
    assert read(answer)["detail"]["error"]["code"] == code


def test_m33_s_other_refusals() -> None:
    simulator = kms()
    key_id = new_key(simulator)

    assert encrypt(simulator, "unknown").status == 404
    assert encrypt(simulator, key_id, tenant_id="acme").status == 403
    assert encrypt(simulator, key_id, plaintext="%").status == 400
    assert encrypt(simulator, key_id, algorithm="ROT13").status == 400
    assert ask(simulator, "POST", "/kms/v1/sign", KMS_TERMS).status == 404
    assert ask(simulator, "POST", "/kms/v1/keys/unknown/rotate", APPROVED).status == 404


def test_m33_limits_calls_by_client() -> None:
    simulator, mine = kms(), {"x-client-id": "a"}
    statuses = [
        ask(simulator, "POST", "/kms/v1/keys", NEW_KEY, headers=mine).status for _ in range(101)
    ]
    other = ask(simulator, "POST", "/kms/v1/keys", NEW_KEY, headers={"x-client-id": "b"})
    later = ask(simulator, "POST", "/kms/v1/keys", NEW_KEY, headers=mine, now=spread(1))

    assert statuses == [201] * 100 + [429]
    assert (other.status, later.status) == (201, 201)


def test_m33_forgets_its_keys_unless_they_are_saved() -> None:
    saved: list[bytes] = []
    simulator = kms(save=saved.append)
    sealed = encrypt(simulator, new_key(simulator))

    ask(simulator, "POST", "/_sim/forget", {})

    assert decrypt(simulator, sealed).status == 404
    assert decrypt(kms(state=saved[-1]), sealed).status == 200


def verify(simulator: IdentityService, text: str) -> Response:
    return ask(simulator, "POST", "/iam/v1/verify", {"token": text})


def test_iam_answers_without_tenant_and_roles_in_naive_time() -> None:
    assert read(verify(IdentityService(), token())) == {
        "sub": "acme:ada",
        "scope": ["connections"],
        "valid_until": "2026-03-01T13:00:00",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "a.!.c",
        "ü.ü.ü",
        "a.W10.c",
        token(kid=None),
        token(scope="admin"),
        token(exp=1),
        token(exp="x"),
        token(exp=1e300),
    ],
)
def test_iam_refuses_what_lacks_its_claims(text: str) -> None:
    answer = verify(IdentityService(), text)

    assert answer.status == 401
    assert read(answer)["detail"]["error"]["code"] == "AUTH_FAILED"


@pytest.mark.parametrize(
    ("roles", "action", "context", "decision"),
    [
        (["viewer"], "read", None, "ALLOW"),
        (["viewer"], "write", None, "DENY"),
        (["developer"], "execute", {}, "ALLOW"),
        (["developer"], "integrations:write", None, "DENY"),
        (["admin"], "evidence:write", None, "ALLOW"),
        (["admin"], "read", {"time": "2026-03-01T23:00:00"}, "DENY"),
        (["admin"], "read", {"time": "2026-03-01T12:00:00"}, "ALLOW"),
    ],
)
def test_iam_decides_by_role_and_says_200_for_a_no(
    roles: list[str], action: str, context: object, decision: str
) -> None:
    subject = {"sub": "a", "roles": roles}
    body = {"subject": subject, "action": action, "resource": "r", "context": context}

    answer = ask(IdentityService(), "POST", "/iam/v1/decision", body)

    assert (answer.status, read(answer)["decision"]) == (200, decision)


def test_iam_s_malformed_questions_are_422_and_unknown_paths_404() -> None:
    simulator = IdentityService()
    nobody = {"subject": {"sub": "a", "roles": []}, "action": "read", "resource": "r"}
    somebody = {**nobody, "subject": {"sub": "a", "roles": ["admin"]}, "context": {"time": "?"}}

    assert ask(simulator, "POST", "/iam/v1/decision", nobody).status == 422
    assert ask(simulator, "POST", "/iam/v1/decision", somebody).status == 422
    assert ask(simulator, "POST", "/iam/v1/verify", {}).status == 422
    assert ask(simulator, "POST", "/v1/auth/verify", {}).status == 404


def test_many_clients_do_not_fill_the_memory_p7() -> None:
    simulator = IdentityService()

    for number in range(1100):
        headers = {"x-client-id": str(number)}
        answer = ask(simulator, "GET", "/iam/v1/nothing", headers=headers)
        assert answer.status == 404

    assert len(simulator._limit._calls) == 1000


ADMIN = {"authorization": "Bearer " + token(scope=["admin"])}


def eris() -> EvidenceService:
    return EvidenceService(IdentityService())


def receipt(number: int, **changes: Any) -> dict[str, Any]:
    stamp = f"2026-03-01T12:00:00.{number:06}+00:00"
    made = {"receipt_id": str(UUID(int=number)), "timestamp_utc": stamp, "gate_id": "g"}
    return {**made, **changes}


def courier(simulator: EvidenceService, *receipts: Any, **changes: Any) -> Response:
    body = {
        "batch_id": str(UUID(int=len(receipts))),
        "tenant_id": "acme",
        "emitter_service": "ia",
        "sequence_numbers": [],
        "merkle_root": merkle(list(receipts)),
        "receipts": list(receipts),
        "timestamp": "2026-03-01T12:00:00Z",
        **changes,
    }
    return ask(
        simulator,
        "POST",
        "/v1/evidence/receipts/courier-batch",
        json.dumps(body).encode(),
        headers=ADMIN,
    )


def search(simulator: EvidenceService, **wish: Any) -> Response:
    return ask(
        simulator, "POST", "/v1/evidence/search", {"tenant_id": "acme", **wish}, headers=ADMIN
    )


def test_eris_says_completed_though_single_receipts_failed() -> None:
    simulator = eris()
    odd = [receipt(1, receipt_id="no uuid"), {"receipt_id": str(UUID(int=2))}, "no receipt"]

    answer = courier(simulator, receipt(3), *odd)

    assert answer.status == 201
    assert (read(answer)["status"], read(answer)["receipt_count"]) == ("completed", 4)
    assert read(search(simulator))["total_count"] == 1


def test_eris_stores_a_receipt_once_whatever_batch_brings_it() -> None:
    simulator = eris()
    courier(simulator, receipt(1))

    courier(simulator, receipt(1, gate_id="changed"), receipt(2))

    rows = read(search(simulator))["receipts"]
    assert [row["gate_id"] for row in rows] == ["g", "g"]


def test_eris_pages_its_search() -> None:
    simulator = eris()
    courier(simulator, receipt(1), receipt(2), receipt(3, gate_id="h"))

    first = read(search(simulator, limit=2))
    rest = read(search(simulator, limit=2, cursor=first["next_cursor"]))

    assert [len(first["receipts"]), len(rest["receipts"])] == [2, 1]
    assert rest["next_cursor"] is None
    assert read(search(simulator, gate_id="h"))["total_count"] == 1
    assert search(simulator, limit=0).status == 400
    assert search(simulator, cursor="x").status == 400


def test_two_receipts_of_the_same_time_fork_eris_s_chain() -> None:
    simulator = eris()
    same = receipt(1)["timestamp_utc"]
    courier(simulator, receipt(1), receipt(2, timestamp_utc=same), receipt(3, timestamp_utc=same))
    wish = {
        "tenant_id": "acme",
        "chain_id": "acme:unknown:unknown:g",
        "from_timestamp": "2026",
        "to_timestamp": "2027",
    }

    answer = read(ask(simulator, "POST", "/v1/evidence/verify_range", wish, headers=ADMIN))

    assert answer == {"valid": False, "receipt_count": 3, "gaps": [str(UUID(int=3))]}


def test_eris_s_other_refusals() -> None:
    simulator = eris()

    assert courier(simulator, receipt(1), batch_id="no uuid").status == 500
    assert courier(simulator, receipt(1), merkle_root="0").status == 400
    assert courier(simulator, receipt(1), receipts=None).status == 422
    assert ask(simulator, "POST", "/v1/receipts", {}, headers=ADMIN).status == 404
    assert ask(simulator, "GET", "/health").status == 401
    assert ask(simulator, "GET", "/v1/evidence/health").status == 200


def test_eris_limits_calls_by_path_and_passes_on_that_iam_is_down() -> None:
    iam = IdentityService()
    simulator = EvidenceService(iam)
    simulator._limit = type(simulator._limit)((1, 10))
    search(simulator)
    limited = search(simulator)
    ask(iam, "POST", "/_sim/down", {"refuse": True})
    down = search(simulator)

    assert (limited.status, limited.header("retry-after")) == (429, "10")
    assert read(down)["error"]["message"] == "IAM verification failed: 503"


@pytest.mark.parametrize(
    ("simulator", "path"),
    [(pm3, "/v1/health"), (kms, "/kms/v1/health"), (IdentityService, "/iam/v1/health")],
)
def test_each_says_that_it_is_well_and_can_be_taken_down(
    simulator: Callable[[], Any], path: str
) -> None:
    made = simulator()

    assert ask(made, "GET", path).status == 200
    assert ask(made, "POST", "/_sim/down", b"").status == 200
    down = ask(made, "GET", path)
    assert (down.status, "detail" in read(down)) == (503, False)
    assert ask(made, "POST", "/_sim/up").status == 200
    assert ask(made, "GET", path).status == 200
    assert read(ask(made, "GET", "/_sim/counts"))["answered"]["503"] == 1


@pytest.mark.parametrize("wish", [b"{", [], {"status": 200}, {"status": "x"}])
def test_a_malformed_control_is_a_400_and_changes_nothing(wish: object) -> None:
    simulator = IdentityService()

    assert ask(simulator, "POST", "/_sim/down", wish).status == 400
    assert ask(simulator, "POST", "/_sim/revoke", {"jti": 7}).status == 422
    assert ask(simulator, "GET", "/_sim/nothing").status == 404
    assert ask(simulator, "GET", "/iam/v1/health").status == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*SIGNAL, *PRODUCER, *NEW_KEY, "signals", "producer", "receipts", "subject"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)
ROUTES = (
    (pm3, "/v1/signals/ingest"),
    (pm3, "/v1/producers/register"),
    (kms, "/kms/v1/keys"),
    (kms, "/kms/v1/encrypt"),
    (IdentityService, "/iam/v1/verify"),
    (IdentityService, "/iam/v1/decision"),
    (eris, "/v1/evidence/receipts/courier-batch"),
    (eris, "/v1/evidence/search"),
)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(ROUTES), JSON)
def test_no_body_ends_a_simulator(route: tuple[Callable[[], Any], str], body: object) -> None:
    make, path = route
    headers = (("authorization", ADMIN["authorization"] if make is eris else "valid_token_acme"),)
    request = Request(method="POST", url=path, headers=headers, body=json.dumps(body).encode())

    reply = make().handle(request, now=EPOCH)

    assert reply.response is not None
    assert reply.response.status < 600
