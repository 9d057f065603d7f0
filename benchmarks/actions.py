"""What an action costs over a bare call to the provider, in one run: ``python -m benchmarks.actions``.

The same comments go to the same simulator, once straight from an httpx client and once through the node (Prefer: wait),
at 50 a second, rounds taking turns; then as many a second as the node can. Exits with 1 if an action did not end
``done``, or the provider has not exactly one comment for each; never for being slow. See docs/benchmarks.md.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
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
MANY = 400
_EACH = 60
"""Actions of one connection: GitHub lets a user create no more than 80 things a minute."""
_WARM_UP = 20
_AIM_MS = 15.0

Call = Callable[[int], Awaitable[None]]


@frozen(kw_only=True)
class Bench:
    """What is measured: a node, its connections, and the provider behind them."""

    node_url: str
    github_url: str
    connections: tuple[str, ...]
    caller: str
    github_token: str
    client: httpx.AsyncClient


@define(kw_only=True)
class Rounds:
    """Seconds that each call took, and whatever went wrong."""

    bare: list[float] = field(factory=list)
    node: list[float] = field(factory=list)
    problems: list[str] = field(factory=list)


def main() -> None:
    """Measure, check, tell."""
    started = time.monotonic()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    try:
        with place() as at:
            around = start_neighbours(at)
            url = database(at, postgres_server(at), "ia_bench_actions")
            problems = trio.run(_measured, at, around, url)
    except (BenchmarkError, OSError, httpx.HTTPError, subprocess.SubprocessError) as error:
        problems = [f"{type(error).__name__}: {error}"]
    for problem in problems:
        print(f"FAILED  {problem}")
    print(f"{time.monotonic() - started:.0f} s in all")
    sys.exit(1 if problems else 0)


async def _measured(at: Place, around: dict[str, Any], database_url: str) -> list[str]:
    node_url = await trio.to_thread.run_sync(
        start_node, at, "node", database_url, around["environ"]
    )
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:
        paced, seen = RATE_PER_S * ROUND_S, Rounds()
        total = _WARM_UP + ROUNDS * paced + MANY
        bench = Bench(
            node_url=node_url,
            github_url=around["github_url"],
            connections=await _connected(client, node_url, around, -(-total // _EACH)),
            caller=around["module_token"],
            github_token=around["github_token"],
            client=client,
        )
        await _paced(_through(bench, seen, 0), _WARM_UP, [])
        for number in range(ROUNDS):
            await _paced(_straight(bench), paced, seen.bare)
            await _paced(_through(bench, seen, _WARM_UP + number * paced), paced, seen.node)
        _tell(seen)
        seconds = await _at_once(_through(bench, seen, _WARM_UP + ROUNDS * paced))
        print(f"{MANY / seconds:.0f} actions/s with receipts, {AT_ONCE} callers at once")
        return [*seen.problems, *await _each_once(bench, total)]


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


def _through(bench: Bench, seen: Rounds, first: int) -> Call:
    headers = {**_bearer(bench.caller), "prefer": "wait=30"}

    async def call(number: int) -> None:
        action = first + number
        document = {
            "connection_id": bench.connections[action % len(bench.connections)],
            "canonical_type": "comment_on_pr",
            "target": {"repository": REPOSITORY, "pr_number": PULL_REQUEST},
            "payload": {"body": _text(action)},
            "idempotency_key": f"bench-{action}",
        }
        url = f"{bench.node_url}/internal/integrations/actions/execute"
        answer = await bench.client.post(url, json=document, headers=headers)
        ended = answer.json()
        if answer.status_code != 200 or ended["status"] != "done":
            seen.problems.append(f"action {action}: {answer.status_code} {answer.text[:200]}")

    return call


async def _paced(call: Call, count: int, took: list[float]) -> None:
    """Call at the rate, whether or not earlier calls have ended: a slow one delays none behind it."""
    begin = trio.current_time()

    async def one(number: int) -> None:
        started = trio.current_time()
        await call(number)
        took.append(trio.current_time() - started)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            await trio.sleep_until(begin + number / RATE_PER_S)
            nursery.start_soon(one, number)


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


def _tell(seen: Rounds) -> None:
    print(f"\n{'':22}{'calls':>7}{'p50 ms':>9}{'p95 ms':>9}")
    for name, took in (("bare httpx call", seen.bare), ("action through the node", seen.node)):
        print(f"{name:22}{len(took):7}{_ms(took, 50):9.2f}{_ms(took, 95):9.2f}")
    p50, p95 = (_ms(seen.node, of) - _ms(seen.bare, of) for of in (50, 95))
    print(f"{'overhead':29}{p50:9.2f}{p95:9.2f}   (aim: p95 <= {_AIM_MS:g} ms)")


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
