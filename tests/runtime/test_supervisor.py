from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from runtime import Backoff, Context, GaveUpError, Restart, ServiceSpec, Strategy
from runtime.errors import ActorStoppedError, StartError
from runtime.tree import State
from tests.runtime.scene import (
    CRASH,
    SECOND,
    Await,
    Do,
    Obedient,
    Pause,
    Recorder,
    SabotageError,
    actor,
    build,
    running,
    settle,
    supervisor,
)

HOLD = timedelta(hours=1)


class Faulty(Obedient):
    """Does not start while ``broken`` holds its name."""

    broken: set[str]

    def __init__(self, journal: list[object], name: str, broken: set[str]) -> None:
        super().__init__(journal, name=name)
        self.broken = broken

    async def on_start(self, context: Context) -> None:
        await super().on_start(context)
        if self.name in self.broken:
            raise SabotageError(f"{self.name} is broken")


async def test_children_start_in_order_and_stop_in_reverse() -> None:
    journal: list[object] = []
    inner = supervisor(actor("x", journal), actor("y", journal), name="inner")
    async with running(supervisor(actor("a", journal), inner, actor("b", journal))):
        assert journal == ["start a", "start x", "start y", "start b"]
        journal.clear()

    assert journal == ["stop b", "stop y", "stop x", "stop a"]


async def test_a_child_is_ready_before_the_next_one_starts(autojump_clock: MockClock) -> None:
    class Slow(Obedient):
        async def on_start(self, context: Context) -> None:
            await trio.sleep(3)
            await super().on_start(context)

    journal: list[object] = []
    slow = actor("slow", create=lambda: Slow(journal, name="slow"))
    async with running(supervisor(slow, actor("a", journal))):
        assert journal == ["start slow", "start a"]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, ["stop b", "start b"]),
        (
            Strategy.ONE_FOR_ALL,
            ["stop b", "stop c", "stop a", "start a", "start b", "start c"],
        ),
        (Strategy.REST_FOR_ONE, ["stop b", "stop c", "start b", "start c"]),
    ],
)
async def test_the_strategy_says_whom_a_crash_concerns(
    strategy: Strategy, expected: list[object]
) -> None:
    journal: list[object] = []
    root = supervisor(*(actor(name, journal) for name in "abc"), strategy=strategy)
    async with running(root) as (system, _):
        journal.clear()
        system.ref("/b").tell(CRASH)
        await settle()

        assert journal == expected


@pytest.mark.parametrize(
    ("restart", "after_crash", "after_end"),
    [
        (Restart.PERMANENT, State.RUNNING, State.RUNNING),
        (Restart.TRANSIENT, State.RUNNING, State.STOPPED),
        (Restart.TEMPORARY, State.STOPPED, State.STOPPED),
    ],
)
async def test_the_restart_rule_says_what_an_end_means(
    restart: Restart, after_crash: State, after_end: State
) -> None:
    root = supervisor(actor("crashes", restart=restart), actor("ends", restart=restart))
    async with running(root) as (system, _):
        system.ref("/crashes").tell(CRASH)
        system.ref("/ends").tell(Do(act=lambda context: context.stop("done")))
        await settle()

        _, crashes, ends = system.snapshot()
        assert (crashes.state, ends.state) == (after_crash, after_end)


async def test_a_temporary_child_that_a_sibling_took_down_stays_down() -> None:
    journal: list[object] = []
    root = supervisor(
        actor("a", journal),
        actor("t", journal, restart=Restart.TEMPORARY),
        strategy=Strategy.ONE_FOR_ALL,
    )
    async with running(root) as (system, _):
        journal.clear()
        system.ref("/a").tell(CRASH)
        await settle()

        assert journal == ["stop a", "stop t", "start a"]
        with pytest.raises(ActorStoppedError, match="sibling"):
            system.ref("/t").tell(1)


async def test_the_end_of_a_temporary_child_concerns_nobody() -> None:
    journal: list[object] = []
    root = supervisor(
        actor("a", journal),
        actor("t", journal, restart=Restart.TEMPORARY),
        strategy=Strategy.ONE_FOR_ALL,
    )
    async with running(root) as (system, _):
        system.ref("/t").tell(CRASH)
        await settle()

        assert journal == ["start a", "start t", "stop t"]


async def test_siblings_taken_down_keep_what_waits_for_them() -> None:
    journal: list[object] = []
    gate = trio.Event()
    root = supervisor(
        actor("a", journal), actor("b", journal), strategy=Strategy.ONE_FOR_ALL, restarts=1
    )
    async with running(root) as (system, _):
        system.ref("/b").tell(Await(act=lambda _: gate.wait()))
        await settle()
        system.ref("/b").tell("kept")
        system.ref("/a").tell(CRASH)
        await settle()
        gate.set()
        await settle()

        assert journal[2:] == ["stop a", "stop b", "start a", "start b", "kept"]


async def test_restarts_are_counted_per_supervisor_and_one_too_many_is_the_parents_error() -> None:
    """Regression: triotp counts per child."""
    recorder = Recorder()
    with trio.fail_after(60):
        system = build(supervisor(actor("a"), actor("b"), restarts=2), recorder)
        with pytest.RaisesGroup(GaveUpError) as caught:
            async with trio.open_nursery() as nursery:
                await nursery.start(system.run)
                for name in ("/a", "/b", "/a"):
                    system.ref(name).tell(CRASH)
                    await settle()

    error = caught.value.exceptions[0]
    assert isinstance(error, GaveUpError)
    assert (error.address, error.child) == ("/", "/a")
    assert str(error) == "/ gave up on /a after 2 restarts: SabotageError"
    assert isinstance(error.cause, SabotageError)
    assert recorder.of("gave_up") == [("/", "/a")]
    assert [place.state for place in system.snapshot()] == [State.STOPPED] * 3


async def test_restarts_long_past_do_not_count(autojump_clock: MockClock) -> None:
    async with running(supervisor(actor("a"), restarts=1, within=10 * SECOND)) as (system, _):
        for _ in range(4):
            system.ref("/a").tell(CRASH)
            await trio.sleep(10)

        assert system.snapshot()[1].restarts == 4


async def test_giving_up_stops_the_others_in_reverse() -> None:
    journal: list[object] = []
    root = supervisor(*(actor(name, journal) for name in "abc"), restarts=0)
    system = build(root)
    with pytest.RaisesGroup(GaveUpError):
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            journal.clear()
            system.ref("/b").tell(CRASH)

    assert journal == ["stop b", "stop c", "stop a"]


async def test_a_parent_restarts_the_branch_that_gave_up_with_a_fresh_count() -> None:
    journal: list[object] = []
    inner = supervisor(actor("a", journal), name="inner", restarts=1)
    async with running(supervisor(inner, restarts=2)) as (system, recorder):
        for _ in range(4):
            system.ref("/inner/a").tell(CRASH)
            await settle()

        assert recorder.of("gave_up") == [("/inner", "/inner/a")] * 2
        assert system.snapshot()[1].state is State.RUNNING
        assert await system.ref("/inner/a").ask("alive", deadline=SECOND) == ("seen", "alive")


async def test_a_branch_that_is_not_restarted_tells_its_senders() -> None:
    inner = supervisor(actor("a"), name="inner", restarts=0, restart=Restart.TEMPORARY)
    async with running(supervisor(inner, actor("b"))) as (system, _):
        system.ref("/inner/a").tell(CRASH)
        await settle()

        with pytest.raises(ActorStoppedError):
            system.ref("/inner/a").tell("lost")
        assert await system.ref("/b").ask(1, deadline=SECOND) == ("seen", 1)


async def test_an_error_in_on_start_is_the_starters_error_with_its_cause() -> None:
    """Regression: triotp hides the cause behind an UnboundLocalError."""
    journal: list[object] = []
    faulty = actor("f", create=lambda: Faulty(journal, "f", {"f"}))
    system = build(supervisor(actor("a", journal), faulty, actor("b", journal)))

    with pytest.RaisesGroup(GaveUpError) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)

    error = caught.value.exceptions[0]
    assert isinstance(error, GaveUpError)
    assert (error.child, str(error.cause)) == ("/f", "f is broken")
    assert str(error) == "/ gave up on /f after 0 restarts: SabotageError"
    assert error.__cause__ is error.cause
    assert journal == ["start a", "start f", "stop a"]
    assert not system.started


async def test_an_error_in_on_start_at_a_restart_counts_like_any_crash() -> None:
    journal: list[object] = []
    broken: set[str] = set()

    class Mended(Faulty):
        async def on_start(self, context: Context) -> None:
            try:
                await super().on_start(context)
            finally:
                self.broken.clear()

    root = supervisor(
        actor("a", journal),
        actor("f", create=lambda: Mended(journal, "f", broken)),
        actor("c", journal),
        strategy=Strategy.ONE_FOR_ALL,
        restarts=2,
    )
    async with running(root) as (system, recorder):
        journal.clear()
        broken.add("f")
        system.ref("/c").tell(CRASH)
        await settle()

        first_try = ["stop c", "stop f", "stop a", "start a", "start f"]
        assert journal == [*first_try, "stop a", "start a", "start f", "start c"]
        assert recorder.of("crashed") == [("/c",), ("/f",)]


async def test_a_child_that_is_never_ready_is_given_up_on(autojump_clock: MockClock) -> None:
    """P7: every wait has a deadline."""

    class Sleepy(Obedient):
        async def on_start(self, context: Context) -> None:
            await trio.sleep_forever()

    system = build(supervisor(actor("a", create=Sleepy, startup=3 * SECOND)))

    with pytest.RaisesGroup(GaveUpError) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)

    cause = caught.value.exceptions[0].__cause__
    assert isinstance(cause, StartError)
    assert str(cause) == "/a took too long"


async def test_a_service_that_ends_before_it_is_ready_did_not_start() -> None:
    async def nothing(*, task_status: object) -> None:
        await trio.lowlevel.checkpoint()

    system = build(supervisor(ServiceSpec(name="s", run=nothing)))

    with pytest.RaisesGroup(GaveUpError) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)

    assert str(caught.value.exceptions[0].__cause__) == "/s ended before it was ready"


async def test_restarts_wait_longer_each_time_with_jitter(autojump_clock: MockClock) -> None:
    starts: list[float] = []

    class Stamped(Obedient):
        async def on_start(self, context: Context) -> None:
            await super().on_start(context)
            starts.append(trio.current_time())
            if len(starts) > 1:
                raise SabotageError

    root = supervisor(
        actor("a", create=Stamped), restarts=6, within=HOLD,
        backoff=Backoff(base=SECOND, cap=8 * SECOND),
    )  # fmt: skip
    system = build(root)
    with pytest.RaisesGroup(GaveUpError):
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            system.ref("/a").tell(CRASH)

    waits = [later - sooner for sooner, later in pairwise(starts)]
    assert len(waits) == 6
    assert all(
        0 < wait <= longest for wait, longest in zip(waits, (1, 2, 4, 8, 8, 8), strict=True)
    )
    assert len(set(waits)) == 6


async def test_while_one_waits_for_its_restart_the_others_go_on(autojump_clock: MockClock) -> None:
    root = supervisor(
        actor("a"), actor("b"), within=HOLD, backoff=Backoff(base=1000 * SECOND, cap=1000 * SECOND)
    )
    async with running(root) as (system, _):
        system.ref("/a").tell(CRASH)
        await settle()
        system.ref("/a").tell("waits")

        assert system.snapshot()[1].state is State.RESTARTING
        assert await system.ref("/b").ask(1, deadline=SECOND) == ("seen", 1)
        await trio.sleep(1000)
        assert system.snapshot()[1].state is State.RUNNING


async def test_a_second_crash_while_a_restart_is_due_is_handled_too(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []
    root = supervisor(
        *(actor(name, journal) for name in "abc"),
        strategy=Strategy.REST_FOR_ONE,
        within=HOLD,
        backoff=Backoff(base=100 * SECOND, cap=100 * SECOND),
    )
    async with running(root) as (system, _):
        journal.clear()
        system.ref("/c").tell(CRASH)
        await settle()
        system.ref("/a").tell(CRASH)
        await trio.sleep(200)

        assert [place.state for place in system.snapshot()] == [State.RUNNING] * 4
        assert sorted(map(str, journal)) == [
            "start a", "start b", "start c", "stop a", "stop b", "stop c",
        ]  # fmt: skip


async def test_a_restart_that_a_siblings_restart_made_needless_does_not_come(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []
    root = supervisor(
        actor("a", journal),
        actor("b", journal),
        strategy=Strategy.REST_FOR_ONE,
        within=HOLD,
        backoff=Backoff(base=100 * SECOND, cap=100 * SECOND),
    )
    async with running(root) as (system, _):
        system.ref("/b").tell(CRASH)  # the seed's second and third draw are what matters:
        await trio.sleep(100)
        journal.clear()
        system.ref("/b").tell(CRASH)  # due after 84.7 s
        await settle()
        system.ref("/a").tell(CRASH)  # due after 76.4 s, and b with it
        await trio.sleep(100)

        assert journal == ["stop b", "stop a", "start a", "start b"]


async def test_the_end_of_a_temporary_sibling_does_not_undo_a_restart_that_is_due(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []
    root = supervisor(
        actor("t", journal, restart=Restart.TEMPORARY),
        actor("a", journal),
        strategy=Strategy.REST_FOR_ONE,
        within=HOLD,
        backoff=Backoff(base=100 * SECOND, cap=100 * SECOND),
    )
    async with running(root) as (system, _):
        system.ref("/a").tell(CRASH)
        await settle()
        system.ref("/t").tell(CRASH)
        await trio.sleep(100)

        assert journal == ["start t", "start a", "stop a", "stop t", "start a"]


async def test_when_several_crash_at_once_there_is_one_who_was_too_many() -> None:
    recorder = Recorder()
    system = build(supervisor(*(actor(name) for name in "abcd"), restarts=1), recorder)
    with pytest.RaisesGroup(GaveUpError):
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            for name in "abcd":
                system.ref(f"/{name}").tell(CRASH)

    assert len(recorder.of("gave_up")) == 1
    assert len(recorder.of("crashed")) == 5  # with the root


async def test_a_child_that_is_cleaning_up_when_told_to_stop_is_left_to_it(
    autojump_clock: MockClock,
) -> None:
    class Slow(Obedient):
        async def on_stop(self) -> None:
            await trio.sleep(3)
            await super().on_stop()

    journal: list[object] = []
    start = trio.current_time()
    async with running(supervisor(actor("a", create=lambda: Slow(journal)))) as (system, recorder):
        system.ref("/a").tell(Do(act=lambda context: context.stop("done")))
        await trio.sleep(1)

    assert journal == ["start", "stop"]
    assert trio.current_time() == start + 3
    assert recorder.of("crashed") == []


async def test_a_sibling_that_is_cleaning_up_when_it_is_taken_down_is_left_to_it(
    autojump_clock: MockClock,
) -> None:
    class Slow(Obedient):
        async def on_stop(self) -> None:
            await trio.sleep(3)
            await super().on_stop()

    journal: list[object] = []
    root = supervisor(
        actor("a"), actor("b", create=lambda: Slow(journal)), strategy=Strategy.ONE_FOR_ALL
    )
    async with running(root) as (system, _):
        system.ref("/b").tell(Do(act=lambda context: context.stop("done")))
        await trio.sleep(1)
        system.ref("/a").tell(CRASH)
        await trio.sleep(3)

        assert journal == ["start", "stop", "start"]


async def test_the_reason_an_actor_gives_for_its_end_is_told() -> None:
    async with running(supervisor(actor("a", restart=Restart.TRANSIENT))) as (system, _):
        with system.subscribe() as changes:
            system.ref("/a").tell(Do(act=lambda context: context.stop("fenced")))

            change = await anext(changes)

    assert (change.state, change.reason) == (State.STOPPED, "fenced")


async def test_a_child_that_takes_too_long_to_stop_is_cancelled(autojump_clock: MockClock) -> None:
    journal: list[object] = []
    root = supervisor(
        actor("prompt", journal),
        actor("busy", journal, shutdown=3 * SECOND),
        actor("last", journal),
    )
    start = trio.current_time()
    async with running(root) as (system, recorder):
        system.ref("/busy").tell(Pause(seconds=1000))
        await settle()
        journal.clear()

    assert trio.current_time() - start == pytest.approx(3)
    assert journal == ["stop last", "stop busy", "stop prompt"]
    assert recorder.of("crashed") == []


async def test_a_real_error_among_cancellations_at_shutdown_is_told_and_dropped(
    autojump_clock: MockClock,
) -> None:
    """Regression: a group of an error and Cancelled becomes an error once the scope took its part."""

    class Clumsy(Obedient):
        async def on_message(self, message: object) -> object:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.drop)
            return None

        async def drop(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise SabotageError("dropped it while leaving")

    root = supervisor(actor("a", create=Clumsy, shutdown=SECOND))
    async with running(root) as (system, recorder):
        system.ref("/a").tell("go")
        await settle()

    assert [str(error) for error in recorder.errors] == ["dropped it while leaving"]
    assert recorder.of("gave_up") == []


async def test_cancelling_the_whole_tree_from_outside_reports_errors_and_ends_as_cancelled() -> (
    None
):
    async def drop() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise SabotageError("dropped it while leaving")

    recorder = Recorder()
    system = build(supervisor(actor("a"), actor("b")), recorder)
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        system.ref("/a").tell(Do(act=lambda context: context.spawn(drop, name="drop")))
        await settle()
        nursery.cancel_scope.cancel()

    assert [str(error) for error in recorder.errors] == ["dropped it while leaving"]
    assert ("/b",) in recorder.of("stopped")
    assert recorder.of("gave_up") == []


async def test_several_errors_at_once_are_kept_together() -> None:
    async def fail(text: str) -> None:
        try:
            await trio.lowlevel.checkpoint()
        finally:
            raise SabotageError(text)

    def two(context: Context) -> None:
        context.spawn(fail, "one", name="one")
        context.spawn(fail, "two", name="two")

    async with running(supervisor(actor("a"))) as (system, recorder):
        system.ref("/a").tell(Do(act=two))
        await settle()

        assert isinstance(recorder.errors[0], ExceptionGroup)
        assert {str(error) for error in recorder.errors[0].exceptions} == {"one", "two"}


async def test_a_service_is_cancelled_when_its_turn_to_stop_comes() -> None:
    journal: list[object] = []

    async def serve(*, task_status: trio.TaskStatus[str]) -> None:
        task_status.started("listening on a port")
        try:
            await trio.sleep_forever()
        finally:
            journal.append("service ended")

    root = supervisor(actor("a", journal), ServiceSpec(name="s", run=serve), actor("b", journal))
    async with running(root) as (system, recorder):
        assert system.snapshot()[2].kind == "service"

    assert journal == ["start a", "start b", "stop b", "service ended", "stop a"]
    assert ("/s",) in recorder.of("stopped")


async def test_a_service_that_crashes_is_restarted() -> None:
    runs: list[int] = []

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        runs.append(1)
        task_status.started()
        if len(runs) == 1:
            raise SabotageError
        await trio.sleep_forever()

    async with running(supervisor(ServiceSpec(name="s", run=serve))) as (system, _):
        await settle()

        assert (len(runs), system.snapshot()[1].state) == (2, State.RUNNING)


async def test_stopping_while_a_child_is_starting_does_not_wait_for_it(
    autojump_clock: MockClock,
) -> None:
    class Sleepy(Obedient):
        async def on_start(self, context: Context) -> None:
            await trio.sleep(25)

    journal: list[object] = []
    recorder = Recorder()
    root = supervisor(
        actor("a", journal), supervisor(actor("s", create=Sleepy), name="in"), actor("b", journal)
    )
    system = build(root, recorder)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(system.run)
        await settle()
        await system.stop(drain=20 * SECOND)

    assert trio.current_time() == start
    assert journal == ["start a", "stop a"]
    assert recorder.of("crashed") == []


async def test_stopping_while_a_group_is_being_restarted_ends_it(
    autojump_clock: MockClock,
) -> None:
    gate = trio.Event()
    starts: list[str] = []

    class Gated(Obedient):
        async def on_start(self, context: Context) -> None:
            starts.append(self.name)
            if len(starts) > 2:
                await gate.wait()

    root = supervisor(
        *(actor(name, create=lambda name=name: Gated(name=name)) for name in "ab"),  # type: ignore[misc]
        strategy=Strategy.ONE_FOR_ALL,
    )
    start = trio.current_time()
    async with running(root) as (system, _):
        system.ref("/b").tell(CRASH)
        await settle()

    assert starts == ["a", "b", "a"]
    assert trio.current_time() == start


async def test_two_children_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two places of the tree are /a"):
        build(supervisor(actor("a"), actor("a")))


@pytest.mark.parametrize("name", ["", "a/b", "a b"])
def test_a_name_that_is_no_part_of_an_address_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="match regex"):
        actor(name)
