"""One node as a program: ordered start and stop, and clear errors where it can not start."""

from __future__ import annotations

import os
import signal
import sqlite3
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.contract import Secret
from http_edge import node
from http_edge.sending import made_payload, signed
from http_edge.settings import Settings
from http_edge.surroundings import caller_token
from persistence.errors import StoreError, StoreUnavailableError
from persistence.opening import open_store
from tests.http_edge.scene import CONNECTIONS, PATIENCE_S, WEBHOOK_SECRET, Opened


class Running:
    """A node in the test's nursery."""

    def __init__(self) -> None:
        self.shutdown = trio.Event()
        self.ended = trio.Event()

    async def run(
        self, settings: Settings, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        await node.run(settings, shutdown=self.shutdown.wait, task_status=task_status)
        self.ended.set()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
        yield http


async def webhook_url(opened: Opened, url: str, client: httpx.AsyncClient) -> str:
    token = caller_token("acme", "tenant_admin", clock=opened.clock, ids=node.new_id)
    made = await client.post(
        f"{url}{CONNECTIONS}",
        headers={"authorization": f"Bearer {token}"},
        json={
            "provider_id": "github",
            "display_name": "rocket",
            "webhook": {"secret": WEBHOOK_SECRET},
        },
    )
    return f"{url}{urlsplit(made.json()['webhook']['url']).path}"


async def test_a_node_reports_where_it_listens_and_publishes_its_providers(
    opened: Opened, client: httpx.AsyncClient, nursery: trio.Nursery
) -> None:
    """FR-1: the registry is in the database for those who read it there."""
    running = Running()
    url = await nursery.start(running.run, opened.settings())

    ready = await client.get(f"{url}/health/ready")

    assert ready.status_code == 200
    database = sqlite3.connect(opened.database_url.removeprefix("sqlite:///"))
    rows = database.execute("SELECT provider_id, category FROM integration_providers").fetchall()
    database.close()
    assert ("github", "scm") in rows


async def test_p11_shutdown_ends_run_and_closes_the_port(
    opened: Opened, client: httpx.AsyncClient, nursery: trio.Nursery
) -> None:
    running = Running()
    url = await nursery.start(running.run, opened.settings())
    assert (await client.get(f"{url}/health/live")).status_code == 200

    running.shutdown.set()
    with trio.fail_after(PATIENCE_S):
        await running.ended.wait()

    with pytest.raises(httpx.ConnectError):
        await httpx.AsyncClient(trust_env=False).get(f"{url}/health/live")


async def test_p11_a_request_under_way_is_finished_before_the_node_ends(
    opened: Opened, client: httpx.AsyncClient, nursery: trio.Nursery
) -> None:
    """P11, P1: half a body is here when the node is told to stop; the rest is taken, committed and answered 202."""
    running = Running()
    url = await nursery.start(running.run, opened.settings())
    address = urlsplit(await webhook_url(opened, url, client))
    body = made_payload("pull_request.opened", 1, at=opened.clock.now())
    request = signed(
        "github",
        "pull_request",
        body,
        secret=Secret(value=WEBHOOK_SECRET.encode()),
        event_id="guid-1",
    )
    lines = [f"{name}: {value}" for name, value in request.headers]
    lines += [f"content-length: {len(body)}", "host: x", "connection: close"]
    head = f"POST {address.path} HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    stream = await trio.open_tcp_stream("127.0.0.1", address.port or 0)
    await stream.send_all(head.encode() + body[:100])
    await client.get(f"{url}/health/live")  # what was sent before is read by now

    running.shutdown.set()
    await refused(address.port or 0)
    with trio.fail_after(PATIENCE_S):
        await stream.send_all(body[100:])
        answer = b"".join([chunk async for chunk in stream])
        await running.ended.wait()
    await stream.aclose()

    assert answer.startswith(b"HTTP/1.1 202")
    async with open_store(opened.database_url) as store:
        (row,) = await store.accounting()
        assert row.accepted == 1


async def refused(port: int) -> None:
    """Return when nobody listens there any more."""
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                return
            await stream.aclose()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
async def test_p11_a_signal_stops_the_node(
    opened: Opened, client: httpx.AsyncClient, nursery: trio.Nursery, name: str
) -> None:
    """P11: as the process manager, or Ctrl-C, would."""
    ended = trio.Event()

    async def until_signalled(
        *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        await node.run(opened.settings(), task_status=task_status)
        ended.set()

    url = await nursery.start(until_signalled)
    assert (await client.get(f"{url}/health/ready")).status_code == 200

    os.kill(os.getpid(), getattr(signal, name))

    with trio.fail_after(PATIENCE_S):
        await ended.wait()


async def test_a_restarted_node_finds_its_connections_and_their_secrets(
    opened: Opened, client: httpx.AsyncClient, nursery: trio.Nursery
) -> None:
    """P1, P8: what is stored is enough, with M33, to verify again; the token is known by its hash."""
    first = Running()
    url = await nursery.start(first.run, opened.settings())
    path = urlsplit(await webhook_url(opened, url, client)).path
    first.shutdown.set()
    await first.ended.wait()

    again = await nursery.start(Running().run, opened.settings())
    body = made_payload("push", 1, at=opened.clock.now())
    secret = Secret(value=WEBHOOK_SECRET.encode())
    request = signed("github", "push", body, secret=secret, event_id="guid-1")
    answer = await client.post(f"{again}{path}", content=body, headers=list(request.headers))

    assert answer.status_code == 202


async def test_a_database_that_can_not_be_migrated_is_a_clear_store_error(
    opened: Opened, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database at all" * 100)

    with pytest.raises(StoreUnavailableError, match="can not migrate"):
        await node.run(opened.settings(database_url=f"sqlite:///{broken}"))


async def test_a_database_server_that_is_not_there_is_a_clear_store_error(opened: Opened) -> None:
    """P8: the message never repeats the URL's password."""
    url = "postgresql://ia:s3cret@127.0.0.1:1/ia"

    with pytest.raises(StoreError) as refused_with:
        await node.run(opened.settings(database_url=url))

    assert "s3cret" not in str(refused_with.value)


async def test_ids_are_ordered_by_time() -> None:
    made = [node.new_id() for _ in range(100)]

    assert made == sorted(made)
    assert {one.version for one in made} == {7}


async def test_with_a_certificate_the_node_serves_https(
    opened: Opened, tmp_path: Path, nursery: trio.Nursery
) -> None:
    certificate, key = self_signed(tmp_path)
    settings = opened.settings(tls_certificate=str(certificate), tls_key=str(key))
    url = await nursery.start(Running().run, settings)

    context = ssl.create_default_context(cafile=certificate)
    async with httpx.AsyncClient(trust_env=False, verify=context, timeout=PATIENCE_S) as client:
        answer = await client.get(f"{url}/health/live")

    assert url.startswith("https://127.0.0.1:")
    assert answer.status_code == 200


def self_signed(folder: Path) -> tuple[Path, Path]:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a node")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"
