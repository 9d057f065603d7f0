"""Lists of commands against a whole tree, on a seeded schedule, checked against what must hold whatever happens."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import trio
from attrs import field, frozen, mutable
from hypothesis import HealthCheck, example, given, settings, strategies as st

from runtime import (
    Actor,
    ActorSpec,
    Backoff,
    Context,
    DirectorySpec,
    GaveUpError,
    Intensity,
    Restart,
    Strategy,
    System,
)
from runtime.errors import ActorStoppedError, AskTimeoutError, MailboxFullError, QuarantinedError
from tests.runtime.scene import NO_WAIT, SECOND, Recorder, SabotageError, build, supervisor
from tests.runtime.seeded import run_seeded

STATIC = ("/a", "/b", "/inner/c", "/inner/d")
KEYS = ("x", "y", "z")
TARGETS = (*STATIC, *(f"/keyed/{key}" for key in KEYS))
RESTARTS, WITHIN = 3, 10.0
CAPACITY = 3


@frozen
class Message:
    number: int
    kind: str  # work, crash, hang, quit


@frozen
class Command:
    name: str
    target: str = ""
    seconds: int = 0


@mutable
class History:
    """What was accepted, taken, answered, given up on; who stopped."""

    accepted: dict[str, list[int]] = field(factory=dict)
    taken: list[tuple[str, int]] = field(factory=list)
    abandoned: set[int] = field(factory=set)
    wrong: list[object] = field(factory=list)
    stops: list[str] = field(factory=list)
    restarts: list[float] = field(factory=list)
    seen: Counter[str] = field(factory=Counter)


class Worker(Actor):
    def __init__(self, history: History, address: str) -> None:
        self.history = history
        self.address = address
        self.busy = False
        self.left = False  # by itself, in no order

    async def on_start(self, context: Context) -> None:
        await super().on_start(context)
        self.context = context

    async def on_message(self, message: object) -> object:
        assert isinstance(message, Message)
        if self.busy:
            self.history.wrong.append((self.address, message))
        self.busy = True
        self.history.taken.append((self.address, message.number))
        await trio.lowlevel.checkpoint()
        self.left = message.kind in {"crash", "quit"}
        match message.kind:
            case "crash":
                raise SabotageError
            case "hang":
                await trio.sleep(message.number % 20)
            case "quit":
                self.context.stop("asked to")
        self.busy = False
        return message.number

    async def on_stop(self) -> None:
        await super().on_stop()
        if self.address in self.history.stops:  # a sibling took it down, and it came back
            self.history.stops.remove(self.address)
        if not self.left:
            self.history.stops.append(self.address)


class Watcher(Recorder):
    """Notes when children of the root were restarted."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self.history = history

    def restarted(self, address: str, restarts: int) -> None:
        super().restarted(address, restarts)
        if address.count("/") == 1:
            self.history.restarts.append(trio.current_time())


def tree(history: History, strategy: Strategy) -> Any:
    def worker(name: str, address: str, restart: Restart = Restart.PERMANENT) -> ActorSpec:
        return ActorSpec(
            name=name, create=lambda: Worker(history, address), restart=restart, mailbox=CAPACITY,
            shutdown=1000 * SECOND,
        )  # fmt: skip

    inner = supervisor(
        worker("c", "/inner/c"), worker("d", "/inner/d"), name="inner", restarts=2,
        strategy=strategy, shutdown=1000 * SECOND,
    )  # fmt: skip
    keyed = DirectorySpec(
        name="keyed", create=lambda key: Worker(history, f"/keyed/{key}"), mailbox=CAPACITY,
        cap=2, idle_after=5 * SECOND, shutdown=1000 * SECOND, backoff=NO_WAIT,
        intensity=Intensity(restarts=1, within=10 * SECOND),
        quarantine=Backoff(base=10 * SECOND, cap=40 * SECOND),
    )  # fmt: skip
    return supervisor(
        worker("a", "/a"), worker("b", "/b", Restart.TRANSIENT), inner, keyed,
        restarts=RESTARTS, within=timedelta(seconds=WITHIN), shutdown=1000 * SECOND,
    )  # fmt: skip


class Play:
    """One run of a list of commands."""

    def __init__(self, system: System, history: History, nursery: trio.Nursery) -> None:
        self.system = system
        self.history = history
        self.nursery = nursery
        self.number = 0

    async def perform(self, command: Command) -> None:
        if command.name == "advance":
            await trio.sleep(command.seconds)
        elif command.name == "ask":
            self.nursery.start_soon(self.ask, command, self.message("work"))
        else:
            self.send(command, self.message(command.name))

    def message(self, kind: str) -> Message:
        self.number += 1
        return Message(self.number, kind)

    def send(self, command: Command, message: Message) -> None:
        lane = "control" if command.seconds % 4 == 3 else "tell"
        target: Any
        arguments: tuple[object, ...]
        if command.target.startswith("/keyed/"):
            target, arguments = self.system.directory("keyed"), (command.target[-1], message)
        else:
            target, arguments = self.system.ref(command.target), (message,)
        try:
            getattr(target, lane)(*arguments)
        except (MailboxFullError, ActorStoppedError, QuarantinedError) as error:
            self.history.seen[type(error).__name__] += 1
        else:
            self.accept(f"{command.target} {lane}", message)

    def accept(self, lane: str, message: Message) -> None:
        self.history.accepted.setdefault(lane, []).append(message.number)

    async def ask(self, command: Command, message: Message) -> None:
        deadline = timedelta(seconds=command.seconds)
        try:
            if command.target.startswith("/keyed/"):
                directory = self.system.directory("keyed")
                answer = await directory.ask(command.target[-1], message, deadline=deadline)
            else:
                answer = await self.system.ref(command.target).ask(message, deadline=deadline)
        except (MailboxFullError, QuarantinedError):
            return
        except (AskTimeoutError, ActorStoppedError) as error:
            self.history.seen[type(error).__name__] += 1
            self.history.abandoned.add(message.number)
            return
        if answer != message.number:
            self.history.wrong.append((message, answer))


async def perform_all(commands: list[Command], strategy: Strategy) -> tuple[History, Watcher]:
    history = History()
    watcher = Watcher(history)
    living = trio.lowlevel.current_statistics().tasks_living
    system = build(tree(history, strategy), watcher)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            play = Play(system, history, nursery)
            for command in commands:
                await play.perform(command)
            check_bounds(system)
            await trio.lowlevel.checkpoint()
            history.stops.clear()
            await system.stop(drain=5000 * SECOND)
    except* GaveUpError:
        history.stops.clear()
        history.seen["GaveUpError"] += 1
        check_bounds(system)
    assert trio.lowlevel.current_statistics().tasks_living == living
    return history, watcher


def check_bounds(system: System) -> None:
    for place in system.snapshot():
        if place.mailbox is not None:
            assert place.mailbox.peak <= CAPACITY


def check(history: History, watcher: Watcher) -> None:
    assert history.wrong == []
    numbers = [number for _, number in history.taken]
    assert len(numbers) == len(set(numbers)), "handled twice"
    for lane, accepted in history.accepted.items():
        address, _, _ = lane.partition(" ")
        handled = [number for at, number in history.taken if at == address and number in accepted]
        assert handled == sorted(handled), f"{lane} out of order"
    told = {number for accepted in history.accepted.values() for number in accepted}
    never_taken = len(told - set(numbers))
    discarded = sum(count for _, count in watcher.of("discarded"))
    assert never_taken <= discarded <= never_taken + len(history.abandoned), "lost unsaid"
    for at in history.restarts:
        assert sum(at <= other < at + WITHIN for other in history.restarts) <= RESTARTS
    stopped = [STATIC.index(address) for address in history.stops if address in STATIC]
    assert stopped == sorted(stopped, reverse=True), "stopped out of order"


SENDS = st.builds(
    Command,
    st.sampled_from(["work", "work", "ask", "crash", "crash", "hang", "quit"]),
    st.sampled_from((*TARGETS, "/keyed/x", "/keyed/x")),
    st.integers(1, 12),
)
GIVE_UP = [Command("crash", "/a"), Command("work", "/b"), Command("advance", "", 1)] * 4
ADVANCES = st.builds(Command, st.just("advance"), st.just(""), st.integers(0, 6))


@pytest.mark.thorough
def test_whatever_is_sent_messages_are_handled_once_in_order_and_nothing_is_lost_unsaid() -> None:
    """P5, P6, P7 in memory: order, isolation and bounds, under crashes, hangs, give-ups and stops."""
    seen: Counter[str] = Counter()

    @settings(
        max_examples=250, deadline=None, derandomize=True, database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @example(GIVE_UP, Strategy.ONE_FOR_ONE, 0)
    @given(
        st.lists(SENDS | ADVANCES, min_size=10, max_size=60),
        st.sampled_from(Strategy),
        st.integers(0, 2**32),
    )
    def holds(commands: list[Command], strategy: Strategy, seed: int) -> None:
        history, watcher = run_seeded(perform_all, commands, strategy, seed=seed)
        check(history, watcher)
        seen.update(history.seen)
        seen.update(event[0] for event in watcher.heard)

    holds()

    # A run in which nothing happened would have proved nothing.
    for event in (
        "MailboxFullError", "ActorStoppedError", "AskTimeoutError", "QuarantinedError", "GaveUpError",
        "restarted", "crashed", "gave_up", "quarantined", "discarded", "stopped",
    ):  # fmt: skip
        assert seen[event] > 0, f"{event} never occurred"
