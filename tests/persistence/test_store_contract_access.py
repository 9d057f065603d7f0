"""What every store promises about logins, and requests with an Idempotency-Key."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

import pytest
import trio
from attrs import evolve

from persistence.changes import (
    RequestAnswer,
    RequestClaim,
    RequestState,
)
from persistence.errors import ConflictError, MissingError
from persistence.store import Store
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    connected,
    connection,
    endpoint,
    flow,
    receipt,
    secret,
)


async def test_a_flow_is_taken_once_and_its_verifier_stays_until_its_time_is_over(store: Store):
    login, verifier = flow(await connected(store))
    await store.begin_login(login, verifier)

    taken = await store.take_login(login.state_hash, now=NOW)
    again = await store.take_login(login.state_hash, now=NOW)

    assert (taken, again) == (login, None)
    assert await store.sealed_secret("acme", verifier.secret_id) == evolve(
        verifier, expires_at=login.expires_at
    )


async def test_an_unknown_state_or_one_whose_time_is_over_is_no_flow(store: Store):
    login, verifier = flow(await connected(store))
    await store.begin_login(login, verifier)

    assert await store.take_login(b"unknown", now=NOW) is None
    assert await store.take_login(login.state_hash, now=login.expires_at) is None
    assert await store.take_login(login.state_hash, now=NOW) is None


async def test_a_new_flow_ends_the_older_one_of_its_connection(store: Store):
    made, neighbour = await connected(store), await connected(store)
    older, newer, theirs = flow(made, b"1"), flow(made, b"2"), flow(neighbour, b"3")
    for login, verifier in (older, theirs, newer):
        await store.begin_login(login, verifier)

    assert await store.take_login(older[0].state_hash, now=NOW) is None
    assert await store.sealed_secret("acme", older[1].secret_id) is None
    assert await store.take_login(newer[0].state_hash, now=NOW) == newer[0]
    assert await store.take_login(theirs[0].state_hash, now=NOW) == theirs[0]


async def test_a_new_flow_leaves_the_verifier_of_one_that_was_taken(store: Store):
    """Its code is being exchanged for tokens."""
    made = await connected(store)
    taken, newer = flow(made, b"1"), flow(made, b"2")
    await store.begin_login(*taken)
    await store.take_login(taken[0].state_hash, now=NOW)

    await store.begin_login(*newer)

    assert await store.sealed_secret("acme", taken[1].secret_id) is not None


async def test_of_flows_begun_at_once_one_is_left(store: Store):
    made = await connected(store)
    flows = [flow(made, bytes([number])) for number in range(5)]

    async with trio.open_nursery() as nursery:
        for login, verifier in flows:
            nursery.start_soon(store.begin_login, login, verifier)

    taken = [await store.take_login(login.state_hash, now=NOW) for login, _ in flows]
    assert len([one for one in taken if one is not None]) == 1


async def test_of_callbacks_at_once_one_gets_the_flow(store: Store):
    login, verifier = flow(await connected(store))
    await store.begin_login(login, verifier)
    taken = []

    async def take() -> None:
        taken.append(await store.take_login(login.state_hash, now=NOW))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(take)

    assert [one for one in taken if one is not None] == [login]


async def test_a_flow_belongs_to_a_connection_of_its_tenant(store: Store):
    """P6."""
    made = await connected(store)
    login, verifier = flow(made)
    elsewhere = evolve(made, tenant_id="other")

    with pytest.raises(MissingError):
        await store.begin_login(*flow(elsewhere))
    with pytest.raises(ValueError, match="another connection"):
        await store.begin_login(login, flow(elsewhere)[1])
    with pytest.raises(ValueError, match="another flow"):
        await store.begin_login(login, flow(made)[1])

    assert await store.take_login(login.state_hash, now=NOW) is None
    assert await store.sealed_secret("acme", verifier.secret_id) is None


def claim(
    key: str = "key",
    *,
    tenant_id: str = "acme",
    digest: bytes = b"d" * 32,
    at: datetime = NOW,
) -> RequestClaim:
    return RequestClaim(
        request_id=uuid4(),
        tenant_id=tenant_id,
        key=key,
        digest=digest,
        created_at=at,
        until=at + 60 * SECOND,
    )


def answer(claimed: RequestClaim, *, expires_at: datetime = NOW + DAY) -> RequestAnswer:
    made = connection(claimed.tenant_id)
    sealed = secret(made, purpose="answer", version=3, expires_at=expires_at)
    return RequestAnswer(
        request_id=claimed.request_id,
        tenant_id=claimed.tenant_id,
        status=201,
        sealed=sealed,
        expires_at=expires_at,
    )


async def test_a_request_is_carried_out_once_and_its_answer_is_given_again(store: Store):
    """P4, P8."""
    first = claim()

    fresh = await store.claim_request(first)
    running = await store.claim_request(claim())
    said = answer(first)
    await store.finish_request(said)
    done = await store.claim_request(claim())

    assert (fresh.state, fresh.request_id) == (RequestState.FRESH, first.request_id)
    assert (running.state, running.request_id, running.answer) == (
        RequestState.RUNNING,
        first.request_id,
        None,
    )
    assert (done.state, done.request_id, done.answer) == (
        RequestState.DONE,
        first.request_id,
        said,
    )


async def test_a_key_is_for_one_request_and_of_one_tenant(store: Store):
    """P4, P6."""
    first = claim()
    await store.claim_request(first)
    other = claim(digest=b"other")

    with pytest.raises(ConflictError):
        await store.claim_request(other)
    elsewhere = await store.claim_request(claim(tenant_id="other"))
    await store.finish_request(answer(first))
    with pytest.raises(ConflictError):
        await store.claim_request(other)

    assert elsewhere.state is RequestState.FRESH


async def test_concurrent_claims_of_a_key_are_one(store: Store):
    """P4."""
    found = []

    async def ask() -> None:
        found.append(await store.claim_request(claim()))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(ask)

    states = sorted(one.state for one in found)
    assert states == [RequestState.FRESH, *[RequestState.RUNNING] * 7]
    assert len({one.request_id for one in found}) == 1


async def test_a_claim_that_was_never_finished_is_taken_over_under_a_new_id(store: Store):
    """Who claimed it first can not answer for it any more."""
    dead = claim()
    await store.claim_request(dead)
    late = claim(at=dead.until)

    early = await store.claim_request(claim(at=dead.until - SECOND))
    with pytest.raises(ConflictError):
        await store.claim_request(claim(at=dead.until, digest=b"other"))
    taken = await store.claim_request(late)
    with pytest.raises(ConflictError):
        await store.finish_request(answer(dead))
    await store.drop_request("acme", dead.request_id)

    assert early.state is RequestState.RUNNING
    assert (taken.state, taken.request_id) == (RequestState.FRESH, late.request_id)
    await store.finish_request(answer(late))


async def test_of_takers_at_once_one_takes_over(store: Store):
    dead = claim()
    await store.claim_request(dead)
    found = []

    async def take() -> None:
        found.append((await store.claim_request(claim(at=dead.until))).state)

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(take)

    assert found.count(RequestState.FRESH) == 1


async def test_a_claim_that_is_given_back_may_be_made_again(store: Store):
    """P6: by its tenant; not once it is answered."""
    first = claim()
    await store.claim_request(first)

    await store.drop_request("other", first.request_id)
    kept = await store.claim_request(claim())
    await store.drop_request("acme", first.request_id)
    second = claim(digest=b"other")
    again = await store.claim_request(second)
    await store.finish_request(answer(second))
    await store.drop_request("acme", second.request_id)
    done = await store.claim_request(claim(digest=b"other"))

    states = [kept.state, again.state, done.state]
    assert states == [RequestState.RUNNING, RequestState.FRESH, RequestState.DONE]


async def test_an_answer_whose_time_is_over_frees_its_key(store: Store):
    first = claim()
    await store.claim_request(first)
    await store.finish_request(answer(first, expires_at=NOW + DAY))

    anew = claim(digest=b"other", at=NOW + DAY)
    fresh = await store.claim_request(anew)
    running = await store.claim_request(claim(digest=b"other", at=NOW + DAY))

    assert (fresh.state, running.state) == (RequestState.FRESH, RequestState.RUNNING)
    assert running.answer is None


async def test_an_answer_is_given_once_and_within_its_tenant(store: Store):
    """P6."""
    first = claim()
    await store.claim_request(first)
    said = answer(first)

    with pytest.raises(ConflictError):
        await store.finish_request(answer(evolve(first, tenant_id="other")))
    with pytest.raises(ValueError, match="another tenant"):
        await store.finish_request(evolve(said, sealed=secret(connection("other"))))
    await store.finish_request(said)
    with pytest.raises(ConflictError):
        await store.finish_request(said)


async def test_a_connection_is_made_together_with_the_answer_to_its_request(store: Store):
    first = claim()
    await store.claim_request(first)
    made = connection()
    said = answer(first)

    await store.create_connection(made, endpoint(made), (), receipt(), said)

    done = await store.claim_request(claim())
    assert done.answer == said
    assert await store.connection("acme", made.connection_id) is not None


async def test_a_connection_is_not_made_for_a_claim_that_is_anothers_by_now(store: Store):
    """P4: of a request that was taken over, the first carrier makes nothing."""
    dead = claim()
    await store.claim_request(dead)
    await store.claim_request(claim(at=dead.until))
    made = connection()

    with pytest.raises(ConflictError):
        await store.create_connection(made, endpoint(made), (), receipt(), answer(dead))
    with pytest.raises(ValueError, match="another tenant"):
        await store.create_connection(
            made, endpoint(made), (), receipt(), answer(evolve(dead, tenant_id="other"))
        )

    assert await store.connection("acme", made.connection_id) is None
    assert await store.chained_receipts("acme", after=0, limit=9) == ()
