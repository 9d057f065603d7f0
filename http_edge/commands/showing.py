"""What people see: tables and records, in colour at a terminal; elsewhere plain, one line a row, never cut."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from io import TextIOWrapper
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from http_edge.commands.wording import is_table, rows_of, worded

_UNBOUNDED = 100_000
"""Columns of what is no terminal: wider than any row, so that none is cut or wrapped."""


def stdout() -> Console:
    """A console on standard output, whatever that is."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every terminal knows every letter
    return console_on(sys.stdout)


def console_on(stream: TextIO) -> Console:
    """A console that is as wide as the terminal, or as its rows where there is none."""
    width = None if stream.isatty() else _UNBOUNDED
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def show_table(
    console: Console, columns: Sequence[str], entries: Iterable[Mapping[str, Any]]
) -> None:
    """One row an entry; a narrow terminal folds the cells, so that no part of an id is lost."""
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for column in columns:
        table.add_column(_heading(column), overflow="fold")
    for entry in entries:
        table.add_row(*(Text(worded(entry.get(column))) for column in columns))
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.out(line.rstrip())


def show_record(console: Console, document: Mapping[str, Any]) -> None:
    """One line a value, which a terminal may wrap but nothing breaks, so that URLs can be copied; then its tables."""
    rows = list(rows_of(document))
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        line = Text(f"{name:<{width}}  ", style="bold").append(value, style="not bold")
        console.print(line, soft_wrap=True)
    for name, value in document.items():
        if is_table(value):
            console.print(Text(f"\n{_heading(name)}", style="bold"))
            show_table(console, list(value[0]), value)


def _heading(name: str) -> str:
    return name.replace("_", " ")
