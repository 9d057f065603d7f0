"""What every command that asks the API is told: where, by whom, how long, and in which form to answer."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click
from attrs import frozen

from actors.network import usual_tls
from adapters.contract import Secret
from http_edge.commands.api import Answer, Api, Query, checked_url
from http_edge.commands.secret_files import read_secret
from http_edge.commands.showing import show_record, show_table, stdout

TOKEN_VARIABLE = "IA_API_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE_VARIABLE = "IA_API_TOKEN_FILE"  # noqa: S105
OWN_VARIABLES = frozenset(
    {"IA_API_URL", "IA_API_CA_FILE", TOKEN_VARIABLE, TOKEN_FILE_VARIABLE, "IA_SEND_SECRET"}
)
"""Of the command line alone: no settings of a node."""
_TOKEN = re.compile(rb"[\x21-\x7e]+")
_LIMIT = 50
_DEADLINE_S = 90.0
"""Longer than a node tries to reach a provider."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


@frozen(kw_only=True)
class Session:
    """One run of a command."""

    api: Api
    as_json: bool

    def show(self, answer: Answer) -> None:
        """The answer: as it came, or as a record, with the version that it names."""
        if self.as_json:
            click.echo(answer.body)
            return
        version = {} if answer.etag is None else {"version": answer.etag.strip('"')}
        show_record(stdout(), {**version, **answer.document})

    def show_list(self, path: str, query: Query, columns: tuple[str, ...], page: Page) -> None:
        """A list, page for page: each as it came, one a line; or as one table."""
        found: list[Mapping[str, Any]] = []
        cursor: str | None = None
        after = None if page.cursor is None else str(page.cursor)
        for answer in self.api.pages(path, query, limit=page.limit, cursor=after):
            if self.as_json:
                click.echo(answer.body)
            cursor = answer.document["next_cursor"]
            for entries in answer.document.values():
                found += entries if isinstance(entries, list) else []
        if self.as_json:
            return
        show_table(stdout(), columns, found)
        if cursor is not None:
            click.echo(f"more: --cursor {cursor}")


@frozen(kw_only=True)
class Page:
    """Which part of a list: at most ``limit`` from behind ``cursor``."""

    limit: int
    cursor: UUID | None


class ListFirst(click.Group):
    """A group whose ``list`` is meant where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See ``click.Group``."""
        named = bool(args) and (not args[0].startswith("-") or args[0] == "--help")
        return super().parse_args(ctx, args if named else ["list", *args])


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """A command that is handed a session first, made of the options that all have and the environment's token."""

    @click.option(
        "--url",
        envvar="IA_API_URL",
        default="http://127.0.0.1:8080",
        show_default=True,
        callback=_url,
        help="where the node is; or IA_API_URL",
    )
    @click.option("--json", "as_json", is_flag=True, help="the API's JSON, and nothing else")
    @click.option(
        "--deadline",
        type=click.FloatRange(min=0.1, max=3600),
        default=_DEADLINE_S,
        show_default=True,
        help="seconds that a call may take",
    )
    @click.option(
        "--ca-file",
        "tls",
        envvar="IA_API_CA_FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        callback=_tls,
        help="certificates (PEM) to believe instead of the known ones; or IA_API_CA_FILE",
    )
    @click.pass_context
    @wraps(command)
    def run(context: click.Context, /, **given: Any) -> None:  # noqa: ANN401 - an option each
        api = Api(
            url=given.pop("url"),
            token=_token(context.obj),
            deadline=timedelta(seconds=given.pop("deadline")),
            tls=given.pop("tls"),
        )
        command(Session(api=api, as_json=given.pop("as_json")), **given)

    return run


def paged(command: _Command) -> _Command:
    """Options of a command that lists."""
    command = click.option(
        "--limit",
        type=click.IntRange(1, 100_000),
        default=_LIMIT,
        show_default=True,
        help="how many at the most",
    )(command)
    return click.option("--cursor", type=click.UUID, help="where the last list ended")(command)


def _url(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    try:
        return checked_url(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _tls(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> ssl.SSLContext:
    if value is None:
        return usual_tls()
    try:
        return ssl.create_default_context(cafile=value)
    except OSError as error:  # ssl's own are of this kind
        raise click.BadParameter("holds no certificates in PEM") from error


def _token(environ: Mapping[str, str]) -> Secret:
    """The caller's token.

    Raises:
        click.UsageError: there is none, or it can be none; nothing of it is repeated.
    """
    if TOKEN_VARIABLE in environ:
        token, where = Secret(value=environ[TOKEN_VARIABLE].strip().encode()), TOKEN_VARIABLE
    elif TOKEN_FILE_VARIABLE in environ:
        where = TOKEN_FILE_VARIABLE
        try:
            token = read_secret(environ[where], prompt="token")
        except ValueError as error:
            raise click.UsageError(f"{where} {error}") from error
    else:
        raise click.UsageError(f"who asks? Set {TOKEN_VARIABLE} or {TOKEN_FILE_VARIABLE}")
    if _TOKEN.fullmatch(token.value) is None:
        raise click.UsageError(f"{where} holds no token")
    return token
