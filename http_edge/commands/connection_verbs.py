"""``connections verify ...``: what changes a connection. Each names the version it is about, so that nobody's change is lost."""

from __future__ import annotations

import re
from uuid import UUID

import click

from adapters.contract import Secret
from http_edge.commands.api import Answer, Api, Call, RefusedError
from http_edge.commands.connections import PATH, webhook_document
from http_edge.commands.credentials import with_credentials
from http_edge.commands.secret_files import secret_option
from http_edge.commands.session import Session, asking
from http_edge.commands.wording import plain
from http_edge.node import new_id

_MOVES = {
    "verify": "Try it at its provider; it becomes active if that passes.",
    "subscribe": "Bring the provider to exactly one webhook of ours.",
    "suspend": "Suspend it: nothing is sent, what comes in is kept.",
    "resume": "Resume a suspended or disabled one.",
    "disable": "Disable it: nothing is sent and nothing is taken in.",
}
_VERSION = re.compile(r'"?([0-9]{1,18})"?', re.ASCII)
_ANY = "*"


def _if_match(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value in {None, _ANY}:
        return value
    found = _VERSION.fullmatch(value or "")
    if found is None:
        raise click.BadParameter("must be a version (a number), or * for any")
    return f'"{found[1]}"'


if_match_option = click.option(
    "--if-match",
    metavar="VERSION",
    callback=_if_match,
    help="only if it has this version, or * for any; else the one it has when this begins",
)


def _verb(name: str, what: str) -> click.Command:
    @click.argument("connection_id", type=click.UUID)
    @if_match_option
    @asking
    def move(session: Session, connection_id: UUID, if_match: str | None) -> None:
        path = f"{PATH}/{connection_id}"
        answer = session.api.ask(
            Call(
                method="POST",
                path=f"{path}/{name}",
                key=str(new_id()),
                if_match=if_match or _current(session.api, path).etag,
            )
        )
        session.show(answer)
        _must_have_passed(answer)

    return click.command(name, help=what)(move)


@click.command()
@click.argument("connection_id", type=click.UUID)
@secret_option("--webhook-secret-file", "a new secret that the provider signs its webhooks with")
@click.option("--webhook", is_flag=True, help="a new webhook secret, made by the node")
@click.option("--webhook-url", is_flag=True, help="a new webhook URL")
@with_credentials
@if_match_option
@asking
def rotate(  # noqa: PLR0913 - one per option
    session: Session,
    *,
    connection_id: UUID,
    webhook_secret_file: Secret | None,
    webhook: bool,
    webhook_url: bool,
    auth: dict[str, str] | None,
    if_match: str | None,
) -> None:
    """Replace secrets; the old webhook secret and URL stay good for a grace time."""
    path = f"{PATH}/{connection_id}"
    new = {
        "auth": auth,
        "webhook": webhook_document(webhook_secret_file, made=webhook),
        "webhook_url": webhook_url or None,
    }
    body = {name: value for name, value in new.items() if value is not None}
    if not body:
        raise click.UsageError("say what is to be replaced")
    answer = session.api.ask(
        Call(
            method="POST",
            path=f"{path}/rotate",
            body=body,
            key=str(new_id()),
            if_match=if_match or _current(session.api, path).etag,
        )
    )
    session.show(answer)


@click.command()
@click.argument("connection_id", type=click.UUID)
@click.option("--yes", is_flag=True, help="do not ask")
@if_match_option
@asking
def delete(session: Session, connection_id: UUID, *, yes: bool, if_match: str | None) -> None:
    """Delete it: its endpoint is gone, its secrets are forgotten, its webhook at the provider is removed."""
    path = f"{PATH}/{connection_id}"
    now = _current(session.api, path)
    if not yes:
        name = plain(f"{now.document['display_name']} ({now.document['provider_id']})")
        click.confirm(f"Delete {name} and forget its secrets?", abort=True, err=True)
    call = Call(method="DELETE", path=path, if_match=if_match or now.etag)
    answer = session.api.ask(call)
    session.show(answer)


VERBS: tuple[click.Command, ...] = (
    *(_verb(name, what) for name, what in _MOVES.items()),
    rotate,
    delete,
)
"""Commands of the group ``connections``."""


def _current(api: Api, path: str) -> Answer:
    return api.ask(Call(method="GET", path=path))


def _must_have_passed(answer: Answer) -> None:
    """A try that did not pass is answered 200, and still is not what was wanted.

    Raises:
        RefusedError: the provider did not let us.
    """
    tried = answer.document.get("verification")
    if tried is not None and not tried["passed"]:
        raise RefusedError(plain(f"not passed: {tried['reason']}"))
