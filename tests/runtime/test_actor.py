from __future__ import annotations

from contextvars import ContextVar
from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

from runtime import Actor, Context, Restart, TrioClock
from runtime.actor import TIMERS
from runtime.errors import ActorStoppedError, AskTimeoutError, MailboxFullError
from runtime.mailbox import CONTROL
from tests.runtime.scene import (
    CRASH,
    EPOCH,
    SECOND,
    Await,
    Do,
    Obedient,
    Pause,
    SabotageError,
    actor,
    running,
    settle,
    supervisor,
)


class Echo(Actor):
    """The least an actor can be."""

    async def on_message(self, message: object) -> object:
        await trio.lowlevel.checkpoint()
        return message


async def test_an_actor_needs_no_more_than_on_message() -> None:
    async with running(supervisor(actor("echo", create=Echo))) as (system, _):
        assert await system.ref("/echo").ask("hello", deadline=SECOND) == "hello"


async def test_messages_are_handled_one_at_a_time_in_order() -> None:
    class Slow(Obedient):
        async def on_message(self, message: object) -> object:
            self.journal.append(("begin", message))
            await trio.lowlevel.checkpoint()
            self.journal.append(("end", message))
            return None

    journal: list[object] = []
    async with running(supervisor(actor("a", create=lambda: Slow(journal)))) as (system, _):
        for number in range(3):
            system.ref("/a").tell(number)

    steps = [(step, number) for number in range(3) for step in ("begin", "end")]
    assert journal == ["start", *steps, "stop"]


async def test_a_long_run_of_messages_gives_way_to_other_tasks() -> None:
    journal: list[object] = []
    async with running(supervisor(actor("a", journal))) as (system, _):
        for number in range(100):
            system.ref("/a").tell(number)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()

        assert len(journal) < 100


async def test_tell_to_a_full_mailbox_is_refused_at_once_and_control_is_not() -> None:
    """P7."""
    journal: list[object] = []
    gate = trio.Event()
    async with running(supervisor(actor("a", journal, mailbox=2))) as (system, _):
        ref = system.ref("/a")
        ref.tell(Await(act=lambda _: gate.wait()))
        await settle()
        ref.tell(1)
        ref.tell(2)

        with pytest.raises(MailboxFullError):
            ref.tell(3)
        ref.control("now")
        gate.set()
        await settle()

        assert journal[1:] == ["now", 1, 2]


async def test_a_caller_that_gives_up_hurts_neither_actor_nor_the_next_caller(
    autojump_clock: MockClock,
) -> None:
    """Regression: triotp's gen_server dies when the caller of a call times out."""
    async with running(supervisor(actor("a"))) as (system, recorder):
        ref = system.ref("/a")
        slow = Pause(seconds=10)

        with pytest.raises(AskTimeoutError):
            await ref.ask(slow, deadline=SECOND)

        assert await ref.ask("next", deadline=60 * SECOND) == ("seen", "next")
        assert recorder.of("crashed") == []


async def test_a_question_nobody_waits_for_any_more_is_not_handled(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []
    async with running(supervisor(actor("a", journal))) as (system, _):
        ref = system.ref("/a")
        ref.tell(Pause(seconds=10))

        with pytest.raises(AskTimeoutError):
            await ref.ask("too late", deadline=SECOND)
        await trio.sleep(20)

        assert "too late" not in journal


async def test_a_cancelled_caller_hurts_nobody(autojump_clock: MockClock) -> None:
    async with running(supervisor(actor("a"))) as (system, recorder):
        with trio.move_on_after(1):
            await system.ref("/a").ask(Pause(seconds=5), deadline=60 * SECOND)

        assert await system.ref("/a").ask(1, deadline=60 * SECOND) == ("seen", 1)
        assert recorder.of("crashed") == []


async def test_the_asker_learns_at_once_that_the_actor_crashed_over_the_question() -> None:
    async with running(supervisor(actor("a"))) as (system, _):
        with pytest.raises(ActorStoppedError, match="ended over this message"):
            await system.ref("/a").ask(CRASH, deadline=60 * SECOND)


async def test_what_was_accepted_before_a_crash_is_handled_after_it() -> None:
    """Regression: triotp destroys the mailbox of a server that crashes."""
    journal: list[object] = []
    async with running(supervisor(actor("a", journal))) as (system, _):
        for message in (1, CRASH, 2, 3):
            system.ref("/a").tell(message)
        await settle()

        assert journal == ["start a", 1, "stop a", "start a", 2, 3]


async def test_spawned_work_comes_back_as_a_message_and_does_not_stop_the_mailbox(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []

    async def work(context: Context, answer: str) -> None:
        await trio.sleep(5)
        context.tell_self(answer)

    async with running(supervisor(actor("a", journal))) as (system, _):
        ref = system.ref("/a")
        ref.tell(Do(act=lambda context: context.spawn(work, context, "done", name="work")))
        ref.tell("meanwhile")
        await settle()
        assert await ref.ask(Do(act=lambda c: c.running), deadline=SECOND) == 1
        await trio.sleep(6)

        assert journal == ["start a", "meanwhile", "done"]
        assert await ref.ask(Do(act=lambda c: c.running), deadline=SECOND) == 0


async def test_an_error_in_spawned_work_is_the_actors_crash(autojump_clock: MockClock) -> None:
    async def fail() -> None:
        await trio.sleep(1)
        raise SabotageError("in a task")

    journal: list[object] = []
    async with running(supervisor(actor("a", journal))) as (system, recorder):
        system.ref("/a").tell(Do(act=lambda context: context.spawn(fail, name="fail")))
        await trio.sleep(2)

        assert recorder.of("crashed") == [("/a",)]
        assert str(recorder.errors[0]) == "in a task"
        assert journal == ["start a", "stop a", "start a"]


async def test_spawned_work_has_ended_before_on_stop_runs(autojump_clock: MockClock) -> None:
    journal: list[object] = []

    async def work() -> None:
        try:
            await trio.sleep_forever()
        finally:
            journal.append("work ended")

    async with running(supervisor(actor("a", journal))) as (system, _):
        ref = system.ref("/a")
        ref.tell(Do(act=lambda context: context.spawn(work, name="work")))
        await settle()
        ref.tell(CRASH)
        await settle()

    assert journal == ["start a", "work ended", "stop a", "start a", "stop a"]


async def test_what_a_task_told_the_last_incarnation_does_not_reach_the_next() -> None:
    journal: list[object] = []

    def report_and_crash(context: Context) -> None:
        context.tell_self("for the old one")
        raise SabotageError

    async with running(supervisor(actor("a", journal))) as (system, _):
        system.ref("/a").tell(Do(act=report_and_crash))
        await settle()

        assert journal == ["start a", "stop a", "start a"]


async def test_what_an_actor_tells_itself_is_bounded() -> None:
    """P7."""

    def flood(context: Context) -> None:
        for _ in range(CONTROL + 1):
            context.tell_self("more")

    async with running(supervisor(actor("a"))) as (system, recorder):
        system.ref("/a").tell(Do(act=flood))
        await settle()

        assert isinstance(recorder.errors[0], MailboxFullError)


async def test_timers_come_as_messages_in_order_of_time(autojump_clock: MockClock) -> None:
    journal: list[object] = []

    def set_timers(context: Context) -> None:
        for seconds, name in ((3, "third"), (1, "first"), (2, "second"), (1, "first again")):
            context.after(seconds * SECOND, name)

    async with running(supervisor(actor("a", journal))) as (system, _):
        system.ref("/a").tell(Do(act=set_timers))
        await trio.sleep(2.5)
        assert journal == ["start a", "first", "first again", "second"]
        await trio.sleep(1)
        assert journal[-1] == "third"


async def test_a_timer_passes_waiting_data(autojump_clock: MockClock) -> None:
    journal: list[object] = []
    async with running(supervisor(actor("a", journal))) as (system, _):
        ref = system.ref("/a")
        ref.tell(Do(act=lambda context: context.after(SECOND, "timer") and None))
        ref.tell(Pause(seconds=5))
        ref.tell("data")
        await trio.sleep(6)

        assert journal == ["start a", "timer", "data"]


async def test_a_cancelled_timer_does_not_come_and_cancelling_late_does_nothing(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []

    def set_and_cancel(context: Context) -> None:
        kept = context.after(SECOND, "kept")
        context.after(2 * SECOND, "cancelled").cancel()
        context.after(3 * SECOND, Do(act=lambda _: kept.cancel()))

    async with running(supervisor(actor("a", journal))) as (system, _):
        system.ref("/a").tell(Do(act=set_and_cancel))
        await trio.sleep(5)

        assert journal == ["start a", "kept"]


async def test_due_timers_wait_for_room_and_none_is_lost(autojump_clock: MockClock) -> None:
    journal: list[object] = []

    def set_timers(context: Context) -> None:
        for number in range(CONTROL + 5):
            context.after(SECOND, number)

    async with running(supervisor(actor("a", journal))) as (system, _):
        system.ref("/a").tell(Do(act=set_timers))
        await trio.sleep(2)

        assert journal == ["start a", *range(CONTROL + 5)]


async def test_timers_are_bounded() -> None:
    """P7."""

    def set_timers(context: Context) -> None:
        for _ in range(TIMERS + 1):
            context.after(SECOND, "tick")

    async with running(supervisor(actor("a"))) as (system, recorder):
        system.ref("/a").tell(Do(act=set_timers))
        await settle()

        assert isinstance(recorder.errors[0], MailboxFullError)


async def test_a_timer_dies_with_its_incarnation(autojump_clock: MockClock) -> None:
    journal: list[object] = []
    async with running(supervisor(actor("a", journal))) as (system, _):
        system.ref("/a").tell(Do(act=lambda context: context.after(SECOND, "old") and None))
        system.ref("/a").tell(CRASH)
        await trio.sleep(3)

        assert journal == ["start a", "stop a", "start a"]


async def test_stop_ends_normally_after_the_present_message_and_what_waits_is_dropped_and_said() -> (
    None
):
    journal: list[object] = []
    spec = actor("a", journal, restart=Restart.TRANSIENT)
    async with running(supervisor(spec)) as (system, recorder):
        ref = system.ref("/a")
        ref.tell(Do(act=lambda context: context.stop("enough")))
        ref.tell("never")
        await settle()

        assert journal == ["start a", "stop a"]
        assert recorder.of("discarded") == [("/a", 1)]
        with pytest.raises(ActorStoppedError):
            ref.tell("anyone there?")
        with pytest.raises(ActorStoppedError):
            ref.control("anyone there?")


async def test_on_stop_is_shielded_and_bounded(autojump_clock: MockClock) -> None:
    class Tidy(Obedient):
        async def on_stop(self) -> None:
            self.journal.append("tidying")
            await trio.sleep(2)
            self.journal.append("tidy")
            await trio.sleep_forever()

    journal: list[object] = []
    spec = actor("a", create=lambda: Tidy(journal))
    start = trio.current_time()
    async with running(supervisor(spec), drain=timedelta(0)) as (_, recorder):
        pass

    assert journal == ["start", "tidying", "tidy"]
    assert trio.current_time() - start == pytest.approx(5)
    assert [str(error) for error in recorder.errors] == ["/a did not clean up within 5 s"]


async def test_an_actor_that_did_not_start_is_not_asked_to_clean_up() -> None:
    class Stillborn(Obedient):
        async def on_start(self, context: Context) -> None:
            await super().on_start(context)
            if len(self.journal) > 1:
                raise SabotageError

    journal: list[object] = []
    spec = actor("a", create=lambda: Stillborn(journal), restart=Restart.TRANSIENT)
    async with running(supervisor(spec, restarts=2)) as (system, recorder):
        del recorder
        system.ref("/a").tell(Do(act=lambda context: context.stop("enough")))
        await settle()

    assert journal == ["start", "stop"]


async def test_the_context_tells_address_time_chance_and_demand() -> None:
    async with running(supervisor(actor("a", mailbox=7))) as (system, _):

        def look(context: Context) -> object:
            assert isinstance(context.clock, TrioClock)
            assert context.clock.now() >= EPOCH
            return context.address, context.random.random() < 1, context.demand(), context.stopping

        assert await system.ref("/a").ask(Do(act=look), deadline=SECOND) == ("/a", True, 7, False)


async def test_actors_do_not_inherit_the_context_of_whoever_tells_them() -> None:
    """Regression: what a request sets must not leak into the actors it wakes."""
    request: ContextVar[str] = ContextVar("request", default="none")
    async with running(supervisor(actor("a"))) as (system, _):
        request.set("a customer's")
        system.ref("/a").tell(CRASH)
        await settle()

        seen = await system.ref("/a").ask(Do(act=lambda _: request.get()), deadline=SECOND)

    assert seen == "none"
