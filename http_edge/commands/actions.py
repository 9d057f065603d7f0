"""``actions``: what became of them, and what a person settles."""

from __future__ import annotations

from uuid import UUID

import click

from http_edge.commands.api import Call
from http_edge.commands.session import ListFirst, Page, Session, asking, paged
from http_edge.commands.showing import show_record, show_table, stdout
from http_edge.commands.wording import fields_of
from http_edge.node import new_id
from persistence.records import ActionState

_PATH = "/internal/integrations/actions"
_SCHEMAS = "/v1/integrations/actions/schemas"
_COLUMNS = ("action_id", "canonical_type", "status", "reason", "attempts", "created_at")


@click.group(cls=ListFirst)
def actions() -> None:
    """The tenant's actions."""


@actions.command("list")
@click.option("--connection", "connection_id", type=click.UUID)
@click.option("--status", multiple=True, type=click.Choice([each.value for each in ActionState]))
@click.option("--type", "canonical_type", help="its canonical name")
@click.option("--correlation-id")
@paged
@asking
def listing(  # noqa: PLR0913, PLR0917 - one per option
    session: Session,
    connection_id: UUID | None,
    status: tuple[str, ...],
    canonical_type: str | None,
    correlation_id: str | None,
    limit: int,
    cursor: UUID | None,
) -> None:
    """List them, newest first."""
    query = {
        "connection_id": None if connection_id is None else str(connection_id),
        "status": status,
        "canonical_type": canonical_type,
        "correlation_id": correlation_id,
    }
    session.show_list(_PATH, query, _COLUMNS, Page(limit=limit, cursor=cursor))


@actions.command()
@click.argument("action_id", type=click.UUID)
@asking
def show(session: Session, action_id: UUID) -> None:
    """Show one, and what was sent for it."""
    session.show(session.api.ask(Call(method="GET", path=f"{_PATH}/{action_id}")))


@actions.command()
@click.argument("action_id", type=click.UUID)
@click.option("--reason", help="why, for those who look at it later")
@asking
def cancel(session: Session, action_id: UUID, reason: str | None) -> None:
    """Cancel one that was not sent yet."""
    body = {} if reason is None else {"reason": reason}
    path = f"{_PATH}/{action_id}/cancel"
    session.show(session.api.ask(Call(method="POST", path=path, body=body, key=str(new_id()))))


@actions.command()
@click.argument("action_id", type=click.UUID)
@click.argument("status", type=click.Choice(["done", "refused"]))
@click.option("--reason", required=True, help="how you know")
@click.option("--reference", help="what the provider calls the effect")
@asking
def resolve(
    session: Session, action_id: UUID, status: str, reason: str, reference: str | None
) -> None:
    """Settle one that was left unsure, as you found out at the provider."""
    body = {"status": status, "reason": reason}
    body |= {} if reference is None else {"reference": reference}
    path = f"{_PATH}/{action_id}/resolve"
    session.show(session.api.ask(Call(method="POST", path=path, body=body, key=str(new_id()))))


@actions.command()
@click.argument("canonical_type", required=False)
@asking
def schemas(session: Session, canonical_type: str | None) -> None:
    """List the canonical actions, or show what one takes."""
    answer = session.api.ask(Call(method="GET", path=_SCHEMAS))
    known = answer.document["actions"]
    if session.as_json:
        click.echo(answer.body)
    elif canonical_type is None:
        rows = [{"action": name, "summary": each["summary"]} for name, each in known.items()]
        show_table(stdout(), ("action", "summary"), rows)
    elif canonical_type not in known:
        raise click.UsageError("no such canonical action")
    else:
        one = known[canonical_type]
        show_record(
            stdout(),
            {
                "action": canonical_type,
                "summary": one["summary"],
                "target": fields_of(one["target"]),
                "payload": fields_of(one["payload"]),
            },
        )
