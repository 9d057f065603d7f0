"""What every store promises about who may begin and end work on a connection, and renew its credentials."""

from __future__ import annotations

from uuid import uuid4

import orjson
import pytest
import trio
from attrs import evolve

from persistence.changes import ConnectionChange
from persistence.errors import (
    ChangedError,
    ConflictError,
    FencedError,
)
from persistence.records import ActionState, ConnectionState
from persistence.store import Store
from tests.persistence.samples import (
    DAY,
    NOW,
    action,
    changed,
    connection,
    delivery,
    endpoint,
    exchange,
    found,
    leased,
    move,
    receipt,
    secret,
)

ACTIVE = ConnectionState.ACTIVE
SUSPENDED = ConnectionState.SUSPENDED


async def test_a_lease_knows_the_version_and_new_work_is_not_begun_on_another(store: Store):
    """P10."""
    lease = await leased(store)
    await store.accept([delivery(lease)])
    await changed(store, lease, ConnectionChange(state=ACTIVE, settings=b"{}"))

    with pytest.raises(ChangedError):
        await store.claim_deliveries(lease, limit=9)
    renewed = await store.claim_connection("acme", lease.connection_id, owner=uuid4())

    assert (lease.version, renewed.version) == (1, 2)
    (claimed,) = await store.claim_deliveries(renewed, limit=9)
    assert claimed.attempts == 1


async def test_nothing_is_begun_on_a_connection_that_is_not_active(store: Store):
    lease = await leased(store)
    await store.accept([delivery(lease)])
    asked = action(lease, "key")
    await store.enqueue(asked)
    begun = exchange(lease, asked.action_id)
    await store.intend(lease, begun)
    await move(store, lease, SUSPENDED)
    lease = evolve(lease, version=2)

    with pytest.raises(ChangedError):
        await store.claim_deliveries(lease, limit=9)
    with pytest.raises(ChangedError):
        await store.intend(lease, exchange(lease, asked.action_id, step=1))
    with pytest.raises(ChangedError):
        await store.enqueue(action(lease))
    with pytest.raises(ConflictError):
        await store.enqueue(action(lease, "key", digest=b"other"))

    assert await store.exchanges("acme", asked.action_id) == (begun,)
    assert await store.pending_count() == 1
    known, new = await store.enqueue(asked)
    assert (known.action_id, new) == (asked.action_id, False)
    assert (await store.due_actions(lease, now=NOW, limit=9)) != ()


async def test_what_was_begun_may_end_though_the_connection_was_suspended(store: Store):
    """P4: the answer to a write is not lost."""
    lease = await leased(store)
    asked = action(lease)
    await store.enqueue(asked)
    begun = exchange(lease, asked.action_id)
    await store.intend(lease, begun)
    await move(store, lease, SUSPENDED)

    await store.settle(lease, [], now=NOW)
    await store.resolve_exchange(lease, begun, state=begun.state)
    await store.postpone_action(lease, asked.action_id, not_before=NOW, reason="x", now=NOW)
    await store.keep_pressure(lease, b'{"open":true}')
    await store.settle_action(
        lease,
        asked.action_id,
        state=ActionState.DONE,
        reason=None,
        outcome=b"{}",
        receipt=receipt(),
        now=NOW,
    )

    record = await store.action("acme", asked.action_id)
    assert record is not None
    assert record.state is ActionState.DONE


async def test_an_action_does_not_slip_in_behind_a_suspension(store: Store):
    """Whichever commits first: an action that was taken was taken while the connection was active."""
    for _ in range(6):
        lease = await leased(store)
        outcomes: list[str] = []

        async def ask(at=lease, outcomes=outcomes) -> None:
            try:
                await store.enqueue(action(at))
            except ChangedError:
                outcomes.append("refused")
            else:
                outcomes.append("taken")

        async def suspend(at=lease) -> None:
            await changed(
                store, at, ConnectionChange(state=SUSPENDED, cancel_actions=True, reason="unpaid")
            )

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask)
            nursery.start_soon(suspend)
            for _ in range(4):
                nursery.start_soon(ask)

        assert await store.due_actions(lease, now=NOW, limit=9) == ()
        assert len(outcomes) == 8


async def test_pressure_is_remembered_by_the_owner_only(store: Store):
    """P10: and is no change that callers see."""
    older = await leased(store)
    lease = await store.claim_connection("acme", older.connection_id, owner=uuid4())

    await store.keep_pressure(lease, b'{"open":true}')
    with pytest.raises(FencedError):
        await store.keep_pressure(older, b"{}")

    there = await store.connection("acme", lease.connection_id)
    assert there is not None
    assert (orjson.loads(there.pressure), there.version) == ({"open": True}, 1)


async def test_renewed_credentials_replace_the_ones_that_were_used(store: Store):
    made = connection()
    used = secret(made, purpose="auth")
    await store.create_connection(
        evolve(made, auth_ref=used.secret_id), endpoint(made), (used,), receipt()
    )
    lease = await store.claim_connection("acme", made.connection_id, owner=uuid4())
    fresh = secret(made, purpose="auth", version=2)

    await store.renew_credentials(lease, expected=used.secret_id, sealed=fresh, now=NOW + DAY)

    after = await found(store, made)
    assert (after.auth_ref, after.version, after.updated_at) == (fresh.secret_id, 1, NOW)
    assert await store.sealed_secret("acme", used.secret_id) is None
    assert await store.sealed_secret("acme", fresh.secret_id) == fresh


async def test_first_credentials_replace_none(store: Store):
    made = evolve(connection(), auth_ref=None)
    await store.create_connection(made, endpoint(made), (), receipt())
    lease = await store.claim_connection("acme", made.connection_id, owner=uuid4())
    fresh = secret(made, purpose="auth")

    await store.renew_credentials(lease, expected=None, sealed=fresh, now=NOW)

    assert (await found(store, made)).auth_ref == fresh.secret_id


async def test_of_two_refreshes_at_once_one_is_kept(store: Store):
    """A refresh token is used once: the loser must not overwrite what the winner got."""
    made = connection()
    used = secret(made, purpose="auth")
    await store.create_connection(
        evolve(made, auth_ref=used.secret_id), endpoint(made), (used,), receipt()
    )
    lease = await store.claim_connection("acme", made.connection_id, owner=uuid4())
    kept = []

    async def refresh(version: int) -> None:
        fresh = secret(made, purpose="auth", version=version)
        try:
            await store.renew_credentials(lease, expected=used.secret_id, sealed=fresh, now=NOW)
        except ConflictError:
            return
        kept.append(fresh)

    async with trio.open_nursery() as nursery:
        for version in (2, 3, 4):
            nursery.start_soon(refresh, version)

    (winner,) = kept
    assert (await found(store, made)).auth_ref == winner.secret_id
    assert await store.secrets_of("acme", made.connection_id, "auth", now=NOW) == (winner,)


async def test_credentials_are_renewed_by_their_owner_and_for_itself_only(store: Store):
    """P6, P10."""
    older = await leased(store)
    made = await store.connection("acme", older.connection_id)
    assert made is not None
    lease = await store.claim_connection("acme", older.connection_id, owner=uuid4())
    fresh = secret(made, purpose="auth")

    with pytest.raises(FencedError):
        await store.renew_credentials(older, expected=made.auth_ref, sealed=fresh, now=NOW)
    with pytest.raises(ConflictError):
        await store.renew_credentials(lease, expected=uuid4(), sealed=fresh, now=NOW)
    with pytest.raises(ValueError, match="another connection"):
        await store.renew_credentials(
            lease, expected=made.auth_ref, sealed=secret(connection()), now=NOW
        )

    assert await store.connection("acme", made.connection_id) == made
    assert await store.sealed_secret("acme", fresh.secret_id) is None
