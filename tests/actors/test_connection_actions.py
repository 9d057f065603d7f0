"""The connection's actor and what is asked of it: order per target, P4, P8, P10, P11, on the real tree and a real store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import uuid4

import httpx
import orjson
import pytest
import trio
import trio.testing
from attrs import evolve

from actors.platform.errors import PlatformUnavailableError
from actors.platform.policy import TenantPolicy
from adapters.contract import Secret
from persistence.records import ActionState
from runtime import Backoff
from tests.actors.scene import PACE, TOKEN, Scene, a_scene
from tests.persistence import samples

DONE, UNSURE = ActionState.DONE, ActionState.UNSURE


class Provider:
    """Answers when it is allowed to; remembers the order of what began, and how much ran at once."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.running = 0
        self.peak = 0
        self.gates: dict[str, trio.Event] = {}
        self.answers: dict[str, list[httpx.Response]] = {}
        self.tokens: list[str] = []
        self.notice: Callable[[], None] = lambda: None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.tokens.append(request.headers["authorization"])
        self.begun.append(path)
        self.running += 1
        self.peak = max(self.peak, self.running)
        self.notice()
        try:
            await trio.lowlevel.checkpoint()
            if path in self.gates:
                await self.gates[path].wait()
        finally:
            self.running -= 1
        planned = self.answers.get(path)
        return planned.pop(0) if planned else httpx.Response(201, text=path)

    def hold(self, name: str) -> trio.Event:
        return self.gates.setdefault(f"/do/{name}", trio.Event())


async def begun(scene: Scene, provider: Provider, number: int) -> None:
    """Wait until the provider was asked so often."""
    provider.notice = scene.watch.notify
    await scene.watch.until(lambda: len(provider.begun) >= number)


async def test_an_action_is_done_with_its_reference_and_a_receipt(store_url):
    async with a_scene(store_url) as scene, scene.node():
        connection = await scene.connect()
        action = scene.action(connection, correlation_id="asked-by-m5")

        await scene.order(connection, action)

        record = await scene.ended(action)
        assert record.state is DONE
        assert record.outcome is not None
        assert orjson.loads(record.outcome)["reference"] == {"id": "/do/door", "url": None}
        await scene.watch.until(lambda: len(scene.receipts.documents) == 2)
        (receipt,) = [one for one in scene.receipts.documents if "inputs" in one]
        assert receipt["inputs"]["request"]["action_id"] == str(action.action_id)
        assert receipt["inputs"]["correlation_id"] == "asked-by-m5"
        assert receipt["result"]["state"] == "done"
        assert scene.log.of("action.ended")[0]["correlation_id"] == "asked-by-m5"


async def test_who_waits_for_an_action_is_told_when_it_ended(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node(), trio.open_nursery() as nursery:
        connection = await scene.connect()
        action = scene.action(connection)
        nursery.start_soon(scene.ports.announcements.wait_ended, action.action_id)

        await scene.order(connection, action)
        await scene.ended(action)


async def test_actions_on_one_target_run_in_order_and_on_different_ones_side_by_side(sqlite_url):
    provider = Provider()
    gate = provider.hold("slow")
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await scene.connect()
        slow = [scene.action(connection, "slow") for _ in range(3)]
        quick = [scene.action(connection, "quick") for _ in range(3)]

        await scene.order(connection, *slow, *quick)
        for action in quick:
            assert (await scene.ended(action)).state is DONE

        assert provider.begun.count("/do/slow") == 1
        gate.set()
        ends = [(await scene.ended(action)).updated_at for action in slow]
        assert ends == sorted(ends)
        assert provider.begun.count("/do/slow") == 3


async def test_no_more_actions_run_at_once_than_the_pace_allows(sqlite_url):
    """P7 bounded."""
    provider = Provider()
    names = [f"target-{number}" for number in range(9)]
    gates = [provider.hold(name) for name in names]
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        scene.policy.default = TenantPolicy(actions_at_once=3)
        connection = await scene.connect()
        actions = [scene.action(connection, name) for name in names]

        await scene.order(connection, *actions)
        await begun(scene, provider, 3)
        scene.wake.connection("acme", connection.connection_id)
        for gate in gates:
            gate.set()
        for action in actions:
            await scene.ended(action)

        assert provider.peak == 3
        assert len(provider.begun) == 9


async def test_a_slow_provider_does_not_stop_what_comes_in(sqlite_url):
    provider = Provider()
    gate = provider.hold("door")
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await scene.connect()
        action = scene.action(connection)
        await scene.order(connection, action)
        await begun(scene, provider, 1)

        await scene.deliver(connection, *scene.deliveries(connection, {"signals": 2}))

        await scene.counted(connection, forwarded=1)
        gate.set()
        assert (await scene.ended(action)).state is DONE


async def test_what_is_postponed_is_tried_again_by_its_own_timer(sqlite_url):
    provider = Provider()
    provider.answers["/do/door"] = [httpx.Response(429), httpx.Response(429)]
    slower = Backoff(base=timedelta(milliseconds=300), cap=timedelta(milliseconds=300))
    pace = evolve(PACE, retry=slower)
    async with a_scene(sqlite_url, answer=provider, pace=pace) as scene, scene.node():
        connection = await scene.connect()
        action = scene.action(connection)

        await scene.order(connection, action)

        record = await scene.ended(action)
        assert record.state is DONE
        assert record.attempts == 2
        assert len(provider.begun) == 3


async def test_an_alarm_that_could_not_be_set_is_set_when_the_store_is_back(sqlite_url):
    provider = Provider()
    provider.answers["/do/door"] = [httpx.Response(429)]
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await scene.connect()
        scene.store.fail("next_action_at", times=2)
        action = scene.action(connection)

        await scene.order(connection, action)

        assert (await scene.ended(action)).state is DONE


async def test_a_postponed_action_lets_other_targets_pass_and_holds_back_its_own(sqlite_url):
    """A target that is stuck holds up only itself."""
    provider = Provider()
    provider.answers["/do/door"] = [httpx.Response(429)]
    slow = Backoff(base=timedelta(days=1), cap=timedelta(days=1))
    pace = evolve(PACE, retry=slow)
    async with a_scene(sqlite_url, answer=provider, pace=pace) as scene, scene.node():
        connection = await scene.connect()
        first, second = scene.action(connection, "door"), scene.action(connection, "door")
        other = scene.action(connection, "window")

        await scene.order(connection, first, second)
        await scene.watch.until(lambda: scene.store.calls["postpone_action"])
        await scene.order(connection, other)

        assert (await scene.ended(other)).state is DONE
        assert provider.begun == ["/do/door", "/do/window"]


async def test_a_retry_after_holds_back_all_targets_of_the_connection(sqlite_url):
    provider = Provider()
    provider.answers["/do/door"] = [httpx.Response(429, headers={"retry-after": "86400"})]
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection, neighbour = await scene.connect(), await scene.connect()
        first, other = scene.action(connection, "door"), scene.action(connection, "window")
        await scene.order(connection, first)
        await scene.watch.until(lambda: scene.store.calls["keep_pressure"])

        await scene.order(connection, other)
        elsewhere = scene.action(neighbour, "door")
        await scene.order(neighbour, elsewhere)

        assert (await scene.ended(elsewhere)).state is DONE
        assert provider.begun == ["/do/door", "/do/door"]


async def test_a_token_that_was_replaced_is_read_again_and_the_request_repeated_once(sqlite_url):
    provider = Provider()
    provider.answers["/do/door"] = [httpx.Response(401)]
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await scene.connect()
        assert connection.auth_ref is not None
        first, second = scene.action(connection, "first"), scene.action(connection, "door")
        await scene.order(connection, first)
        await scene.ended(first)
        scene.secrets.values["acme", connection.auth_ref] = Secret(value=b"renewed")

        await scene.order(connection, second)

        assert (await scene.ended(second)).state is DONE
        old, new = f"Bearer {TOKEN.decode()}", "Bearer renewed"
        assert provider.tokens == [old, old, new]


async def test_an_action_that_was_cancelled_while_it_began_is_not_sent_and_harms_nobody(store_url):
    """FR-7: who cancels in time is right, whoever is about to send it."""
    provider = Provider()
    async with a_scene(store_url, answer=provider) as scene, scene.node():
        connection = await scene.connect()
        action, other = scene.action(connection, "door"), scene.action(connection, "door")

        async def cancelled() -> None:
            await scene.store.inner.cancel_action(
                "acme",
                action.action_id,
                reason="changed my mind",
                receipt=samples.receipt(),
                now=scene.clock.now(),
            )

        scene.store.on("intend", cancelled)
        await scene.order(connection, action, other)

        assert (await scene.ended(action)).state is ActionState.CANCELLED
        assert (await scene.ended(other)).state is DONE
        assert provider.begun == ["/do/door"]
        assert scene.recorder.crashes == []


async def test_credentials_are_read_once_for_many_actions(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()
        actions = [scene.action(connection, "door") for _ in range(5)]

        await scene.order(connection, *actions)
        for action in actions:
            await scene.ended(action)

        assert scene.secrets.reads[connection.auth_ref or uuid4()] == 1


async def test_credentials_are_not_kept_longer_than_allowed(sqlite_url):
    pace = evolve(PACE, token_kept=timedelta(0))
    async with a_scene(sqlite_url, pace=pace) as scene, scene.node():
        connection = await scene.connect()
        actions = [scene.action(connection, "door") for _ in range(3)]

        await scene.order(connection, *actions)
        for action in actions:
            await scene.ended(action)

        assert scene.secrets.reads[connection.auth_ref or uuid4()] == 3


async def test_credentials_that_can_not_be_read_now_are_waited_for(sqlite_url):
    """Nothing was sent, so nothing is in doubt, even where the provider can not be asked."""
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()
        scene.secrets.down = PlatformUnavailableError("M33 gave no answer")
        action = scene.action(connection)

        await scene.order(connection, action)
        await scene.watch.until(lambda: scene.store.calls["postpone_action"] > 2)
        scene.secrets.down = None

        assert (await scene.ended(action)).state is DONE


async def test_without_credentials_nothing_is_sent_and_the_connection_goes_on_receiving(
    sqlite_url,
):
    """No login was refused: there is none."""
    provider = Provider()
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await scene.connect(token=None)
        action = scene.action(connection)

        await scene.order(connection, action)

        record = await scene.ended(action)
        assert (record.state, record.reason) == (
            ActionState.NEEDS_LOGIN,
            "the connection has no credentials",
        )
        assert provider.begun == []
        await scene.deliver(connection, *scene.deliveries(connection, {"signals": 1}))
        await scene.counted(connection, forwarded=1)


async def test_an_action_that_finds_its_lease_gone_writes_nothing_more(store_url):
    """P10 fenced: what the old owner sent stays a doubt, which the new one settles."""
    provider = Provider()
    gate = provider.hold("door")
    async with a_scene(store_url, answer=provider) as scene:
        connection = await scene.connect()
        action = scene.action(connection)
        async with scene.node():
            await scene.order(connection, action)
            await begun(scene, provider, 1)
            await scene.store.inner.claim_connection(
                "acme", connection.connection_id, owner=uuid4()
            )
            gate.set()
            await scene.watch.until(lambda: scene.log.of("connection.fenced"))

            record = await scene.store.inner.action("acme", action.action_id)
            assert record is not None
            assert (record.state, record.attempts) == (ActionState.QUEUED, 0)

            scene.wake.connection("acme", connection.connection_id)
            assert (await scene.ended(action)).state is UNSURE
        assert provider.begun == ["/do/door"]
        assert scene.recorder.crashes == []


@pytest.mark.parametrize("method", ["intend", "due_actions"])
async def test_a_store_that_fails_before_anything_is_sent_costs_only_time(sqlite_url, method):
    provider = Provider()
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await scene.connect()
        scene.store.fail(method, times=3)
        action = scene.action(connection)

        await scene.order(connection, action)

        assert (await scene.ended(action)).state is DONE
        assert provider.begun == ["/do/door"]
        await scene.watch.until(lambda: scene.store.calls[method] >= 4)
        assert scene.recorder.crashes == []


async def test_a_store_that_fails_after_the_answer_leaves_a_doubt_and_nothing_is_sent_twice(
    sqlite_url,
):
    """P4 where nobody can be asked: the outcome says unsure."""
    provider = Provider()
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await scene.connect()
        scene.store.fail("settle_action")
        action = scene.action(connection)

        await scene.order(connection, action)

        assert (await scene.ended(action)).state is UNSURE
        assert provider.begun == ["/do/door"]


async def test_a_journal_that_can_not_be_read_costs_only_time(sqlite_url):
    """P4: what was begun is not gone on with before what was sent for it is known."""
    provider = Provider()
    async with a_scene(sqlite_url, answer=provider) as scene, scene.node():
        connection = await scene.connect()
        scene.store.fail("settle_action")
        scene.store.fail("exchanges", times=3)
        action = scene.action(connection)

        await scene.order(connection, action)

        assert (await scene.ended(action)).state is UNSURE
        assert provider.begun == ["/do/door"]
        assert scene.store.calls["exchanges"] == 4


@pytest.mark.parametrize(("name", "at_once"), [("door", 4), ("window", 1)])
async def test_what_is_asked_for_while_the_last_one_reports_back_is_not_forgotten(
    sqlite_url, name, at_once
):
    """Nothing was queued when it ended; what came since waits for its target, or for room."""
    async with a_scene(sqlite_url) as scene, scene.node():
        scene.policy.default = TenantPolicy(actions_at_once=at_once)
        connection = await scene.connect()
        first, second = scene.action(connection), scene.action(connection, name)

        async def another() -> None:
            handled = scene.store.calls["claim_deliveries"]
            await scene.order(connection, second)
            await scene.watch.until(lambda: scene.store.calls["claim_deliveries"] > handled)
            # When the next hint is looked into, this one is done with.
            scene.wake.connection("acme", connection.connection_id)
            await scene.watch.until(lambda: scene.store.calls["claim_deliveries"] > handled + 1)

        scene.store.on("settle_action", another, after=True)
        await scene.order(connection, first)

        assert (await scene.ended(first)).state is DONE
        assert (await scene.ended(second)).state is DONE


async def test_a_stop_waits_for_the_running_action_and_begins_no_other(sqlite_url):
    """P11 graceful."""
    provider = Provider()
    gate = provider.hold("door")
    async with a_scene(sqlite_url, answer=provider) as scene:
        scene.policy.default = TenantPolicy(actions_at_once=1)
        connection = await scene.connect()
        running, waiting = scene.action(connection, "door"), scene.action(connection, "window")
        async with scene.node() as system, trio.open_nursery() as nursery:
            await scene.order(connection, running, waiting)
            await begun(scene, provider, 1)
            nursery.start_soon(partial(system.stop, drain=timedelta(seconds=5)))
            await trio.testing.wait_all_tasks_blocked()

            gate.set()

        assert (await scene.ended(running)).state is DONE
        left = await scene.store.inner.action("acme", waiting.action_id)
        assert left is not None
        assert left.state is ActionState.QUEUED
        assert provider.begun == ["/do/door"]


async def test_killed_while_an_action_runs_it_is_not_sent_again(sqlite_url):
    """P4, P11: a node that is killed leaves the intent behind, and the next one finds it."""
    provider = Provider()
    provider.hold("door")
    async with a_scene(sqlite_url, answer=provider) as scene:
        connection = await scene.connect()
        action = scene.action(connection)
        with trio.CancelScope() as killed:
            async with scene.node():
                await scene.order(connection, action)
                await begun(scene, provider, 1)
                killed.cancel()
                await trio.lowlevel.checkpoint()

        async with scene.node():
            scene.wake.connection("acme", connection.connection_id)
            assert (await scene.ended(action)).state is UNSURE
        assert provider.begun == ["/do/door"]
