"""A login's token: renewed ahead of its end, one at a time, kept before its first use (FR-3)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio

from actors import life, sealing
from actors.errors import NotSentError
from actors.orders import Rotation
from actors.platform.errors import PlatformUnavailableError
from actors.sealing import AUTH
from adapters.contract import NeedsLogin, Secret
from adapters.credentials import (
    StaticToken,
)
from adapters.faults import dropped_after, dropped_before, failing
from adapters.github.world import Token
from persistence.errors import FencedError, StoreUnavailableError
from tests.actors.hub import SCOPES, a_hub
from tests.actors.login import HOUR, a_login_named
from tests.actors.scene import EPOCH
from tests.fakes.mortality import KilledError, Mortal, cut_short, points

AWAY = PlatformUnavailableError("M33 gave no answer")


async def test_a_token_that_is_good_is_opened_once_and_nobody_is_asked(login):
    tokens = {await login.grants.token() for _ in range(9)}

    assert len(tokens) == 1
    assert login.works(tokens.pop())
    assert login.asked == []
    assert sum(login.hub.secrets.reads.values()) == 1


async def test_what_is_opened_is_not_kept_in_memory_longer_than_allowed(login):
    await login.grants.token()
    login.hub.clock.advance(minutes=5)
    await login.grants.token()
    assert sum(login.hub.secrets.reads.values()) == 2

    login.grants.forget()
    await login.grants.token()
    assert sum(login.hub.secrets.reads.values()) == 3


async def test_a_token_is_renewed_ahead_of_its_end_and_kept(login):
    old = await login.grants.token()
    login.near_its_end()

    new = await login.grants.token()

    assert new != old
    assert login.works(new)
    assert (await login.kept()).access_token == new
    assert len(login.asked) == 1
    assert await login.grants.token() == new
    assert (await login.hub.read(login.connection)).version == login.connection.version
    chain = await login.hub.scene.store.inner.chained_receipts("acme", after=0, limit=100)
    assert chain[-1].operation == "integration.connection.github.refresh"


async def test_twenty_that_ask_at_once_renew_once(login):
    """A server takes a second use of a refresh token for theft."""
    login.near_its_end()
    got: list[Secret | NeedsLogin] = []

    async def ask() -> None:
        got.append(await login.grants.token())

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)

    assert len(got) == 20
    assert len(set(got)) == len(login.asked) == 1


async def test_twenty_that_were_refused_at_once_renew_once(login):
    old = await login.grants.token()
    assert isinstance(old, Secret)
    got: list[Secret | NeedsLogin | None] = []

    async def ask() -> None:
        got.append(await login.grants.after_refusal(old))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)

    assert len(login.asked) == 1
    assert len(set(got)) == 1
    assert login.works(got[0])


async def test_killed_at_any_call_no_token_is_used_that_is_not_kept(sqlite_url):
    """Crash at each commit point between the grant and its first use: enumerated, before and after each."""
    for point in points():
        async with a_hub(sqlite_url, node=False) as hub:
            login = await a_login_named(hub, f"login {point}")
            login.near_its_end()
            mortal = Mortal(point)
            hub.scene.store.around = mortal.point

            try:
                used = await login.grants.token()
            except KilledError:
                used = None
            next_one = await login.after_death()

            if used is not None:
                assert (await login.kept()).access_token == used == next_one
                break
            # Where the answer was lost with the process, the refresh token is spent: a person must come.
            assert login.works(next_one) or isinstance(next_one, NeedsLogin)
            assert len([one for one in login.asked if one.writes]) <= 2


async def test_cancelled_at_any_await_what_was_granted_is_kept(sqlite_url):
    """A stop in the middle of a renewal costs nobody a login, once the answer is here."""
    async with a_hub(sqlite_url, node=False) as hub:
        for point in points():
            login = await a_login_named(hub, f"login {point}")
            login.near_its_end()

            used = await cut_short(point, login.grants.token)
            next_one = await login.after_death()

            if login.answered:
                assert login.works(next_one), point
            if used is not None:
                assert next_one == used
                break


async def test_a_token_whose_answer_was_lost_is_a_person_s_again(login):
    """GitHub has spent the refresh token, and tells nobody what it gave for it."""
    login.near_its_end()
    login.hub.github.plan(dropped_after(method="POST"))

    used_on = await login.grants.token()
    login.hub.clock.at = EPOCH + 8 * HOUR

    assert isinstance(used_on, Secret)
    assert isinstance(await login.grants.token(), NeedsLogin)


async def test_a_token_that_can_not_be_renewed_now_is_used_to_its_end(login):
    """Renewing ahead of the end is what makes an outage of the token endpoint cost nothing."""
    old = await login.grants.token()
    login.near_its_end()
    login.hub.github.plan(failing(503, times=99, path="/login"))

    assert await login.grants.token() == old
    assert await login.grants.token() == old
    assert len(login.asked) == 1
    login.hub.clock.advance(seconds=30)
    assert await login.grants.token() == old
    assert len(login.asked) == 2
    login.hub.clock.at = EPOCH + 8 * HOUR
    with pytest.raises(NotSentError, match="no token now"):
        await login.grants.token()


async def test_after_a_restart_too_an_old_token_is_used_to_its_end(login):
    login.near_its_end()
    login.hub.github.plan(dropped_before())

    assert login.works(await login.grants.token())
    login.hub.clock.advance(seconds=30)
    renewed = await login.grants.token()
    assert (await login.kept()).access_token == renewed


@pytest.mark.parametrize("after", [False, True])
async def test_a_renewal_that_the_store_did_not_answer_is_finished_and_not_repeated(login, after):
    """Whether the write had happened or not: the granted token is the one that counts."""
    login.near_its_end()
    login.hub.scene.store.fail("renew_credentials", after=after)

    with pytest.raises(StoreUnavailableError):
        await login.grants.token()
    token = await login.grants.token()

    assert login.works(token)
    assert len(login.asked) == 1
    assert (await login.kept()).access_token == token


async def test_a_renewal_that_can_not_be_sealed_now_is_sealed_later(login):
    """M33 down between grant and first use: not sent, and not lost."""
    login.near_its_end()
    login.hub.secrets.seals_down = AWAY
    old = await login.kept()

    for _ in range(3):
        assert await login.grants.token() == old.access_token  # used to its end
        login.hub.clock.advance(seconds=30)
    assert not login.works(old.access_token)  # though GitHub has ended it
    with pytest.raises(NotSentError):
        await login.grants.after_refusal(old.access_token)
    login.hub.secrets.seals_down = None
    token = await login.grants.after_refusal(old.access_token)

    assert login.works(token)
    assert len(login.asked) == 1
    assert (await login.kept()).access_token == token


async def test_a_renewal_that_takes_too_long_to_keep_is_finished_later(login, monkeypatch):
    """Shielded, and bounded (P7)."""
    monkeypatch.setattr("actors.renewal._TIME_TO_KEEP", timedelta(milliseconds=1))
    login.near_its_end()
    stuck = True

    async def renew() -> None:
        await (trio.sleep_forever if stuck else trio.lowlevel.checkpoint)()

    login.hub.scene.store.on("renew_credentials", renew, times=2)
    old = await login.kept()

    assert await login.grants.token() == old.access_token
    stuck = False
    monkeypatch.setattr("actors.renewal._TIME_TO_KEEP", timedelta(seconds=5))
    login.hub.clock.advance(seconds=30)
    token = await login.grants.token()

    assert login.works(token)
    assert len(login.asked) == 1


async def test_who_replaced_the_credentials_meanwhile_is_right(login):
    """Compare-and-set: the loser's tokens are not used, and the next ask finds the new ones."""
    hub = login.hub
    login.near_its_end()
    newer = StaticToken(token=Secret(value=b"ghp_newer-and-nobody-may-read-it"))
    hub.github.world.tokens.append(Token(secret=newer.token, scopes=SCOPES))

    async def replaced() -> None:
        found = await hub.read(login.connection)
        made = await sealing.again(hub.scene.ports, found, Rotation(credentials=newer))
        await life.reseal(hub.scene.ports, found, made.change, by="eve", details={})

    hub.scene.store.on("renew_credentials", replaced)
    with pytest.raises(NotSentError, match="replaced"):
        await login.grants.after_refusal((await login.kept()).access_token)

    assert await login.grants.token() == newer.token
    rows = await hub.scene.store.inner.secrets_of(
        "acme", login.connection.connection_id, AUTH, now=hub.clock.now()
    )
    assert len(rows) == 1


async def test_a_lost_lease_keeps_and_uses_nothing(login):
    """P10 fenced: epochs guard the credentials too."""
    login.near_its_end()
    await login.hub.scene.store.inner.claim_connection(
        "acme", login.connection.connection_id, owner=login.hub.scene.ports.ids()
    )
    before = await login.kept()

    with pytest.raises(FencedError):
        await login.grants.token()
    assert await login.kept() == before
