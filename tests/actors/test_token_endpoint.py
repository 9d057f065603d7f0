"""Asking for tokens where something is missing, and a renewal that nobody began."""

from __future__ import annotations

import orjson
import pytest
import trio

from actors.errors import MaybeSentError, NotSentError
from actors.grants import Grants
from actors.platform.errors import PlatformUnavailableError
from actors.renewal import Renewal
from actors.sealing import CLIENT
from actors.token_endpoint import TokenEndpoint
from adapters.contract import Later, Request, Response, Secret
from adapters.credentials import ClientCredentials, Grant, StaticToken
from persistence.changes import ConnectionChange
from persistence.records import ConnectionRecord
from tests.actors.hub import Hub, a_hub
from tests.actors.life import EPOCH
from tests.actors.login import a_login

SERVICE = ClientCredentials(client_id="m10", client_secret=Secret(value=b"s"))
REFRESH = Secret(value=b"refresh")


def endpoint(hub: Hub, connection: ConnectionRecord, said: Response | Exception) -> TokenEndpoint:
    """One whose provider says so."""

    async def send(request: Request, origin: str) -> Response:
        await trio.lowlevel.checkpoint()
        if isinstance(said, Exception):
            raise said
        return said

    return TokenEndpoint(connection=connection, ports=hub.scene.ports, send=send)


@pytest.mark.parametrize(
    ("error", "maybe_sent"), [(NotSentError("refused"), False), (MaybeSentError("lost"), True)]
)
async def test_no_answer_is_for_later_and_says_whether_the_token_may_be_spent(
    sqlite_url, error, maybe_sent
):
    async with a_hub(sqlite_url, node=False) as hub:
        connection = (await hub.create(client=hub.client())).connection

        outcome = await endpoint(hub, connection, error).by_refresh(REFRESH)

        assert outcome == Later(reason=str(error), maybe_sent=maybe_sent)


async def test_a_client_that_can_not_be_read_now_sends_nothing(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        connection = (await hub.create(client=hub.client())).connection
        hub.secrets.down = PlatformUnavailableError("M33 gave no answer")

        with pytest.raises(NotSentError, match="M33"):
            await endpoint(hub, connection, NotSentError("never")).by_refresh(REFRESH)


async def test_what_is_no_client_is_not_taken_for_one(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        connection = (await hub.create()).connection
        row = await hub.secrets.seal(
            "acme", connection.connection_id, CLIENT, 1, Secret(value=b"word"), now=EPOCH
        )
        await hub.scene.store.inner.change_connection(
            "acme",
            connection.connection_id,
            ConnectionChange(state=connection.state, secrets=(row,)),
            version=1,
            receipt=None,
            now=EPOCH,
        )

        with pytest.raises(NotSentError, match="no OAuth client"):
            await endpoint(hub, connection, NotSentError("never")).by_refresh(REFRESH)


async def test_a_token_that_does_not_say_when_it_ends_is_asked_for_now_and_then(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        login = await a_login(hub, SERVICE)
        asked: list[str] = []

        async def send(request: Request, origin: str) -> Response:
            await trio.lowlevel.checkpoint()
            asked.append(origin)
            return Response(status=200, body=orjson.dumps({"access_token": f"t-{len(asked)}"}))

        grants = Grants(login.connection, lambda: login.lease, hub.scene.ports, send)
        assert await grants.token() == await grants.token() == Secret(value=b"t-1")
        hub.clock.at += hub.scene.ports.pace.token_kept

        assert await grants.token() == Secret(value=b"t-2")


async def test_what_is_granted_is_told_without_the_token(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        connection = (await hub.create(client=hub.client())).connection
        body = orjson.dumps({"access_token": "nobody-may-read-it", "refresh_token": "nor-it"})

        outcome = await endpoint(hub, connection, Response(status=200, body=body)).by_refresh(
            REFRESH
        )

        assert isinstance(outcome, Grant)
        (told,) = hub.scene.log.of("token.granted")
        assert told["connection"] == str(connection.connection_id)
        assert "nobody-may-read-it" not in repr((outcome, hub.scene.log.entries))


async def test_a_renewal_that_was_not_begun_can_not_be_finished(sqlite_url):
    async with a_hub(sqlite_url, node=False) as hub:
        login = await a_login(hub, StaticToken(token=REFRESH))
        renewal = Renewal(login.connection, lambda: login.lease, hub.scene.ports)

        assert not renewal.pending
        with pytest.raises(NotSentError):
            await renewal.finish()
