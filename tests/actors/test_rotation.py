"""Replacing secrets: new credentials are tried first, old webhook secrets and URLs stay good for a grace time (FR-2)."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from actors.errors import CredentialsRefusedError
from actors.orders import By, Rotation
from actors.platform.errors import PlatformUnavailableError
from actors.platform.policy import TenantPolicy
from actors.sealing import AUTH, CLIENT, ENDPOINT, WEBHOOK
from adapters.contract import Secret
from adapters.credentials import StaticToken
from adapters.faults import failing
from adapters.github.world import Token
from adapters.oauth import OAuthClient
from persistence.errors import StaleError
from persistence.records import ConnectionRecord, ConnectionState, Lease, SealedSecret
from tests.actors.hub import ME, SCOPES, STATIC, Hub, a_hub

NEW_TOKEN = Secret(value=b"ghp_a-newer-token-that-nobody-may-ever-read")
NEW = StaticToken(token=NEW_TOKEN)
NEW_SECRET = Secret(value=b"a-newer-signing-secret-that-nobody-may-read")
DAY = timedelta(days=1)


async def sealed(hub: Hub, connection: ConnectionRecord, purpose: str) -> list[SealedSecret]:
    rows = await hub.scene.store.inner.secrets_of(
        "acme", connection.connection_id, purpose, now=hub.clock.now()
    )
    return list(rows)


async def values(hub: Hub, connection: ConnectionRecord, purpose: str) -> list[bytes]:
    """The valid secrets of that purpose, newest first."""
    return [(await hub.secrets.open(row)).value for row in await sealed(hub, connection, purpose)]


async def test_new_credentials_are_tried_and_then_used_and_the_old_ones_forgotten(store_url):
    async with a_hub(store_url) as hub:
        connection = await hub.active()
        hub.github.world.tokens[:] = [Token(secret=NEW_TOKEN, scopes=SCOPES)]

        rotated = await hub.connections.rotate(
            "acme", connection.connection_id, Rotation(credentials=NEW), ME
        )

        assert rotated.connection.state is ConnectionState.ACTIVE
        assert rotated.connection.auth_ref != connection.auth_ref
        assert await values(hub, connection, AUTH) == [NEW_TOKEN.value]
        assert connection.auth_ref is not None
        assert await hub.scene.store.inner.sealed_secret("acme", connection.auth_ref) is None
        assert (await hub.connections.verify("acme", connection.connection_id, ME)).passed
        assert hub.audited() == ["verify", "rotate", "verify"]
        await hub.scene.watch.until(lambda: ("rotate", "active") in hub.receipts())
        (told,) = [
            one["inputs"]["request"]
            for one in hub.scene.receipts.documents
            if one["inputs"]["operation"].endswith(".rotate")
        ]
        assert told["rotated"] == ["auth"]
        assert NEW_TOKEN.value.decode() not in str(hub.scene.receipts.documents)


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_credentials_that_the_provider_does_not_take_change_nothing(sqlite_url, status):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        hub.github.plan(failing(status, times=9))

        with pytest.raises(CredentialsRefusedError) as refused:
            await hub.connections.rotate(
                "acme", connection.connection_id, Rotation(credentials=NEW), ME
            )

        assert NEW_TOKEN.value.decode() not in str(refused.value)
        found = await hub.read(connection)
        assert (found.auth_ref, found.version) == (connection.auth_ref, connection.version)
        assert found.state is ConnectionState.ACTIVE
        assert await values(hub, connection, AUTH) == [STATIC.token.value]


async def test_an_old_signing_secret_stays_good_for_the_grace_time_and_github_is_told(store_url):
    """Both verify meanwhile; the provider has the new one."""
    async with a_hub(store_url) as hub:
        hub.scene.policy.default = TenantPolicy(secret_grace=DAY)
        connection = await hub.active()
        (old,) = await values(hub, connection, WEBHOOK)
        (hook,) = hub.github.hook_shelf.hooks.values()
        assert hook.config["secret"].encode() == old

        rotated = await hub.connections.rotate(
            "acme", connection.connection_id, Rotation(webhook_secret=NEW_SECRET), ME
        )

        assert rotated.old_valid_until == hub.clock.now() + DAY
        assert rotated.webhook_url is None
        assert await values(hub, connection, WEBHOOK) == [NEW_SECRET.value, old]
        await hub.scene.watch.until(lambda: hook_secrets(hub) == [NEW_SECRET.value.decode()])
        hub.clock.at += DAY
        assert await values(hub, connection, WEBHOOK) == [NEW_SECRET.value]


def hook_secrets(hub: Hub) -> list[str]:
    return [hook.config["secret"] for hook in hub.github.hook_shelf.hooks.values()]


async def test_a_second_rotation_does_not_prolong_what_the_first_has_ended(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = (await hub.create()).connection
        (first,) = await values(hub, connection, WEBHOOK)
        place = ("acme", connection.connection_id)
        await hub.connections.rotate(*place, Rotation(webhook_secret=NEW_SECRET), ME)
        hub.clock.at += DAY / 2
        newest = Secret(value=b"the-newest-of-all-the-secrets")

        await hub.connections.rotate(*place, Rotation(webhook_secret=newest), ME)

        assert await values(hub, connection, WEBHOOK) == [newest.value, NEW_SECRET.value, first]
        hub.clock.at += DAY / 2
        assert await values(hub, connection, WEBHOOK) == [newest.value, NEW_SECRET.value]


async def test_a_new_url_is_shown_once_and_the_old_one_taken_for_a_while(store_url):
    async with a_hub(store_url) as hub:
        connection = await hub.active()
        (old_url,) = hub.hook_urls()

        rotated = await hub.connections.rotate(
            "acme", connection.connection_id, Rotation(webhook_url=True), ME
        )

        assert rotated.webhook_url is not None
        assert rotated.webhook_url != old_url
        assert rotated.webhook_url not in repr(rotated)
        await hub.scene.watch.until(lambda: hub.hook_urls() == [rotated.webhook_url])
        for url in (old_url, rotated.webhook_url):
            assert await is_open(hub, url)
        hub.clock.at += DAY
        assert not await is_open(hub, old_url)
        assert await is_open(hub, rotated.webhook_url)


async def is_open(hub: Hub, url: str) -> bool:
    token = hashlib.sha256(url.rpartition("/")[2].encode()).digest()
    found = await hub.scene.store.inner.endpoint(token, now=hub.clock.now())
    assert found is not None
    return found.open


async def test_the_client_of_logins_is_replaced_at_once(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = (await hub.create(credentials=None, client=hub.client())).connection
        public = OAuthClient(client_id="another")

        await hub.connections.rotate("acme", connection.connection_id, Rotation(client=public), ME)

        (kept,) = await values(hub, connection, CLIENT)
        assert b"another" in kept
        assert len(await sealed(hub, connection, ENDPOINT)) == 1


async def test_a_key_service_that_is_away_changes_nothing(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = (await hub.create()).connection
        hub.secrets.seals_down = PlatformUnavailableError("M33 gave no answer")

        with pytest.raises(PlatformUnavailableError):
            await hub.connections.rotate(
                "acme", connection.connection_id, Rotation(webhook_secret=NEW_SECRET), ME
            )
        assert (await hub.read(connection)).version == 1


async def test_a_rotation_of_a_version_that_is_not_there_any_more_is_stale(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()

        with pytest.raises(StaleError):
            await hub.connections.rotate(
                "acme",
                connection.connection_id,
                Rotation(webhook_secret=NEW_SECRET),
                By(subject="ada", version=1),
            )


async def test_credentials_that_were_renewed_meanwhile_are_replaced_all_the_same(store_url):
    """A refresh by the actor changes no version; what was to be ended is gone, and is looked for again."""
    async with a_hub(store_url) as hub:
        connection = await hub.active()
        hub.github.world.tokens.append(Token(secret=NEW_TOKEN, scopes=SCOPES))
        lease = Lease(
            tenant_id="acme",
            connection_id=connection.connection_id,
            owner=hub.scene.ports.incarnation,
            epoch=1,
            sequence_no=0,
        )

        async def renewed() -> None:
            row = await hub.secrets.seal(
                "acme", connection.connection_id, AUTH, 7, STATIC.token, now=hub.clock.now()
            )
            await hub.scene.store.inner.renew_credentials(
                lease, expected=connection.auth_ref, sealed=row, now=hub.clock.now()
            )

        hub.scene.store.on("change_connection", renewed)
        await hub.connections.rotate(
            "acme", connection.connection_id, Rotation(credentials=NEW), ME
        )

        assert await values(hub, connection, AUTH) == [NEW_TOKEN.value]
        assert (await hub.read(connection)).version == connection.version + 1


async def test_secrets_of_a_suspended_connection_can_be_replaced(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        hub.github.world.tokens.append(Token(secret=NEW_TOKEN, scopes=SCOPES))
        await hub.connections.suspend("acme", connection.connection_id, ME)

        rotated = await hub.connections.rotate(
            "acme",
            connection.connection_id,
            Rotation(credentials=NEW, webhook_secret=NEW_SECRET),
            ME,
        )

        assert rotated.connection.state is ConnectionState.SUSPENDED
        await hub.scene.watch.until(lambda: hook_secrets(hub) == [NEW_SECRET.value.decode()])
