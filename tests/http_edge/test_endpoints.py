"""Who is behind a webhook URL: kept for seconds, bounded, and never guessed."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
import trio

from actors.platform.errors import PlatformUnavailableError, SecretLostError
from actors.sealing import hash_of
from adapters.contract import Secret
from http_edge import endpoints
from http_edge.endpoints import Endpoints
from persistence.records import ConnectionState, EndpointRecord
from tests.actors.platform.world import EPOCH, HandClock

OLD, NEW = UUID(int=1), UUID(int=2)


def record(token: str, *refs: UUID) -> EndpointRecord:
    return EndpointRecord(
        registration_id=UUID(int=7),
        tenant_id="acme",
        connection_id=UUID(int=8),
        provider_id="github",
        token_hash=hash_of(token),
        state=ConnectionState.ACTIVE,
        base_url="https://api.github.com",
        secret_refs=refs,
        created_at=EPOCH,
    )


class Known:
    """A store that knows some endpoints and counts who asks."""

    def __init__(self, *records: EndpointRecord) -> None:
        self.records = {one.token_hash: one for one in records}
        self.asked = 0

    async def endpoint(self, token_hash: bytes, *, now: object) -> EndpointRecord | None:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return self.records.get(token_hash)


class Sealed:
    """Secrets by reference; some are lost, or all are out of reach."""

    def __init__(self) -> None:
        self.lost: set[UUID] = set()
        self.down = False

    async def unseal(self, tenant_id: str, secret_id: UUID) -> Secret:
        await trio.lowlevel.checkpoint()
        if self.down:
            raise PlatformUnavailableError("M33 is down")
        if secret_id in self.lost:
            raise SecretLostError("lost")
        return Secret(value=f"{tenant_id}/{secret_id.int}".encode())


def made(*records: EndpointRecord) -> tuple[Endpoints, Known, Sealed, HandClock]:
    store, sealed, clock = Known(*records), Sealed(), HandClock()
    found = Endpoints(store, sealed, clock, kept=timedelta(seconds=5))  # type: ignore[arg-type]
    return found, store, sealed, clock


async def test_a_known_endpoint_is_asked_for_once_in_its_seconds() -> None:
    found, store, _, clock = made(record("t", NEW, OLD))

    first = await found.find("t")
    second = await found.find("t")
    clock.advance(seconds=5)
    third = await found.find("t")

    assert first is second
    assert first is not None
    assert third is not None
    assert store.asked == 2
    assert [secret.value for secret in first.secrets] == [b"acme/2", b"acme/1"]


async def test_a_change_shows_after_its_seconds_and_a_lost_endpoint_is_gone() -> None:
    found, store, _, clock = made(record("t", NEW))
    await found.find("t")

    store.records.clear()
    kept = await found.find("t")
    clock.advance(seconds=5)
    gone = await found.find("t")

    assert kept is not None
    assert gone is None
    assert found._known == {}


async def test_an_unknown_token_is_asked_about_each_time_and_takes_no_room() -> None:
    found, store, _, _ = made()

    assert [await found.find("nobody") for _ in range(3)] == [None, None, None]
    assert store.asked == 3
    assert found._known == {}


async def test_p3_a_lost_secret_proves_nothing_and_the_other_still_signs() -> None:
    found, _, sealed, _ = made(record("t", NEW, OLD))
    sealed.lost.add(NEW)

    endpoint = await found.find("t")

    assert endpoint is not None
    assert [secret.value for secret in endpoint.secrets] == [b"acme/1"]


async def test_while_key_management_is_down_nothing_is_kept() -> None:
    found, _, sealed, _ = made(record("t", NEW))
    sealed.down = True

    with pytest.raises(PlatformUnavailableError):
        await found.find("t")
    sealed.down = False

    assert await found.find("t") is not None


async def test_p7_the_least_used_endpoint_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "_MOST_KEPT", 2)
    found, store, _, _ = made(*(record(token) for token in "abc"))

    for token in "abc":
        await found.find(token)
    await found.find("c")
    await found.find("a")

    assert store.asked == 4
    assert len(found._known) == 2


async def test_p8_an_endpoint_never_shows_its_secrets() -> None:
    found, _, _, _ = made(record("t0ken", NEW))

    shown = repr(await found.find("t0ken"))

    assert "acme/2" not in shown
    assert "t0ken" not in shown


async def test_a_change_of_ours_shows_at_once() -> None:
    found, store, _, _ = made(record("t", NEW), record("other", OLD))
    await found.find("t")
    await found.find("other")

    found.forget(UUID(int=9))  # of another connection
    await found.find("other")
    found.forget(UUID(int=8))
    await found.find("t")
    await found.find("t")

    assert store.asked == 3
    assert len(found._known) == 1


async def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    """The change may be committed while the old rows are on their way."""
    found, store, _, _ = made(record("t", NEW))
    asking = store.endpoint

    async def slow(token_hash: bytes, *, now: object) -> EndpointRecord | None:
        row = await asking(token_hash, now=now)
        found.forget(UUID(int=8))
        return row

    store.endpoint = slow  # type: ignore[method-assign]
    first = await found.find("t")
    await found.find("t")

    assert first is not None
    assert store.asked == 2
    assert found._known == {}
