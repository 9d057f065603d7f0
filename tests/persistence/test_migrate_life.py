"""A database of before revision 0003 comes through with its data, and its receipts become a chain."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import pytest

from persistence.chain import START, verify_chain
from persistence.changes import ActionFilter, ConnectionFilter
from persistence.migrate import migrate
from persistence.migrations import chaining
from persistence.opening import is_postgres, open_store
from persistence.records import ActionState, ConnectionState
from persistence.store import Store
from tests.persistence import samples
from tests.persistence.old_rows import Old, write
from tests.postgres import bring_to

pytestmark = pytest.mark.thorough

T = datetime(2026, 2, 1, 8, 0, 0, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LIVE, DEAD, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
SENT, BATCHED, FIRST, SECOND_ONE, LONE = (UUID(int=number) for number in range(11, 16))
BATCH = UUID(int=21)
DONE, QUEUED = UUID(int=31), UUID(int=32)
AUTH = UUID(int=41)
OLD_BODY = '{"a": [1, 2], "b": 1}'
"""As JSONB spells it."""


class OldLife(Old):
    """Rows as the program of revision 0002 wrote them."""

    def action(self, action_id: UUID, state: str) -> None:
        self.add(
            "normalised_actions",
            counted=True,
            action_id=action_id,
            connection_id=LIVE,
            provider_id="github",
            canonical_type="post_comment",
            target="{}",
            target_key="repo#1",
            payload=b"{}",
            idempotency_key=action_id.hex,
            digest=b"d" * 32,
            expires_at=T + SECOND,
            state=state,
            attempts=1,
            asked=1,
            not_before=T,
            outcome=None if state == "queued" else "{}",
        )

    def receipt(
        self,
        receipt_id: UUID,
        *,
        at: datetime,
        state: str = "waiting",
        batch_id: UUID | None = None,
        stamped_at: datetime | None = None,
        tenant_id: str = "acme",
    ) -> None:
        self.add(
            "receipts",
            counted=True,
            at=at,
            tenant_id=tenant_id,
            receipt_id=receipt_id,
            operation="connection.created",
            body=OLD_BODY,
            state=state,
            batch_id=batch_id,
            stamped_at=stamped_at,
        )


def filled(*, postgres: bool) -> list[str]:
    old = OldLife(at=T, postgres=postgres)
    old.connection(LIVE, "active", auth_ref=AUTH)
    old.connection(DEAD, "deleted", auth_ref=AUTH)
    old.connection(OTHER, "active", "other", auth_ref=AUTH)
    old.add(
        "webhook_registrations",
        registration_id=uuid4(),
        connection_id=LIVE,
        token_hash=b"t" * 32,
        status="active",
    )
    old.add(
        "sealed_secrets",
        secret_id=AUTH,
        connection_id=LIVE,
        purpose="auth",
        version=1,
        key_id=uuid4(),
        nonce=b"n",
        ciphertext=b"\x00\xff",
    )
    old.action(DONE, "done")
    old.action(QUEUED, "queued")
    old.receipt(SENT, at=T, state="sent", batch_id=uuid4(), stamped_at=T + 10 * SECOND)
    old.receipt(BATCHED, at=T, batch_id=BATCH, stamped_at=T + 11 * SECOND)
    old.receipt(FIRST, at=T)
    old.receipt(SECOND_ONE, at=T + 20 * SECOND)
    old.add("receipt_chains", chain_id=chain_id("acme"), last_stamped_at=T + 11 * SECOND)
    old.receipt(LONE, at=T, tenant_id="other")
    return old.statements


def chain_id(tenant_id: str) -> UUID:
    return uuid5(NAMESPACE_URL, tenant_id)


@pytest.fixture
def old_url(empty_url: str) -> str:
    """A database at 0002 with rows."""
    bring_to(empty_url, "0002")
    write(empty_url, filled(postgres=is_postgres(empty_url)))
    return empty_url


async def test_connections_and_what_hangs_on_them_come_through(old_url: str):
    await migrate(old_url)

    async with open_store(old_url) as store:
        live = await store.connection("acme", LIVE)
        assert live is not None
        assert (live.version, live.network, live.pressure) == (1, b"{}", b"{}")
        assert json.loads(live.settings) == {"depth": 1}
        (registration,) = await store.registrations("acme", LIVE, now=T)
        assert (registration.open, registration.token_ref, registration.ends_at) == (
            True,
            None,
            None,
        )
        endpoint = await store.endpoint(b"t" * 32, now=T)
        assert endpoint is not None
        assert endpoint.open
        secret = await store.sealed_secret("acme", AUTH)
        assert secret is not None
        assert secret.ciphertext == b"\x00\xff"
        lease = await store.claim_connection("acme", LIVE, owner=uuid4())
        assert (lease.epoch, lease.sequence_no, lease.version) == (5, 7, 1)
        moved = await samples.move(store, live, ConnectionState.SUSPENDED, now=T + SECOND)
        assert moved.version == 2


async def test_deleted_connections_of_before_are_tidied_up(old_url: str):
    await migrate(old_url)

    async with open_store(old_url) as store:
        assert await store.connections_to_clean(now=T, limit=9) == (("acme", DEAD),)
        asked = ConnectionFilter(states=(ConnectionState.DELETED,))
        (dead,) = await store.connections("acme", after=None, limit=9, only=asked)
        assert dead.connection_id == DEAD


async def test_actions_get_the_time_of_their_end(old_url: str):
    await migrate(old_url)

    async with open_store(old_url) as store:
        queued, done = await store.actions("acme", ActionFilter(), before=None, limit=9)
        assert (done.action_id, done.state, done.ended_at) == (DONE, ActionState.DONE, T)
        assert (queued.action_id, queued.state, queued.ended_at) == (
            QUEUED,
            ActionState.QUEUED,
            None,
        )


async def chained(store: Store, tenant_id: str = "acme"):
    return await store.chained_receipts(tenant_id, after=0, limit=99)


async def test_receipts_of_before_become_a_chain_in_the_order_they_left_or_were_written(
    old_url: str,
):
    await migrate(old_url)

    async with open_store(old_url) as store:
        kept = await chained(store)
        lone = await chained(store, "other")

    assert [one.receipt_id for one in kept] == [SENT, BATCHED, FIRST, SECOND_ONE]
    assert [one.sequence_no for one in kept] == [1, 2, 3, 4]
    instant = timedelta(microseconds=1)
    stamps = [T + 10 * SECOND, T + 11 * SECOND, T + 11 * SECOND + instant, T + 20 * SECOND]
    assert [one.stamped_at for one in kept] == stamps
    assert [one.sent for one in kept] == [True, False, False, False]
    assert kept[0].previous == START
    assert verify_chain(kept) is None
    assert verify_chain(lone) is None
    assert [(one.receipt_id, one.sequence_no, one.stamped_at) for one in lone] == [(LONE, 1, T)]


async def test_a_batch_under_way_is_sent_again_as_it_was_and_then_the_rest(old_url: str):
    await migrate(old_url)

    async with open_store(old_url) as store:
        batch = await store.receipt_batch("acme", batch_id=uuid4(), limit=9, now=T)
        assert batch is not None
        assert batch.batch_id == BATCH
        (under_way,) = batch.receipts
        assert (under_way.receipt_id, under_way.stamped_at) == (BATCHED, T + 11 * SECOND)
        assert under_way.body == OLD_BODY.encode()
        await store.settle_receipts("acme", BATCH)
        rest = await store.receipt_batch("acme", batch_id=uuid4(), limit=9, now=T)
        assert rest is not None
        assert [one.receipt_id for one in rest.receipts] == [FIRST, SECOND_ONE]
        await store.settle_receipts("acme", rest.batch_id)
        assert await store.tenants_with_receipts(limit=9) == ("other",)


async def test_new_receipts_go_on_where_the_old_ones_end(old_url: str):
    await migrate(old_url)

    async with open_store(old_url) as store:
        for tenant_id in ("acme", "other", "new"):
            await samples.connected(store, tenant_id)
            kept = await chained(store, tenant_id)
            assert verify_chain(kept) is None
            assert kept[-1].sequence_no == len(kept)
            assert kept[-1].stamped_at >= samples.NOW


async def test_many_receipts_are_chained_page_by_page(
    old_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(chaining, "_ROWS_AT_ONCE", 2)

    await migrate(old_url)

    async with open_store(old_url) as store:
        kept = await chained(store)
    assert [one.sequence_no for one in kept] == [1, 2, 3, 4]
    assert verify_chain(kept) is None
