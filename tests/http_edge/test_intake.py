"""What a caller says of a connection, checked against its provider: every kind of provider, not only GitHub's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.orders import Edits, NewConnection, Rotation
from adapters.contract import Adapter, Secret
from adapters.credentials import AppKey, ClientCredentials, StaticToken
from adapters.errors import CredentialsError, SettingsError
from adapters.github import GitHub
from adapters.manifest import AuthMethod
from adapters.oauth import OAuthClient
from adapters.polling import Resource
from http_edge import intake
from http_edge.bodies import ConnectionBody, ConnectionEdits, RotationBody
from http_edge.edge import Edge
from http_edge.errors import InvalidError
from http_edge.reading import shaped
from persistence.records import ConnectionRecord, ConnectionState
from tests.actors.platform.world import EPOCH
from tests.fakes.adapters import ScriptedAdapter
from tests.fakes.ledgerbook import LEDGERBOOK, LedgerbookAdapter
from tests.http_edge.scene import CONNECTIONS, Opened, Scene, error_of, running


def by_hand() -> Adapter:
    """An adapter that takes every kind of credentials, and whose webhooks are not made by an API."""
    manifest = ScriptedAdapter().manifest
    return ScriptedAdapter(manifest=evolve(manifest, auth_methods=tuple(AuthMethod)))


class Blank(LedgerbookAdapter):
    """A book with nothing in it that could be polled."""

    def resources(self, settings: bytes) -> tuple[Resource, ...]:
        """See ``Polls.resources``."""
        return ()


def edge(**clients: OAuthClient) -> Edge:
    """As much of an edge as is looked at here."""
    ports = SimpleNamespace(oauth_clients=clients, entropy=lambda count: b"\x07" * count)
    return SimpleNamespace(ports=ports)  # type: ignore[return-value]


async def made(adapter: Adapter, over: Edge | None = None, **fields: Any) -> NewConnection:
    body = shaped({"provider_id": "x", "display_name": "x", **fields}, ConnectionBody)
    return await intake.new_connection(body, adapter, over or edge())


def rotated(adapter: Adapter, **fields: Any) -> Rotation:
    return intake.rotation(shaped(fields, RotationBody), adapter, edge())


def connection(**changes: Any) -> ConnectionRecord:
    record = ConnectionRecord(
        connection_id=UUID(int=1),
        tenant_id="acme",
        provider_id="scripted",
        display_name="x",
        state=ConnectionState.ACTIVE,
        base_url="https://provider.test",
        capabilities=("webhook",),
        auth_ref=None,
        settings=b"{}",
        tags=b"{}",
        created_at=EPOCH,
        updated_at=EPOCH,
    )
    return evolve(record, **changes)


def pem() -> str:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_each_method_gives_its_credentials() -> None:
    secret = Secret(value=b"s")
    auths: list[tuple[dict[str, Any], Any, OAuthClient | None]] = [
        ({"token": "s"}, StaticToken(token=secret), None),
        (
            {"method": "client_credentials", "client_id": "c", "client_secret": "s"},
            ClientCredentials(client_id="c", client_secret=secret),
            None,
        ),
        (
            {"method": "app", "app_id": "1", "installation_id": "2", "private_key": "s"},
            AppKey(app_id="1", installation_id="2", private_key=secret),
            None,
        ),
        ({"method": "oauth2", "client_id": "c"}, None, OAuthClient(client_id="c")),
        (
            {"method": "oauth2", "client_id": "c", "client_secret": "s"},
            None,
            OAuthClient(client_id="c", client_secret=secret),
        ),
    ]

    for auth, credentials, client in auths:
        found = await made(by_hand(), auth=auth)
        assert (found.credentials, found.client) == (credentials, client), auth
        assert found.capabilities == ("outbound_actions",)


async def test_the_operators_client_serves_who_names_none() -> None:
    over = edge(scripted=OAuthClient(client_id="ours"))

    found = await made(by_hand(), over, auth={"method": "oauth2"})

    assert (found.credentials, found.client) == (None, None)
    for auth in ({"method": "oauth2", "client_secret": "s"}, {"method": "oauth2"}):
        with pytest.raises(InvalidError, match=r"auth\.client_id: is needed"):
            await made(by_hand(), over if len(auth) > 1 else edge(), auth=auth)


async def test_a_key_that_can_not_be_read_is_refused_at_the_door() -> None:
    """Without a word of what is in it (P8)."""
    app = {"method": "app", "app_id": "1", "installation_id": "2"}

    good = await made(GitHub(), auth={**app, "private_key": pem()})
    with pytest.raises(CredentialsError) as refused:
        await made(GitHub(), auth={**app, "private_key": "-----BEGIN hush-----"})

    assert isinstance(good.credentials, AppKey)
    assert "hush" not in str(refused.value)


async def test_a_provider_that_is_told_by_hand_needs_the_secret_said() -> None:
    """Nobody would tell it a secret that we made."""
    token: dict[str, Any] = {"auth": {"token": "t"}}
    wishes: list[dict[str, Any]] = [{"webhook": {}}, {"capabilities": ["webhook"]}]

    given = await made(by_hand(), **token, webhook={"secret": "long enough"})
    for wish in wishes:
        with pytest.raises(InvalidError, match=r"webhook\.secret"):
            await made(by_hand(), **token, **wish)

    assert given.webhook_secret == Secret(value=b"long enough")
    assert given.capabilities == ("webhook", "outbound_actions")


async def test_where_we_tell_the_provider_the_secret_is_ours() -> None:
    named = await made(GitHub(), auth={"token": "t"}, capabilities=["webhook"])
    asked = await made(GitHub(), auth={"token": "t"}, webhook={})

    assert named.webhook_secret is None  # it is made where it is sealed
    assert named.capabilities == ("webhook",)
    assert asked.capabilities == ("webhook", "outbound_actions")


def test_a_rotation_replaces_what_it_names() -> None:
    ours = rotated(GitHub(), webhook={})
    given = rotated(by_hand(), webhook={"secret": "long enough"}, auth={"token": "t"})
    url = rotated(by_hand(), webhook_url=True)

    assert ours.webhook_secret is not None
    assert len(ours.webhook_secret.value) == 43  # 256 bits, URL-safe
    assert given.webhook_secret == Secret(value=b"long enough")
    assert given.credentials == StaticToken(token=Secret(value=b"t"))
    assert (url.webhook_url, url.credentials, url.webhook_secret) == (True, None, None)
    with pytest.raises(InvalidError, match=r"webhook\.secret"):
        rotated(by_hand(), webhook={})
    with pytest.raises(InvalidError, match="nothing"):
        rotated(GitHub())


async def test_a_capability_is_not_added_without_its_secret() -> None:
    edits = ConnectionEdits(capabilities=["webhook"])

    able = await intake.edits(edits, connection(), by_hand(), edge(), signs=True)

    assert able.capabilities == ("webhook",)
    with pytest.raises(InvalidError, match=r"webhook\.secret"):
        await intake.edits(edits, connection(), by_hand(), edge(), signs=False)


REPOSITORIES = {"repositories": ["acme/rocket"]}
TOKEN = {"token": "t"}


async def test_polling_is_asked_for_where_the_provider_sends_webhooks() -> None:
    usual = await made(GitHub(), auth=TOKEN, settings=REPOSITORIES)
    asked = await made(
        GitHub(), auth=TOKEN, settings=REPOSITORIES, capabilities=["polling", "outbound_actions"]
    )

    assert usual.capabilities == ("outbound_actions",)
    assert asked.capabilities == ("outbound_actions", "polling")


async def test_a_provider_that_sends_nothing_is_polled_unless_it_is_said_otherwise() -> None:
    assert (await made(LEDGERBOOK, auth=TOKEN)).capabilities == ("polling",)
    with pytest.raises(InvalidError, match="auth: is needed to poll"):
        await made(LEDGERBOOK)
    with pytest.raises(InvalidError, match="capabilities: must be at least one of polling"):
        await made(LEDGERBOOK, auth=TOKEN, capabilities=["outbound_actions"])


@pytest.mark.parametrize(
    ("adapter", "fields", "wrong"),
    [
        (GitHub(), {"settings": REPOSITORIES}, "auth: is needed to poll"),
        (GitHub(), {"auth": TOKEN}, "settings: names nothing to poll"),
        (GitHub(), {"auth": TOKEN, "settings": {"organization": "acme"}}, "names nothing to poll"),
        (Blank(), {"auth": TOKEN}, "settings: names nothing to poll"),
        (by_hand(), {"auth": TOKEN}, "capabilities: must be at least one of"),
    ],
)
async def test_what_can_not_be_polled_is_not_asked_to_be(
    adapter: Adapter, fields: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(InvalidError, match=wrong) as refused:
        await made(adapter, capabilities=["polling"], **fields)

    assert refused.value.status == 422


async def edited(known: ConnectionRecord, **fields: Any) -> Edits:
    return await intake.edits(
        shaped(fields, ConnectionEdits), known, GitHub(), edge(), signs=False
    )


async def test_polling_is_added_only_to_what_can_be_polled() -> None:
    settings = b'{"repositories":["acme/rocket"]}'
    able = connection(auth_ref=UUID(int=2), settings=settings)
    bare = connection(auth_ref=UUID(int=2))

    added = await edited(able, capabilities=["polling"])
    both = await edited(bare, capabilities=["polling"], settings=REPOSITORIES)

    assert added.capabilities == both.capabilities == ("polling",)
    with pytest.raises(InvalidError, match="auth: is needed to poll"):
        await edited(connection(settings=settings), capabilities=["polling"])
    with pytest.raises(InvalidError, match="settings: names nothing to poll"):
        await edited(bare, capabilities=["polling"])
    with pytest.raises(SettingsError):
        await edited(connection(auth_ref=UUID(int=2), settings=b"{"), capabilities=["polling"])


async def test_what_is_polled_keeps_something_to_poll() -> None:
    """A change of settings is held to what the connection is for."""
    polled = connection(capabilities=("polling",), settings=b'{"repositories":["acme/rocket"]}')

    moved = await edited(polled, settings={"repositories": ["acme/shop"]})
    no_more = await edited(
        polled, settings={"organization": "acme"}, capabilities=["outbound_actions"]
    )

    assert moved.settings == b'{"repositories":["acme/shop"]}'
    assert no_more.capabilities == ("outbound_actions",)
    for settings in ({}, {"organization": "acme"}):
        with pytest.raises(InvalidError, match="settings: names nothing to poll"):
            await edited(polled, settings=settings)


async def test_an_apps_connection_is_made_over_the_api_and_a_bad_key_is_422(scene: Scene) -> None:
    app = {"method": "app", "app_id": "1", "installation_id": "2"}

    good = await scene.call(
        "tenant_admin",
        "POST",
        CONNECTIONS,
        scene.connection_body(auth={**app, "private_key": pem()}),
    )
    bad = await scene.call(
        "tenant_admin",
        "POST",
        CONNECTIONS,
        scene.connection_body(auth={**app, "private_key": "-----BEGIN hush-----"}),
    )

    assert good.status_code == 201, good.text
    assert bad.status_code == 422
    assert error_of(bad)["code"] == "INVALID_CREDENTIALS"
    assert "hush" not in bad.text


async def test_a_network_is_kept_and_its_proxy_is_looked_up(opened: Opened) -> None:
    """The way to a provider is part of its address: changed, it is verified anew."""
    async with running(opened, opened.settings()) as scene:
        made_one = await scene.active()
        path = f"{CONNECTIONS}/{made_one.connection_id}"
        proxied = {"network": {"proxy": "http://127.0.0.1:9"}}
        moved = await scene.call("tenant_admin", "PATCH", path, proxied)
        back = await scene.call("tenant_admin", "PATCH", path, {"network": {}})
        named = await scene.call(
            "tenant_admin", "PATCH", path, {"base_url": scene.around.github_url + "/"}
        )

    assert moved.json()["status"] == "pending_verification"
    assert back.status_code == 200
    assert named.json()["base_url"] == scene.around.github_url
