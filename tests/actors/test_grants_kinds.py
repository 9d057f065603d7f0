"""Each kind of credentials, from where its token comes to where it ends; and nothing of it shown (FR-3)."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest
import trio
from attrs import evolve
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from actors.errors import NotSentError
from actors.grants import Grants
from actors.platform.errors import PlatformUnavailableError
from actors.sealing import AUTH
from adapters.contract import NeedsLogin, Request, Response, Secret
from adapters.credentials import (
    AppKey,
    ClientCredentials,
    OAuthTokens,
)
from adapters.github.simulator_apps import RegisteredApp
from adapters.registry import register
from tests.actors.hub import CLIENT_SECRET, STATIC, Hub, a_hub
from tests.actors.login import HOUR, MINUTE, Login, a_login
from tests.actors.scene import EPOCH
from tests.fakes.adapters import ScriptedAdapter

AWAY = PlatformUnavailableError("M33 gave no answer")


async def test_a_revoked_grant_is_a_person_s(login):
    login.near_its_end()
    login.hub.github.login_server.revoke("octo-bot")

    assert await login.grants.token() == NeedsLogin(reason="bad_refresh_token")
    (told,) = login.hub.scene.log.of("token.not_granted")
    assert (told["result"], told["level"]) == ("needslogin", "warning")
    exposed = login.hub.scene.ports.metrics.exposition(()).decode()
    assert 'token_refreshes_total{provider="github",result="needslogin",tenant="acme"} 1.0' in (
        exposed
    )


async def test_a_login_without_a_refresh_token_is_used_to_its_end_and_then_over(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        tokens = hub.granted()
        login = await a_login(
            hub,
            OAuthTokens(
                access_token=tokens.access_token,
                refresh_token=None,
                expires_at=tokens.expires_at,
            ),
        )
        hub.clock.at = EPOCH + 8 * HOUR - timedelta(seconds=1)
        assert await login.grants.token() == tokens.access_token
        hub.clock.advance(seconds=1)
        assert await login.grants.token() == NeedsLogin(
            reason="the login is over, and there is no refresh token"
        )


async def test_tokens_that_never_end_are_not_renewed_until_they_are_refused(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        login = await a_login(hub, hub.granted(expires=False), expires=False)
        hub.clock.at += timedelta(days=400)

        token = await login.grants.token()

        assert login.works(token)
        assert isinstance(token, Secret)
        assert isinstance(await login.grants.after_refusal(token), NeedsLogin)


async def test_where_a_client_is_missing_or_can_not_be_read_nothing_is_sent(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        created = await hub.create(credentials=hub.granted())
        lease = await hub.scene.store.inner.claim_connection(
            "acme", created.connection.connection_id, owner=hub.scene.ports.incarnation
        )
        login = Login(hub, created.connection, lease)
        hub.clock.at = EPOCH + 9 * HOUR

        with pytest.raises(NotSentError, match="no OAuth client"):
            await login.grants.token()
        assert login.asked == []


async def test_a_key_service_that_is_down_sends_nothing(login):
    login.hub.secrets.down = AWAY

    with pytest.raises(NotSentError, match="M33 gave no answer"):
        await login.grants.token()
    login.hub.secrets.down = None
    assert login.works(await login.grants.token())


async def test_a_static_token_that_is_refused_is_read_again_once(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        login = await a_login(hub, STATIC)
        token = await login.grants.token()
        assert token == STATIC.token
        assert isinstance(token, Secret)

        assert await login.grants.after_refusal(token) is None
        assert await login.grants.after_refusal(Secret(value=b"an older one")) == token


async def test_no_credentials_no_secret_or_an_unreadable_one_need_a_person(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        nothing = await a_login(hub, STATIC)
        row = await hub.secrets.seal(
            "acme",
            nothing.connection.connection_id,
            AUTH,
            9,
            Secret(value=b'{"ia_credentials": "from the future"}'),
            now=hub.clock.now(),
        )
        await hub.scene.store.inner.renew_credentials(
            nothing.lease, expected=nothing.connection.auth_ref, sealed=row, now=hub.clock.now()
        )

        assert await nothing.grants.token() == NeedsLogin(
            reason="the sealed credentials can not be read"
        )
        bare = (await hub.create(credentials=None, name="bare")).connection
        grants = Grants(bare, lambda: nothing.lease, hub.scene.ports, nothing.send)
        assert isinstance(await grants.token(), NeedsLogin)
        assert await grants.scopes() == ()


async def test_an_app_s_token_is_kept_until_its_end_is_near(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        login = await a_login(hub, an_app(hub))

        first = await login.grants.token()
        hub.clock.at = EPOCH + HOUR - 5 * MINUTE - timedelta(seconds=1)
        assert await login.grants.token() == first
        hub.clock.advance(seconds=1)
        second = await login.grants.token()

        assert second != first
        assert login.works(second)
        assert len(login.asked) == 2
        assert await login.grants.scopes() == ("issues:write",)
        assert isinstance(second, Secret)
        assert login.works(await login.grants.after_refusal(second))
        assert len(login.asked) == 3


async def test_an_app_that_was_uninstalled_is_a_person_s(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        login = await a_login(hub, an_app(hub))
        hub.github.app_server.apps.clear()

        assert isinstance(await login.grants.token(), NeedsLogin)


def an_app(hub: Hub) -> AppKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    hub.github.app_server.apps["7"] = RegisteredApp(
        app_id="7", public_key=public.decode(), installations={"11": ("issues:write",)}
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return AppKey(app_id="7", installation_id="11", private_key=Secret(value=pem))


@pytest.mark.parametrize(("lives", "left"), [(600, 60), (86_400, 300)])
async def test_a_client_s_token_is_kept_until_a_tenth_of_its_life_or_five_minutes_are_left(
    sqlite_url, lives, left
):
    async with a_hub(sqlite_url, node=False) as hub:
        login = await a_login(
            hub, ClientCredentials(client_id="m10", client_secret=Secret(value=CLIENT_SECRET))
        )
        granted = iter(range(9))

        async def send(request: Request, origin: str) -> Response:
            await trio.lowlevel.checkpoint()
            assert (origin, request.method) == ("https://github.com", "POST")
            document = {"access_token": f"t-{next(granted)}", "expires_in": lives}
            return Response(status=200, body=orjson.dumps(document))

        grants = Grants(login.connection, lambda: login.lease, hub.scene.ports, send)
        first = await grants.token()
        hub.clock.at = EPOCH + timedelta(seconds=lives - left - 1)
        assert await grants.token() == first
        hub.clock.advance(seconds=1)

        assert await grants.token() == Secret(value=b"t-1")


async def test_the_same_credentials_go_on_as_they_are_and_others_wait_their_turn(login):
    """A changed name must not make two that renew at once; a changed login ends what the old one held."""
    hub = login.hub
    await login.grants.token()
    same = await hub.read(login.connection)
    assert login.grants.adapted(same) is login.grants
    login.near_its_end()
    await login.grants.token()
    renewed = await hub.read(login.connection)
    assert renewed.auth_ref != same.auth_ref
    assert login.grants.adapted(renewed) is login.grants

    other = (await hub.create(name="other")).connection
    adapted = login.grants.adapted(other)

    assert adapted is not login.grants
    assert await adapted.token() == STATIC.token


async def test_credentials_on_trial_are_neither_renewed_nor_kept(login):
    hub = login.hub
    tokens = await login.kept()
    hub.clock.at = EPOCH + 9 * HOUR

    tried = login.grants.trying(tokens)

    assert await tried.token() == tokens.access_token
    assert isinstance(tokens.access_token, Secret)
    assert await tried.after_refusal(tokens.access_token) is None
    assert login.asked == []
    assert await login.kept() == tokens
    assert await login.grants.trying(STATIC).token() == STATIC.token


async def test_nothing_secret_is_shown_or_told(login):
    """P8 no-secret, through a whole renewal."""
    secrets = [await login.kept()]
    login.near_its_end()
    await login.grants.token()
    secrets.append(await login.kept())

    shown = repr((login.grants, vars(login.grants), login.hub.scene.log.entries, login.asked))
    shown += repr(vars(login.grants._renewal)) + repr(login.hub.scene.store.asked)
    for tokens in secrets:
        assert tokens.refresh_token is not None
        for secret in (tokens.access_token, tokens.refresh_token):
            assert secret.value.decode() not in shown
    assert CLIENT_SECRET.decode() not in shown


async def test_a_provider_without_oauth_or_apps_gives_no_token(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        login = await a_login(hub, hub.granted())
        ports = evolve(hub.scene.ports, registry=register([ScriptedAdapter()]))
        connection = evolve(login.connection, provider_id="scripted")
        for given in (
            ClientCredentials(client_id="m10", client_secret=Secret(value=b"s")),
            an_app(hub),
        ):
            grants = Grants(connection, lambda: login.lease, ports, login.send, given=given)
            with pytest.raises(NotSentError, match="provider knows no"):
                await grants.token()
