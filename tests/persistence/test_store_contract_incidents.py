"""What every store promises about incidents."""

from __future__ import annotations

from uuid import uuid4

import pytest
import trio
from attrs import evolve

from persistence.changes import IncidentRecord
from persistence.errors import ConflictError, MissingError
from persistence.records import ActionState
from persistence.store import Store
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    action,
    connected,
    incident,
    leased,
    receipt,
)


async def test_an_incident_comes_back_as_it_was_opened(store: Store):
    made = await connected(store)
    opened = incident(made)

    assert await store.open_incident(opened)

    (kept,) = await store.incidents("acme", made.connection_id, limit=9)
    assert isinstance(kept, IncidentRecord)
    assert (kept.incident_id, kept.kind, kept.severity, kept.summary) == (
        opened.incident_id,
        "needs_login",
        "high",
        "gone",
    )
    assert (kept.opened_at, kept.resolved_at, kept.told, kept.attempts) == (NOW, None, "", 0)
    assert (kept.provider_id, kept.connection_id) == ("github", made.connection_id)


async def test_one_incident_of_a_kind_is_open_at_a_time(store: Store):
    made, neighbour = await connected(store), await connected(store)
    first, again = incident(made), incident(made, summary="still gone")

    opened = [await store.open_incident(one) for one in (first, again)]
    others = [
        await store.open_incident(one) for one in (incident(made, "breaker"), incident(neighbour))
    ]
    closed = [
        await store.close_incident("acme", made.connection_id, "needs_login", now=NOW + SECOND)
        for _ in range(2)
    ]
    anew = await store.open_incident(evolve(again, opened_at=NOW + DAY))

    assert (opened, others) == ([True, False], [True, True])
    assert (closed, anew) == ([True, False], True)
    kept = await store.incidents("acme", made.connection_id, limit=9)
    assert [(one.kind, one.summary, one.resolved_at) for one in kept] == [
        ("needs_login", "still gone", None),
        ("breaker", "gone", None),
        ("needs_login", "gone", NOW + SECOND),
    ]
    assert len(await store.incidents("acme", made.connection_id, limit=2)) == 2


async def test_concurrent_reports_open_one_incident(store: Store):
    made = await connected(store)
    opened = []

    async def report() -> None:
        opened.append(await store.open_incident(incident(made)))

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(report)

    assert sorted(opened) == [False] * 5 + [True]


async def test_incidents_are_their_tenants_and_of_its_connections(store: Store):
    """P6."""
    made = await connected(store)
    opened = incident(made)
    await store.open_incident(opened)

    with pytest.raises(MissingError):
        await store.open_incident(evolve(incident(made), tenant_id="other"))
    assert not await store.close_incident("other", made.connection_id, "needs_login", now=NOW)
    assert await store.incidents("other", made.connection_id, limit=9) == ()
    assert await store.incidents_to_tell("other", limit=9) == ()
    await store.incident_told("other", opened.incident_id, told="resolved")

    (kept,) = await store.incidents("acme", made.connection_id, limit=9)
    assert (kept.resolved_at, kept.told, kept.attempts) == (None, "", 0)


async def test_an_incident_is_told_when_it_opens_and_when_it_is_resolved(store: Store):
    made = await connected(store)
    opened = incident(made)
    await store.open_incident(opened)

    (first,) = await store.incidents_to_tell("acme", limit=9)
    (retried,) = await store.incidents_to_tell("acme", limit=9)
    await store.incident_told("acme", opened.incident_id, told="open")
    meanwhile = await store.incidents_to_tell("acme", limit=9)
    await store.close_incident("acme", made.connection_id, "needs_login", now=NOW + DAY)
    (resolved,) = await store.incidents_to_tell("acme", limit=9)
    await store.incident_told("acme", opened.incident_id, told="resolved")

    assert [first.attempts, retried.attempts, resolved.attempts] == [1, 2, 3]
    assert meanwhile == ()
    assert (resolved.resolved_at, resolved.told) == (NOW + DAY, "open")
    assert await store.incidents_to_tell("acme", limit=9) == ()
    assert await store.tenants_with_incidents(limit=9) == ()


async def test_what_is_told_as_resolved_stays_so(store: Store):
    """A late word about its opening does not open it again there."""
    made = await connected(store)
    opened = incident(made)
    await store.open_incident(opened)
    await store.close_incident("acme", made.connection_id, "needs_login", now=NOW)

    await store.incident_told("acme", opened.incident_id, told="resolved")
    await store.incident_told("acme", opened.incident_id, told="open")
    with pytest.raises(ValueError, match="told"):
        await store.incident_told("acme", opened.incident_id, told="")

    (kept,) = await store.incidents("acme", made.connection_id, limit=9)
    assert kept.told == "resolved"
    assert await store.tenants_with_incidents(limit=9) == ()


async def test_an_incident_that_is_over_before_it_is_told_is_told_still(store: Store):
    made = await connected(store)
    await store.open_incident(incident(made))
    await store.close_incident("acme", made.connection_id, "needs_login", now=NOW)

    (one,) = await store.incidents_to_tell("acme", limit=9)

    assert (one.told, one.resolved_at) == ("", NOW)


async def test_the_oldest_incident_and_its_tenant_come_first(store: Store):
    """P6: none is starved by its name."""
    zeta, alpha = await connected(store, "zeta"), await connected(store, "alpha")
    late, early = (
        incident(zeta, "late", opened_at=NOW + DAY),
        incident(zeta, "early", opened_at=NOW),
    )
    for one in (incident(alpha, opened_at=NOW + SECOND), late, early):
        await store.open_incident(one)

    assert await store.tenants_with_incidents(limit=9) == ("zeta", "alpha")
    assert await store.tenants_with_incidents(limit=1) == ("zeta",)
    (first,) = await store.incidents_to_tell("zeta", limit=1)
    both = await store.incidents_to_tell("zeta", limit=9)
    assert first.kind == "early"
    assert [one.kind for one in both] == ["early", "late"]


async def test_an_action_that_ends_in_doubt_opens_its_incident_in_the_same_transaction(
    store: Store,
):
    lease = await leased(store)
    asked = action(lease)
    await store.enqueue(asked)

    async def settle(opened, written):
        await store.settle_action(
            lease,
            asked.action_id,
            state=ActionState.UNSURE,
            reason="who knows",
            outcome=b"{}",
            receipt=written,
            now=NOW,
            incident=opened,
        )

    (written,) = await store.chained_receipts("acme", after=0, limit=9)
    with pytest.raises(ConflictError):
        await settle(incident(lease), evolve(receipt(), receipt_id=written.receipt_id))
    nothing = await store.incidents("acme", lease.connection_id, limit=9)
    with pytest.raises(ValueError, match="another connection"):
        await settle(evolve(incident(lease), connection_id=uuid4()), receipt())
    with pytest.raises(ValueError, match="another tenant"):
        await settle(evolve(incident(lease), tenant_id="other"), receipt())
    await store.open_incident(incident(lease, "unsure"))
    await settle(incident(lease, "unsure", summary="another"), receipt())

    (kept,) = await store.incidents("acme", lease.connection_id, limit=9)
    assert (nothing, kept.summary) == ((), "gone")
    record = await store.action("acme", asked.action_id)
    assert record is not None
    assert record.state is ActionState.UNSURE
