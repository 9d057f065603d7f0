"""The webhook edge: who, how fast, how large, whose bytes, what document, and only then a 2xx."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
import pytest
import trio
import trio.testing
from attrs import evolve

from adapters.contract import Request, Response, Secret
from adapters.errors import SignatureError
from adapters.github import ADAPTER
from http_edge.node import new_id
from http_edge.sending import signed
from http_edge.webhooks import Call, accept
from persistence.records import ConnectionState
from tests.http_edge.scene import (
    Connected,
    Opened,
    Scene,
    beyond_the_moment,
    error_of,
    resigned,
)
from tests.persistence import samples


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
        database.execute(f"INSERT INTO sealed_secrets VALUES ({marks})", list(old.values()))  # noqa: S608 - question marks
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


class Greeting:
    """A provider whose first call is a handshake."""

    manifest = ADAPTER.manifest

    def receive(self, *_: object, **__: object) -> Response:
        return Response(status=200, body=b"challenge")


async def test_a_handshake_is_answered_as_the_adapter_says_and_is_no_delivery(
    scene: Scene,
) -> None:
    connection = await scene.create()
    ports: Any = scene.node.edge.webhooks
    greeting = evolve(ports, registry=SimpleNamespace(get=lambda _: Greeting()))

    async def read(_: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"{}"

    token = connection.webhook_url.rpartition("/")[2]
    head = Request(method="POST", url="/")
    answer = await accept(
        Call(provider_id="github", token=token, request=head, read=read), greeting
    )

    assert answer.body == b"challenge"
    assert (await scene.ledger())["accepted"] == 0
    exposed = (await scene.http.get(f"{scene.url}/metrics")).text
    assert 'status="handshake",tenant="acme"} 1.0' in exposed


async def test_what_comes_before_verification_is_kept_and_forwarded_after_it(scene: Scene) -> None:
    """A delivery to a connection that is not active yet waits in the inbox."""
    connection = await scene.create()
    early = await scene.deliver(connection, "early")

    path = f"/v1/integrations/connections/{connection.connection_id}/verify"
    await scene.call("tenant_admin", "POST", path)

    assert early.status_code == 202
    (signal,) = await scene.arrived(1)
    assert signal["correlation_id"] == "early"


async def test_a_deleted_connections_endpoint_is_410(scene: Scene) -> None:
    connection = await scene.create()
    await samples.move(
        scene.store,
        connection,
        ConnectionState.DELETED,
        reason="the tenant left",
        now=scene.clock.now(),
    )

    answer = await scene.deliver(connection)

    assert answer.status_code == 410
    assert error_of(answer)["code"] == "GONE"


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
