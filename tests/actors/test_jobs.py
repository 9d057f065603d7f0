"""Jobs of a connection: one after the other, bounded, answered whatever happens to the actor (FR-2)."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
import trio
from attrs import define, evolve, field

from actors import asking, jobs
from actors.errors import BusyError
from actors.jobs import Task
from actors.platform.errors import PlatformUnavailableError
from actors.ports import Ports
from actors.replies import Reply
from adapters.contract import Done, Refused
from adapters.faults import slow
from tests.actors.hub import ME, a_hub
from tests.actors.life import EPOCH
from tests.actors.platform.world import HandClock
from tests.actors.scene import Scene, a_scene


async def test_more_jobs_than_an_actor_remembers_are_turned_away(sqlite_url, monkeypatch):
    """P7 bounded: one runs, two wait, and the others are told at once."""
    monkeypatch.setattr(jobs, "_MOST_WAITING", 2)
    gate = trio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        await gate.wait()
        return httpx.Response(200, text="{}")

    async with a_scene(sqlite_url, answer=answer) as scene, scene.node():
        connection = await scene.connect()
        ends: list[object] = []

        async def ask() -> None:
            try:
                ends.append(await asking.ask(asks(scene), connection, Task.PROBE))
            except BusyError as busy:
                ends.append(busy)
                if len(ends) == 7:
                    gate.set()

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)

        assert [type(end) for end in ends] == [BusyError] * 7 + [Done] * 3


def asks(scene: Scene) -> Ports:
    """The ports of whoever asks the running tree."""
    return evolve(scene.ports, wake=scene.wake)


async def test_who_waits_for_a_job_gets_the_error_that_kept_it_from_one(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = await hub.active()
        hub.secrets.down = PlatformUnavailableError("M33 gave no answer")

        with pytest.raises(PlatformUnavailableError):
            await hub.connections.subscribe("acme", connection.connection_id, ME)


@define
class Waits:
    """A timer, as far as jobs need one."""

    is_on: bool = True

    def cancel(self) -> None:
        self.is_on = False


@define(eq=False)
class Bench:
    """A holding of which only the clock and the context are there; nothing runs."""

    clock: HandClock = field(factory=lambda: HandClock(EPOCH))
    timers: list[Waits] = field(factory=list)

    @property
    def ports(self) -> Bench:
        return self

    context = ports

    def spawn(self, *_: object, name: str) -> None:
        """Nothing runs."""

    def after(self, delay: timedelta, message: object) -> Waits:
        self.timers.append(Waits())
        return self.timers[-1]


def a_job(task: Task) -> jobs.Job:
    return jobs.Job(task=task, reply=Reply(), insist=True)


def over_again() -> jobs.JobEnded:
    return jobs.JobEnded(again=a_job(Task.UNSUBSCRIBE), again_at=EPOCH + timedelta(seconds=9))


@pytest.mark.parametrize("asked_after_the_end", [True, False])
def test_a_removal_that_is_to_be_done_over_is_forgotten_when_the_webhook_is_wanted_again(
    asked_after_the_end,
):
    """What failed never undoes what was asked for later."""
    bench = Bench()
    ours = jobs.Jobs(bench)  # type: ignore[arg-type]
    ours.take(a_job(Task.UNSUBSCRIBE))
    ours.start()

    if asked_after_the_end:
        ours.ended(over_again())
        ours.take(a_job(Task.SUBSCRIBE))
    else:
        ours.take(a_job(Task.SUBSCRIBE))
        ours.ended(over_again())

    assert [timer.is_on for timer in bench.timers] == [False] * asked_after_the_end
    assert ours.due


def test_a_try_of_credentials_leaves_what_is_to_be_done_over():
    bench = Bench()
    ours = jobs.Jobs(bench)  # type: ignore[arg-type]
    ours.take(a_job(Task.UNSUBSCRIBE))
    ours.start()
    ours.take(a_job(Task.PROBE))
    ours.ended(over_again())
    ours.take(a_job(Task.PROBE))

    assert [timer.is_on for timer in bench.timers] == [True]


async def test_a_job_for_a_connection_that_is_gone_is_refused(sqlite_url):
    async with a_hub(sqlite_url) as hub:
        connection = (await hub.create()).connection
        gone = evolve(connection, connection_id=uuid4())

        outcome = await asking.ask(hub.connections.ports, gone, Task.PROBE)

        assert outcome == Refused(reason="there is no such connection any more")


async def test_a_job_waits_while_the_store_is_away(sqlite_url):
    async with a_scene(sqlite_url) as scene, scene.node():
        connection = await scene.connect()
        scene.store.fail("claim_connection", times=3)

        assert isinstance(await asking.ask(asks(scene), connection, Task.PROBE), Done)


async def test_who_waits_for_a_job_when_its_actor_is_stopped_need_not_wait_longer(sqlite_url):
    """P11 graceful: neither the one that runs nor the one behind it leaves anybody waiting."""
    async with a_hub(sqlite_url, node=False) as hub:
        connection = (await hub.create()).connection
        told: list[str] = []

        async def ask() -> None:
            try:
                await asking.ask(hub.connections.ports, connection, Task.PROBE)
            except BusyError as busy:
                told.append(str(busy))

        with trio.fail_after(4):
            async with trio.open_nursery() as nursery, hub.scene.node() as system:
                hub.github.plan(slow(timedelta(seconds=60)))
                for _ in range(2):
                    nursery.start_soon(ask)
                await hub.scene.watch.until(lambda: hub.github.seen)
                # Each message ends with this look: of the start, and of both jobs.
                await hub.scene.watch.until(lambda: hub.scene.store.calls["next_action_at"] >= 3)
                await system.stop(drain=timedelta(milliseconds=10))

        assert sorted(told) == [
            "the connection's actor ended",
            "the connection's actor ended before it was done",
        ]


async def test_a_job_that_can_not_be_handed_over_is_told_of(sqlite_url):
    """Insisting needs an actor that takes it; where none does, the log says so."""
    async with a_hub(sqlite_url, node=False) as hub:
        connection = (await hub.create()).connection
        async with hub.scene.node():
            pass

        asking.insist(hub.connections.ports, connection, Task.UNSUBSCRIBE)

        (told,) = hub.scene.log.of("job.not_taken")
        assert told["job"] == "unsubscribe"
        with pytest.raises(BusyError):
            await asking.ask(hub.connections.ports, connection, Task.PROBE)
