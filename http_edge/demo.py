"""The main job, end to end, in a minute: a node process on SQLite among simulated neighbours, and what it promises.

Everything is real but the other side: real HTTP, a real file, a real kill -9. Each step says what must hold and
looks from outside whether it did.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeAlias

import httpx
import trio
from attrs import define, field, frozen
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from adapters.contract import Request, Secret
from http_edge import child, surroundings
from http_edge.child import Child, Program
from http_edge.node import new_id
from http_edge.sending import Answered, signed
from http_edge.stage import WEBHOOK_SECRET, Sent, Stage, until
from runtime import TrioClock

_FIRST, _DURING_OUTAGE, _AROUND_KILL = 200, 100, 400
_PATIENCE_S = 30.0


@frozen(kw_only=True)
class Check:
    """One thing that was promised, whether it held, and what was seen."""

    name: str
    held: bool
    seen: str


@define(kw_only=True)
class Show:
    """The demo under way."""

    stage: Stage
    node: Child
    console: Console
    checks: list[Check] = field(factory=list)

    def check(self, name: str, held: bool, seen: str) -> None:
        """Note a promise, and show it."""
        self.checks.append(Check(name=name, held=held, seen=seen))
        mark = "[green]held[/]" if held else "[red]BROKEN[/]"
        self.console.print(f"  {mark}  {escape(name)}: {escape(seen)}")


Step: TypeAlias = Callable[[Show], Awaitable[None]]


async def main() -> int:
    """Play every step; 0 if every promise held, else 1."""
    console = Console(highlight=False)
    clock = TrioClock(datetime.now(UTC))
    with tempfile.TemporaryDirectory(prefix="integration-adapters-demo-") as folder:
        async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as client:
            around = await surroundings.start(nursery, clock=clock, ids=new_id)
            program = _program(Path(folder), around)
            node = await child.start(program, client)
            stage = Stage(
                node_url=program.url, around=around, client=client, clock=clock, ids=new_id
            )
            show = Show(stage=stage, node=node, console=console)
            try:
                await _play(show)
            finally:
                show.node.process.kill()
            nursery.cancel_scope.cancel("the demo is over")
    return _close(show)


async def _play(show: Show) -> None:
    started = trio.current_time()
    for number, (title, step) in enumerate(STEPS, start=1):
        show.console.print(f"[bold]{number}. {escape(title)}[/]")
        await step(show)
    took = trio.current_time() - started
    show.console.print(f"({took:.1f} s)\n")


def _close(show: Show) -> int:
    table = Table(title="What was promised, and what was seen", title_justify="left")
    table.add_column("promise")
    table.add_column("held")
    table.add_column("seen", overflow="fold")
    for check in show.checks:
        table.add_row(escape(check.name), "yes" if check.held else "NO", escape(check.seen))
    show.console.print(table)
    broken = sum(not check.held for check in show.checks)
    kept = len(show.checks) - broken
    show.console.print(f"{kept} of {len(show.checks)} promises held")
    return 0 if show.checks and not broken else 1


def _program(folder: Path, around: surroundings.Surroundings) -> Program:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IA_")}
    return Program(
        environ={
            **inherited,
            **around.environ(),
            "IA_BIND": f"127.0.0.1:{port}",
            "IA_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "IA_DATABASE_URL": f"sqlite:///{folder}/demo.sqlite3",
            "IA_WEBHOOK_RATE_PER_S": "100000",
            "IA_WEBHOOK_BURST": "100000",
            "IA_UPKEEP_EVERY": "0.5",
        },
        url=f"http://127.0.0.1:{port}",
        log=folder / "node.log",
    )


async def _connect(show: Show) -> None:
    connection = await show.stage.connect()
    verification = connection["verification"]
    permissions = verification["details"].get("permissions", {})
    told = ", ".join(f"{name} {verdict}" for name, verdict in sorted(permissions.items()))
    show.check(
        "a connection is active once its credentials were tried at the provider",
        connection["status"] == "active" and verification["passed"],
        f"{connection['status']}; {told}",
    )


async def _inbound(show: Show) -> None:
    sent = await _send_with_progress(show, _FIRST)
    accepted = {one.event_id for one in sent if one.acknowledged}
    counted = await show.stage.arrived(accepted, within_s=_PATIENCE_S)
    signals = await show.stage.signals()
    types = sorted({str(signal["signal_type"]) for signal in signals})
    show.check(
        "every signed webhook becomes one signal at PM-3 (P1, P2)",
        len(accepted) == _FIRST and all(counted[event] == 1 for event in accepted),
        f"{len(accepted)} accepted, {counted.total()} signals: {', '.join(types)}",
    )


async def _refusals(show: Show) -> None:
    stage = show.stage
    before = len(await stage.signals())
    forged = await _post(stage, *stage.delivery(secret=Secret(value=b"not the secret")))
    show.check("a forged webhook is refused (P3)", forged.status == 401, _told(forged))
    event_id, genuine = stage.delivery()
    first = await _post(stage, event_id, genuine)
    again = await _post(stage, event_id, genuine)
    headers = tuple(
        (name, str(new_id()) if name == "x-github-delivery" else value)
        for name, value in genuine.headers
    )
    replayed = Request(method="POST", url="/", headers=headers, body=genuine.body)
    other_id = await _post(stage, event_id, replayed)
    await stage.arrived({event_id}, within_s=_PATIENCE_S)
    show.check(
        "a replayed webhook is known again, under a new id too (P2)",
        (first.status, again.status, other_id.status) == (202, 200, 200),
        f"first {first.status}; same id {_told(again)}; new id {_told(other_id)}",
    )
    broken_id = str(new_id())
    broken = signed("github", "push", b'{"ref": ', secret=WEBHOOK_SECRET, event_id=broken_id)
    malformed = await _post(stage, broken_id, broken)
    show.check("a malformed webhook is refused", malformed.status == 400, _told(malformed))
    after = len(await stage.signals())
    show.check(
        "of these, only the genuine one is at PM-3", after == before + 1, f"{after - before} more"
    )


async def _outage(show: Show) -> None:
    stage = show.stage
    before = len(await stage.signals())
    await stage.pm3("down")
    sent = await _send_with_progress(show, _DURING_OUTAGE)
    accepted = {one.event_id for one in sent if one.acknowledged}
    meanwhile = len(await stage.signals())
    await stage.pm3("up")
    counted = await stage.arrived(accepted, within_s=_PATIENCE_S)
    numbers = [signal["sequence_no"] for signal in await stage.signals()]
    show.check(
        "PM-3 down: webhooks are accepted all the same",
        len(accepted) == _DURING_OUTAGE and meanwhile == before,
        f"{len(accepted)} accepted, {meanwhile - before} at PM-3",
    )
    show.check(
        "PM-3 up again: nothing lost, in order, without gaps (P5)",
        accepted <= counted.keys() and numbers == list(range(1, len(numbers) + 1)),
        f"sequence numbers 1 to {len(numbers)}",
    )


async def _lost_answer(show: Show) -> None:
    await show.stage.github_fault(effect="now", dropped=True, method="POST", path="/comments")
    action = await show.stage.comment("whose-answer-is-lost", wait_s=20)
    found = await show.stage.comments("whose-answer-is-lost")
    show.check(
        "a comment whose first answer is lost is made once (P4)",
        action["status"] == "done" and found == 1,
        f"{action['status']} after {action['attempts'] + 1} tries, {found} comment: {action['reference']['url']}",
    )


async def _killed(show: Show) -> None:
    """Kill the node while webhooks pour in and a comment waits for its answer; then start it again."""
    stage, progress = show.stage, trio.Event()
    await stage.github_fault(effect="now", delay_s=8, method="POST", path="/comments")
    action = await stage.comment("sent-before-the-kill", wait_s=0)
    await until(partial(_is_commented, stage, "sent-before-the-kill"), within_s=_PATIENCE_S)

    def told(done: int) -> None:
        if done >= _AROUND_KILL // 3:
            progress.set()

    async with trio.open_nursery() as nursery:

        async def kill() -> None:
            await progress.wait()
            await show.node.kill()

        nursery.start_soon(kill)
        await stage.send_many(_AROUND_KILL, told=told)
    show.node = await child.start(show.node.program, stage.client)
    acknowledged = stage.acknowledged()
    counted = await stage.arrived(acknowledged, within_s=_PATIENCE_S)
    lost = len(acknowledged - counted.keys())
    twice = sum(times > 1 for times in counted.values())
    cut = sum(one.answered is None for one in stage.sent)
    show.check(
        "kill -9 under load, restart: every acknowledged webhook is at PM-3, once (P1, P2)",
        lost == 0 and twice == 0 and cut > 0,
        f"{len(acknowledged)} acknowledged, {cut} cut off unanswered, {lost} lost, {twice} twice",
    )
    ended = await stage.action_ended(action["action_id"], within_s=_PATIENCE_S)
    found = await stage.comments("sent-before-the-kill")
    show.check(
        "kill -9 while a comment waits for its answer: it is made once (P4)",
        ended.get("status") == "done" and found == 1,
        f"{ended.get('status')}, {found} comment",
    )


async def _accounting(show: Show) -> None:
    stage = show.stage
    await until(partial(_is_settled, stage), within_s=_PATIENCE_S)
    ledger, signals = await stage.ledger(), await stage.signals()
    distinct = len({signal["signal_id"] for signal in signals})
    show.check(
        "the accounting adds up (P9)",
        ledger["difference"] == 0
        and ledger["pending"] == ledger["settled"] == 0
        and ledger["accepted"] == ledger["forwarded"] + ledger["parked"]
        and ledger["forwarded"] == len(signals) == distinct,
        ", ".join(f"{name} {number:g}" for name, number in sorted(ledger.items()))
        + f"; {len(signals)} signals at PM-3",
    )
    code = await show.node.stop()
    show.check("SIGTERM drains and exits 0 (P11)", code == 0, f"exit code {code}")


STEPS: tuple[tuple[str, Step], ...] = (
    ("A connection to GitHub is created and verified", _connect),
    (f"{_FIRST} signed webhooks", _inbound),
    ("A forged, a replayed and a malformed one", _refusals),
    (f"PM-3 goes down, {_DURING_OUTAGE} webhooks come, PM-3 comes back", _outage),
    ("A comment whose first answer is lost", _lost_answer),
    (f"kill -9 in the middle of {_AROUND_KILL} webhooks and of a comment", _killed),
    ("The books", _accounting),
)


async def _is_commented(stage: Stage, key: str) -> bool:
    return await stage.comments(key) > 0


async def _is_settled(stage: Stage) -> bool:
    ledger = await stage.ledger()
    return ledger.get("pending") == 0 and ledger.get("settled") == 0


async def _send_with_progress(show: Show, number: int) -> Sequence[Sent]:
    with Progress(console=show.console, transient=True) as progress:
        task = progress.add_task("  sending", total=number)
        return await show.stage.send_many(
            number, told=lambda done: progress.update(task, completed=done)
        )


async def _post(stage: Stage, event_id: str, request: Request) -> Answered:
    sent = await stage.send(event_id, request)
    return sent.answered or Answered(status=0, body="no answer")


def _told(answered: Answered) -> str:
    """The status, and the node's own word for it."""
    document = json.loads(answered.body)
    word = document["error"]["message"] if "error" in document else document["status"]
    return f"{answered.status} {word}"
