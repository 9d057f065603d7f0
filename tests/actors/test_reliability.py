"""What the PRD asks for by name of actions and failing providers: UT-IA-04, IT-IA-03, RF-IA-01, RF-IA-02."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import orjson
import pytest
from attrs import evolve

from actors import incidents
from actors.ports import Pace
from adapters.contract import Secret
from adapters.faults import (
    Effect,
    Fault,
    Says,
    dropped_after,
    failing,
    failing_after,
    late,
    plain,
    rate_limited,
)
from persistence.opening import open_store
from persistence.records import ActionRecord, ActionState, ConnectionRecord, NewAction
from tests.actors.hub import PACE, Hub, a_hub
from tests.actors.life import REPOSITORY
from tests.actors.platform.world import HandClock
from tests.actors.reading_room import rested
from tests.actors.scene import EPOCH, TOKEN, Scene, make_scene
from tests.fakes.chat import CHAT_URL, ChatAdapter, ChatServer
from tests.fakes.provider import Simulated

PATIENT = evolve(PACE, look_again=Pace().look_again, retry=Pace().retry)
"""As in production: the clock is in the hand here."""
DOWN = Fault(effect=Effect.NONE, response=plain(503), lasting=True, name="down")


async def rested_active(hub: Hub) -> ConnectionRecord:
    """An active connection that has looked at GitHub's record of its webhooks: what it asks from now on is the action's."""
    connection = await hub.active()
    await rested(hub.scene, connection)
    return connection


def comment(hub: Hub, connection: ConnectionRecord, body: str = "Checks passed.") -> NewAction:
    return evolve(
        hub.scene.action(connection, REPOSITORY),
        canonical_type="comment_on_pr",
        target=b'{"repository": "acme/rocket", "pr_number": 1}',
        payload=orjson.dumps({"body": body}),
    )


def comments(hub: Hub) -> int:
    later = hub.clock.now() + timedelta(days=1)
    return len(hub.github.comments(REPOSITORY, 1, now=later))


async def stored(hub: Hub, action: NewAction) -> ActionRecord:
    record = await hub.scene.store.inner.action(action.tenant_id, action.action_id)
    assert record is not None
    return record


async def lived(hub: Hub, action: NewAction, *, rounds: int) -> ActionRecord:
    """The action after so many rounds at the most, in which the clock goes where something is due."""
    scene = hub.scene
    for _ in range(rounds):
        before = await stored(hub, action)
        if before.state is not ActionState.QUEUED:
            break
        free_at = waits_until(hub, action)
        hub.clock.at = max(hub.clock.at, before.not_before, free_at or hub.clock.at)
        scene.wake.connection(action.tenant_id, action.connection_id)

        async def moved(before: ActionRecord = before, free_at: datetime | None = free_at) -> bool:
            return await stored(hub, action) != before or waits_until(hub, action) != free_at

        await scene.watch.until(moved)
    return await stored(hub, action)


def waits_until(hub: Hub, action: NewAction) -> datetime | None:
    condition = hub.scene.ports.conditions.of(action.tenant_id, action.connection_id)
    return None if condition is None else condition.free_at


@pytest.mark.parametrize(
    "faults",
    [
        (failing(503, times=2),),
        (failing_after(502),),
        (dropped_after(), failing(500, method="GET", times=2)),
        (failing(500), late(timedelta(seconds=30)), rate_limited(timedelta(seconds=33))),
    ],
    ids=["503 twice", "502 after the effect", "lost, then down", "all sorts"],
)
async def test_ut_ia_04_an_action_through_transient_errors_is_one_comment_and_one_success(
    store_url, faults
):
    """UT-IA-04, P4."""
    async with a_hub(store_url, pace=PATIENT) as hub:
        connection = await rested_active(hub)
        action = comment(hub, connection)
        hub.github.plan(*faults)

        await hub.scene.order(connection, action)
        record = await lived(hub, action, rounds=60)

        assert record.state is ActionState.DONE
        assert comments(hub) == 1
        await hub.scene.watch.until(lambda: receipts(hub.scene))
        (receipt,) = receipts(hub.scene)
        assert receipt["result"]["succeeded"] is True
        assert receipt["result"]["attempts"] > 1


def receipts(scene: Scene) -> list[dict[str, dict[str, Any]]]:
    """What ERIS has of actions."""
    return [
        one
        for one in scene.receipts.documents
        if str(one.get("inputs", {}).get("operation")).startswith("integration.action.")
    ]


async def test_it_ia_03_a_chat_message_is_at_the_chat_server_and_its_receipt_at_eris(store_url):
    """IT-IA-03: the receipt carries the correlation id of who asked."""
    clock, server = HandClock(EPOCH), ChatServer(Secret(value=TOKEN))
    async with open_store(store_url) as store:
        scene = make_scene(
            store,
            clock=clock,
            adapters=(ChatAdapter(),),
            transport=Simulated(server.handle, clock),
        )
        async with scene.node():
            connection = await scene.connect(provider_id="chat", base_url=CHAT_URL)
            action = evolve(
                scene.action(connection, "channel:C42", correlation_id="asked-by-m5"),
                canonical_type="post_chat_message",
                target=b'{"channel": "C42"}',
                payload=b'{"text": "The build is green."}',
            )

            await scene.order(connection, action)

            record = await scene.ended(action)
            assert record.state is ActionState.DONE
            assert [one["text"] for one in server.messages["C42"]] == ["The build is green."]
            assert orjson.loads(record.outcome or b"")["reference"]["id"] == "C42-1"
            await scene.watch.until(lambda: receipts(scene))
            (receipt,) = receipts(scene)
            inputs = receipt["inputs"]
            assert inputs["operation"] == "integration.action.chat.post_chat_message"
            assert inputs["correlation_id"] == "asked-by-m5"
            assert receipt["result"]["state"] == "done"
            assert "The build is green" not in str(receipt)


async def test_rf_ia_01_a_provider_that_fails_for_long_is_told_of_once_and_once_when_it_is_well(
    store_url,
):
    """RF-IA-01: retries with backoff, the breaker trips, EPC-4 and EPC-5 hear of each turn exactly once."""
    async with a_hub(store_url, pace=PATIENT) as hub:
        scene, connection = hub.scene, await rested_active(hub)
        action = comment(hub, connection)
        hub.github.plan(DOWN)
        before, begun = len(hub.github.seen), hub.clock.now()

        await scene.order(connection, action)
        record = await lived(hub, action, rounds=25)

        assert record.state is ActionState.QUEUED
        await scene.watch.until(lambda: scene.health.reports)
        (incident,) = scene.incidents.kept.values()
        assert incident.kind == incidents.CIRCUIT_OPEN
        assert "answered 503" in incident.summary
        asked = [seen.at for seen in hub.github.seen[before:]]
        gaps = [later - earlier for earlier, later in pairwise(asked)]
        assert max(gaps[-3:]) > 10 * max(gaps[:2])  # slower and slower
        assert len(asked) < 40
        assert hub.clock.now() - begun > timedelta(minutes=20)

        hub.github._stage.clear("down")
        record = await lived(hub, action, rounds=20)

        assert record.state is ActionState.DONE
        assert comments(hub) == 1
        await scene.watch.until(lambda: len(scene.health.reports) == 2)
        assert [one.resolved_at is not None for one in scene.incidents.told] == [False, True]
        assert [one.error_rate for one in scene.health.reports] == [1.0, 0.0]
        assert scene.incidents.open == ()
        told = scene.ports.metrics.exposition(()).decode()
        assert 'circuit_opens_total{provider="github",tenant="acme"}' in told
        assert scene.recorder.crashes == []


async def test_rf_ia_01_a_provider_that_never_comes_back_ends_with_the_action_s_time(sqlite_url):
    """RF-IA-01, P7: no retries without end."""
    async with a_hub(sqlite_url, pace=PATIENT) as hub:
        connection = await rested_active(hub)
        action = evolve(comment(hub, connection), expires_at=hub.clock.now() + timedelta(hours=2))
        hub.github.plan(DOWN)
        before = len(hub.github.seen)

        await hub.scene.order(connection, action)
        record = await lived(hub, action, rounds=200)

        assert record.state in {ActionState.UNSURE, ActionState.REFUSED}
        assert len(hub.github.seen) - before < 60
        assert comments(hub) == 0


@pytest.mark.parametrize("says", [Says.SECONDS, Says.DATE])
async def test_rf_ia_02_a_storm_of_429_is_obeyed_in_full(store_url, says):
    """RF-IA-02: nothing is sent before each Retry-After is over; counted, told of, and the action done in the end."""
    wish = timedelta(minutes=7)
    # A date has no parts of a second.
    least = wish - timedelta(seconds=1) if says is Says.DATE else wish
    async with a_hub(store_url, pace=PATIENT) as hub:
        scene, connection = hub.scene, await rested_active(hub)
        first = comment(hub, connection)
        other = evolve(comment(hub, connection, "Another."), target_key="another target")
        hub.github.plan(rate_limited(wish, times=4, says=says))
        before = len(hub.github.seen)

        await scene.order(connection, first)
        await scene.watch.until(lambda: scene.incidents.kept)
        await scene.order(connection, other)
        records = [await lived(hub, one, rounds=40) for one in (first, other)]

        assert [record.state for record in records] == [ActionState.DONE] * 2
        asked = [seen.at for seen in hub.github.seen[before:]]
        assert all(later - earlier >= least for earlier, later in pairwise(asked[:5]))
        assert comments(hub) == 2
        told = scene.ports.metrics.exposition(()).decode()
        assert 'rate_limited_total{provider="github",tenant="acme"} 4.0' in told
        await scene.watch.until(lambda: not scene.incidents.open)
        assert len(scene.incidents.told) == 2


async def test_rf_ia_02_a_retry_after_is_obeyed_though_the_node_was_killed(store_url):
    """RF-IA-02: what the provider asked for is durable."""
    wish = timedelta(hours=3)
    async with a_hub(store_url, node=False, pace=PATIENT) as hub:
        scene = hub.scene
        async with scene.node():
            connection = await rested_active(hub)
            hub.github.plan(rate_limited(wish))
            await scene.order(connection, comment(hub, connection))
            await scene.watch.until(lambda: scene.store.calls["keep_pressure"])
        asked = len(hub.github.seen)
        hub.clock.at += wish - timedelta(seconds=1)

        async with scene.node():
            other = evolve(comment(hub, connection, "Another."), target_key="another target")
            await scene.order(connection, other)
            await scene.watch.until(lambda: waits_until(hub, other))

            assert len(hub.github.seen) == asked
            assert (await lived(hub, other, rounds=20)).state is ActionState.DONE
