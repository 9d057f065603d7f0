"""The webhook edge: who, how fast, how large, whose bytes, what document, and only then a 2xx."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from functools import partial
from urllib.parse import quote_plus, urlsplit
from uuid import UUID

import httpx
import orjson
import pytest
import trio
import trio.testing

from adapters.contract import Request, Secret
from adapters.errors import SignatureError
from adapters.signing import hmac_hex
from http_edge import webhooks
from http_edge.errors import TooLargeError
from http_edge.node import new_id
from http_edge.sending import signed
from http_edge.webhooks import Call, reject_oversized
from persistence.errors import StoreFullError, StoreUnavailableError
from persistence.opening import open_store
from persistence.records import ConnectionState
from persistence.store import Store
from tests.http_edge.scene import (
    Connected,
    Opened,
    Scene,
    beyond_the_moment,
    error_of,
    running,
)


async def test_ut_ia_01_a_signed_webhook_is_accepted_and_becomes_a_signal(scene: Scene) -> None:
    """UT-IA-01, IT-IA-02: verified, mapped to its connection, at PM-3 with the right tenant and producer."""
    connection = await scene.active()

    answer = await scene.deliver(connection, "guid-1")

    assert answer.status_code == 202
    assert answer.json()["status"] == "accepted"
    assert answer.json()["event_id"] == "guid-1"
    (signal,) = await scene.arrived(1)
    assert signal["tenant_id"] == "acme"
    assert signal["producer_id"] == connection.connection_id
    assert signal["signal_type"] == "pr_opened"
    assert signal["correlation_id"] == "guid-1"
    assert signal["payload"]["provider_metadata"]["provider_id"] == "github"


@pytest.mark.parametrize("again", ["same id", "new id"])
async def test_ut_ia_02_a_replayed_webhook_is_a_duplicate_and_makes_one_signal(
    scene: Scene, again: str
) -> None:
    """UT-IA-02, P2: the same id, or the same signed bytes under a new id."""
    connection = await scene.active()
    request = scene.delivery(connection, event_id="guid-1")
    headers = {} if again == "same id" else {"x_github_delivery": "guid-2"}

    first = await scene.post(connection.webhook_url, request)
    second = await scene.post(connection.webhook_url, request, **headers)

    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json()["status"] == "duplicate"
    assert second.json()["delivery_id"] is None
    assert len(await scene.arrived(1)) == 1
    ledger = await scene.ledger()
    assert (ledger["accepted"], ledger["duplicate"], ledger["difference"]) == (1, 1, 0)


async def test_p1_a_2xx_is_only_given_once_the_delivery_is_committed(
    scene: Scene, opened: Opened
) -> None:
    """P1: while the commit is held there is no answer; after it, another reader finds the delivery."""
    connection = await scene.create()
    answers: list[httpx.Response] = []
    gate = scene.store.hold("accept")

    async def send() -> None:
        answers.append(await scene.deliver(connection))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await scene.store.entered.wait()
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert answers == []
        gate.set()

    assert answers[0].status_code == 202
    async with open_store(opened.database_url) as other:
        assert await other.pending_count() == 1


async def test_p1_a_failing_commit_is_a_503_with_retry_after_and_never_a_2xx(scene: Scene) -> None:
    """P1, P7: the store says no; once it is back, the same delivery is taken as new."""
    connection = await scene.create()
    request = scene.delivery(connection)
    scene.store.failing["accept"] = StoreUnavailableError("gone")

    refused = await scene.post(connection.webhook_url, request)
    scene.store.failing.clear()
    taken = await scene.post(connection.webhook_url, request)

    assert refused.status_code == 503
    assert error_of(refused)["code"] == "STORE_UNAVAILABLE"
    assert int(refused.headers["retry-after"]) >= 1
    assert taken.status_code == 202
    exposed = (await scene.http.get(f"{scene.url}/metrics")).text
    assert 'status="unavailable",tenant="acme"} 1.0' in exposed


async def test_p1_a_commit_that_takes_too_long_is_a_503(opened: Opened) -> None:
    """P1, P7: the wait has a deadline; the delivery may be stored, and a repeat says so without a second signal."""
    settings = opened.settings(accept_deadline=timedelta(seconds=0.3))
    async with running(opened, settings) as scene:
        connection = await scene.create()
        request = scene.delivery(connection)
        gate = scene.store.hold("accept")

        refused = await scene.post(connection.webhook_url, request)
        gate.set()
        repeated = await scene.post(connection.webhook_url, request)

        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert repeated.status_code in {200, 202}
        assert (await scene.ledger())["accepted"] == 1


async def test_p1_a_client_that_hangs_up_during_the_commit_changes_nothing(scene: Scene) -> None:
    """P1: the commit is shielded; what was begun is stored."""
    connection = await scene.create()
    gate = scene.store.hold("accept")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(scene.deliver, connection, "guid-1"))
        await scene.store.entered.wait()
        nursery.cancel_scope.cancel()
    gate.set()

    async def stored() -> bool:
        return (await scene.ledger())["accepted"] == 1

    await scene.until(stored)
    scene.store.gates.clear()
    again = await scene.deliver(connection, "guid-1")
    assert again.json()["status"] == "duplicate"


@pytest.mark.parametrize(
    "headers",
    [
        {"x_hub_signature_256": ""},
        {"x_hub_signature_256": "sha256="},
        {"x_hub_signature_256": "sha256=" + "0" * 64},
        {"x_hub_signature_256": "sha1=" + "0" * 40},
        {"x_hub_signature_256": "s\u00fcper"},
    ],
)
async def test_p3_a_wrong_or_empty_signature_is_401_and_nothing_is_stored(
    scene: Scene, headers: dict[str, str]
) -> None:
    """P3, P9: refused, counted as rejected, told in the log without the signature."""
    connection = await scene.active()
    request = scene.delivery(connection)
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}

    answer = await scene.post(connection.webhook_url, request, **encoded)  # type: ignore[arg-type]

    assert answer.status_code == 401
    assert error_of(answer)["code"] == "INVALID_SIGNATURE"
    assert "www-authenticate" not in answer.headers

    async def counted() -> bool:
        return (await scene.ledger())["rejected"] == 1

    await scene.until(counted)
    assert (await scene.ledger())["accepted"] == 0
    assert '"event": "webhook.rejected"' in scene.log.getvalue()


async def test_p3_a_missing_signature_is_401(scene: Scene) -> None:
    connection = await scene.create()
    request = scene.delivery(connection)
    headers = {k: v for k, v in request.headers if k != "x-hub-signature-256"}

    answer = await scene.http.post(connection.webhook_url, content=request.body, headers=headers)

    assert answer.status_code == 401
    assert (await scene.ledger())["accepted"] == 0


async def test_p3_bytes_changed_by_one_are_401(scene: Scene) -> None:
    """P3: the signature is over the raw bytes; a blank that JSON does not mind is a change too."""
    connection = await scene.create()
    request = scene.delivery(connection)
    headers = dict(request.headers)

    for changed in (request.body + b" ", request.body.replace(b"ada", b"adb"), request.body[:-1]):
        if changed == request.body:
            continue
        answer = await scene.http.post(connection.webhook_url, content=changed, headers=headers)
        assert answer.status_code == 401

    assert (await scene.ledger())["accepted"] == 0


async def test_p3_a_connection_without_a_webhook_secret_takes_nothing(scene: Scene) -> None:
    """P3: no secret is a refusal, never a check that is skipped; an empty key proves nothing."""
    connection = await scene.active(webhook=None)
    request = scene.delivery(connection, secret=Secret(value=b""))

    answer = await scene.post(connection.webhook_url, request)

    assert answer.status_code == 401
    assert (await scene.ledger())["accepted"] == 0


async def rotate(scene: Scene, connection: Connected, database_url: str, newer: bytes) -> None:
    """Give the connection a second current secret, as a rotation would: sealed by the node's own keys."""
    sealed = await scene.node.ports.secrets.seal(
        connection.tenant_id,
        UUID(connection.connection_id),
        "webhook",
        2,
        Secret(value=newer),
        now=scene.clock.now(),
    )
    database = sqlite3.connect(database_url.removeprefix("sqlite:///"), timeout=10)
    with database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(sealed_secrets)")]
        old = dict(
            zip(
                columns,
                database.execute(
                    "SELECT * FROM sealed_secrets WHERE purpose = 'webhook'"
                ).fetchone(),
                strict=True,
            )
        )
        old |= {"secret_id": _as_stored(old["secret_id"], sealed.secret_id), "version": 2}
        old |= {"nonce": sealed.nonce, "ciphertext": sealed.ciphertext}
        marks = ", ".join("?" for _ in columns)
        database.execute(f"INSERT INTO sealed_secrets VALUES ({marks})", list(old.values()))
    database.close()


def _as_stored(example: object, value: object) -> object:
    """A UUID in the form the column keeps it in."""
    form = str(example)
    return str(value) if "-" in form else getattr(value, "hex" if len(form) == 32 else "bytes")


async def test_p3_during_a_rotation_both_current_secrets_verify(
    scene: Scene, opened: Opened
) -> None:
    """P3, FR-3: old and new sign side by side; a third does not."""
    connection = await scene.create()
    newer = b"the next secret of the webhook"
    await rotate(scene, connection, opened.database_url, newer)

    statuses = [
        (
            await scene.post(connection.webhook_url, scene.delivery(connection, secret=s))
        ).status_code
        for s in (connection.secret, Secret(value=newer), Secret(value=b"nobody knows this"))
    ]

    assert statuses == [202, 202, 401]


async def test_unknown_provider_token_and_foreign_provider_are_the_same_404(scene: Scene) -> None:
    """P6: nobody learns from the answer whether a token exists."""
    connection = await scene.create()
    token = connection.webhook_url.rpartition("/")[2]
    request = scene.delivery(connection)
    base = f"{scene.url}/v1/integrations/webhooks"

    answers = [
        await scene.post(f"{base}/{path}", request)
        for path in (
            f"github/{'x' * len(token)}",
            f"gitlab/{token}",
            f"nothing/{token}",
            "nothing/x",
            f"GitHub/{token}",
            f"github/{token}x",
            "%ff/%ff",
        )
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({orjson.dumps(beyond_the_moment(answer)) for answer in answers}) == 1


async def test_a_body_over_the_limit_by_its_declared_length_is_413_unread(scene: Scene) -> None:
    connection = await scene.create()
    address = urlsplit(connection.webhook_url)
    stream = await trio.open_tcp_stream("127.0.0.1", address.port or 0)
    head = f"POST {address.path} HTTP/1.1\r\nhost: x\r\ncontent-length: {26 * 1024 * 1024}\r\n\r\n"

    with trio.fail_after(10):
        await stream.send_all(head.encode())
        answer = b""
        while b"limit_bytes" not in answer:
            answer += await stream.receive_some(65536)
    await stream.aclose()

    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"TOO_LARGE"' in answer
    assert b'"limit_bytes":26214400' in answer


async def test_a_chunked_body_over_the_limit_is_413(scene: Scene) -> None:
    """Nobody needs to declare a length; the bytes are counted as they come."""
    connection = await scene.create()
    request = scene.delivery(connection)

    async def chunks():  # type: ignore[no-untyped-def]
        for _ in range(26):
            yield b" " * (1024 * 1024)

    answer = await scene.http.post(
        connection.webhook_url, content=chunks(), headers=dict(request.headers)
    )

    assert answer.status_code == 413
    assert error_of(answer)["details"]["limit_bytes"] == 25 * 1024 * 1024


@pytest.mark.parametrize("declared", ["9" * 5000, "26214401", " 26214401 "])
def test_an_absurd_declared_length_is_too_large(declared: str) -> None:
    with pytest.raises(TooLargeError):
        reject_oversized(declared, 26214400)


@pytest.mark.parametrize("declared", [None, "", "abc", "-1", "\u0661", "26214400"])
def test_a_length_that_says_nothing_wrong_is_read_on(declared: str | None) -> None:
    assert reject_oversized(declared, 26214400) is None  # type: ignore[func-returns-value]


def resigned(body: bytes, event: str = "pull_request") -> Request:
    secret = Secret(value=b"only-github-and-we-know-this")
    return signed("github", event, body, secret=secret, event_id=str(new_id()))


@pytest.mark.parametrize(
    ("body", "field"),
    [(b"", None), (b"{", None), (b"[]", None), (b'{"action": 1}', "action")],
)
async def test_verified_bytes_that_are_no_document_are_400(
    scene: Scene, body: bytes, field: str | None
) -> None:
    """P3: the signature was right, so the sender learns what is wrong; P9: rejected."""
    connection = await scene.create()

    answer = await scene.post(connection.webhook_url, resigned(body))

    assert answer.status_code == 400
    error = error_of(answer)
    assert error["code"] == "MALFORMED_PAYLOAD"
    assert error["details"].get("field") == field


async def test_malformed_bytes_without_a_good_signature_are_401_not_400(scene: Scene) -> None:
    """P3: nothing is said of a document whose sender is unknown."""
    connection = await scene.create()
    forged = signed(
        "github", "push", b"{", secret=Secret(value=b"not the secret"), event_id=str(new_id())
    )

    answer = await scene.post(connection.webhook_url, forged)

    assert answer.status_code == 401


async def test_over_the_rate_is_429_with_retry_after_and_the_next_connection_is_not_slowed(
    opened: Opened,
) -> None:
    """P7, P6: each connection has its own rate."""
    settings = opened.settings(webhook_rate_per_s=1, webhook_burst=3)
    async with running(opened, settings) as scene:
        loud, quiet = await scene.create(), await scene.create("globex")

        answers = [await scene.deliver(loud) for _ in range(5)]
        other = await scene.deliver(quiet)

        assert [answer.status_code for answer in answers[:3]] == [202] * 3
        assert 429 in {answer.status_code for answer in answers[3:]}
        limited = next(answer for answer in answers if answer.status_code == 429)
        assert error_of(limited)["code"] == "RATE_LIMITED"
        assert 1 <= int(limited.headers["retry-after"]) <= 2
        assert other.status_code == 202


async def test_a_full_inbox_is_503_with_retry_after(opened: Opened) -> None:
    """P7: the bound of the inbox; nothing is lost, the provider is asked to come back."""
    async with running(opened, opened.settings(inbox_limit=2)) as scene:
        connection = await scene.create()  # not verified, so nothing leaves the inbox

        answers = [await scene.deliver(connection) for _ in range(4)]

        assert [answer.status_code for answer in answers] == [202, 202, 503, 503]
        assert error_of(answers[2])["code"] == "OVERLOADED"
        assert int(answers[2].headers["retry-after"]) >= 1
        assert (await scene.ledger())["accepted"] == 2


async def test_an_unavailable_store_at_the_door_is_503(scene: Scene) -> None:
    connection = await scene.create()
    scene.store.failing["endpoint"] = StoreUnavailableError("gone")

    answer = await scene.deliver(connection)

    assert answer.status_code == 503
    assert "retry-after" in answer.headers


async def test_a_store_that_is_full_says_when_to_come_back(scene: Scene) -> None:
    connection = await scene.create()
    full = StoreFullError("full", retry_after=timedelta(seconds=7))
    scene.store.failing["accept"] = full

    answer = await scene.deliver(connection)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


async def test_key_management_down_is_503_until_it_is_back(scene: Scene) -> None:
    """P3: while the secret can not be had nothing is taken; the sender may come back."""
    connection = await scene.create()
    # A node that has just started remembers no data key.
    scene.node.ports.secrets._known._kept.clear()  # type: ignore[attr-defined]
    await scene.control(scene.around.kms_url, "down", {"status": 503})

    refused = await scene.deliver(connection)
    await scene.control(scene.around.kms_url, "up", {})
    taken = await scene.deliver(connection)

    assert refused.status_code == 503
    assert error_of(refused)["code"] == "DEPENDENCY_UNAVAILABLE"
    assert "retry-after" in refused.headers
    assert taken.status_code == 202


async def test_a_large_body_is_examined_in_a_thread_and_forwarded(scene: Scene) -> None:
    connection = await scene.active()
    document = orjson.loads(scene.delivery(connection).body)
    document["pull_request"]["body"] = "x" * webhooks.LARGE_BYTES

    answer = await scene.post(connection.webhook_url, resigned(orjson.dumps(document)))

    assert answer.status_code == 202
    assert len(await scene.arrived(1)) == 1


async def test_p3_a_large_body_with_a_wrong_signature_is_401(scene: Scene) -> None:
    """P3: the thread makes no difference."""
    connection = await scene.create()
    request = resigned(b'{"a": "' + b"x" * webhooks.LARGE_BYTES + b'"}')

    answer = await scene.post(
        connection.webhook_url, request, x_hub_signature_256="sha256=" + "0" * 64
    )

    assert answer.status_code == 401


async def test_a_form_encoded_webhook_is_taken(scene: Scene) -> None:
    """GitHub's other content type: the signature is over the form, the document is in ``payload``."""
    connection = await scene.active()
    json_body = scene.delivery(connection).body.decode()
    form = f"payload={quote_plus(json_body)}".encode()
    signature = "sha256=" + hmac_hex(form, secret=connection.secret)
    request = scene.delivery(connection, event_id="guid-form")

    answer = await scene.http.post(
        connection.webhook_url,
        content=form,
        headers={
            **dict(request.headers),
            "content-type": "application/x-www-form-urlencoded",
            "x-hub-signature-256": signature,
        },
    )

    assert answer.status_code == 202
    (signal,) = await scene.arrived(1)
    assert signal["correlation_id"] == "guid-form"


async def test_what_comes_before_verification_is_kept_and_forwarded_after_it(scene: Scene) -> None:
    """A delivery to a connection that is not active yet waits in the inbox."""
    connection = await scene.create()
    early = await scene.deliver(connection, "early")

    path = f"/v1/integrations/connections/{connection.connection_id}/verify"
    await scene.call("tenant_admin", "POST", path)

    assert early.status_code == 202
    (signal,) = await scene.arrived(1)
    assert signal["correlation_id"] == "early"


async def test_a_deleted_connections_endpoint_is_404(scene: Scene) -> None:
    connection = await scene.create()
    store: Store = scene.store  # type: ignore[assignment]
    await store.change_state(
        "acme",
        UUID(connection.connection_id),
        expected=(ConnectionState.PENDING_VERIFICATION,),
        state=ConnectionState.DELETED,
        reason="the tenant left",
        now=scene.clock.now(),
        receipt=None,
    )

    answer = await scene.deliver(connection)

    assert answer.status_code == 404


async def test_sec_ia_02_a_tenants_webhooks_become_its_signals_only(scene: Scene) -> None:
    """SEC-IA-02, P6: two tenants, one secret, one guid: each has one signal, of its own connection."""
    first, second = await scene.active(), await scene.active("globex")
    request = scene.delivery(first, event_id="guid-1")

    for connection in (first, second):
        assert (await scene.post(connection.webhook_url, request)).status_code == 202

    for connection in (first, second):
        (signal,) = await scene.arrived(1, connection.tenant_id)
        assert signal["producer_id"] == connection.connection_id
        assert signal["tenant_id"] == connection.tenant_id


async def test_p5_the_signals_of_a_connection_are_numbered_in_the_order_accepted(
    scene: Scene,
) -> None:
    connection = await scene.active()

    for number in range(6):
        assert (await scene.deliver(connection, f"guid-{number}")).status_code == 202

    signals = await scene.arrived(6)
    assert [s["correlation_id"] for s in signals] == [f"guid-{number}" for number in range(6)]
    assert [s["sequence_no"] for s in signals] == [1, 2, 3, 4, 5, 6]


async def test_p8_a_call_never_shows_its_token_or_signature() -> None:
    async def read(_: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return b""

    request = Request(
        method="POST", url="/webhooks/github/t0ken", headers=(("x-hub-signature-256", "s1gn"),)
    )

    shown = repr(Call(provider_id="github", token="t0ken", request=request, read=read))

    assert "t0ken" not in shown
    assert "s1gn" not in shown


async def test_a_wrong_signature_never_names_itself() -> None:
    assert "sha256" not in str(SignatureError("signature does not match"))
