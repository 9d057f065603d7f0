"""What the runtime costs, with trio's own channels beside it. Run by hand: ``python -m benchmarks.runtime``.

Numbers depend on the machine and on what else it does; compare ratios. Each figure is the best of three.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import trio

from runtime import (
    Actor,
    ActorSpec,
    DirectorySpec,
    Observer,
    SupervisorSpec,
    System,
    TokenBucket,
    TrioClock,
)

MESSAGES = 100_000
BURST = 500
ASKS = 10_000
ACTORS = 100_000
PAGE_BYTES = 4096
HOUR = timedelta(hours=1)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Count(Actor):
    """Counts what all its kind were told."""

    seen = 0

    async def on_message(self, message: object) -> object:
        """Add one."""
        Count.seen += 1
        return message


def build(*children: ActorSpec | DirectorySpec) -> System:
    root = SupervisorSpec(name="root", children=children, shutdown=HOUR)
    return System(root, clock=TrioClock(EPOCH), random=Random(1), observer=Observer())


def resident() -> int:
    """Bytes of memory this process has in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


async def feed(put: Callable[[int], None], seen: Callable[[], int]) -> float:
    """Messages per second, in bursts that the receiver handles in between."""
    begin = time.perf_counter()
    for sent in range(BURST, MESSAGES + 1, BURST):
        for number in range(BURST):
            put(number)
        while seen() < sent:
            await trio.lowlevel.checkpoint()
    return MESSAGES / (time.perf_counter() - begin)


async def tells() -> float:
    system = build(ActorSpec(name="count", create=Count, mailbox=2 * BURST))
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        Count.seen = 0
        rate = await feed(system.ref("/count").tell, lambda: Count.seen)
        await system.stop(drain=HOUR)
    return rate


async def channel() -> float:
    send, receive = trio.open_memory_channel[int](2 * BURST)
    seen = 0

    async def count() -> None:
        nonlocal seen
        async for _ in receive:
            seen += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        rate = await feed(send.send_nowait, lambda: seen)
        nursery.cancel_scope.cancel()
    return rate


async def asks() -> float:
    system = build(ActorSpec(name="count", create=Count))
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        ref = system.ref("/count")
        begin = time.perf_counter()
        for number in range(ASKS):
            await ref.ask(number, deadline=HOUR)
        rate = ASKS / (time.perf_counter() - begin)
        await system.stop(drain=HOUR)
    return rate


async def round_trips() -> float:
    to, at = trio.open_memory_channel[int](1)
    back, home = trio.open_memory_channel[int](1)

    async def echo() -> None:
        async for number in at:
            await back.send(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo)
        begin = time.perf_counter()
        for number in range(ASKS):
            with trio.fail_after(3600):
                await to.send(number)
                await home.receive()
        rate = ASKS / (time.perf_counter() - begin)
        nursery.cancel_scope.cancel()
    return rate


async def crowd() -> None:
    """Prints activation, memory, snapshot and stop of a hundred thousand actors of one directory."""
    spec = DirectorySpec(
        name="crowd",
        create=lambda _: Count(),
        cap=ACTORS,
        starts_per_second=1e9,
        idle_after=HOUR,
        shutdown=HOUR,
    )
    system = build(spec)
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        directory = system.directory("crowd")
        Count.seen, before, begin = 0, resident(), time.perf_counter()
        for number in range(ACTORS):
            directory.tell(str(number), number)
        while Count.seen < ACTORS:
            await trio.lowlevel.checkpoint()
        took = time.perf_counter() - begin
        print(f"activation                {ACTORS / took:12,.0f} /s")
        print(f"memory of an active actor {(resident() - before) / ACTORS / 1024:12.1f} KiB")
        begin = time.perf_counter()
        places = len(system.snapshot())
        print(f"snapshot of {places:,}      {time.perf_counter() - begin:12.2f} s")
        begin = time.perf_counter()
        await system.stop(drain=HOUR)
        print(f"stop                      {ACTORS / (time.perf_counter() - begin):12,.0f} /s")


async def tasks() -> None:
    """Prints start and memory of as many bare trio tasks, each waiting at a channel of its own."""
    started = 0

    async def wait(receive: trio.MemoryReceiveChannel[int]) -> None:
        nonlocal started
        started += 1
        await receive.receive()

    channels = []
    before, begin = resident(), time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(ACTORS):
            send, receive = trio.open_memory_channel[int](100)
            channels.append(send)
            nursery.start_soon(wait, receive)
        while started < ACTORS:
            await trio.lowlevel.checkpoint()
        took = time.perf_counter() - begin
        print(f"bare tasks                {ACTORS / took:12,.0f} /s")
        print(f"memory of a bare task     {(resident() - before) / ACTORS / 1024:12.1f} KiB")
        nursery.cancel_scope.cancel()


def takes() -> float:
    """Takes from a token bucket, per second."""
    bucket = TokenBucket(rate=1e9, capacity=1e9)
    level, now = bucket.full(EPOCH), EPOCH
    begin = time.perf_counter()
    for number in range(MESSAGES):
        level, _ = bucket.take(level, 1, now + timedelta(microseconds=number))
    return MESSAGES / (time.perf_counter() - begin)


def best(measure: Callable[[], Awaitable[float]]) -> float:
    return max(trio.run(measure) for _ in range(3))


def main() -> None:
    told, sent = best(tells), best(channel)
    print(
        f"tell and handle           {told:12,.0f} /s  {told / sent:5.2f} x channel ({sent:,.0f} /s)"
    )
    asked, went = best(asks), best(round_trips)
    print(
        f"ask                       {asked:12,.0f} /s  {asked / went:5.2f} x channels ({went:,.0f} /s)"
    )
    print(f"token bucket take         {takes():12,.0f} /s")
    trio.run(crowd)
    trio.run(tasks)


if __name__ == "__main__":
    main()
