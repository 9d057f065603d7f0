"""``connections``: make them, look at them, take a person to the provider's login."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import orjson

from adapters.contract import Secret
from http_edge.commands.api import Call
from http_edge.commands.credentials import with_credentials
from http_edge.commands.secret_files import secret_option
from http_edge.commands.session import ListFirst, Page, Session, asking, paged
from http_edge.idempotency import KEY
from http_edge.node import new_id
from persistence.records import ConnectionState

PATH = "/v1/integrations/connections"
_HEALTH = "/internal/integrations/connections/{}/health"
_COLUMNS = (
    "connection_id",
    "provider_id",
    "display_name",
    "status",
    "reason",
    "last_verified_at",
)
_KEY = re.compile(KEY)


def _settings(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, Any]:
    """``name=JSON`` each."""
    found: dict[str, Any] = {}
    for value in values:
        name, text = _split(value)
        try:
            found[name] = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise click.BadParameter(
                f"{name}: the value must be JSON; a text is in double quotes"
            ) from error
    return found


def _tags(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``name=text`` each."""
    return dict(_split(value) for value in values)


def _key(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str:
    if value is not None and _KEY.fullmatch(value) is None:
        raise click.BadParameter("must be 1 to 255 visible ASCII characters")
    return value or str(new_id())


key_option = click.option(
    "--idempotency-key", "key", callback=_key, help="one is made if not given"
)
"""Of commands that make something: the same again under it is asked for once."""


def _split(value: str) -> tuple[str, str]:
    name, equals, rest = value.partition("=")
    if not (name and equals):
        raise click.BadParameter("must be NAME=VALUE")
    return name, rest


@click.group(cls=ListFirst)
def connections() -> None:
    """The tenant's connections, and their whole life."""


@connections.command("list")
@click.option("--provider", "provider_id")
@click.option(
    "--status",
    multiple=True,
    type=click.Choice([state.value for state in ConnectionState]),
    help="may be given again; deleted ones are shown only when asked for",
)
@click.option("--tag", multiple=True, metavar="NAME=VALUE", callback=_tags)
@paged
@asking
def listing(
    session: Session,
    provider_id: str | None,
    status: tuple[str, ...],
    tag: dict[str, str],
    limit: int,
    cursor: UUID | None,
) -> None:
    """List them."""
    tags = [f"{name}:{value}" for name, value in tag.items()]
    query = {"provider_id": provider_id, "status": status, "tag": tags}
    session.show_list(PATH, query, _COLUMNS, Page(limit=limit, cursor=cursor))


@connections.command()
@click.argument("connection_id", type=click.UUID)
@asking
def show(session: Session, connection_id: UUID) -> None:
    """Show one."""
    answer = session.api.ask(Call(method="GET", path=f"{PATH}/{connection_id}"))
    session.show(answer)


@connections.command()
@click.argument("connection_id", type=click.UUID)
@asking
def health(session: Session, connection_id: UUID) -> None:
    """Show how one does: its provider's circuit and limits, incidents, what was delivered and parked."""
    session.show(session.api.ask(Call(method="GET", path=_HEALTH.format(connection_id))))


@connections.command()
@click.option("--provider", "provider_id", required=True)
@click.option("--name", "display_name", required=True)
@click.option("--base-url", help="where the provider's API is, if not at its own place")
@click.option(
    "--capability", "capabilities", multiple=True, help="what it is for; may be repeated"
)
@click.option("--setting", "settings", multiple=True, metavar="NAME=JSON", callback=_settings)
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", callback=_tags)
@secret_option("--webhook-secret-file", "what the provider signs its webhooks with")
@click.option("--webhook", is_flag=True, help="take webhooks, with a secret that the node makes")
@click.option(
    "--ca-bundle",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="certificates (PEM) that the provider is checked with",
)
@click.option("--proxy", help="all calls to the provider go through it")
@key_option
@with_credentials
@asking
def create(
    session: Session,
    *,
    key: str,
    ca_bundle: Path | None,
    proxy: str | None,
    **body: Any,  # noqa: ANN401 - fields of the body, an option each
) -> None:
    """Create one; only this answer shows its webhook URL."""
    network = {"proxy": proxy, "ca_bundle": ca_bundle and ca_bundle.read_text("ascii", "replace")}
    webhook = webhook_document(body.pop("webhook_secret_file"), made=body.pop("webhook"))
    told = {**body, "network": given(network) or None, "webhook": webhook}
    answer = session.api.ask(Call(method="POST", path=PATH, body=given(told), key=key))
    session.show(answer)


@connections.command()
@click.argument("connection_id", type=click.UUID)
@click.option("--return-to", help="where the browser goes when it is over")
@asking
def login(session: Session, connection_id: UUID, return_to: str | None) -> None:
    """Begin an OAuth login: open the URL in a browser, then look at the connection."""
    path = f"{PATH}/{connection_id}/oauth/start"
    body = given({"return_to": return_to})
    session.show(session.api.ask(Call(method="POST", path=path, body=body, key=str(new_id()))))


def webhook_document(secret: Secret | None, *, made: bool) -> dict[str, str] | None:
    """What the API is told of webhooks: the secret, or none, so that the node makes one.

    Raises:
        click.UsageError: both.
    """
    if secret is None:
        return {} if made else None
    if made:
        raise click.UsageError("--webhook-secret-file: the node makes one")
    return {"secret": secret.value.decode()}


def given(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is said in it; the API fills in what is not."""
    return {name: value for name, value in document.items() if value is not None and value != ()}
