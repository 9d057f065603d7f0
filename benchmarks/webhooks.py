"""Webhook accepts and whole-way signals of our node, beside a plain receiver, in one run: ``make bench``.

Same bodies, same client, same machine, same PostgreSQL; rounds take turns and the median of each is told. Exits with
1 if a delivery that was accepted is not in the database, or a signal not at PM-3 exactly once; never for being slow.
See docs/benchmarks.md.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import orjson
from attrs import asdict, define, field, frozen

from benchmarks.load import Load, Seen, event_id
from benchmarks.places import (
    ROOT,
    SECRET,
    BenchmarkError,
    Hook,
    Place,
    Stored,
    database,
    place,
    postgres_server,
    start_neighbours,
    start_node,
    start_peer,
    stored_by_node,
    stored_by_peer,
)

ROUNDS = 5
COUNTS = {1: 150, 16: 800, 64: 1000}
"""Connections, and how many deliveries one round sends over them."""
WARM_UP = Load(url="", secret=SECRET, first=0, count=300, connections=16)
WHOLE_WAY = Load(url="", secret=SECRET, first=0, count=1000, connections=16)
_LEAST_ROUNDS, _ROUNDS_S = 3, 90.0
"""After so many seconds no further round begins, but there are so many in any case."""
_ROUND_S, _WHOLE_WAY_S, _POLL_S = 60.0, 60.0, 0.05
_PEER = "FastAPI, PostgreSQL"


@define(eq=False)
class Target:
    """One server under measurement: where its webhooks go, how to look into its database, what was seen."""

    name: str
    hook: Hook
    stored: Callable[[Hook], Stored]
    base_url: str = ""
    accepted: int = 0
    seen: dict[int, list[Seen]] = field(
        factory=lambda: {connections: [] for connections in COUNTS}
    )


@frozen(kw_only=True)
class Figures:
    """The medians of the rounds of one target at one number of connections."""

    accepts_per_s: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Measure, check, tell."""
    started = time.monotonic()
    try:
        with place() as at:
            problems = _measured(at)
    except (BenchmarkError, OSError, httpx.HTTPError, subprocess.SubprocessError) as error:
        problems = [f"{type(error).__name__}: {error}"]
    for problem in problems:
        print(f"FAILED  {problem}")
    print(f"\n{time.monotonic() - started:.0f} s in all")
    sys.exit(1 if problems else 0)


def _measured(at: Place) -> list[str]:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    server, around = postgres_server(at), start_neighbours(at)
    targets = _targets(at, server, around)
    problems = [problem for target in targets for problem in _sent(target, WARM_UP, first=0)]
    first, enough = WARM_UP.count, time.monotonic() + _ROUNDS_S
    for done in range(ROUNDS):
        if done >= _LEAST_ROUNDS and time.monotonic() > enough:
            break
        for connections, count in COUNTS.items():
            load = Load(url="", secret=SECRET, first=first, count=count, connections=connections)
            for target in targets:
                problems += _sent(target, load, first=first, keep=True)
            first += count
    for target in targets:
        problems += _all_there(target)
    _tell_accepts(targets)
    for target in targets:
        if target.base_url:
            problems += _whole_way(target, around, first)
            first += WHOLE_WAY.count
    return problems


def _targets(at: Place, server: str, around: dict[str, Any]) -> list[Target]:
    peer_url = database(at, server, "ia_bench_peer")
    peer = Target(
        _PEER,
        Hook(url=f"{start_peer(at, 'peer', peer_url)}/webhooks/github"),
        lambda _: stored_by_peer(peer_url),
    )
    urls = {
        "node, PostgreSQL": database(at, server, "ia_bench_node"),
        "node, SQLite": f"sqlite:///{at.folder}/node.sqlite3",
    }
    return [peer, *(_node(at, name, url, around) for name, url in urls.items())]


def _node(at: Place, name: str, database_url: str, around: dict[str, Any]) -> Target:
    base_url = start_node(at, name.replace(", ", "-"), database_url, around["environ"])
    return Target(
        name,
        _hook(base_url, around, name),
        lambda hook: stored_by_node(database_url, hook.connection_id),
        base_url,
    )


def _hook(base_url: str, around: dict[str, Any], name: str) -> Hook:
    """A new connection, not verified yet: the node keeps what comes and forwards nothing of it."""
    document = {
        "provider_id": "github",
        "display_name": name,
        "base_url": around["github_url"],
        "auth": {"token": around["github_token"]},
        "webhook": {"secret": SECRET},
    }
    made = _asked(f"{base_url}/v1/integrations/connections", around, document)
    return Hook(url=made["webhook"]["url"], connection_id=made["connection_id"])


def _asked(url: str, around: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(
        url,
        json=document,
        headers={"authorization": f"Bearer {around['admin_token']}"},
        timeout=30,
        trust_env=False,
    )
    answer.raise_for_status()
    answered: dict[str, Any] = answer.json()
    return answered


def _sent(target: Target, load: Load, *, first: int, keep: bool = False) -> list[str]:
    """Send from a process of its own; what was not accepted is a problem."""
    order = {**asdict(load), "url": target.hook.url, "first": first}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=orjson.dumps(order),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        timeout=_ROUND_S,
        check=True,
    )
    seen = Seen(**orjson.loads(done.stdout))
    target.accepted += seen.statuses.get("202", 0)
    if keep:
        target.seen[load.connections].append(seen)
    return (
        []
        if seen.statuses == {"202": load.count}
        else [f"{target.name} answered {seen.statuses} to {load.count} deliveries"]
    )


def _all_there(target: Target) -> list[str]:
    rows = target.stored(target.hook).rows
    print(f"{target.name}: {target.accepted} accepted, {rows} in the database")
    return [] if rows == target.accepted else [f"{target.name} lost or doubled deliveries"]


def _figures(rounds: Sequence[Seen]) -> Figures:
    return Figures(
        accepts_per_s=statistics.median(len(seen.latencies_s) / seen.seconds for seen in rounds),
        p50_ms=statistics.median(_quantile(seen, 0.50) for seen in rounds) * 1000,
        p99_ms=statistics.median(_quantile(seen, 0.99) for seen in rounds) * 1000,
    )


def _quantile(seen: Seen, share: float) -> float:
    return seen.latencies_s[min(len(seen.latencies_s) - 1, int(len(seen.latencies_s) * share))]


def _tell_accepts(targets: Sequence[Target]) -> None:
    print(f"\n{'':22}{'connections':>12}{'accepts/s':>11}{'p50 ms':>9}{'p99 ms':>9}   ratio")
    for line in _lines(targets):
        print(line)
    print("ratio: accepts/s, in each round against the plain receiver's; median (least to most)\n")


def _lines(targets: Sequence[Target]) -> Iterator[str]:
    for connections in COUNTS:
        beside = targets[0].seen[connections]
        for target in targets:
            rounds = target.seen[connections]
            told = _figures(rounds)
            ratios = sorted(
                theirs.seconds / ours.seconds for ours, theirs in zip(rounds, beside, strict=True)
            )
            spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
            yield (
                f"{target.name:22}{connections:12}{told.accepts_per_s:11.0f}{told.p50_ms:9.2f}"
                f"{told.p99_ms:9.2f}   {statistics.median(ratios):.2f} ({spread})"
            )


def _whole_way(target: Target, around: dict[str, Any], first: int) -> list[str]:
    """Fill a new connection's inbox, let it go, and take the time until PM-3 has every signal."""
    hook = target.hook = _hook(target.base_url, around, f"{target.name}, whole way")
    problems = _sent(target, WHOLE_WAY, first=first)
    connection = f"{target.base_url}/v1/integrations/connections/{hook.connection_id}"
    started = time.perf_counter()
    verified = _asked(f"{connection}/verify", around, {})
    if not verified["verification"]["passed"]:
        return [*problems, f"{target.name}: {verified['verification']['reason']}"]
    while target.stored(hook).forwarded < WHOLE_WAY.count:
        if time.perf_counter() - started > _WHOLE_WAY_S:
            return [*problems, f"{target.name}: not all signals reached PM-3 in time"]
        time.sleep(_POLL_S)
    seconds = time.perf_counter() - started
    print(f"{target.name}: {WHOLE_WAY.count / seconds:.0f} signals/s whole way")
    return problems + _each_once(target, around, first)


def _each_once(target: Target, around: dict[str, Any], first: int) -> list[str]:
    """Ask PM-3 itself: each event one signal, and nothing else from this connection."""
    url = f"{around['pm3_url']}/_sim/signals?producer_id={target.hook.connection_id}"
    answer = httpx.get(url, timeout=60, trust_env=False).raise_for_status()
    found = sorted(signal["payload"]["provider_event_id"] for signal in answer.json()["signals"])
    wanted = [event_id(number) for number in range(first, first + WHOLE_WAY.count)]
    return [] if found == wanted else [f"{target.name}: PM-3 does not have each signal once"]


if __name__ == "__main__":
    main()
