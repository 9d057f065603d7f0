"""The main job, end to end, in a minute: a node process on SQLite among simulated neighbours, and what it promises.

Everything is real but the other side: real HTTP, a real file, a real kill -9. Each step says what must hold and
looks from outside whether it did.
"""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import trio
from attrs import evolve
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from http_edge import child, surroundings
from http_edge.child import Child
from http_edge.hubs import PAST, HastyGitHub, hub, hub_with_past
from http_edge.node import new_id
from http_edge.promises import actions, books, inbound, life, logins, polls, power, trouble
from http_edge.promises.show import Show, Step
from http_edge.simulators import Handle, serve_simulator
from http_edge.stage import Stage
from runtime import TrioClock

STEPS: tuple[tuple[str, Step], ...] = (
    ("A connection to GitHub is created and verified", inbound.connect),
    ("Another tenant logs in by OAuth 2.0", logins.log_in),
    ("Of two more tenants, one's GitHub fails, one's is asked too much", trouble.begin),
    (f"{inbound.FIRST} signed webhooks", inbound.webhooks),
    ("A forged, a replayed and a malformed one", inbound.refusals),
    (
        f"PM-3 goes down, {inbound.DURING_OUTAGE} webhooks come, PM-3 comes back",
        inbound.outage,
    ),
    ("Less than five minutes are left of the login's token", logins.renewed),
    ("A comment whose first answer is lost", power.lost_answer),
    (f"A past of {PAST} issues is filled in", polls.begin),
    (f"kill -9 in the middle of {power.AROUND_KILL} webhooks and of a comment", power.killed),
    ("The login is taken back, and given again", logins.taken_back),
    ("The connection is suspended and resumed", life.suspended),
    ("Actions wait for each other, one is cancelled", actions.in_order),
    ("An action whose effect nobody can know", actions.unsure),
    ("The connection that was logged in is deleted", life.deleted),
    ("The two GitHubs are well again", trouble.end),
    ("The backfill goes on; webhooks get lost, and what they were about is found", polls.end),
    ("The books", books.accounting),
    ("The receipts", books.receipts),
)


async def main() -> int:
    """Play every step; 0 if every promise held, else 1."""
    console = Console(highlight=False)
    clock = TrioClock(datetime.now(UTC))
    with tempfile.TemporaryDirectory(prefix="integration-adapters-demo-") as folder:
        async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as client:
            around = await surroundings.start(nursery, clock=clock, ids=new_id)
            program = child.among(
                around,
                url=child.free_url(),
                database_url=f"sqlite:///{folder}/demo.sqlite3",
                log=Path(folder) / "node.log",
                inherited=os.environ,
            )
            node = await child.start(program, client)
            stage = Stage(
                node_url=program.url, around=around, client=client, clock=clock, ids=new_id
            )
            show = await _cast(nursery, stage, node, console)
            try:
                await _play(show)
            finally:
                show.node.process.kill()
            nursery.cancel_scope.cancel("the demo is over")
    return _close(show)


async def _cast(nursery: trio.Nursery, stage: Stage, node: Child, console: Console) -> Show:
    """Four more tenants, each with a GitHub of its own."""
    now, token = stage.clock.now(), stage.around.github_token
    hasty = HastyGitHub(github=hub(now=now), lives=logins.LIVES)
    failing, limited = hub(now=now, token=token), hub(now=now, token=token)
    polled = hub_with_past(now=now, token=token)
    hubs = (hasty, failing, limited, polled)
    handles: tuple[Handle, ...] = tuple(each.handle for each in hubs)
    served: list[str] = [
        await nursery.start(partial(serve_simulator, each, clock=stage.clock)) for each in handles
    ]
    others = [
        Stage(
            node_url=stage.node_url,
            around=evolve(stage.around, github_url=url),
            client=stage.client,
            clock=stage.clock,
            ids=stage.ids,
            tenant=tenant,
        )
        for tenant, url in zip(("globex", "initech", "hooli", "umbrella"), served, strict=True)
    ]
    others[3].capabilities = ("webhook", "outbound_actions", "polling")
    return Show(
        stage=stage,
        second=others[0],
        failing=others[1],
        limited=others[2],
        polled=others[3],
        node=node,
        console=console,
    )


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
