from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from runtime import Actor, Backoff, Context, DirectorySpec, Intensity, Strategy, System
from runtime.errors import ActorStoppedError, MailboxFullError, QuarantinedError
from runtime.tree import State
from tests.runtime.scene import (
    CRASH,
    NO_WAIT,
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

KEEP = timedelta(days=1)
_REST = Strategy.REST_FOR_ONE


def keyed(
    journal: list[object] | None = None,
    *,
    create: Callable[[str], Actor] | None = None,
    idle_after: timedelta = KEEP,
    **more: Any,
) -> DirectorySpec:
    """A directory of obedient actors that are let go late, restarted at once and not slowed down."""
    more = {"backoff": NO_WAIT, "starts_per_second": 1e6, **more}
    chosen = create or (lambda key: Obedient(journal, name=key))
    return DirectorySpec(name="keyed", create=chosen, idle_after=idle_after, **more)


def states(system: System) -> dict[str, State]:
    return {
        place.address.removeprefix("/keyed/"): place.state
        for place in system.snapshot(under="/keyed/")
    }


async def test_an_actor_is_started_by_its_first_message_and_only_once_per_key() -> None:
    journal: list[object] = []
    async with running(supervisor(keyed(journal))) as (system, _):
        directory = system.directory("keyed")
        assert states(system) == {}
        directory.tell("t/1", "a")
        directory.tell("t/1", "b")
        directory.control("t/1", "c")
        directory.tell("t/2", "d")
        await settle()

        assert states(system) == {"t/1": State.RUNNING, "t/2": State.RUNNING}
        assert [entry for entry in journal if entry in {"a", "b", "c"}] == ["c", "a", "b"]
        assert journal.count("start t/1") == 1


async def test_an_actor_answers_by_key() -> None:
    async with running(supervisor(keyed())) as (system, _):
        answer = await system.directory("/keyed").ask("k", "hello", deadline=SECOND)

    assert answer == ("seen", "hello")


async def test_an_idle_actor_is_let_go_and_comes_back_with_the_next_message(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []
    async with running(supervisor(keyed(journal, idle_after=10 * SECOND))) as (system, _):
        directory = system.directory("keyed")
        directory.tell("k", 1)
        await trio.sleep(9)
        assert states(system) == {"k": State.RUNNING}
        await trio.sleep(2)
        assert states(system) == {}
        directory.tell("k", 2)
        await settle()

        assert journal == ["start k", 1, "stop k", "start k", 2]


async def test_messages_keep_an_actor(autojump_clock: MockClock) -> None:
    journal: list[object] = []
    async with running(supervisor(keyed(journal, idle_after=10 * SECOND))) as (system, _):
        for number in range(10):
            system.directory("keyed").tell("k", number)
            await trio.sleep(6)

        assert "stop k" not in journal


@pytest.mark.parametrize(
    "work",
    [
        Pause(seconds=35),
        Do(act=lambda context: context.after(35 * SECOND, "tick") and None),
        Do(act=lambda context: context.spawn(trio.sleep, 35, name="work")),
    ],
    ids=["message", "timer", "task"],
)
async def test_an_actor_at_work_is_not_let_go(autojump_clock: MockClock, work: object) -> None:
    async with running(supervisor(keyed(idle_after=10 * SECOND))) as (system, _):
        system.directory("keyed").tell("k", work)
        await trio.sleep(34)
        assert states(system) == {"k": State.RUNNING}
        await trio.sleep(20)
        assert states(system) == {}


async def test_what_comes_while_an_actor_stops_is_kept_for_the_next_incarnation(
    autojump_clock: MockClock,
) -> None:
    class Slow(Obedient):
        async def on_stop(self) -> None:
            await trio.sleep(3)
            await super().on_stop()

    journal: list[object] = []
    spec = keyed(create=lambda key: Slow(journal, name=key), idle_after=10 * SECOND, mailbox=2)
    async with running(supervisor(spec)) as (system, _):
        directory = system.directory("keyed")
        directory.tell("k", 1)
        await trio.sleep(11)
        assert states(system) == {"k": State.RUNNING}
        directory.tell("k", 2)
        directory.control("k", "first")
        directory.tell("k", 3)
        with pytest.raises(MailboxFullError):
            directory.tell("k", 4)
        await trio.sleep(5)

        assert journal == ["start k", 1, "stop k", "start k", "first", 2, 3]


async def test_an_actor_can_let_itself_go() -> None:
    journal: list[object] = []
    async with running(supervisor(keyed(journal))) as (system, _):
        directory = system.directory("keyed")
        directory.tell("k", Do(act=lambda context: context.stop("fenced")))
        directory.tell("k", "next")
        await settle()

        assert journal == ["start k", "stop k", "start k", "next"]


async def test_the_one_told_longest_ago_makes_room_for_another() -> None:
    journal: list[object] = []
    async with running(supervisor(keyed(journal, cap=2))) as (system, _):
        directory = system.directory("keyed")
        for key in ("a", "b", "a", "c"):
            directory.tell(key, key)
            await settle()

        assert states(system) == {"a": State.RUNNING, "c": State.RUNNING}


async def test_an_actor_at_work_makes_no_room_until_it_is_done(autojump_clock: MockClock) -> None:
    async with running(supervisor(keyed(cap=2))) as (system, _):
        directory = system.directory("keyed")
        directory.tell("a", Pause(seconds=50))
        directory.tell("b", Pause(seconds=5))
        await settle()
        directory.tell("c", "hello")
        await trio.sleep(4)
        assert states(system) == {"a": State.RUNNING, "b": State.RUNNING, "c": State.WAITING}
        await trio.sleep(2)

        assert states(system) == {"a": State.RUNNING, "c": State.RUNNING}


async def test_room_is_made_for_all_who_wait_not_one_after_the_other(
    autojump_clock: MockClock,
) -> None:
    class Slow(Obedient):
        async def on_stop(self) -> None:
            await trio.sleep(3)

    async with running(supervisor(keyed(create=lambda _: Slow(), cap=3))) as (system, _):
        directory = system.directory("keyed")
        for key in "abc":
            directory.tell(key, 1)
            await settle()
        for key in "xy":
            directory.tell(key, 1)
        await trio.sleep(3.5)

        assert states(system) == dict.fromkeys("cxy", State.RUNNING)


async def test_more_keys_than_may_wait_are_refused() -> None:
    """P7."""
    gate = trio.Event()
    async with running(supervisor(keyed(cap=2))) as (system, _):
        directory = system.directory("keyed")
        for key in "ab":
            directory.tell(key, Await(act=lambda _: gate.wait()))
        await settle()
        directory.tell("c", 1)
        directory.tell("d", 1)

        with pytest.raises(MailboxFullError, match="/keyed has no room"):
            directory.tell("e", 1)
        gate.set()
        await settle()

        directory.tell("e", 1)


async def test_starts_are_limited_per_second(autojump_clock: MockClock) -> None:
    """Regression: the herd of akka/akka-core #20744 after a cold start."""
    starts: list[float] = []

    class Stamped(Obedient):
        async def on_start(self, context: Context) -> None:
            await super().on_start(context)
            starts.append(trio.current_time())

    spec = keyed(create=lambda _: Stamped(), starts_per_second=20.0)
    async with running(supervisor(spec)) as (system, _):
        begin = trio.current_time()
        for number in range(102):
            system.directory("keyed").tell(str(number), "hello")
        await trio.sleep(10)

    assert len(starts) == 102
    for second in range(5):
        inside = [at for at in starts if second <= at - begin < second + 1]
        assert len(inside) <= 22


async def test_a_crash_restarts_the_key_by_itself_and_keeps_what_waits() -> None:
    journal: list[object] = []
    async with running(supervisor(keyed(journal))) as (system, recorder):
        directory = system.directory("keyed")
        for message in (1, CRASH, 2):
            directory.tell("k", message)
        directory.tell("other", 3)
        await settle()

        assert [entry for entry in journal if entry not in {"start other", 3}] == [
            "start k", 1, "stop k", "start k", 2,
        ]  # fmt: skip
        assert recorder.of("gave_up") == []


def trouble(journal: list[object] | None = None) -> DirectorySpec:
    return keyed(
        journal,
        intensity=Intensity(restarts=1, within=60 * SECOND),
        quarantine=Backoff(base=100 * SECOND, cap=1000 * SECOND),
    )


async def test_a_key_that_crashes_too_often_is_quarantined_and_the_others_go_on(
    autojump_clock: MockClock,
) -> None:
    """P6: a directory never takes its supervisor down for one bad key."""
    async with running(supervisor(trouble(), restarts=0)) as (system, recorder):
        directory = system.directory("keyed")
        for _ in range(2):
            directory.tell("bad", CRASH)
            await settle()

        with pytest.raises(QuarantinedError) as caught:
            directory.tell("bad", 1)
        with pytest.raises(QuarantinedError):
            directory.control("bad", 1)
        with pytest.raises(QuarantinedError):
            await directory.ask("bad", 1, deadline=SECOND)

        assert caught.value.address == "/keyed/bad"
        assert 50 * SECOND <= caught.value.retry_after <= 100 * SECOND
        assert recorder.of("quarantined") == [("/keyed/bad", caught.value.retry_after)]
        assert states(system) == {"bad": State.QUARANTINED}
        assert await directory.ask("good", 1, deadline=SECOND) == ("seen", 1)


async def test_quarantine_ends_by_itself_and_the_next_one_is_longer(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []
    async with running(supervisor(trouble(journal))) as (system, recorder):
        directory = system.directory("keyed")
        directory.tell("bad", CRASH)
        directory.tell("bad", CRASH)
        directory.tell("bad", "kept")
        await settle()
        assert "kept" not in journal
        await trio.sleep(101)
        assert journal[-1] == "kept"
        directory.tell("bad", CRASH)
        await settle()

        first, second = (delay for _, delay in recorder.of("quarantined"))
        assert second > first
        with pytest.raises(QuarantinedError):
            directory.tell("bad", 1)


async def test_a_restart_delay_keeps_what_comes_meanwhile(autojump_clock: MockClock) -> None:
    journal: list[object] = []
    spec = keyed(journal, backoff=Backoff(base=1000 * SECOND, cap=1000 * SECOND), cap=1)
    async with running(supervisor(spec)) as (system, _):
        directory = system.directory("keyed")
        directory.tell("k", CRASH)
        await settle()
        directory.tell("k", "meanwhile")
        directory.tell("second", 1)
        await settle()
        assert states(system) == {"k": State.RESTARTING, "second": State.RUNNING}
        with pytest.raises(MailboxFullError):
            directory.tell("other", 1)
        await trio.sleep(1001)

        assert journal[-1] == "meanwhile"


async def test_a_key_whose_actor_never_starts_is_quarantined_too(
    autojump_clock: MockClock,
) -> None:
    class Broken(Obedient):
        async def on_start(self, context: Context) -> None:
            await trio.sleep_forever()

    spec = keyed(
        create=lambda _: Broken(),
        startup=2 * SECOND,
        intensity=Intensity(restarts=1, within=60 * SECOND),
    )
    async with running(supervisor(spec)) as (system, recorder):
        system.directory("keyed").tell("k", 1)
        await trio.sleep(5)

        assert states(system) == {"k": State.QUARANTINED}
        assert "took too long" in str(recorder.errors[0])


async def test_actors_do_not_inherit_the_context_of_the_sender_that_started_them() -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    async with running(supervisor(keyed())) as (system, _):
        request.set("a customer's")

        look = Do(act=lambda _: request.get())
        assert await system.directory("keyed").ask("k", look, deadline=SECOND) == "none"


async def test_a_stop_lets_the_actors_finish_what_they_have_together(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []
    start = trio.current_time()
    async with running(supervisor(keyed(journal))) as (system, recorder):
        directory = system.directory("keyed")
        for key in "abc":
            directory.tell(key, Pause(seconds=4))
            directory.tell(key, f"last of {key}")
        await settle()

    assert trio.current_time() - start == pytest.approx(4)
    assert {"last of a", "last of b", "last of c"} <= set(journal)
    assert recorder.of("discarded") == []


async def test_a_directory_refuses_data_once_the_system_stops_but_control_reaches_those_there(
    autojump_clock: MockClock,
) -> None:
    """P11: refuse, drain, cancel."""
    journal: list[object] = []
    async with running(supervisor(keyed(journal))) as (system, _):
        directory = system.directory("keyed")
        directory.tell("k", Pause(seconds=5))
        await settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: system.stop(drain=30 * SECOND))
            await settle()
            with pytest.raises(ActorStoppedError):
                directory.tell("k", 1)
            with pytest.raises(ActorStoppedError):
                await directory.ask("k", 1, deadline=SECOND)
            with pytest.raises(ActorStoppedError):
                directory.control("new", 1)
            directory.control("k", "hurry")

    assert journal == ["start k", "hurry", "stop k"]


async def test_what_never_found_an_actor_is_dropped_and_said_at_the_end() -> None:
    gate = trio.Event()
    async with running(supervisor(keyed(cap=1)), drain=timedelta(0)) as (system, recorder):
        directory = system.directory("keyed")
        directory.tell("a", Await(act=lambda _: gate.wait()))
        await settle()
        directory.tell("a", 1)
        directory.tell("b", 1)
        directory.tell("b", 2)

    assert sorted(recorder.of("discarded")) == [("/keyed/a", 1), ("/keyed/b", 2)]
    assert recorder.of("crashed") == []


async def test_a_directory_taken_down_by_a_sibling_keeps_what_waits() -> None:
    journal: list[object] = []
    gate = trio.Event()
    root = supervisor(actor("a"), keyed(journal, cap=1), strategy=_REST)
    async with running(root) as (system, _):
        directory = system.directory("keyed")
        directory.tell("x", Await(act=lambda _: gate.wait()))
        await settle()
        directory.tell("x", 1)
        directory.tell("y", 2)
        system.ref("/a").tell(CRASH)
        await settle()
        gate.set()
        await settle()

        of_y = {"start y", 2, "stop y"}
        assert [entry for entry in journal if entry not in of_y][:4] == [
            "start x", "stop x", "start x", 1,
        ]  # fmt: skip
        assert 2 in journal


async def test_what_comes_while_the_directory_is_down_is_handled_when_it_is_back(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []
    slowly = Backoff(base=10 * SECOND, cap=10 * SECOND)
    root = supervisor(actor("a"), keyed(journal), strategy=_REST, backoff=slowly)
    async with running(root) as (system, _):
        system.ref("/a").tell(CRASH)
        await settle()

        system.directory("keyed").tell("k", 1)
        await settle()
        assert journal == []
        await trio.sleep(10)

        assert journal == ["start k", 1]


async def test_a_delayed_start_survives_the_restart_of_its_directory(
    autojump_clock: MockClock,
) -> None:
    journal: list[object] = []
    root = supervisor(
        actor("a"), keyed(journal, backoff=Backoff(base=SECOND, cap=SECOND)), strategy=_REST
    )
    async with running(root) as (system, _):
        system.directory("keyed").tell("k", CRASH)
        await settle()
        system.ref("/a").tell(CRASH)
        await trio.sleep(5)

        assert journal.count("start k") == 2


async def test_a_crash_while_stopping_is_told_and_not_restarted() -> None:
    class Clumsy(Obedient):
        async def on_stop(self) -> None:
            await trio.lowlevel.checkpoint()
            raise SabotageError("while leaving")

    journal: list[object] = []
    spec = keyed(create=lambda key: Clumsy(journal, name=key))
    async with running(supervisor(spec)) as (system, recorder):
        system.directory("keyed").tell("k", 1)
        await settle()

    assert journal == ["start k", 1]
    assert [str(error) for error in recorder.errors] == ["while leaving"]
