"""What every store promises about connections, endpoints, secrets and keys."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import pytest
import trio
from attrs import evolve

from persistence.changes import ConnectionChange
from persistence.errors import ConflictError, MissingError
from persistence.records import ConnectionState, ProviderRecord, TenantKey
from persistence.store import Store
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    connected,
    connection,
    endpoint,
    move,
    receipt,
    secret,
    tenant_key,
)

PENDING = ConnectionState.PENDING_VERIFICATION
DELETED = ConnectionState.DELETED


async def receipts_waiting(store: Store) -> int:
    batch = await store.receipt_batch("acme", batch_id=uuid4(), limit=99, now=NOW)
    return 0 if batch is None else len(batch.receipts)


async def test_a_connection_comes_back_as_it_was_stored(store: Store):
    made = connection(state=PENDING)
    await store.create_connection(made, endpoint(made), (secret(made),), receipt())

    found = await store.connection("acme", made.connection_id)

    assert found is not None
    assert json.loads(found.settings) == {"depth": 1}
    assert evolve(found, settings=made.settings) == made
    assert type(found.connection_id) is UUID


async def test_a_tenants_connections_are_out_of_reach_for_others(store: Store):
    """P6."""
    made = await connected(store)

    assert await store.connection("other", made.connection_id) is None
    assert await store.connections("other", after=None, limit=9) == ()
    with pytest.raises(MissingError):
        await store.change_connection(
            "other",
            made.connection_id,
            ConnectionChange(state=DELETED),
            version=1,
            receipt=None,
            now=NOW,
        )


async def test_a_display_name_is_unique_until_its_connection_is_deleted(store: Store):
    first = connection(display_name="site")
    second = connection(display_name="site")
    await store.create_connection(first, endpoint(first), (), receipt())

    with pytest.raises(ConflictError):
        await store.create_connection(second, endpoint(second), (secret(second),), receipt())
    other = connection("other", display_name="site")
    await store.create_connection(other, endpoint(other), (), receipt("other"))

    assert await store.connection("acme", second.connection_id) is None
    assert await receipts_waiting(store) == 1
    await move(store, first, DELETED)
    await store.create_connection(second, endpoint(second), (), receipt())


async def test_creating_with_another_connections_rows_is_refused(store: Store):
    """P6."""
    made, stranger = connection(), connection("other")

    with pytest.raises(ValueError, match="another connection"):
        await store.create_connection(made, endpoint(stranger), (), receipt())
    with pytest.raises(ValueError, match="another connection"):
        await store.create_connection(made, endpoint(made), (secret(stranger),), receipt())
    with pytest.raises(ValueError, match="another tenant"):
        await store.create_connection(made, endpoint(made), (), receipt("other"))

    assert await store.connection("acme", made.connection_id) is None


async def test_connections_are_paged_by_id(store: Store):
    made = sorted([(await connected(store)).connection_id for _ in range(5)])
    await connected(store, "other")

    first = await store.connections("acme", after=None, limit=2)
    rest = await store.connections("acme", after=first[-1].connection_id, limit=9)

    assert [one.connection_id for one in first + rest] == made
    assert len(first) == 2


async def test_an_endpoint_is_found_by_its_tokens_hash_with_the_state_now(store: Store):
    made = await connected(store)
    given = endpoint(made)

    found = await store.endpoint(given.token_hash, now=NOW)
    await move(store, made, DELETED)
    deleted = await store.endpoint(given.token_hash, now=NOW)

    assert found is not None
    assert evolve(found, registration_id=given.registration_id) == given
    assert deleted == evolve(found, state=DELETED)
    assert await store.endpoint(b"unknown", now=NOW) is None


async def test_an_endpoint_names_its_valid_webhook_secrets_newest_first(store: Store):
    """P3: a rotated secret stops being valid by itself."""
    made = connection()
    old = secret(made, version=1, expires_at=NOW)
    rotated = secret(made, version=2, expires_at=NOW + SECOND)
    current = secret(made, version=3)
    login = secret(made, purpose="auth")
    at = endpoint(made)
    await store.create_connection(made, at, (old, rotated, current, login), receipt())

    during = await store.endpoint(at.token_hash, now=NOW)
    after = await store.endpoint(at.token_hash, now=NOW + SECOND)

    assert during is not None
    assert after is not None
    assert during.secret_refs == (current.secret_id, rotated.secret_id)
    assert after.secret_refs == (current.secret_id,)


async def test_a_sealed_secret_is_its_tenants_only(store: Store):
    """P6, P8."""
    made = connection()
    sealed = secret(made, expires_at=NOW)
    await store.create_connection(made, endpoint(made), (sealed,), receipt())

    assert await store.sealed_secret("acme", sealed.secret_id) == sealed
    assert await store.sealed_secret("other", sealed.secret_id) is None
    assert "sealed" not in repr(sealed).replace("SealedSecret", "")


async def test_the_first_data_key_of_a_version_is_kept(store: Store):
    first, late, newer = tenant_key(), tenant_key(), tenant_key(version=2)

    assert await store.keep_tenant_key(first) == first
    assert await store.keep_tenant_key(first) == first
    assert await store.keep_tenant_key(late) == first
    assert await store.keep_tenant_key(newer) == newer

    assert await store.tenant_key("acme") == newer
    assert await store.tenant_key("acme", first.key_id) == first
    assert await store.tenant_key("acme", late.key_id) is None
    assert await store.tenant_key("other") is None
    assert await store.tenant_key("other", first.key_id) is None
    with pytest.raises(ConflictError):
        await store.keep_tenant_key(evolve(first, version=9))


async def test_concurrent_callers_agree_on_one_data_key(store: Store):
    kept: list[TenantKey] = []

    async def keep() -> None:
        kept.append(await store.keep_tenant_key(tenant_key()))

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(keep)

    assert len(set(kept)) == 1
    assert len(kept) == 6


async def test_publishing_providers_again_changes_their_rows(store: Store, rows_of):
    github = ProviderRecord(
        provider_id="github",
        category="scm",
        name="GitHub",
        status="beta",
        api_version="2022-11-28",
        capabilities=b'{"webhook":true}',
    )

    await store.publish_providers([github, evolve(github, provider_id="gitlab")], now=NOW)
    await store.publish_providers([evolve(github, status="ga")], now=NOW + DAY)
    await store.publish_providers([], now=NOW)

    rows = await rows_of("SELECT provider_id, status FROM integration_providers ORDER BY 1")
    assert rows == [("github", "ga"), ("gitlab", "beta")]
