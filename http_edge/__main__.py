"""The program: ``integration-adapters``, or ``python -m http_edge``."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
import httpx
import trio

from adapters.contract import Secret
from http_edge import demo, dev, node
from http_edge.commands.actions import actions
from http_edge.commands.backfills import backfill
from http_edge.commands.connection_verbs import VERBS
from http_edge.commands.connections import connections
from http_edge.commands.cursors import cursors
from http_edge.commands.providers import providers
from http_edge.commands.receipts import receipts
from http_edge.commands.running import USAGE, leaves, node_environment, run, settings_from
from http_edge.routes import contract
from http_edge.sending import SENDERS, made_payload, send, signed
from http_edge.settings import SettingsError, describe
from persistence.migrate import migrate

_SECRET_VARIABLE = "IA_SEND_SECRET"  # noqa: S105 - the name of a variable


def _epilog() -> str:
    lines = [f"{name:28} {meaning} [{default}]" for name, default, meaning in describe()]
    return (
        "\b\nSettings, from the environment or the TOML file that IA_CONFIG names:\n"
        + "\n".join(lines)
    )


@click.group(epilog=_epilog(), context_settings={"max_content_width": 120})
@click.pass_context
def main(context: click.Context) -> None:
    """Integration Adapters: verified webhooks in, single-effect actions out."""
    context.obj = os.environ


for _group in (providers, connections, actions, backfill, cursors, receipts):
    main.add_command(_group)
for _verb in VERBS:
    connections.add_command(_verb)


@main.command()
def serve() -> None:
    """Run a node until SIGTERM."""
    run(partial(node.run, settings_from(os.environ)))


@main.command("dev")
def dev_command() -> None:
    """Run a node with every neighbour simulated, until Ctrl-C."""
    try:
        run(partial(dev.main, node_environment(os.environ)))
    except* SettingsError as errors:
        for error in leaves(errors):
            click.echo(str(error), err=True)
        sys.exit(USAGE)


@main.command("migrate")
def migrate_command() -> None:
    """Bring the database to this program's schema (a node does it too, when it starts)."""
    settings = settings_from(os.environ)

    async def bring() -> None:
        click.echo(f"at revision {await migrate(settings.database_url)}")

    run(bring)


@main.command("demo")
def demo_command() -> None:
    """Show the main job end to end, with a node that is killed on the way; exit 0 only if every promise held."""
    sys.exit(trio.run(demo.main))


@main.command("send")
@click.argument("url")
@click.option("--provider", default="github", type=click.Choice(sorted(SENDERS)))
@click.option(
    "--event", default="pull_request.opened", help="event, or event.action for a made payload"
)
@click.option("--payload", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--secret", envvar=_SECRET_VARIABLE, required=True, help=f"or {_SECRET_VARIABLE}")
@click.option("--id", "event_id", help="the delivery's id; a new one if left out")
@click.option("--number", default=1, help="which of the made payloads")
def send_command(  # noqa: PLR0913, PLR0917 - one per option
    url: str,
    provider: str,
    event: str,
    payload: Path | None,
    secret: str,
    event_id: str | None,
    number: int,
) -> None:
    """Sign a payload as the provider would, and post it to the webhook URL."""
    now = datetime.now(UTC)
    try:
        body = payload.read_bytes() if payload else made_payload(event, number, at=now)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--event") from error
    request = signed(
        provider,
        event.partition(".")[0],
        body,
        secret=Secret(value=secret.encode()),
        event_id=event_id or str(node.new_id()),
    )

    async def post() -> int:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            answered = await send(client, url, request)
        click.echo(f"{answered.status} {answered.body}")
        return answered.status

    try:
        sys.exit(0 if trio.run(post) < 300 else 1)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise click.ClickException(f"{type(error).__name__}: {error}") from error


@main.command("openapi")
def openapi_command() -> None:
    """Print the API's OpenAPI document."""
    click.echo(contract(), nl=False)


if __name__ == "__main__":
    main()
