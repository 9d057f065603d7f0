"""What the two engines share: statements in both dialects, and transactions as generators.

A transaction yields statements and is sent their rows, so that it is written once, without I/O, and each engine
performs it in its own way. Raising inside one rolls it back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar

from attrs import frozen

T = TypeVar("T")
P = ParamSpec("P")

_REWRITES = (
    (re.compile(r"= ANY\((\$\d+)::\w+\[\]\)"), r"IN (SELECT value FROM json_each(\1))"),
    (re.compile(r"::\w+(\[\])?"), ""),
    (re.compile(r"\s+FOR (NO KEY )?(UPDATE|SHARE)( OF \w+)?( SKIP LOCKED)?"), ""),
    (re.compile(r"CURRENT_TIMESTAMP"), "strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')"),
    (re.compile(r"\$(\d+)"), r"?\1"),
)
_TABLE = re.compile(r"INSERT INTO (\w+)")


class Row(Protocol):
    """A row as either driver gives it."""

    def __getitem__(self, column: str, /) -> Any:  # noqa: ANN401 - what a column holds is the schema's business
        """The value of a column."""
        ...


@frozen
class Sql:
    """One statement in both dialects; parameters are numbered ``$1`` and ``?1``."""

    postgres: str
    sqlite: str


def shared(text: str) -> Sql:
    """A statement that is the same in both but for spelling, written as PostgreSQL wants it.

    ``DEFAULT`` in an INSERT stands for the next position. SQLite has one writer, so its row locks fall away.
    """
    sqlite = text
    table = _TABLE.search(text)
    if table is not None:
        following = f"(SELECT coalesce(max(position), 0) + 1 FROM {table[1]})"  # noqa: S608 - a name of ours
        sqlite = sqlite.replace("DEFAULT", following)
    for pattern, replacement in _REWRITES:
        sqlite = pattern.sub(replacement, sqlite)
    return Sql(text, sqlite)


@frozen(kw_only=True)
class Query:
    """One statement with its arguments."""

    sql: Sql
    args: tuple[object, ...]


@frozen(kw_only=True)
class Bulk:
    """One statement for many rows, of which there is at least one.

    PostgreSQL takes ``args`` and then one array for each column; SQLite repeats it with ``args`` and then the
    values of each row, and its rows come back joined.
    """

    sql: Sql
    args: tuple[object, ...] = ()
    rows: Sequence[tuple[object, ...]]


def query(sql: Sql, *args: object) -> Query:
    """Say a statement with its arguments in one line."""
    return Query(sql=sql, args=args)


Statement: TypeAlias = Query | Bulk
Transaction: TypeAlias = Generator[Statement, Sequence[Row], T]


class Engine(Protocol):
    """What carries transactions out; every call ends within the engine's own deadline.

    Errors of the driver come out as the errors of ``persistence.errors``, without the values they name.
    """

    async def run(
        self, transaction: Callable[P, Transaction[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Carry out a transaction; it is started afresh when the database asks to repeat it."""
        ...

    async def ask(self, statement: Query) -> Sequence[Row]:
        """Carry out a single statement, which is a transaction of its own."""
        ...

    async def shortcut(self, text: str, *args: object) -> Sequence[Row]:
        """Do what a transaction does in one statement, where that saves round trips.

        No row: nothing was done, and the transaction itself has to do it, or to say why it can not be done.
        """
        ...

    async def accept(self, rows: Sequence[tuple[object, ...]]) -> Sequence[Row]:
        """The hot path, in each engine's cheapest way: see ``persistence.inbox``."""
        ...
