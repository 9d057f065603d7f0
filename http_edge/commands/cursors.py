"""``cursors``: how far a connection's resources have been polled."""

from __future__ import annotations

from uuid import UUID

import click

from http_edge.commands.api import Answer, Call
from http_edge.commands.connections import PATH
from http_edge.commands.session import Session, asking
from http_edge.commands.showing import show_table, stdout
from http_edge.commands.wording import plain
from http_edge.node import new_id

_COLUMNS = (
    "resource",
    "last_polled_at",
    "next_poll_at",
    "every_s",
    "failures",
    "reason",
    "last_news_at",
)


@click.group()
def cursors() -> None:
    """How far a connection's resources have been polled."""


@cursors.command()
@click.argument("connection_id", type=click.UUID)
@asking
def show(session: Session, connection_id: UUID) -> None:
    """Show them; the cursors themselves stand in the JSON."""
    answer = session.api.ask(Call(method="GET", path=f"{PATH}/{connection_id}/cursors"))
    _tell(session, answer)


@cursors.command()
@click.argument("connection_id", type=click.UUID)
@click.option("--resource", help="as `cursors show` names it; all of them if not given")
@asking
def poll(session: Session, connection_id: UUID, resource: str | None) -> None:
    """Poll now, each from where it is, without waiting for its time."""
    path = f"{PATH}/{connection_id}/poll"
    body = {} if resource is None else {"resource": resource}
    _tell(session, session.api.ask(Call(method="POST", path=path, body=body, key=str(new_id()))))


@cursors.command()
@click.argument("connection_id", type=click.UUID)
@click.option("--resource", required=True, help="as `cursors show` names it")
@click.option("--yes", is_flag=True, help="do not ask")
@asking
def reset(session: Session, connection_id: UUID, resource: str, *, yes: bool) -> None:
    """Poll a resource from now on, at once; shows what is left unread, for a backfill."""
    path = f"{PATH}/{connection_id}/cursors"
    if not yes:
        _confirm(session, path, resource)
    call = Call(
        method="POST", path=f"{path}/reset", body={"resource": resource}, key=str(new_id())
    )
    session.show(session.api.ask(call))


def _tell(session: Session, answer: Answer) -> None:
    if session.as_json:
        click.echo(answer.body)
    else:
        show_table(stdout(), _COLUMNS, answer.document["cursors"])


def _confirm(session: Session, path: str, resource: str) -> None:
    """Let the caller type ``yes``, and nothing shorter.

    Raises:
        click.Abort: they typed something else.
    """
    known = session.api.ask(Call(method="GET", path=path)).document["cursors"]
    last = next((each["last_polled_at"] for each in known if each["resource"] == resource), None)
    asked = f"What {plain(resource)} has had since {last or 'ever'} will not be polled. Type yes"
    if click.prompt(asked, err=True) != "yes":
        raise click.Abort
