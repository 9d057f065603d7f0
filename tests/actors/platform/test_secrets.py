"""Sealed secrets: one data key for each tenant, wrapped by M33; useless without it, useless elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
import trio
import trio.testing
from attrs import define, evolve, field

from actors.platform.embedded.keys import KeyManagement
from actors.platform.errors import (
    PlatformMisconfiguredError,
    PlatformRefusedError,
    PlatformUnavailableError,
    SecretLostError,
)
from actors.platform.keys import KmsKeys, KmsTerms, Wrapped
from actors.platform.secrets import SealedSecrets, SealPace, SecretStore
from adapters.contract import Secret
from persistence.records import SealedSecret, TenantKey
from tests.actors.platform.world import (
    EPOCH,
    HandClock,
    Served,
    always,
    counting_ids,
    seeded_entropy,
    served,
)

CONNECTION = UUID(int=77)
VALUE = Secret(value=b"ghp_private")
TERMS = KmsTerms(tenant="dev-tenant", approval_token=Secret(value=b"approved-by-ops"))


@define
class Rows:
    """The store's part, in memory: the first key of a tenant and version stays."""

    secrets: dict[tuple[str, UUID], SealedSecret] = field(factory=dict)
    keys: list[TenantKey] = field(factory=list)

    async def sealed_secret(self, tenant_id: str, secret_id: UUID) -> SealedSecret | None:
        await trio.lowlevel.checkpoint()
        return self.secrets.get((tenant_id, secret_id))

    async def keep_tenant_key(self, key: TenantKey) -> TenantKey:
        await trio.lowlevel.checkpoint()
        for kept in self.keys:
            if (kept.tenant_id, kept.version) == (key.tenant_id, key.version):
                return kept
        self.keys.append(key)
        return key

    async def tenant_key(self, tenant_id: str, key_id: UUID | None = None) -> TenantKey | None:
        await trio.lowlevel.checkpoint()
        own = [key for key in self.keys if key.tenant_id == tenant_id]
        fitting = [key for key in own if key_id in (None, key.key_id)]
        return max(fitting, key=lambda key: key.version, default=None)

    def keep(self, row: SealedSecret) -> UUID:
        self.secrets[row.tenant_id, row.secret_id] = row
        return row.secret_id


@define
class Vault:
    """Sealed secrets on rows and an M33 behind real HTTP."""

    rows: Rows
    clock: HandClock
    server: Served
    seeds: int = 0

    def node(self, **more: Any) -> SealedSecrets:
        """Another process with the same store and M33."""
        self.seeds += 1
        keys = KmsKeys(self.server.sibling, more.pop("terms", TERMS))
        ids = counting_ids()
        offset = self.seeds * 1000
        return SealedSecrets(
            keys,
            self.rows,
            clock=self.clock,
            entropy=seeded_entropy(self.seeds),
            ids=lambda: UUID(int=ids().int + offset),
            **more,
        )

    async def seal(self, secrets: SecretStore, tenant_id: str = "acme", version: int = 1) -> UUID:
        row = await secrets.seal(tenant_id, CONNECTION, "auth", version, VALUE, now=EPOCH)
        return self.rows.keep(row)


@asynccontextmanager
async def vault() -> AsyncIterator[Vault]:
    kms = KeyManagement(entropy=seeded_entropy(99))
    async with served(kms.handle, name="M33") as server:
        yield Vault(rows=Rows(), clock=HandClock(), server=server)


async def test_a_sealed_secret_is_had_back_by_another_node_with_the_same_store_and_m33() -> None:
    async with vault() as world:
        secret_id = await world.seal(world.node())

        assert await world.node().unseal("acme", secret_id) == VALUE


async def test_no_row_holds_the_secret_or_its_key_p8() -> None:
    async with vault() as world:
        secrets = world.node()
        secret_id = await world.seal(secrets)
        row, [key] = world.rows.secrets["acme", secret_id], world.rows.keys

    assert VALUE.value not in row.ciphertext
    assert row.nonce not in {b"", key.iv.encode()}
    assert "ghp_private" not in repr((row, key, secrets, VALUE, f"{VALUE}"))
    assert (row.version, row.purpose, row.created_at, row.expires_at) == (1, "auth", EPOCH, None)


async def test_concurrent_first_use_makes_one_key() -> None:
    async with vault() as world:
        secrets = world.node()
        async with trio.open_nursery() as nursery:
            for version in range(1, 11):
                nursery.start_soon(world.seal, secrets, "acme", version)
        counts = await world.server.counts()

    assert len(world.rows.keys) == 1
    assert counts == {"200": 1, "201": 1}
    assert {row.key_id for row in world.rows.secrets.values()} == {world.rows.keys[0].key_id}


async def test_two_nodes_that_make_the_first_key_at_once_agree_on_one() -> None:
    async with vault() as world:
        nodes = [world.node(), world.node()]
        async with trio.open_nursery() as nursery:
            for version, node in enumerate(nodes):
                nursery.start_soon(world.seal, node, "acme", version)

        assert len(world.rows.keys) == 1
        for _, secret_id in world.rows.secrets:
            assert await world.node().unseal("acme", secret_id) == VALUE


async def test_tenants_have_keys_of_their_own_and_can_not_read_each_other_p6() -> None:
    async with vault() as world:
        secrets = world.node()
        secret_id = await world.seal(secrets, "acme")
        await world.seal(secrets, "globex")
        with pytest.raises(SecretLostError):
            await secrets.unseal("globex", secret_id)

    first, second = world.rows.keys
    assert first.kms_key_id != second.kms_key_id


@pytest.mark.parametrize(
    "moved",
    [
        {"connection_id": UUID(int=78)},
        {"purpose": "webhook"},
        {"version": 2},
        {"ciphertext": b"x" * 40},
        {"ciphertext": b""},
        {"nonce": b""},
    ],
)
async def test_a_row_that_was_moved_or_changed_does_not_open(moved: dict[str, Any]) -> None:
    async with vault() as world:
        secrets = world.node()
        secret_id = await world.seal(secrets)
        row = world.rows.secrets["acme", secret_id]
        world.rows.keep(evolve(row, **moved))
        with pytest.raises(SecretLostError) as caught:
            await secrets.unseal("acme", secret_id)

    assert "ghp_private" not in str(caught.value)


async def test_a_key_row_of_another_tenant_is_refused_by_m33_for_its_aad() -> None:
    async with vault() as world:
        secret_id = await world.seal(world.node(), "acme")
        row = evolve(world.rows.secrets["acme", secret_id], tenant_id="globex")
        world.rows.keep(row)
        world.rows.keys = [evolve(key, tenant_id="globex") for key in world.rows.keys]
        with pytest.raises(PlatformRefusedError) as caught:
            await world.node().unseal("globex", secret_id)

    assert caught.value.code == "INVALID_REQUEST"


async def test_missing_rows_and_a_time_that_is_over_are_told_apart_from_an_outage() -> None:
    async with vault() as world:
        secrets = world.node()
        secret_id = await world.seal(secrets)
        row = world.rows.secrets["acme", secret_id]
        with pytest.raises(SecretLostError, match="no secret"):
            await secrets.unseal("acme", UUID(int=1))
        world.rows.keep(evolve(row, expires_at=EPOCH + timedelta(hours=1)))
        assert await secrets.unseal("acme", secret_id) == VALUE
        world.clock.advance(hours=1)
        with pytest.raises(SecretLostError, match="is over"):
            await secrets.unseal("acme", secret_id)
        world.rows.keep(evolve(row, key_id=UUID(int=5)))
        with pytest.raises(SecretLostError, match="no data key"):
            await secrets.unseal("acme", secret_id)


async def test_a_remembered_key_serves_for_minutes_without_m33_and_not_longer() -> None:
    async with vault() as world:
        secrets = world.node()
        secret_id = await world.seal(secrets)
        await world.server.control("down", {"status": 503})
        world.clock.advance(minutes=4, seconds=59)
        assert await secrets.unseal("acme", secret_id) == VALUE
        await world.seal(secrets, version=2)
        world.clock.advance(seconds=1)
        with pytest.raises(PlatformUnavailableError):
            await secrets.unseal("acme", secret_id)


async def test_m33_down_and_nothing_remembered_is_unavailable_never_open() -> None:
    async with vault() as world:
        secret_id = await world.seal(world.node())
        await world.server.control("down", {"refuse": True})
        fresh = world.node()
        with pytest.raises(PlatformUnavailableError):
            await fresh.unseal("acme", secret_id)
        with pytest.raises(PlatformUnavailableError):
            await fresh.seal("globex", CONNECTION, "auth", 1, VALUE, now=EPOCH)

    assert len(world.rows.keys) == 1


async def test_remembered_keys_are_bounded_p7() -> None:
    async with vault() as world:
        secrets = world.node(pace=SealPace(at_most=2))
        first = await world.seal(secrets, "acme")
        for tenant in ("globex", "initech"):
            await world.seal(secrets, tenant)
        before = await world.server.counts()
        await secrets.unseal("acme", first)
        after = await world.server.counts()

    assert after["200"] == before["200"] + 1


async def test_a_given_m33_key_is_used_for_all_tenants() -> None:
    async with vault() as world:
        made = await KmsKeys(world.server.sibling, TERMS).create_key("all")
        secrets = world.node(kms_key_id=made)
        for tenant in ("acme", "globex"):
            await world.seal(secrets, tenant)

    assert {key.kms_key_id for key in world.rows.keys} == {made}


async def test_waiting_for_a_key_has_an_end_p7(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Slow(Rows):
        async def tenant_key(self, tenant_id: str, key_id: UUID | None = None) -> TenantKey | None:
            await trio.sleep_forever()
            raise AssertionError

    secrets = SealedSecrets(
        KmsKeys(always(500).sibling(), TERMS),
        Slow(),
        clock=HandClock(),
        entropy=seeded_entropy(),
        ids=counting_ids(),
    )

    async def ask() -> None:
        with pytest.raises(PlatformUnavailableError, match="too long"):
            await secrets.seal("acme", CONNECTION, "auth", 1, VALUE, now=EPOCH)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)

    assert trio.current_time() == pytest.approx(30)


async def test_an_unwrapped_key_of_the_wrong_length_is_not_used() -> None:
    async with vault() as world:
        keys = KmsKeys(world.server.sibling, TERMS)
        kms_key_id = await keys.create_key("acme")
        aad = orjson.dumps(["acme", "connection-secrets"])
        wrapped = await keys.wrap(
            Secret(value=b"short"), tenant_id="acme", kms_key_id=kms_key_id, aad=aad
        )
        row = TenantKey(
            key_id=UUID(int=9),
            tenant_id="acme",
            version=1,
            kms_key_id=wrapped.kms_key_id,
            algorithm=wrapped.algorithm,
            iv=wrapped.iv,
            ciphertext=wrapped.ciphertext,
            created_at=EPOCH,
        )
        await world.rows.keep_tenant_key(row)
        with pytest.raises(SecretLostError, match="not what was wrapped"):
            await world.seal(world.node())


async def test_a_key_that_m33_rotated_or_revoked_is_refused_at_once() -> None:
    async with vault() as world:
        secret_id = await world.seal(world.node())
        [key] = world.rows.keys
        body = {
            "tenant_id": "dev-tenant",
            "environment": "dev",
            "plane": "shared",
            "approval_token": "approved-by-ops",
        }
        url = f"{world.server.url}/kms/v1/keys/{key.kms_key_id}/rotate"
        await world.server.http.post(url, json=body)
        with pytest.raises(PlatformRefusedError) as caught:
            await world.node().unseal("acme", secret_id)

    assert caught.value.code == "KEY_INACTIVE"


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (evolve(TERMS, approval_token=None), "approval"),
        (evolve(TERMS, approval_token=Secret(value=b"short")), "403"),
        (evolve(TERMS, tenant="{tenant}"), "403"),
    ],
)
async def test_m33_s_terms_are_the_operator_s_to_mend(terms: KmsTerms, text: str) -> None:
    async with vault() as world:
        with pytest.raises(PlatformMisconfiguredError, match=text):
            await world.seal(world.node(terms=terms))


async def test_a_client_certificate_makes_it_another_tenant() -> None:
    terms = evolve(TERMS, tenant="mock-tenant", client_certificate="cn=ia")
    async with vault() as world:
        secret_id = await world.seal(world.node(terms=terms))

        assert await world.node(terms=terms).unseal("acme", secret_id) == VALUE
        with pytest.raises(PlatformMisconfiguredError):
            await world.node().unseal("acme", secret_id)


WRAPPED = Wrapped(kms_key_id="k", algorithm="AES-256-GCM", iv="aXY=", ciphertext="Y3Q=")


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("POLICY_VIOLATION", "Daily usage limit exceeded", PlatformUnavailableError),
        ("POLICY_VIOLATION", "Not in this plane", PlatformRefusedError),
        ("UNAUTHORIZED", "Who are you", PlatformMisconfiguredError),
    ],
)
async def test_m33_s_403_means_three_things(
    code: str, message: str, expected: type[Exception]
) -> None:
    answer = {"detail": {"error": {"code": code, "message": message}}}
    keys = KmsKeys(always(403, answer).sibling("M33"), TERMS)

    with pytest.raises(expected):
        await keys.unwrap(WRAPPED, tenant_id="acme", aad=b"")
    with pytest.raises(expected):
        await keys.wrap(VALUE, tenant_id="acme", kms_key_id="k", aad=b"")


@pytest.mark.parametrize("answer", [{}, {"plaintext": ""}, {"plaintext": 7}, {"plaintext": "%"}])
async def test_an_answer_without_plaintext_makes_no_sense(answer: object) -> None:
    keys = KmsKeys(always(200, answer).sibling("M33"), TERMS)

    with pytest.raises(PlatformUnavailableError, match="no sense"):
        await keys.unwrap(WRAPPED, tenant_id="acme", aad=b"")
