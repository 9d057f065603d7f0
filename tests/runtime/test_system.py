from __future__ import annotations

from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

from runtime import Context, DirectorySpec, GaveUpError, Observer, ServiceSpec
from runtime.errors import ActorStoppedError, UnknownAddressError
from tests.runtime.scene import (
    CRASH,
    SECOND,
    Await,
    Do,
    Obedient,
    Pause,
    Recorder,
    actor,
    build,
    running,
    settle,
    supervisor,
)


def keyed(name: str = "keyed") -> DirectorySpec:
    return DirectorySpec(name=name, create=lambda key: Obedient(name=key))


async def test_places_are_found_by_address_and_directories_by_name() -> None:
    root = supervisor(
        supervisor(actor("x"), keyed("one"), keyed("twin"), name="left"),
        supervisor(keyed("twin"), name="right"),
    )
    async with running(root) as (system, _):
        assert system.ref("/left/x").address == "/left/x"
        assert system.directory("one") is system.directory("/left/one")
        assert system.directory("/left/twin") is not system.directory("/right/twin")
        for unknown in ("/x", "/left", "/left/one", "left"):
            with pytest.raises(UnknownAddressError, match=unknown):
                system.ref(unknown)
        for unknown in ("twin", "/one", "three"):
            with pytest.raises(UnknownAddressError, match=unknown):
                system.directory(unknown)


async def test_started_says_when_every_child_was_ready() -> None:
    gate = trio.Event()

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        await gate.wait()
        task_status.started()
        await trio.sleep_forever()

    system = build(supervisor(actor("a"), ServiceSpec(name="s", run=serve)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(system.run)
        await settle()
        before = system.started
        gate.set()
        await settle()
        after = system.started
        await system.stop(drain=SECOND)

    assert (before, after) == (False, True)


async def test_stop_drains_what_was_accepted_and_refuses_more(autojump_clock: MockClock) -> None:
    """P11: refuse, drain with a deadline, cancel."""
    journal: list[object] = []
    async with running(supervisor(actor("a", journal, shutdown=20 * SECOND))) as (
        system,
        recorder,
    ):
        ref = system.ref("/a")
        ref.tell(Pause(seconds=5))
        ref.tell("accepted")
        await settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: system.stop(drain=30 * SECOND))
            await settle()
            assert system.stopping
            with pytest.raises(ActorStoppedError, match="the system stops"):
                ref.tell("late")
            ref.control("still passes")

    assert journal == ["start a", "still passes", "accepted", "stop a"]
    assert recorder.of("discarded") == []


async def test_an_actor_that_is_to_stop_later_still_hears_those_that_stop_before_it(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []

    async with running(supervisor(actor("below", journal), actor("above"))) as (system, _):

        async def report(_: Context) -> None:
            await trio.sleep(3)
            system.ref("/below").tell("done")

        system.ref("/above").tell(Await(act=report))
        await settle()

    assert journal == ["start below", "done", "stop below"]


async def test_a_stop_waits_for_spawned_work(autojump_clock: MockClock) -> None:
    journal: list[object] = []

    async def work(context: Context) -> None:
        await trio.sleep(3)
        context.tell_self(f"work done, {context.demand()} wanted, {context.stopping}")

    start = trio.current_time()
    async with running(supervisor(actor("a", journal))) as (system, _):
        system.ref("/a").tell(Do(act=lambda context: context.spawn(work, context, name="work")))
        await settle()

    assert journal == ["start a", "work done, 0 wanted, True", "stop a"]
    assert trio.current_time() == start + 3


async def test_the_drain_ends_at_its_deadline_with_a_reason(autojump_clock: MockClock) -> None:
    reasons: list[str] = []

    class Stubborn(Obedient):
        async def on_message(self, message: object) -> object:
            try:
                await trio.sleep_forever()
            except trio.Cancelled as error:
                reasons.append(str(error))
                raise

    spec = actor("a", create=Stubborn, shutdown=1000 * SECOND)
    start = trio.current_time()
    async with running(supervisor(spec, shutdown=1000 * SECOND), drain=7 * SECOND) as (system, _):
        system.ref("/a").tell("go")
        await settle()

    assert trio.current_time() == start + 7
    assert "not done within 7 s" in reasons[0]


async def test_a_second_more_impatient_stop_cuts_the_first_short(
    autojump_clock: MockClock,
) -> None:
    system = build(supervisor(actor("a", shutdown=1000 * SECOND)))
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        system.ref("/a").tell(Pause(seconds=5000))
        await settle()
        nursery.start_soon(lambda: system.stop(drain=500 * SECOND))
        await trio.sleep(1)
        await system.stop(drain=timedelta(0))

    assert trio.current_time() == start + 1


async def test_stopping_what_has_stopped_returns_at_once() -> None:
    async with running(supervisor(actor("a"))) as (system, _):
        await system.stop(drain=SECOND)

        await system.stop(drain=SECOND)


async def test_a_system_told_to_stop_before_it_ran_starts_nothing() -> None:
    journal: list[object] = []
    system = build(supervisor(actor("a", journal)))
    await system.stop(drain=SECOND)

    await system.run()

    assert journal == []


async def test_a_system_runs_once() -> None:
    async with running(supervisor()) as (system, _):
        with pytest.raises(RuntimeError, match="runs once"):
            await system.run()


async def test_a_cancelled_run_leaves_nothing_behind() -> None:
    system = build(supervisor(actor("a"), keyed()))
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        system.directory("keyed").tell("k", 1)
        await settle()
        nursery.cancel_scope.cancel()

    with pytest.raises(ActorStoppedError):
        system.ref("/a").tell(1)
    await system.stop(drain=SECOND)


async def test_after_the_root_gave_up_nobody_waits_for_an_answer_for_ever() -> None:
    system = build(supervisor(actor("a", mailbox=5), restarts=0))
    with pytest.RaisesGroup(GaveUpError):
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            system.ref("/a").tell(CRASH)

            async def ask() -> None:
                with pytest.raises(ActorStoppedError, match="the system stopped"):
                    await system.ref("/a").ask("never", deadline=1000 * SECOND)

            # Not in the same nursery: it must see its own ending, not a cancellation.
            with trio.CancelScope(shield=True):
                await ask()


def test_an_observer_may_leave_out_what_it_does_not_care_for() -> None:
    observer = Observer()
    error = GaveUpError("/", "/a", 1, None)

    observer.started("/a", "Actor")
    observer.restarted("/a", 1)
    observer.stopped("/a", "done")
    observer.crashed("/a", error)
    observer.gave_up("/", error)
    observer.quarantined("/a", SECOND, error)
    observer.discarded("/a", 1)

    assert str(error) == "/ gave up on /a after 1 restarts: it ended"
    assert {name for name in vars(Recorder) if not name.startswith("_")} - {"of"} == {
        name for name in vars(Observer) if not name.startswith("_")
    }
