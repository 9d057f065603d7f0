"""What an action costs over a bare call to the provider, in one run: ``python -m benchmarks.actions``.

The same comments go to the same simulator, once straight from an httpx client and once through a node (Prefer: wait) on
PostgreSQL and one on SQLite, at 50 a second, taking turns; then as many a second as each node can. Exits with 1 if an
action did not end ``done``, or the provider has not exactly one comment for each; never for being slow. See
docs/benchmarks.md.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import trio
from attrs import define, field, frozen

from benchmarks.places import (
    BenchmarkError,
    Place,
    database,
    place,
    postgres_server,
    start_neighbours,
    start_node,
)
from http_edge.surroundings import PULL_REQUEST, REPOSITORY

RATE_PER_S = 50
ROUND_S = 4
ROUNDS = 3
AT_ONCE = 16
MANY = 300
"""All of it together stays below the 5,000 requests an hour that GitHub grants a token."""
_EACH = 60
"""Actions of one connection: GitHub lets a user create no more than 80 things a minute."""
_WARM_UP = 50
_AIM_MS = 15.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Call = Callable[[int], Awaitable[None]]


@define(kw_only=True)
class Target:
    """A node under measurement, its connections, and the seconds that each call took, by round."""

    name: str
    url: str
    pid: int
    connections: tuple[str, ...] = ()
    asked: int = 0
    rounds: list[list[float]] = field(factory=list)
    processor_ms: list[float] = field(factory=list)
    problems: list[str] = field(factory=list)


@frozen(kw_only=True)
class Bench:
    """What all rounds share: who asks, and the provider behind the nodes."""

    github_url: str
    caller: str
    github_token: str
    client: httpx.AsyncClient
    bare: list[list[float]] = field(factory=list)


def main() -> None:
    """Measure, check, tell."""
    started = time.monotonic()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    try:
        with place() as at:
            around = start_neighbours(at)
            urls = {
                "PostgreSQL": database(at, postgres_server(at), "ia_bench_actions"),
                "SQLite": f"sqlite:///{at.folder}/node.sqlite3",
            }
            targets = [_started(at, name, url, around) for name, url in urls.items()]
            problems = trio.run(_measured, targets, around)
    except (BenchmarkError, OSError, httpx.HTTPError, subprocess.SubprocessError) as error:
        problems = [f"{type(error).__name__}: {error}"]
    for problem in problems:
        print(f"FAILED  {problem}")
    print(f"{time.monotonic() - started:.0f} s in all")
    sys.exit(1 if problems else 0)


def _started(at: Place, name: str, database_url: str, around: dict[str, Any]) -> Target:
    url = start_node(at, name, database_url, around["environ"])
    return Target(name=name, url=url, pid=at.started[name].pid)


async def _measured(targets: list[Target], around: dict[str, Any]) -> list[str]:
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:
        bench = Bench(
            github_url=around["github_url"],
            caller=around["module_token"],
            github_token=around["github_token"],
            client=client,
        )
        total = _WARM_UP + ROUNDS * (RATE_PER_S * ROUND_S + MANY)
        for target in targets:
            target.connections = await _connected(client, target.url, around, -(-total // _EACH))
            await _paced(_through(bench, target, _WARM_UP), _WARM_UP)
        for _ in range(ROUNDS):
            await _round(bench, targets)
        _tell(bench, targets)
        for target in targets:
            seconds = [await _at_once(_through(bench, target, MANY)) for _ in range(ROUNDS)]
            print(
                f"{target.name:12}{_spread([MANY / each for each in seconds])} actions/s with receipts"
            )
        wrong = await _each_once(bench, sum(target.asked for target in targets))
        return [*(problem for target in targets for problem in target.problems), *wrong]


async def _round(bench: Bench, targets: list[Target]) -> None:
    count = RATE_PER_S * ROUND_S
    bench.bare.append(await _paced(_straight(bench), count))
    for target in targets:
        before = _processor_s(target.pid)
        target.rounds.append(await _paced(_through(bench, target, count), count))
        target.processor_ms.append((_processor_s(target.pid) - before) * 1000 / count)


def _processor_s(pid: int) -> float:
    """The processor time that a process has used (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


async def _connected(
    client: httpx.AsyncClient, node_url: str, around: dict[str, Any], number: int
) -> tuple[str, ...]:
    """So many verified connections that none meets GitHub's limit on creating things."""
    base, headers = f"{node_url}/v1/integrations/connections", _bearer(around["admin_token"])
    made = []
    for index in range(number):
        document = {
            "provider_id": "github",
            "display_name": f"bench {index}",
            "base_url": around["github_url"],
            "auth": {"token": around["github_token"]},
        }
        answer = await client.post(base, json=document, headers=headers)
        connection_id = answer.raise_for_status().json()["connection_id"]
        verified = await client.post(f"{base}/{connection_id}/verify", headers=headers)
        if not verified.raise_for_status().json()["verification"]["passed"]:
            raise BenchmarkError(verified.text)
        made.append(connection_id)
    return tuple(made)


def _straight(bench: Bench) -> Call:
    url = f"{bench.github_url}/repos/{REPOSITORY}/issues/{PULL_REQUEST}/comments"
    headers = _bearer(bench.github_token)

    async def call(number: int) -> None:
        answer = await bench.client.post(url, json={"body": _text(number)}, headers=headers)
        answer.raise_for_status()

    return call


def _through(bench: Bench, target: Target, count: int) -> Call:
    """The next ``count`` actions of a node."""
    headers = {**_bearer(bench.caller), "prefer": "wait=30"}
    first, target.asked = target.asked, target.asked + count

    async def call(number: int) -> None:
        action = first + number
        document = {
            "connection_id": target.connections[action % len(target.connections)],
            "canonical_type": "comment_on_pr",
            "target": {"repository": REPOSITORY, "pr_number": PULL_REQUEST},
            "payload": {"body": _text(action)},
            "idempotency_key": f"bench-{action}",
        }
        url = f"{target.url}/internal/integrations/actions/execute"
        answer = await bench.client.post(url, json=document, headers=headers)
        if answer.status_code != 200 or answer.json()["status"] != "done":
            told = f"action {action}: {answer.status_code} {answer.text[:200]}"
            target.problems.append(f"{target.name}, {told}")

    return call


async def _paced(call: Call, count: int) -> list[float]:
    """Call at the rate, whether or not earlier calls have ended: a slow one delays none behind it."""
    begin, took = trio.current_time(), list[float]()

    async def one(number: int) -> None:
        started = trio.current_time()
        await call(number)
        took.append(trio.current_time() - started)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            await trio.sleep_until(begin + number / RATE_PER_S)
            nursery.start_soon(one, number)
    return took


async def _at_once(call: Call) -> float:
    """The seconds that ``MANY`` calls take, so many at once."""
    begin, numbers = trio.current_time(), iter(range(MANY))

    async def caller() -> None:
        for number in numbers:
            await call(number)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(caller)
    return trio.current_time() - begin


def _tell(bench: Bench, targets: list[Target]) -> None:
    print(f"\n{RATE_PER_S} a second; median (least to most) of {ROUNDS} rounds")
    print(f"{'':12}{'p50 ms':>22}{'p95 ms':>24}")
    print(f"{'bare call':12}{_both(bench.bare)}")
    for target in targets:
        print(f"{target.name:12}{_both(target.rounds)}")
    for target in targets:
        pairs = list(zip(target.rounds, bench.bare, strict=True))
        over = [[_ms(ours, at) - _ms(bare, at) for ours, bare in pairs] for at in (50, 95)]
        print(f"{'overhead, ' + target.name:22}{_spread(over[0])}  {_spread(over[1])}")
    print(f"aim: overhead p95 <= {_AIM_MS:g} ms")
    for target in targets:
        print(
            f"{target.name:12}{_spread(target.processor_ms)} ms of the node's processor time each"
        )


def _both(rounds: list[list[float]]) -> str:
    return "  ".join(_spread([_ms(took, at) for took in rounds]) for at in (50, 95))


def _spread(numbers: list[float]) -> str:
    least, most = min(numbers), max(numbers)
    return f"{statistics.median(numbers):7.1f} ({least:.1f} to {most:.1f})".rjust(24)


def _ms(took: list[float], percent: int) -> float:
    return statistics.quantiles(took, n=100)[percent - 1] * 1000


async def _each_once(bench: Bench, total: int) -> list[str]:
    """Ask the provider itself: one comment for each action."""
    url: str | None = (
        f"{bench.github_url}/repos/{REPOSITORY}/issues/{PULL_REQUEST}/comments?per_page=100"
    )
    bodies: list[str] = []
    while url is not None:
        answer = await bench.client.get(url, headers=_bearer(bench.github_token))
        bodies += [comment["body"] for comment in answer.raise_for_status().json()]
        url = answer.links.get("next", {}).get("url")
    marked = [body for body in bodies if "zeroui-action" in body]
    print(f"{len(marked)} comments of {total} actions at the provider")
    wrong = len(marked) != total or len(set(marked)) != total
    return ["the provider does not have each comment once"] if wrong else []


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _text(number: int) -> str:
    return f"Comment {number} of the benchmark."


if __name__ == "__main__":
    main()
