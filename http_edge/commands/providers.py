"""``providers``: what the tenant may connect to, and what a connection must be told."""

from __future__ import annotations

from urllib.parse import quote

import click

from adapters.manifest import Category
from http_edge.commands.api import Call
from http_edge.commands.session import ListFirst, Session, asking
from http_edge.commands.showing import show_record, show_table, stdout
from http_edge.commands.wording import fields_of

_PATH = "/v1/integrations/providers"
_COLUMNS = ("provider_id", "name", "category", "status", "capabilities", "auth_methods")
_SCHEMA = "config_schema"


@click.group(cls=ListFirst)
def providers() -> None:
    """The providers that the tenant's policy allows."""


@providers.command("list")
@click.option("--category", type=click.Choice([each.value for each in Category]))
@click.option("--capability", multiple=True, help="may be given again: all must be there")
@asking
def listing(session: Session, category: str | None, capability: tuple[str, ...]) -> None:
    """List them."""
    query = {"category": category, "capability": capability}
    answer = session.api.ask(Call(method="GET", path=_PATH, query=query))
    if session.as_json:
        click.echo(answer.body)
    else:
        show_table(stdout(), _COLUMNS, answer.document["providers"])


@providers.command()
@click.argument("provider_id")
@asking
def show(session: Session, provider_id: str) -> None:
    """Show one, and the settings that its connections take."""
    answer = session.api.ask(Call(method="GET", path=f"{_PATH}/{quote(provider_id, safe='')}"))
    if session.as_json:
        click.echo(answer.body)
        return
    told = {**answer.document, "settings": fields_of(answer.document[_SCHEMA])}
    del told[_SCHEMA]
    show_record(stdout(), told)
