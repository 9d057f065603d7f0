"""``backfill``: read what happened before, and follow how far that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import click
import trio

from http_edge.commands.api import MOST_PER_PAGE, Answer, Call, RefusedError
from http_edge.commands.connections import PATH, given, key_option
from http_edge.commands.session import Session, asking
from http_edge.commands.showing import show_table, stdout
from http_edge.commands.wording import plain
from http_edge.node import new_id
from persistence.polls import BackfillState

_COLUMNS = ("backfill_id", "resource", "since", "until", "status", "found", "fresh", "created_at")
_ORDERS = {
    "pause": "Pause one where it is.",
    "resume": "Let a paused one go on where it was.",
    "cancel": "End one; what it found stays.",
}
_FINAL = frozenset({BackfillState.DONE, BackfillState.CANCELLED, BackfillState.FAILED})
_EVERY_S = 2.0

_connection = click.argument("connection_id", type=click.UUID)
_backfill = click.argument("backfill_id", type=click.UUID)
_reason = click.option("--reason", help="why, for those who look at it later")
_watch = click.option(
    "--watch", is_flag=True, help="follow it to its end; exit 0 only if it is done then"
)
_every = click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=0.05, max=3600),
    default=_EVERY_S,
    show_default=True,
    help="seconds between two looks, with --watch",
)


@click.group()
def backfill() -> None:
    """Read what happened at the provider before."""


@backfill.command()
@_connection
@click.option("--resource", required=True, help="as `cursors show` names it")
@click.option("--since", required=True, metavar="TIME", help="2026-01-31T00:00:00Z, say")
@click.option("--until", metavar="TIME", help="not in it; now, if left out")
@_watch
@_every
@key_option
@asking
def start(  # noqa: PLR0913 - one per option
    session: Session,
    *,
    connection_id: UUID,
    resource: str,
    since: str,
    until: str | None,
    watch: bool,
    every_s: float,
    key: str,
) -> None:
    """Begin one; it goes on by itself."""
    body = given({"resource": resource, "since": since, "until": until})
    path = f"{PATH}/{connection_id}"
    begun = session.api.ask(Call(method="POST", path=f"{path}/backfill", body=body, key=key))
    if watch:
        _follow(session, f"{path}/backfills/{begun.document['backfill_id']}", begun, every_s)
    else:
        session.show(begun)


@backfill.command("list")
@_connection
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_PER_PAGE),
    default=50,
    show_default=True,
    help="how many at the most",
)
@asking
def listing(session: Session, connection_id: UUID, limit: int) -> None:
    """List a connection's, newest first."""
    path = f"{PATH}/{connection_id}/backfills"
    answer = session.api.ask(Call(method="GET", path=path, query={"limit": limit}))
    if session.as_json:
        click.echo(answer.body)
        return
    found = [{**each, **each["progress"]} for each in answer.document["backfills"]]
    show_table(stdout(), _COLUMNS, found)
    if answer.document["more"]:
        click.echo("more: --limit")


@backfill.command()
@_connection
@_backfill
@_watch
@_every
@asking
def show(
    session: Session, *, connection_id: UUID, backfill_id: UUID, watch: bool, every_s: float
) -> None:
    """Show how far one is, and when it will end."""
    path = f"{PATH}/{connection_id}/backfills/{backfill_id}"
    now = session.api.ask(Call(method="GET", path=path))
    if watch:
        _follow(session, path, now, every_s)
    else:
        session.show(now)


def _order(name: str, what: str) -> click.Command:
    @_connection
    @_backfill
    @asking
    def move(
        session: Session, connection_id: UUID, backfill_id: UUID, reason: str | None = None
    ) -> None:
        path = f"{PATH}/{connection_id}/backfills/{backfill_id}/{name}"
        body = given({"reason": reason})
        session.show(session.api.ask(Call(method="POST", path=path, body=body, key=str(new_id()))))

    return click.command(name, help=what)(move if name == "resume" else _reason(move))


for _name, _what in _ORDERS.items():
    backfill.add_command(_order(_name, _what))


def _follow(session: Session, path: str, now: Answer, every_s: float) -> None:
    """Tell on standard error how it goes, whenever it has got on; show what it came to.

    Raises:
        RefusedError: it ended, and is not done.
    """
    click.echo(f"backfill {now.document['backfill_id']}", err=True)
    told: list[object] = []
    while True:
        document = now.document
        got_on = [document[name] for name in ("status", "reason")]
        got_on += [document["progress"][name] for name in ("found", "done")]
        if got_on != told:
            click.echo(progress_line(document), err=True)
        if document["status"] in _FINAL:
            break
        told = got_on
        trio.run(trio.sleep, every_s)
        now = session.api.ask(Call(method="GET", path=path))
    session.show(now)
    if document["status"] != BackfillState.DONE:
        raise RefusedError(f"not done: {progress_line(document)}")


def progress_line(document: Mapping[str, Any]) -> str:
    """How far a backfill is, in one line."""
    progress = document["progress"]
    said = [f"{progress['found']} found", f"{progress['fresh']} of them new"]
    if progress["done"] is not None:
        of = "" if progress["total"] is None else f" of {progress['total']}"
        said.insert(0, f"{progress['done']}{of} read")
    if progress["per_minute"] is not None:
        said.append(f"{progress['per_minute']:g} a minute")
    if progress["ends_at"] is not None:
        said.append(f"until {progress['ends_at']}")
    if document["reason"] is not None:
        said.append(document["reason"])
    return plain(f"{document['status']}: {', '.join(said)}")
