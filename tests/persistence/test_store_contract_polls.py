"""What every store promises about polling: the cursor moves with what it covers, once, by its owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
import trio
from attrs import evolve

from persistence.errors import ChangedError, ConflictError, FencedError, MissingError
from persistence.polls import Turn
from persistence.records import ConnectionState, Lease, SettledDelivery
from persistence.store import Store
from tests.persistence.poll_samples import (
    EVERY,
    MINUTE,
    cursor,
    cursor_of,
    page,
    planned,
    polled,
)
from tests.persistence.samples import (
    DAY,
    NOW,
    SECOND,
    connected,
    delivery,
    leased,
    move,
    settled,
    signal,
)

SUSPENDED = ConnectionState.SUSPENDED


async def test_what_is_planned_begins_as_given_and_keeps_its_state_when_it_is_planned_again(
    store: Store,
):
    lease = await leased(store)
    issues, pulls = cursor(lease), cursor(lease, "pulls", next_poll_at=NOW + MINUTE)

    await store.plan_polls(lease, [pulls, issues], now=NOW)
    begun = await store.cursors("acme", lease.connection_id)
    await store.keep_page(lease, page(None, b"1"), [], now=NOW)
    moved = await cursor_of(store, lease)
    await store.plan_polls(lease, [issues, cursor(lease, "commits")], now=NOW + DAY)

    assert begun == (issues, pulls)
    commits, same = await store.cursors("acme", lease.connection_id)
    assert (commits.resource, same) == ("commits", moved)
    await store.plan_polls(lease, [], now=NOW)
    assert await store.cursors("acme", lease.connection_id) == ()


async def test_a_page_of_which_all_is_known_takes_the_turn_of_one_without_news(store: Store):
    """Overlap brings what is known all the time: that it is, only the inbox can tell."""
    lease = await planned(store)
    quiet = Turn(next_poll_at=NOW + DAY, every=3 * EVERY)

    await store.keep_page(
        lease, evolve(page(None, b"1"), nothing_new=quiet), [polled(lease, "e")], now=NOW
    )
    with_news = await cursor_of(store, lease)
    again = [polled(lease, "e")]
    await store.keep_page(lease, evolve(page(b"1", b"2"), nothing_new=quiet), again, now=NOW)
    without = await cursor_of(store, lease)

    assert (with_news.next_poll_at, with_news.every) == (NOW + MINUTE, 2 * EVERY)
    assert (without.next_poll_at, without.every) == (NOW + DAY, 3 * EVERY)


async def test_a_page_is_kept_with_its_cursor_and_counted(store: Store):
    """P2, P9."""
    lease = await planned(store)
    await store.accept([delivery(lease, "by webhook")])
    await store.postpone_poll(lease, "issues", next_poll_at=NOW, reason="x", failed=True, now=NOW)

    kept = await store.keep_page(
        lease,
        page(None, b"\x00\xff"),
        [polled(lease, "new"), polled(lease, "by webhook"), polled(lease, "newer")],
        now=NOW + SECOND,
    )

    assert kept == (True, False, True)
    after = await cursor_of(store, lease)
    assert after == evolve(
        cursor(lease),
        cursor=b"\x00\xff",
        next_poll_at=NOW + MINUTE,
        every=2 * EVERY,
        last_polled_at=NOW + SECOND,
    )
    ledger = await store.ledger("acme", lease.connection_id)
    assert ledger is not None
    assert (ledger.accepted, ledger.duplicate, ledger.difference) == (3, 1, 0)
    claimed = await store.claim_deliveries(lease, limit=9)
    assert [(one.event_id, one.origin) for one in claimed] == [
        ("by webhook", "webhook"),
        ("new", "poll"),
        ("newer", "poll"),
    ]


async def test_a_page_without_items_moves_the_cursor(store: Store):
    lease = await planned(store)

    assert await store.keep_page(lease, page(None, b"1"), [], now=NOW) == ()

    assert (await cursor_of(store, lease)).cursor == b"1"


async def test_a_page_that_comes_twice_in_one_call_counts_once(store: Store):
    """P2."""
    lease = await planned(store)
    twice = [polled(lease, "same"), polled(lease, "same")]

    assert await store.keep_page(lease, page(None, b"1"), twice, now=NOW) == (True, False)


@pytest.mark.parametrize("expected", [None, b"0", b"2"])
async def test_a_page_that_was_asked_with_another_cursor_is_not_kept(store: Store, expected):
    """Duplicated and reordered pages: nothing is skipped, nothing goes back."""
    lease = await planned(store)
    await store.keep_page(lease, page(None, b"1"), [], now=NOW)

    with pytest.raises(ConflictError):
        await store.keep_page(lease, page(expected, b"9"), [polled(lease, "late")], now=NOW)
    with pytest.raises(ConflictError):
        await store.keep_page(lease, page(b"1", b"9", "nothing"), [], now=NOW)

    assert (await cursor_of(store, lease)).cursor == b"1"
    assert await store.pending_count() == 0


async def test_nothing_is_kept_for_a_connection_that_is_not_active(store: Store):
    lease = await planned(store)
    await move(store, lease, SUSPENDED)

    with pytest.raises(ChangedError):
        await store.keep_page(lease, page(None, b"1"), [polled(lease, "e")], now=NOW)

    assert (await cursor_of(store, lease)).cursor is None
    assert await store.pending_count() == 0


async def test_only_items_of_the_leases_connection_are_kept(store: Store):
    """P6."""
    lease, other = await planned(store), await planned(store, tenant_id="other")

    with pytest.raises(ValueError, match="another connection"):
        await store.keep_page(lease, page(None, b"1"), [polled(other, "e")], now=NOW)
    with pytest.raises(ValueError, match="another connection"):
        await store.plan_polls(lease, [cursor(other)], now=NOW)

    assert (await cursor_of(store, lease)).cursor is None
    assert await store.pending_count() == 0


WRITES: dict[str, Callable[[Store, Lease], Awaitable[object]]] = {
    "plan_polls": lambda store, lease: store.plan_polls(lease, [], now=NOW),
    "keep_page": lambda store, lease: store.keep_page(
        lease, page(None, b"1"), [polled(lease, "e")], now=NOW
    ),
    "postpone_poll": lambda store, lease: store.postpone_poll(
        lease, "issues", next_poll_at=NOW + DAY, reason="", failed=True, now=NOW
    ),
    "seen_news": lambda store, lease: store.seen_news(lease, now=NOW),
    "known_signals": lambda store, lease: store.known_signals(lease, ["s"]),
}


@pytest.mark.parametrize("write", WRITES)
async def test_who_lost_the_connection_writes_nothing(store: Store, write: str):
    """P10."""
    older = await planned(store)
    before = await cursor_of(store, older)
    lease = await store.claim_connection("acme", older.connection_id, owner=uuid4())

    with pytest.raises(FencedError):
        await WRITES[write](store, older)

    assert await store.cursors("acme", older.connection_id) == (before,)
    assert await store.pending_count() == 0
    await WRITES[write](store, lease)


async def test_of_two_nodes_that_poll_a_connection_one_keeps_each_page(store: Store):
    """P10, P2: whatever they do to each other, each item is there once and no page is left out."""
    first = await planned(store)
    pages = 12
    outcomes: list[str] = []

    async def node(lease: Lease) -> None:
        """Polls until nothing is left, or the two have taken the connection from each other too often."""
        while outcomes.count("kept") < pages:
            known = (await cursor_of(store, lease)).cursor
            number = int(known or b"0")
            items = [polled(lease, f"{number}-{index}") for index in range(3)]
            following = page(known, b"%d" % (number + 1))
            try:
                await store.keep_page(lease, following, items, now=NOW)
                outcomes.append("kept")
            except ConflictError:
                outcomes.append("moved")
            except FencedError:
                outcomes.append("fenced")
                if outcomes.count("fenced") > 3:
                    return
                lease = await store.claim_connection("acme", first.connection_id, owner=uuid4())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(node, first)
        nursery.start_soon(
            node, await store.claim_connection("acme", first.connection_id, owner=uuid4())
        )

    assert outcomes.count("kept") == pages
    assert "fenced" in outcomes
    ledger = await store.ledger("acme", first.connection_id)
    assert ledger is not None
    assert (ledger.accepted, ledger.duplicate) == (3 * pages, 0)


async def test_of_two_pages_asked_with_the_same_cursor_one_is_kept_whole(store: Store):
    """P2: and the other leaves nothing, not even what only it had."""
    lease = await planned(store)
    kept: list[int] = []

    async def keep(number: int) -> None:
        items = [polled(lease, "shared"), polled(lease, f"only-{number}")]
        try:
            await store.keep_page(lease, page(None, b"%d" % number), items, now=NOW)
        except ConflictError:
            return
        kept.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(keep, number)

    (winner,) = kept
    assert (await cursor_of(store, lease)).cursor == b"%d" % winner
    claimed = await store.claim_deliveries(lease, limit=9)
    assert [one.event_id for one in claimed] == ["shared", f"only-{winner}"]


async def test_a_postponed_poll_keeps_its_cursor_and_counts_its_failures(store: Store):
    lease = await planned(store)
    await store.keep_page(lease, page(None, b"1"), [], now=NOW)
    for failed in (True, False, True):
        await store.postpone_poll(
            lease, "issues", next_poll_at=NOW + DAY, reason="429\x00", failed=failed, now=NOW
        )

    after = await cursor_of(store, lease)

    assert (after.cursor, after.failures, after.next_poll_at) == (b"1", 2, NOW + DAY)
    assert after.reason == "429\N{REPLACEMENT CHARACTER}"
    await store.keep_page(lease, page(b"1", b"2"), [], now=NOW)
    better = await cursor_of(store, lease)
    assert (better.failures, better.reason) == (0, None)


async def test_a_cursor_is_set_by_hand_within_its_tenant(store: Store):
    """P6: and what was asked with the old one is not kept."""
    lease = await planned(store)
    place = ("acme", lease.connection_id, "issues")
    await store.keep_page(lease, page(None, b"1", next_poll_at=NOW + DAY), [], now=NOW)

    for wrong in (("other", *place[1:]), (*place[:2], "pulls"), ("acme", uuid4(), "issues")):
        with pytest.raises(MissingError):
            await store.set_cursor(*wrong, b"0", now=NOW)
    again = await store.set_cursor(*place, b"0", now=NOW + MINUTE)

    assert (again.cursor, again.next_poll_at, again.every) == (b"0", NOW + MINUTE, 2 * EVERY)
    assert again == await cursor_of(store, lease)
    with pytest.raises(ConflictError):
        await store.keep_page(lease, page(b"1", b"2"), [], now=NOW)
    assert (await store.set_cursor(*place, None, now=NOW)).cursor is None


async def test_what_is_to_be_polled_now_is_due_where_it_is(store: Store):
    lease = await planned(store, "issues", "pulls")
    place = ("acme", lease.connection_id)
    await store.keep_page(lease, page(None, b"1"), [], now=NOW)

    await store.poll_now(*place, ["issues", "stars"], now=NOW + SECOND)
    await store.poll_now("globex", lease.connection_id, ["pulls"], now=NOW + SECOND)

    issues, pulls = await store.cursors(*place)
    assert (issues.cursor, issues.next_poll_at) == (b"1", NOW + SECOND)
    assert pulls.next_poll_at == NOW
    await store.poll_now(*place, ["pulls"], now=NOW + SECOND)
    assert (await store.cursors(*place))[1].next_poll_at == NOW


async def test_news_that_no_webhook_brought_is_remembered(store: Store):
    """The first since the last webhook counts: as long as none comes, it says for how long."""
    lease = await planned(store, "issues", "pulls")

    await store.seen_news(lease, now=NOW)
    await store.seen_news(lease, now=NOW + SECOND)
    assert await news_of(store, lease) == [NOW, NOW]
    await store.accept([delivery(lease, received_at=NOW + MINUTE)])
    await store.seen_news(lease, now=NOW + DAY)
    await store.seen_news(lease, now=NOW + 2 * DAY)
    assert await news_of(store, lease) == [NOW + DAY, NOW + DAY]


async def news_of(store: Store, lease: Lease) -> list[object]:
    return [each.last_news_at for each in await store.cursors("acme", lease.connection_id)]


async def test_the_last_webhook_is_known_even_where_a_poll_was_faster(store: Store):
    lease = await planned(store)
    place = ("acme", lease.connection_id)
    assert await store.last_webhook_at(*place) is None

    await store.keep_page(lease, page(None, b"1"), [polled(lease, "e")], now=NOW)
    assert await store.last_webhook_at(*place) is None
    late, later, latest = NOW + SECOND, NOW + MINUTE, NOW + DAY
    await store.accept([delivery(lease, received_at=later), delivery(lease, received_at=late)])
    assert await store.last_webhook_at(*place) == later
    await store.accept([delivery(lease, received_at=late)])
    assert await store.last_webhook_at(*place) == later
    known = await store.accept([delivery(lease, "e", received_at=latest)])

    assert known == (False,)
    assert await store.last_webhook_at(*place) == latest
    assert await store.last_webhook_at("other", lease.connection_id) is None


async def test_known_signals_are_the_connections_own(store: Store):
    """P6."""
    lease, other = await leased(store), await leased(store)
    for at, name in ((lease, "mine"), (other, "theirs")):
        one = delivery(at)
        await store.accept([one])
        ends = [SettledDelivery(delivery_id=one.delivery_id, signals=(signal(1, name),))]
        await store.settle(at, ends, now=NOW)

    assert await store.known_signals(lease, ["mine", "theirs", "none"]) == {"mine"}
    assert await store.known_signals(lease, []) == frozenset()


async def test_polling_says_nothing_to_callers_of_the_api(store: Store):
    """The connection's version is an ETag: what only its actor knows does not change it."""
    lease = await planned(store)
    await store.keep_page(lease, page(None, b"1"), [polled(lease, "e")], now=NOW)
    lease, _ = await settled(store, lease, (1,))

    there = await store.connection("acme", lease.connection_id)

    assert there is not None
    assert there.version == 1


async def test_a_tenants_cursors_are_its_own(store: Store):
    """P6."""
    lease = await planned(store)
    await connected(store, "other")

    assert await store.cursors("other", lease.connection_id) == ()
