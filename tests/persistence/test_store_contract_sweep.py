"""What every store promises about forgetting what a connection's life leaves behind."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

import pytest
import trio

from persistence.changes import (
    ConnectionChange,
    ConnectionFilter,
    RequestAnswer,
    RequestClaim,
    RequestState,
)
from persistence.errors import MissingError
from persistence.polls import BackfillState
from persistence.records import (
    ConnectionRecord,
    ConnectionState,
    RelayedSignal,
    SettledDelivery,
)
from persistence.store import Store
from tests.persistence.poll_samples import backfill, cursor, planned
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    action,
    changed,
    connected,
    connection,
    delivery,
    endpoint,
    exchange,
    flow,
    incident,
    leased,
    move,
    receipt,
    secret,
    settled,
)

DELETED = ConnectionState.DELETED
NEVER = NOW - 99 * DAY
TABLES = (
    "integration_connections",
    "webhook_registrations",
    "sealed_secrets",
    "delivery_counts",
    "adapter_events",
    "outbox",
    "normalised_actions",
    "exchanges",
    "logins",
    "incidents",
    "polling_cursors",
    "backfills",
)


async def sweep(
    store: Store, *, now: datetime, forget_before: datetime = NEVER, limit: int = 99
) -> int:
    return await store.sweep(
        replay_before=NEVER, forget_before=forget_before, limit=limit, now=now
    )


async def test_a_secret_is_forgotten_once_its_time_is_over(store: Store):
    """P8."""
    made = connection()
    ending, lasting = secret(made, expires_at=NOW + SECOND), secret(made, version=2)
    await store.create_connection(made, endpoint(made), (ending, lasting), receipt())

    early = await sweep(store, now=NOW)
    touched = await sweep(store, now=NOW + SECOND)

    assert (early, touched) == (0, 1)
    assert await store.sealed_secret("acme", ending.secret_id) is None
    assert await store.sealed_secret("acme", lasting.secret_id) == lasting


async def test_an_ended_endpoint_loses_its_token_at_once_and_its_row_later(store: Store):
    """P8: until then, callers are told that it was there."""
    made = connection()
    token, lasting = secret(made, purpose="token"), secret(made, purpose="token")
    old = endpoint(made, token_ref=token.secret_id)
    new = endpoint(made, b"2", token_ref=lasting.secret_id)
    await store.create_connection(made, old, (token, lasting), receipt())
    await changed(
        store,
        made,
        ConnectionChange(
            state=ConnectionState.ACTIVE, endpoint=new, endpoints_end_at=NOW + SECOND
        ),
    )

    early = await sweep(store, now=NOW)
    ended = await sweep(store, now=NOW + SECOND)
    there = await store.endpoint(old.token_hash, now=NOW + SECOND)
    later = await sweep(store, now=NOW + DAY, forget_before=NOW + DAY)

    assert (early, ended, later) == (0, 1, 1)
    assert there is not None
    assert not there.open
    assert await store.sealed_secret("acme", token.secret_id) is None
    assert await store.endpoint(old.token_hash, now=NOW) is None
    assert await store.endpoint(new.token_hash, now=NOW) is not None
    assert await store.sealed_secret("acme", lasting.secret_id) is not None


async def test_flows_that_nobody_came_back_from_are_forgotten_with_their_verifier(store: Store):
    over, running = (
        flow(await connected(store), expires_at=NOW + SECOND),
        flow(await connected(store)),
    )
    for one in (over, running):
        await store.begin_login(*one)

    touched = await sweep(store, now=NOW + SECOND)

    assert touched == 2
    assert await store.take_login(over[0].state_hash, now=NOW) is None
    assert await store.sealed_secret("acme", over[1].secret_id) is None
    assert await store.take_login(running[0].state_hash, now=NOW) == running[0]


def claim(key: str, digest: bytes = b"d") -> RequestClaim:
    return RequestClaim(
        request_id=uuid4(),
        tenant_id="acme",
        key=key,
        digest=digest,
        created_at=NOW,
        until=NOW + SECOND,
    )


async def test_answers_are_forgotten_in_time_and_claims_that_nobody_finished_later(
    store: Store, rows_of
):
    answered, lasting, dead = claim("answered"), claim("lasting"), claim("dead")
    for one in (answered, lasting, dead):
        await store.claim_request(one)
    sealed = secret(connection())
    for one, end in ((answered, NOW + SECOND), (lasting, NOW + DAY)):
        await store.finish_request(
            RequestAnswer(
                request_id=one.request_id,
                tenant_id="acme",
                status=200,
                sealed=sealed,
                expires_at=end,
            )
        )

    early = await sweep(store, now=NOW)
    touched = await sweep(store, now=NOW + SECOND)
    left = await rows_of("SELECT key FROM requests ORDER BY 1")
    later = await sweep(store, now=NOW + SECOND, forget_before=NOW + 2 * SECOND)

    assert (early, touched, later) == (0, 1, 1)
    assert left == [("dead",), ("lasting",)]
    assert (await store.claim_request(claim("lasting"))).state is RequestState.DONE
    assert (await store.claim_request(claim("dead", b"x"))).state is RequestState.FRESH


async def test_incidents_are_forgotten_once_they_are_told_as_over(store: Store):
    made = await connected(store)
    kinds = ("told", "untold", "open")
    for kind in kinds:
        opened = incident(made, kind)
        await store.open_incident(opened)
        if kind != "open":
            await store.close_incident("acme", made.connection_id, kind, now=NOW)
        if kind == "told":
            await store.incident_told("acme", opened.incident_id, told="resolved")

    early = await sweep(store, now=NOW + DAY, forget_before=NOW)
    touched = await sweep(store, now=NOW + DAY, forget_before=NOW + SECOND)

    assert (early, touched) == (0, 1)
    left = await store.incidents("acme", made.connection_id, limit=9)
    assert [one.kind for one in left] == ["open", "untold"]


async def test_ended_backfills_are_forgotten(store: Store):
    lease = await leased(store)
    ended, paused = backfill(lease), backfill(lease, "pulls")
    for one in (ended, paused):
        await store.begin_backfill(one)
    for of, state in ((ended, BackfillState.FAILED), (paused, BackfillState.PAUSED)):
        await store.move_backfill(
            "acme",
            of.backfill_id,
            expected=[BackfillState.RUNNING],
            state=state,
            reason=None,
            now=NOW,
        )

    early = await sweep(store, now=NOW + DAY, forget_before=NOW)
    touched = await sweep(store, now=NOW + DAY, forget_before=NOW + SECOND)

    assert (early, touched) == (0, 1)
    left = await store.backfills("acme", lease.connection_id, limit=9)
    assert [one.backfill_id for one in left] == [paused.backfill_id]


async def test_cursors_are_forgotten_once_their_connection_is_deleted(store: Store):
    """P6: and nobody else's."""
    gone, kept = await planned(store, "issues", "pulls"), await planned(store)
    await move(store, gone, ConnectionState.SUSPENDED, now=NOW)
    suspended = await sweep(store, now=NOW + DAY, forget_before=NOW + DAY)
    await move(store, gone, DELETED, now=NOW + SECOND)

    early = await sweep(store, now=NOW, forget_before=NOW - DAY)
    bounded = await sweep(store, now=NOW + SECOND, forget_before=NOW - DAY, limit=1)
    rest = await sweep(store, now=NOW + SECOND, forget_before=NOW - DAY)

    assert (suspended, early, bounded, rest) == (0, 0, 1, 1)
    assert await store.cursors("acme", gone.connection_id) == ()
    assert len(await store.cursors("acme", kept.connection_id)) == 1


async def lived(store: Store) -> ConnectionRecord:
    """A connection with a row in every table, all of it over."""
    made = connection()
    await store.create_connection(made, endpoint(made), (secret(made),), receipt())
    lease = await store.claim_connection("acme", made.connection_id, owner=uuid4())
    parked = delivery(lease)
    await store.accept([delivery(lease), parked])
    lease = await store.settle(
        lease, [SettledDelivery(delivery_id=parked.delivery_id, parked="why")], now=NOW
    )
    await settled(store, lease, (2,))
    for _ in range(3):
        asked = action(lease, target_key=uuid4().hex)
        await store.enqueue(asked)
        await store.intend(lease, exchange(lease, asked.action_id))
    await store.begin_login(*flow(made))
    await store.open_incident(incident(made))
    await store.plan_polls(lease, [cursor(lease)], now=NOW)
    await store.begin_backfill(backfill(made))
    return made


async def end(store: Store, made: ConnectionRecord) -> None:
    await move(store, made, DELETED, now=NOW)
    await store.cleaned("acme", made.connection_id, again_at=None, now=NOW)


async def forward_all(store: Store) -> None:
    waiting = await store.next_signals("acme", limit=99)
    await store.settle_signals(
        "acme", [RelayedSignal(outbox_id=one.outbox_id) for one in waiting], now=NOW
    )


async def counted(rows_of) -> dict[str, int]:
    counts = [f"SELECT '{table}', count(*) FROM {table}" for table in TABLES]  # noqa: S608
    return dict(await rows_of(" UNION ALL ".join(counts)))


async def test_a_deleted_connection_is_forgotten_with_all_that_hangs_on_it(store: Store, rows_of):
    """P6: and nobody else's rows; its evidence stays."""
    await lived(store)
    before = await counted(rows_of)
    made = await lived(store)
    await forward_all(store)
    await end(store, made)

    early = await sweep(store, now=NOW, forget_before=NOW)
    await sweep(store, now=NOW, forget_before=NOW + SECOND)

    after = await counted(rows_of)
    assert early == 1  # its cursor, which nobody needs any more
    # What is forwarded and old goes in the same sweep, of whichever connection.
    over = {"outbox": 2, "adapter_events": 1}
    assert after == {table: number - over.get(table, 0) for table, number in before.items()}
    assert await store.connection("acme", made.connection_id) is None
    assert len(await store.chained_receipts("acme", after=0, limit=9)) == 2
    assert len(await store.accounting()) == 1


@pytest.mark.parametrize("what", ["alive", "not tidied up", "signals wait"])
async def test_a_connection_is_not_forgotten_before_everything_is_done(
    store: Store, rows_of, what: str
):
    """P9."""
    made = await lived(store)
    if what != "signals wait":
        await forward_all(store)
    if what == "not tidied up":
        await move(store, made, DELETED)
    if what == "signals wait":
        await end(store, made)

    await sweep(store, now=NOW, forget_before=NOW + DAY)

    assert await store.connection("acme", made.connection_id) is not None
    assert (await counted(rows_of))["normalised_actions"] == 3


async def test_forgetting_is_bounded_and_goes_on(store: Store, rows_of):
    """P7."""
    for made in [await lived(store) for _ in range(2)]:
        await forward_all(store)
        await end(store, made)
    for _ in range(30):
        before = sum((await counted(rows_of)).values())
        if not await sweep(store, now=NOW, forget_before=NOW + SECOND, limit=2):
            break
        # At most two of each kind, an action with its exchange, and the connection with its ledger.
        assert before - sum((await counted(rows_of)).values()) <= 2 * 10 + 2

    assert sum((await counted(rows_of)).values()) == 0
    everything = ConnectionFilter(states=tuple(ConnectionState))
    assert await store.connections("acme", after=None, limit=9, only=everything) == ()


async def test_two_sweeps_at_once_do_each_thing_once(store: Store, rows_of):
    for made in [await lived(store) for _ in range(3)]:
        await forward_all(store)
        await end(store, made)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(lambda: sweep(store, now=NOW, forget_before=NOW + SECOND))
    await sweep(store, now=NOW, forget_before=NOW + SECOND)

    assert sum((await counted(rows_of)).values()) == 0


async def test_a_delivery_for_a_forgotten_connection_is_refused(store: Store):
    made = await connected(store)
    await end(store, made)
    await sweep(store, now=NOW, forget_before=NOW + SECOND)

    with pytest.raises(MissingError):
        await store.accept([delivery(made)])
    with pytest.raises(MissingError):
        await store.enqueue(action(made))


async def test_without_a_time_of_its_own_the_sweep_ends_what_ended_before_the_rest(store: Store):
    made = connection()
    sealed = secret(made, expires_at=NOW)
    await store.create_connection(made, endpoint(made), (sealed,), receipt())

    early = await store.sweep(replay_before=NEVER, forget_before=NOW - SECOND, limit=9)
    touched = await store.sweep(replay_before=NEVER, forget_before=NOW, limit=9)

    assert (early, touched) == (0, 1)
    assert await store.sealed_secret("acme", sealed.secret_id) is None
