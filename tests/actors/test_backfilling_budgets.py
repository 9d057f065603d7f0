"""Backfills come behind all else that a connection does, and are bounded by what is forwarded (FR-5, P7)."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from attrs import evolve

from actors import backfilling
from actors.platform.budgets import Withheld
from actors.platform.errors import PlatformUnavailableError
from actors.platform.policy import TenantPolicy
from persistence.polls import BackfillState, NewBackfill
from persistence.records import ActionState
from tests.actors.hub import a_hub
from tests.actors.life import REPOSITORY
from tests.actors.reading_room import (
    DAY,
    MINUTE,
    OTHER,
    a_reading_room,
    rested,
)
from tests.actors.ward import READ
from tests.adapters.hub import pages_of
from tests.fakes.ledgerbook import LIMIT


async def test_an_action_and_a_poll_get_through_while_a_backfill_waits(sqlite_url):
    """It leaves two fifths of the budget to them; no time passes here."""
    policy = TenantPolicy(requests_per_minute=25)
    async with a_hub(sqlite_url) as hub:
        scene, now = hub.scene, hub.clock.now()
        scene.policy.default = policy
        rocket = hub.github.world.named(REPOSITORY)
        assert rocket is not None
        for ago in range(60):
            at = now - timedelta(hours=1 + ago)
            hub.github.world.add_issue(rocket, title=f"{ago}", author="ada", now=at)
        connection = await hub.active(capabilities=READ)
        place = (connection.tenant_id, connection.connection_id)
        await rested(scene, connection)
        new = NewBackfill(
            backfill_id=uuid4(),
            tenant_id=place[0],
            connection_id=place[1],
            resource=f"issues:{REPOSITORY}",
            since=now - 9 * DAY,
            until=now,
            created_at=now,
        )
        await scene.store.inner.begin_backfill(new)

        async def withheld() -> bool:
            found = await scene.store.inner.backfill("acme", new.backfill_id)
            return found is not None and "is used up" in (found.reason or "")

        with pages_of(2):
            scene.wake.polls(*place)
            await scene.watch.until(withheld)
            action = evolve(
                scene.action(connection, REPOSITORY),
                canonical_type="comment_on_pr",
                target=b'{"repository": "acme/rocket", "pr_number": 1}',
                payload=b'{"body": "Checks passed."}',
            )
            await scene.order(connection, action)
            assert (await scene.ended(action)).state is ActionState.DONE
            await scene.store.inner.set_cursor(*place, f"pulls:{REPOSITORY}", None, now=now)
            await rested(scene, connection)

        cursors = await scene.store.inner.cursors(*place)
        assert all(cursor.cursor is not None for cursor in cursors)
        assert await withheld()
        assert hub.clock.now() == now


async def test_a_backfill_leaves_a_share_of_each_budget_and_says_until_when(sqlite_url):
    async with a_reading_room(sqlite_url, OTHER) as room:
        room.scene.policy.default = TenantPolicy(requests_per_minute=10)
        room.written(20 * LIMIT)
        async with room.scene.node():
            backfill, begun = await room.begun(), room.clock.now()

            waiting = await room.lived(backfill, most=timedelta())

            assert room.clock.now() == begun
            assert begun < waiting.next_at <= begun + MINUTE
            assert waiting.found == 6 * LIMIT
            free_at = f"free at {waiting.next_at:%H:%M:%S} UTC"
            assert waiting.reason == f"the budget 'own' is used up; {free_at}"
            condition = room.scene.ports.conditions.of(*room.place)
            assert condition is not None
            (own,) = (limit for limit in condition.limits if limit.name == "own")
            assert own.remaining == 4
            assert room.counted("budget_exhausted", limit="own") == 1

            ended = await room.lived(backfill)
            assert (ended.state, ended.found) == (BackfillState.DONE, 20 * LIMIT)


async def test_what_m35_withholds_is_waited_for_and_says_so(sqlite_url):
    async with a_reading_room(sqlite_url, OTHER) as room, room.scene.node():
        room.written(1)
        withheld = Withheld(reason="the month is used up", retry_after=timedelta(hours=6))
        room.scene.budgets.withheld.append(withheld)
        backfill, begun = await room.begun(), room.clock.now()

        waiting = await room.lived(backfill, most=MINUTE)

        assert (waiting.reason or "").startswith("the month is used up; free at ")
        assert waiting.next_at == begun + timedelta(hours=6)
        assert room.book.seen == ()
        assert room.scene.budgets.asked[0].work == "backfill"
        assert room.counted("budget_exhausted", limit="m35") == 1
        assert (await room.lived(backfill)).state is BackfillState.DONE


async def test_p7_it_reads_no_further_while_too_much_waits_for_pm_3(store_url, monkeypatch):
    """P7: what is found is bounded by what is forwarded; webhooks go on meanwhile."""
    monkeypatch.setattr(backfilling, "_MOST_UNSENT", 7)
    async with a_reading_room(store_url, OTHER) as room, room.scene.node():
        room.written(5 * LIMIT)
        room.scene.signals.down = PlatformUnavailableError("PM-3 gave no answer")
        backfill, begun = await room.begun(), room.clock.now()

        waiting = await room.lived(backfill, most=timedelta())

        assert waiting.reason == "what was found has to be forwarded first"
        ledger = await room.scene.ledger(room.connection)
        assert ledger.pending + ledger.settled == waiting.found == 2 * LIMIT
        assert waiting.next_at == begun + timedelta(seconds=30)
        (extra,) = room.written(1, ago=timedelta())
        await room.told(extra)
        await room.scene.counted(room.connection, settled=2 * LIMIT + 1)

        room.scene.signals.down = None
        room.clock.advance(minutes=1)
        room.scene.wake.signals("acme")
        await room.arrived(2 * LIMIT + 1)
        ended = await room.lived(backfill)
        assert (ended.state, ended.found) == (BackfillState.DONE, 5 * LIMIT)
        await room.arrived(5 * LIMIT + 1)
