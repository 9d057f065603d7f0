"""Secrets for the command line: out of a file, a pipe or a hidden prompt; an argument can be seen by every process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from adapters.contract import Secret

LONGEST_BYTES = 65_536
_STDIN = "-"


def secret_option(name: str, what: str) -> Callable[[Any], Any]:
    """An option that names a file with a secret in it."""
    return click.option(name, metavar="FILE", callback=_given, help=f"{what}; - for stdin")


def read_secret(source: str, *, prompt: str) -> Secret:
    """The secret in the file ``source``; ``-``: standard input, at a terminal asked for unseen. A last line end is not its.

    Raises:
        ValueError: what is wrong, without a word of it or of ``source``, which may be the secret by mistake.
    """
    try:
        raw = _read(source, prompt)
    except OSError as error:
        raise ValueError(f"can not be read: {error.strerror}") from error
    if len(raw) > LONGEST_BYTES:
        raise ValueError(f"is over {LONGEST_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None  # it carries what it could not read
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise ValueError("is empty")
    return Secret(value=text.encode())


def _read(source: str, prompt: str) -> bytes:
    if source != _STDIN:
        with Path(source).open("rb") as file:
            return file.read(LONGEST_BYTES + 1)
    if sys.stdin.isatty():
        asked: str = click.prompt(prompt, hide_input=True, err=True)
        return asked.encode()
    return sys.stdin.buffer.read(LONGEST_BYTES + 1)


def _given(_ctx: click.Context, param: click.Parameter, value: str | None) -> Secret | None:
    if value is None:
        return None
    try:
        return read_secret(value, prompt=str(param.name).removesuffix("_file").replace("_", " "))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
