"""How a command runs: settings out of its environment, and what an operator can mend told in a line, not a traceback."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeVar

import click
import trio

from http_edge.commands.session import OWN_VARIABLES
from http_edge.settings import Settings, SettingsError, load
from persistence.errors import StoreError
from runtime import GaveUpError

USAGE = 2
_Result = TypeVar("_Result")


def node_environment(environ: Mapping[str, str]) -> Mapping[str, str]:
    """What of the environment is a node's: not what the command line alone is told."""
    return {name: value for name, value in environ.items() if name not in OWN_VARIABLES}


def settings_from(environ: Mapping[str, str]) -> Settings:
    """The settings; if they are wrong, every mistake is told and the program ends."""
    try:
        return load(node_environment(environ))
    except SettingsError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        sys.exit(USAGE)


def run(job: Callable[[], Awaitable[_Result]], *, exit_code: int = 1) -> _Result:
    """Run ``job`` to its end; if the world outside fails it, say so and end the program with ``exit_code``."""
    try:
        return trio.run(job)
    except* (StoreError, GaveUpError, OSError) as errors:
        for error in leaves(errors):
            click.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(exit_code)


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors in a group of groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error
