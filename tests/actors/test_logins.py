"""OAuth 2.0 logins: state used once, PKCE, denied and late ones, and a person who comes again (FR-3; IT-IA-01 at the edge)."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from attrs import evolve

from actors import incidents
from actors.errors import IncapableError, LoginError
from actors.orders import By, Edits
from actors.platform.errors import PlatformUnavailableError
from actors.sealing import AUTH, VERIFIER
from adapters.credentials import OAuthTokens, read
from adapters.faults import dropped_before, failing
from adapters.oauth import challenge
from persistence.errors import MissingError, StaleError
from persistence.records import ConnectionRecord, ConnectionState
from tests.actors.hub import CLIENT_SECRET, ME, Hub, a_hub
from tests.actors.scene import a_scene

TOKEN_URL = "/login/oauth/access_token"


async def waiting(hub: Hub, **chosen: object) -> ConnectionRecord:
    """A connection that waits for a person to log in."""
    hub.github.login_server.login = "octo-bot"
    client = hub.client(**chosen)
    return (await hub.create(credentials=None, client=client)).connection


async def logged_in(hub: Hub, connection: ConnectionRecord, **said: str):
    """Start, let the person consent, and come back."""
    started = await hub.logins.start("acme", connection.connection_id, by=ME)
    brought = hub.consent(started.authorization_url)
    return await hub.logins.finish(state=brought["state"], code=brought.get("code"), **said)


async def tokens(hub: Hub, connection: ConnectionRecord) -> OAuthTokens:
    rows = await hub.scene.store.inner.secrets_of(
        "acme", connection.connection_id, AUTH, now=hub.clock.now()
    )
    (row,) = rows
    found = read(await hub.secrets.open(row))
    assert isinstance(found, OAuthTokens)
    return found


async def test_a_person_logs_in_and_the_connection_is_verified_with_their_tokens(store_url):
    async with a_hub(store_url) as hub:
        connection = await waiting(hub)

        finished = await logged_in(hub, connection)

        assert finished.verified.passed, finished.verified.reason
        assert finished.return_to is None
        assert (await hub.read(connection)).state is ConnectionState.ACTIVE
        kept = await tokens(hub, connection)
        assert kept.refresh_token is not None
        assert kept.expires_at == hub.clock.now() + timedelta(hours=8)
        assert hub.audited() == ["rotate", "verify"]
        await hub.scene.watch.until(lambda: len(hub.receipts()) == 3)
        assert "login" in str(hub.scene.receipts.documents)
        shown = repr((finished, hub.scene.log.entries, hub.scene.receipts.sent))
        for secret in (kept.access_token, kept.refresh_token):
            assert secret.value.decode() not in shown
        assert CLIENT_SECRET.decode() not in shown


async def test_the_url_names_us_the_state_and_a_challenge_and_shows_nothing_of_the_verifier(
    sqlite_url,
):
    async with a_hub(sqlite_url) as hub:
        connection = await waiting(hub)

        started = await hub.logins.start("acme", connection.connection_id, by=ME)

        query = parse_qs(urlsplit(started.authorization_url).query)
        assert query["client_id"] == ["m10"]
        assert query["redirect_uri"] == [
            "https://hooks.example.com/v1/integrations/oauth/callback"
        ]
        assert query["code_challenge_method"] == ["S256"]
        assert started.expires_at == hub.clock.now() + timedelta(minutes=10)
        assert query["state"][0] not in repr(started)
        verifier = await the_verifier(hub, connection)
        assert query["code_challenge"] == [challenge(verifier)]
        assert verifier not in started.authorization_url


async def the_verifier(hub: Hub, connection: ConnectionRecord) -> str:
    purpose = next(one for one in hub.secrets.sealed_as if one.startswith(f"{VERIFIER}:"))
    (row,) = await hub.scene.store.inner.secrets_of(
        "acme", connection.connection_id, purpose, now=hub.clock.now()
    )
    return (await hub.secrets.open(row)).value.decode()


async def test_a_state_works_once(store_url):
    async with a_hub(store_url) as hub:
        connection = await waiting(hub)
        started = await hub.logins.start("acme", connection.connection_id, by=ME)
        brought = hub.consent(started.authorization_url)
        await hub.logins.finish(state=brought["state"], code=brought["code"])
        before = await hub.read(connection)

        with pytest.raises(LoginError, match="not known"):
            await hub.logins.finish(state=brought["state"], code=brought["code"])
        assert await hub.read(connection) == before


async def test_an_unknown_state_is_refused_and_asks_nobody(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await waiting(hub)
        await hub.logins.start("acme", connection.connection_id, by=ME)
        asked = len(hub.github.seen)

        with pytest.raises(LoginError, match="not known"):
            await hub.logins.finish(state="guessed", code="code")
        assert len(hub.github.seen) == asked


async def test_a_login_ends_when_its_time_is_over_or_a_newer_one_begins(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await waiting(hub)
        first = hub.consent(
            (await hub.logins.start("acme", connection.connection_id, by=ME)).authorization_url
        )
        second = hub.consent(
            (await hub.logins.start("acme", connection.connection_id, by=ME)).authorization_url
        )

        with pytest.raises(LoginError):
            await hub.logins.finish(state=first["state"], code=first["code"])
        hub.clock.advance(minutes=10)
        with pytest.raises(LoginError):
            await hub.logins.finish(state=second["state"], code=second["code"])
        assert (await hub.read(connection)).auth_ref is None


async def test_a_person_who_denies_it_changes_nothing_and_has_to_begin_again(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await waiting(hub)
        hub.github.login_server.denied = True
        started = await hub.logins.start("acme", connection.connection_id, by=ME)
        brought = hub.consent(started.authorization_url)
        assert brought["error"] == "access_denied"

        with pytest.raises(LoginError, match="denied"):
            await hub.logins.finish(state=brought["state"], code=None, error=brought["error"])
        with pytest.raises(LoginError, match="not known"):
            await hub.logins.finish(state=brought["state"], code="code")
        assert (await hub.read(connection)).version == connection.version


@pytest.mark.parametrize(
    "fault", [failing(503, path=TOKEN_URL), dropped_before(), failing(400, path=TOKEN_URL)]
)
async def test_a_provider_that_gives_no_token_changes_nothing(sqlite_url, fault):
    async with a_hub(sqlite_url) as hub:
        connection = await waiting(hub)
        started = await hub.logins.start("acme", connection.connection_id, by=ME)
        brought = hub.consent(started.authorization_url)
        hub.github.plan(fault)

        with pytest.raises(LoginError) as refused:
            await hub.logins.finish(state=brought["state"], code=brought["code"])

        assert brought["code"] not in str(refused.value)
        assert (await hub.read(connection)).version == connection.version
        assert "token_refreshes_total" in metrics(hub)


def metrics(hub: Hub) -> str:
    return hub.scene.ports.metrics.exposition(()).decode()


async def test_a_code_of_somebody_else_s_verifier_is_worth_nothing(sqlite_url):
    """PKCE: a code that was stolen and put into another login."""
    async with a_hub(sqlite_url) as hub:
        connection, other = (
            await waiting(hub),
            (await hub.create(name="other", credentials=None, client=hub.client())).connection,
        )
        stolen = hub.consent(
            (await hub.logins.start("acme", connection.connection_id, by=ME)).authorization_url
        )
        own = hub.consent(
            (await hub.logins.start("acme", other.connection_id, by=ME)).authorization_url
        )

        with pytest.raises(LoginError):
            await hub.logins.finish(state=own["state"], code=stolen["code"])
        assert (await hub.read(other)).auth_ref is None


async def test_the_browser_is_sent_back_only_where_it_may_be(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await waiting(hub)
        for bad in (
            "https://evil.example.com/",
            "https://app.example.com@evil.example.com/",
            "https://app.example.com.evil.com/",
            "http://app.example.com/",
            "//app.example.com/",
            "javascript:alert(1)",
        ):
            with pytest.raises(LoginError, match="return_to"):
                await hub.logins.start("acme", connection.connection_id, by=ME, return_to=bad)
        assert hub.scene.store.calls["begin_login"] == 0

        good = "https://app.example.com/done?tab=1"
        started = await hub.logins.start("acme", connection.connection_id, by=ME, return_to=good)
        brought = hub.consent(started.authorization_url)
        finished = await hub.logins.finish(state=brought["state"], code=brought["code"])
        assert finished.return_to == good


async def test_where_there_is_no_oauth_or_no_client_nobody_can_log_in(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = (await hub.create(credentials=None)).connection
        with pytest.raises(IncapableError, match="client"):
            await hub.logins.start("acme", connection.connection_id, by=ME)
    async with a_scene(sqlite_url) as scene, scene.node():
        scripted = await scene.connect("globex")
        hub = Hub(scene, scene.clock, None, None)  # type: ignore[arg-type]
        with pytest.raises(IncapableError, match=r"OAuth 2\.0"):
            await hub.logins.start("globex", scripted.connection_id, by=ME)


async def test_the_operator_s_client_serves_where_the_tenant_has_none(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        hub.scene.ports = evolve(hub.scene.ports, oauth_clients={"github": hub.client()})
        connection = (await hub.create(credentials=None)).connection

        assert (await logged_in(hub, connection)).verified.passed


async def test_nobody_logs_in_to_what_is_not_theirs_or_is_gone(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await waiting(hub)
        started = await hub.logins.start("acme", connection.connection_id, by=ME)
        brought = hub.consent(started.authorization_url)
        with pytest.raises(MissingError):
            await hub.logins.start("globex", connection.connection_id, by=ME)
        with pytest.raises(StaleError):
            await hub.logins.start(
                "acme", connection.connection_id, by=By(subject="ada", version=9)
            )

        await hub.connections.delete("acme", connection.connection_id, ME)

        with pytest.raises(MissingError):
            await hub.logins.start("acme", connection.connection_id, by=ME)
        with pytest.raises(LoginError):
            await hub.logins.finish(state=brought["state"], code=brought["code"])


async def test_what_a_person_granted_is_not_lost_to_another_change(store_url):
    """The code is spent: the tokens are kept, whoever renames the connection in that moment."""
    async with a_hub(store_url) as hub:
        connection = await waiting(hub)

        async def renamed() -> None:
            await hub.connections.change(
                "acme", connection.connection_id, Edits(display_name="renamed"), ME
            )

        hub.scene.store.on("change_connection", renamed)
        finished = await logged_in(hub, connection)

        assert finished.verified.passed
        assert finished.verified.connection.display_name == "renamed"


async def test_a_login_to_a_suspended_connection_is_kept_for_when_it_is_resumed(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await waiting(hub)
        await hub.connections.suspend("acme", connection.connection_id, ME)

        finished = await logged_in(hub, connection)

        assert (finished.verified.passed, finished.verified.again) == (False, False)
        assert "suspended" in str(finished.verified.reason)
        assert (await tokens(hub, connection)).refresh_token is not None
        await hub.connections.resume("acme", connection.connection_id, ME)
        verified = await hub.connections.verify("acme", connection.connection_id, ME)
        assert verified.passed


async def test_a_login_is_kept_though_it_can_not_be_verified_now(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await waiting(hub)
        hub.scene.signals.refuses_producers = PlatformUnavailableError("PM-3 gave no answer")

        finished = await logged_in(hub, connection)

        assert (finished.verified.passed, finished.verified.again) == (False, True)
        assert await tokens(hub, connection)


@pytest.mark.parametrize("trouble", ["seal", "unseal"])
async def test_a_key_service_that_is_away_means_to_begin_again(sqlite_url, trouble):
    async with a_hub(sqlite_url) as hub:
        connection = await waiting(hub)
        started = await hub.logins.start("acme", connection.connection_id, by=ME)
        brought = hub.consent(started.authorization_url)
        away = PlatformUnavailableError("M33 gave no answer")
        hub.secrets.down = away if trouble == "unseal" else None
        hub.secrets.seals_down = away

        with pytest.raises(PlatformUnavailableError):
            await hub.logins.finish(state=brought["state"], code=brought["code"])
        assert (await hub.read(connection)).auth_ref is None


async def test_a_public_client_logs_in_without_a_secret(sqlite_url):
    """RFC 6749, 2.1: it has only its id, and the proof is the verifier."""
    async with a_hub(sqlite_url) as hub:
        client = evolve(hub.client(), client_secret=None)
        server = hub.github.login_server
        server.clients["m10"] = evolve(
            server.clients["m10"],
            client_secret=evolve(server.clients["m10"].client_secret, value=b""),
        )
        connection = (await hub.create(credentials=None, client=client)).connection

        assert (await logged_in(hub, connection)).verified.passed


async def test_a_login_that_was_revoked_stops_the_connection_until_a_person_comes_again(
    store_url,
):
    """FR-3: error with needs_login, deliveries kept, an incident; released by a new login."""
    async with a_hub(store_url) as hub:
        scene, connection = hub.scene, await waiting(hub)
        await logged_in(hub, connection)
        hub.github.login_server.revoke("octo-bot")

        verified = await hub.connections.verify("acme", connection.connection_id, ME)
        assert not verified.passed
        await scene.watch.until(lambda: "fail" in hub.audited())
        failed = await hub.read(connection)
        assert failed.state is ConnectionState.ERROR
        assert str(failed.reason).startswith("needs_login: ")
        await scene.watch.until(lambda: scene.incidents.open)
        await scene.deliver(connection, *hub.deliveries(connection, 1))
        await scene.counted(connection, pending=1)

        finished = await logged_in(hub, connection)

        assert finished.verified.passed
        await scene.counted(connection, forwarded=1)
        known = await scene.store.inner.incidents("acme", connection.connection_id, limit=9)
        assert [(one.kind, one.resolved_at is not None) for one in known] == [
            (incidents.NEEDS_LOGIN, True)
        ]
        await scene.watch.until(lambda: not scene.incidents.open)
        await scene.watch.until(lambda: ("fail", "error") in hub.receipts())
