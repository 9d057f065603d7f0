"""SEC-IA-01, P8: whatever a node does, well or badly, its secrets are only where they must be. And the scan can fail."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

import httpx
import orjson
import pytest
import trio
from attrs import define, field, frozen
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.contract import Request, Response, Secret
from adapters.simulation import Reply
from http_edge import surroundings
from http_edge.simulators import serve_simulator
from persistence.opening import is_postgres, sqlite_path
from tests.http_edge.leaks import database, leaks, living
from tests.http_edge.scene import CONNECTIONS, EVENTS, EXECUTE, Scene, neighbours, running
from tests.postgres import execute

pytestmark = pytest.mark.thorough

CALLBACK = "/v1/integrations/oauth/callback"
PROVIDER, KEYS, IDENTITY = "GitHub", "KeyManagement", "IdentityService"
SECRET_FIELDS = frozenset(
    {"access_token", "refresh_token", "token", "code", "code_verifier", "client_secret", "secret"}
)
TOLD_ONCE = (("webhook", "url"), ("rotation", "webhook_url"), ("authorization_url",))
APP_PERMISSIONS = ["issues:write", "pull_requests:write", "metadata:read", "contents:read"]


@frozen
class Call:
    """What went over the wire to a neighbour and came back; bytes, so that no live object of ours holds it."""

    neighbour: str
    url: bytes
    headers: bytes
    authorization: str
    body: bytes
    answer: bytes


@define
class Wire:
    """Everything that the neighbours were asked, and what the node that listens on ``url`` answered."""

    url: str = ""
    calls: list[Call] = field(factory=list)
    answers: dict[str, bytes] = field(factory=dict)

    def tapped(self, handle: Callable[..., Response | Reply]) -> Callable[..., Response | Reply]:
        neighbour = type(getattr(handle, "__self__", handle)).__name__

        def answering(request: Request, **at: Any) -> Response | Reply:
            reply = handle(request, **at)
            response = reply.response if isinstance(reply, Reply) else reply
            if not request.url.startswith("/_sim/"):
                self.calls.append(_call(neighbour, request, response))
            return reply

        return answering

    async def heard(self, answer: httpx.Response) -> None:
        """An answer of the node: all but what it tells once, in the answers that tell it."""
        if not str(answer.request.url).startswith(self.url):
            return
        body = await answer.aread()
        head = orjson.dumps([list(pair) for pair in answer.headers.multi_items()])
        path = answer.request.url.path
        asked = f"the answer to {answer.request.method} {path}"
        self.answers[asked] = self.answers.get(asked, b"") + head + _without_told_once(body)


def _call(neighbour: str, request: Request, response: Response | None) -> Call:
    headers = dict(request.headers)
    return Call(
        neighbour,
        request.url.encode(),
        repr({name: text for name, text in headers.items() if name != "authorization"}).encode(),
        headers.get("authorization", ""),
        bytes(request.body),
        b"" if response is None else bytes(response.body),
    )


def _without_told_once(body: bytes) -> bytes:
    try:
        document = orjson.loads(body)
    except ValueError:
        return body
    for way in TOLD_ONCE:
        inner = document
        for name in way[:-1]:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner.pop(way[-1], None)
    return orjson.dumps(document)


def secrets_on(wire: Wire) -> Iterator[tuple[str, bytes]]:
    """Every secret that the provider and M33 saw or said, whoever made it."""
    for call in wire.calls:
        if call.neighbour == PROVIDER:
            _, _, bearer = call.authorization.partition(" ")
            if bearer:
                yield "a bearer", bearer.encode()
            for text in (call.body, call.answer):
                yield from _fields_of(text)
        if call.neighbour == KEYS:
            for text in (call.body, call.answer):
                plain = _document(text).get("plaintext")
                if plain is not None:
                    yield "a data key", base64.b64decode(plain)


def _fields_of(text: bytes) -> Iterator[tuple[str, bytes]]:
    waiting: list[object] = [_document(text) or dict(parse_qsl(text.decode("latin-1")))]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        if isinstance(value, dict):
            waiting += value.values()
            for name in SECRET_FIELDS & value.keys():
                if isinstance(value[name], str) and value[name] != "********":
                    yield f"a {name}", value[name].encode()


def _document(text: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def app_key() -> tuple[str, str]:
    """A private key and its public one, PEM."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private.decode(), public.decode()


@frozen(kw_only=True)
class Known:
    """The secrets that the test itself uses."""

    private_key: str
    public_key: str
    client_secret: str = "cs-Zm9v/YmFy+quux=the-client"
    wrong_token: str = "ghp_" + "Z9y8" * 9
    new_token: str = "ghp_" + "N3w+" * 9
    hook_secret: str = "hook/secret+of&the=first?connection"
    new_hook_secret: str = "hook/secret+of&the=second"
    forged: str = "a secret/of+a forger"

    def named(self) -> dict[str, bytes]:
        lines = self.private_key.splitlines()
        return {
            "the client's secret": self.client_secret.encode(),
            "the wrong token": self.wrong_token.encode(),
            "the new token": self.new_token.encode(),
            "the webhook secret": self.hook_secret.encode(),
            "the new webhook secret": self.new_hook_secret.encode(),
            "the forger's secret": self.forged.encode(),
            **{f"line {n} of the app's key": lines[n].encode() for n in range(2, len(lines) - 2)},
        }


async def post(scene: Scene, path: str, body: object = None, role: str = "tenant_admin") -> Any:
    return await scene.call(role, "POST", path, body)


async def of_a_token(scene: Scene, known: Known) -> dict[str, bytes]:
    """Create, verify, webhooks good and forged, an action, rotation, all of it again, the end."""
    watched: dict[str, Any] = {"settings": {"repositories": [surroundings.REPOSITORY]}}
    created = await scene.active(webhook={"secret": known.hook_secret}, **watched)
    made_by_us = await scene.active(webhook={}, **watched)
    path = f"{CONNECTIONS}/{created.connection_id}"
    good = scene.delivery(created)
    forged = scene.delivery(created, secret=Secret(value=known.forged.encode()))
    for one in (good, good, forged):
        await scene.post(created.webhook_url, one)
    action = scene.action_body(created, "k")
    wait = {"prefer": "wait=10"}
    await scene.call("module", "POST", EXECUTE, action, headers=wait)
    await scene.call("module", "POST", EVENTS, scene.envelope(created))
    await post(scene, f"{path}/subscribe")
    await scene.control(
        scene.around.github_url, "tokens", {"token": known.new_token, "scopes": ["repo"]}
    )
    rotated = await post(
        scene,
        f"{path}/rotate",
        {
            "auth": {"method": "token", "token": known.new_token},
            "webhook": {"secret": known.new_hook_secret},
            "webhook_url": True,
        },
    )
    assert rotated.status_code == 200, rotated.text
    await post(scene, f"{path}/verify")
    await scene.deliver(created)
    urls = (
        created.webhook_url,
        made_by_us.webhook_url,
        rotated.json()["rotation"]["webhook_url"],
    )
    return {
        f"token {n} of a webhook URL": url.rpartition("/")[2].encode()
        for n, url in enumerate(urls)
    }


async def of_a_login(scene: Scene, known: Known) -> dict[str, bytes]:
    """A person logs in, an action is done, the grant is taken back, the next action needs a login: an incident."""
    client = {"client_id": "Iv1.rocket", "client_secret": known.client_secret}
    told = {**client, "redirect_uri": f"{scene.url}{CALLBACK}"}
    await scene.control(scene.around.github_url, "clients", told)
    created = await scene.create(auth={"method": "oauth2", **client})
    path = f"{CONNECTIONS}/{created.connection_id}"
    started = await post(scene, f"{path}/oauth/start")
    url = started.json()["authorization_url"]
    back = (await scene.http.get(url)).headers["location"]
    finished = await scene.http.get(back)
    assert finished.json()["status"] == "active", finished.text
    await scene.http.get(back)  # a second time
    await scene.control(scene.around.github_url, "revocations", {"login": "octo-bot"})
    wait = {"prefer": "wait=10"}
    await scene.call("module", "POST", EXECUTE, scene.action_body(created, "k3"), headers=wait)

    async def in_error() -> bool:
        shown = await scene.call("viewer", "GET", path)
        return bool(shown.json()["status"] == "error")

    await scene.until(in_error)
    state, code = (parse_qs(urlsplit(back).query)[name][0] for name in ("state", "code"))
    return {"the state of a login": state.encode(), "the code of a login": code.encode()}


async def of_an_app(scene: Scene, known: Known) -> None:
    """An app's key signs for an installation, and for one that there is not."""
    app = {"app_id": "77", "public_key": known.public_key, "installations": {"5": APP_PERMISSIONS}}
    await scene.control(scene.around.github_url, "apps", app)
    for installation in ("5", "6"):
        auth = {
            "method": "app",
            "app_id": "77",
            "installation_id": installation,
            "private_key": known.private_key,
        }
        made = await scene.create(auth=auth)
        tried = await post(scene, f"{CONNECTIONS}/{made.connection_id}/verify")
        assert tried.json()["verification"]["passed"] is (installation == "5"), tried.text


async def badly(scene: Scene, known: Known) -> None:
    """Wrong tokens, wrong bodies, a crash at the edge and one of an actor, and neighbours that are away."""
    refused = await scene.create(auth={"token": known.wrong_token})
    await post(scene, f"{CONNECTIONS}/{refused.connection_id}/verify")
    misplaced = {"display_name": ["hush"], "auth": {"token": known.wrong_token, "x": 1}}
    await post(scene, CONNECTIONS, scene.connection_body(**misplaced))
    unknown = {"method": known.client_secret}
    await post(scene, CONNECTIONS, scene.connection_body(auth=unknown))
    await post(scene, CONNECTIONS, known.private_key.encode())
    again = scene.connection_body()
    for _ in range(2):
        key = {"idempotency-key": "once"}
        await scene.call("tenant_admin", "POST", CONNECTIONS, again, headers=key)
    other = await scene.create()
    scene.store.failing["endpoint"] = RuntimeError("broken")
    await scene.deliver(other)
    scene.store.failing.clear()
    await scene.control(scene.around.iam_url, "down", {"status": 503})
    scene.token("operator", "initech")
    await scene.call("operator", "GET", CONNECTIONS, tenant="initech")
    await scene.control(scene.around.iam_url, "up", {})


async def looked_at(scene: Scene) -> None:
    """Everything that can be read is read, by everyone who may."""
    page = (await scene.call("viewer", "GET", CONNECTIONS)).json()["connections"]
    for one in page:
        await scene.call("viewer", "GET", f"{CONNECTIONS}/{one['connection_id']}")
        health = f"/internal/integrations/connections/{one['connection_id']}/health"
        await scene.call("viewer", "GET", health)
    actions = (await scene.call("viewer", "GET", "/internal/integrations/actions")).json()
    for one in actions["actions"]:
        await scene.call("viewer", "GET", f"/internal/integrations/actions/{one['action_id']}")
    for path in (
        "/v1/integrations/providers/github",
        "/metrics",
        "/openapi.json",
        "/health/ready",
    ):
        await scene.call("operator", "GET", path)


async def told(wire: Wire, scene: Scene, neighbours: set[str]) -> None:
    """Wait until each of the neighbours was told something."""

    async def all_told() -> bool:
        await trio.lowlevel.checkpoint()
        return neighbours <= {call.neighbour for call in wire.calls}

    await scene.until(all_told)


def passed_on(wire: Wire) -> dict[str, bytes]:
    """What the siblings were sent, without the header that proves us to them."""
    places: dict[str, bytes] = {}
    for call in wire.calls:
        if call.neighbour != PROVIDER:
            sent = b"\n".join((call.url, call.headers, call.body, b""))
            places[call.neighbour] = places.get(call.neighbour, b"") + sent
    return places


def without(places: Mapping[str, bytes], *names: str) -> dict[str, bytes]:
    return {where: content for where, content in places.items() if where not in names}


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """What the neighbours of this test are asked."""
    wire = Wire()

    async def serve_tapped(handle: Callable[..., Any], **options: Any) -> None:
        await serve_simulator(wire.tapped(handle), **options)

    monkeypatch.setattr(surroundings, "serve_simulator", serve_tapped)
    return wire


async def test_sec_ia_01_no_secret_is_where_it_need_not_be(store_url: str, wire: Wire) -> None:
    """SEC-IA-01, P8: rows and files, logs, answers, metrics, receipts, alerts, telemetry, reprs of what lives."""
    private, public = app_key()
    known = Known(private_key=private, public_key=public)

    async with neighbours(store_url) as opened, running(opened, opened.settings()) as scene:
        wire.url, scene.http.event_hooks = scene.url, {"response": [wire.heard]}
        urls = await of_a_token(scene, known)
        login = await of_a_login(scene, known)
        await of_an_app(scene, known)
        await badly(scene, known)
        await told(wire, scene, {"EvidenceService", "AlertingService", "HealthService"})
        await scene.arrived(2)
        await looked_at(scene)
        log, shown = scene.log.getvalue(), living()
        of_callers = {
            "an administrator's token": scene.token("tenant_admin").encode(),
            "a module's token": scene.token("module").encode(),
            "a token that IAM did not see": scene.token("operator", "initech").encode(),
        }
        of_neighbours = {
            "IAM's secret": scene.around.iam_secret.value,
            "the token of GitHub": scene.around.github_token.value,
            "the approval for M33": b"approved-for-development",
            "PM-3's token": b"valid_token_acme",
        }
    rows = await trio.to_thread.run_sync(partial(database, store_url))

    on_wire = dict.fromkeys(secrets_on(wire))
    seen = {f"{name} ({number})": value for number, (name, value) in enumerate(on_wire)}
    of_providers = {**known.named(), **urls, **login}
    secrets = {**of_providers, **of_callers, **of_neighbours, **seen}
    siblings, answers = passed_on(wire), wire.answers
    everywhere = {"the log": log.encode(), **answers, **shown, **rows}
    assert leaks(secrets, {**everywhere, **without(siblings, KEYS, IDENTITY)}) == []
    # M33 sees the keys of our data and its approval, IAM the tokens of callers; nothing else.
    assert leaks(of_providers, siblings) == []
    # It was a whole day, and each kind of secret was there to be found.
    assert {name for name, _ in on_wire} == {
        "a bearer",
        "a data key",
        *(f"a {name}" for name in SECRET_FIELDS),
    }
    for event in ("request.crashed", "webhook.rejected", "token.not_granted", "incident.told"):
        assert event in log
    assert len(answers) > 20
    assert {"receipts.body", "sealed_secrets.ciphertext", "incidents.summary"} <= rows.keys()
    assert "repr of actors.connection.ConnectionActor" in shown


async def test_sec_ia_01_credentials_that_a_provider_repeats_go_no_further(
    sqlite_url: str, wire: Wire
) -> None:
    """What a provider says of a refusal is shown to people; some repeat what they were sent.

    Tokens of a known shape are found by it; this one, of GitHub's old form, has none.
    """
    async with neighbours(sqlite_url) as opened, running(opened, opened.settings()) as scene:
        token = b"0f1e2d3c4b5a69788796a5b4c3d2e1f001234567"
        known = {"token": token.decode(), "scopes": ["repo"]}
        await scene.control(scene.around.github_url, "tokens", known)
        said = orjson.dumps({"message": f"you said {token.decode()}"}).decode()
        wire.url, scene.http.event_hooks = scene.url, {"response": [wire.heard]}
        connection = await scene.active(auth={"token": token.decode()})
        fault = {"effect": "none", "status": 422, "body": said, "method": "POST"}
        await scene.control(scene.around.github_url, "faults", fault)
        action = scene.action_body(connection, "k")
        wait = {"prefer": "wait=10"}
        ended = await scene.call("module", "POST", EXECUTE, action, headers=wait)
        assert ended.json()["status"] == "refused"
        await told(wire, scene, {"EvidenceService"})
        places = {"the log": scene.log.getvalue().encode(), **wire.answers, **living()}
    rows = await trio.to_thread.run_sync(partial(database, sqlite_url))

    assert leaks({"the token": token}, {**places, **rows, **passed_on(wire)}) == []


SECRET = b"s3cret/with+odd=signs&more"
JWT_LIKE = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "secret", [SECRET, JWT_LIKE, bytes(range(200, 232)), "gehéim/nis".encode()]
)
@pytest.mark.parametrize("around", [b"", b"a", b"ab", b"abc:"])
def test_a_planted_secret_is_found_in_every_dress(secret: bytes, around: bytes) -> None:
    dressed = {
        "raw": around + secret + around,
        "base64": base64.b64encode(around + secret + around),
        "base64url": base64.urlsafe_b64encode(around + secret + b"x"),
        "basic": b"Basic " + base64.b64encode(b"client:" + secret),
        "hex": (around + secret).hex().encode(),
        "URL": b"?token=" + quote(secret, safe="").encode() + b"&x",
        "repr": repr(around + secret).encode(),
    }

    for dress, content in dressed.items():
        assert leaks({"s": secret}, {dress: content}), dress


def test_a_secret_with_line_ends_is_found_in_json() -> None:
    secret = b'first line\nsecond "line"\n'

    assert leaks({"s": secret}, {"x": orjson.dumps({"key": secret.decode()})})


def test_what_is_no_secret_is_not_found() -> None:
    assert leaks({"s": SECRET}, {"x": SECRET[:-1] + base64.b64encode(SECRET[1:])}) == []


def test_a_secret_that_is_too_short_is_not_looked_for_in_vain() -> None:
    with pytest.raises(AssertionError):
        leaks({"s": b"1234567"}, {})


def plant(url: str, table: str, column: str, value: bytes) -> None:
    """Write into a column of the one row of a table, as a careless program would."""
    if is_postgres(url):
        execute(url, f"UPDATE {table} SET {column} = '\\x{value.hex()}'::bytea")  # noqa: S608
        return
    opened = sqlite3.connect(sqlite_path(url))
    try:
        opened.execute(f"UPDATE {table} SET {column} = ?", (value,))  # noqa: S608
        opened.commit()
    finally:
        opened.close()


def plant_text(url: str, table: str, column: str, value: str) -> None:
    """The same in a column of text."""
    if is_postgres(url):
        execute(url, f"UPDATE {table} SET {column} = '{value}'")  # noqa: S608
        return
    plant(url, table, column, value.encode())


def test_a_secret_in_any_column_is_found_there(store_url: str) -> None:
    """In a text and in a blob, on both engines."""
    from persistence.opening import open_store  # noqa: PLC0415
    from tests.persistence.samples import connected  # noqa: PLC0415

    async def fill() -> None:
        async with open_store(store_url) as store:
            await connected(store)

    trio.run(fill)
    assert leaks({"s": SECRET}, database(store_url)) == []

    plant_text(store_url, "receipts", "operation", SECRET.decode())
    plant_text(
        store_url, "integration_connections", "display_name", base64.b64encode(SECRET).decode()
    )
    plant(store_url, "receipts", "digest", b"\x00" + SECRET + b"\xff")

    found = leaks({"s": SECRET}, database(store_url))
    assert "s (raw) in receipts.operation" in found
    assert "s (raw) in receipts.digest" in found
    assert "s (base64 at 0) in integration_connections.display_name" in found


def test_what_was_deleted_from_a_file_is_found_in_its_bytes(sqlite_url: str) -> None:
    path = Path(sqlite_path(sqlite_url))
    path.with_name(f"{path.name}-journal").write_bytes(b"\x00" + SECRET)

    assert leaks({"s": SECRET}, database(sqlite_url)) == [
        f"s (raw) in the file {path.name}-journal"
    ]


def test_a_secret_in_the_repr_of_something_that_lives_is_found() -> None:
    careless = Response(status=303, headers=(("location", f"/?token={SECRET.decode()}"),))

    found = leaks({"s": SECRET}, living())

    assert "s (raw) in repr of adapters.contract.Response" in found
    assert careless.status == 303


def test_p8_a_request_does_not_show_its_url() -> None:
    """A webhook's holds its token, a login's its code."""
    request = Request(method="POST", url="/v1/integrations/webhooks/github/t0ken")

    assert "t0ken" not in repr(request)
