"""The demo under way: who plays, what was promised so far, and whether it held."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from attrs import define, field, frozen
from rich.console import Console
from rich.markup import escape

from http_edge.child import Child
from http_edge.stage import Stage, until

PATIENCE_S = 30.0
_A_WHILE_S = 1.0


@frozen(kw_only=True)
class Check:
    """One thing that was promised, whether it held, and what was seen."""

    name: str
    held: bool
    seen: str


@define(kw_only=True)
class Show:
    """One node with five tenants, each with a GitHub of its own.

    ``stage`` has a token that a person made, ``second`` logs in by OAuth 2.0; the GitHub of ``failing`` is down for a
    while, that of ``limited`` wants to be left alone, that of ``polled`` has a past and does not tell all.
    """

    stage: Stage
    second: Stage
    failing: Stage
    limited: Stage
    polled: Stage
    node: Child
    console: Console
    backfill: str = ""
    """The id of the backfill that the kill interrupts."""
    checks: list[Check] = field(factory=list)

    def check(self, name: str, held: bool, seen: str) -> None:
        """Note a promise, and show it."""
        self.checks.append(Check(name=name, held=held, seen=seen))
        mark = "[green]held[/]" if held else "[red]BROKEN[/]"
        self.console.print(f"  {mark}  {escape(name)}: {escape(seen)}")


Step: TypeAlias = Callable[[Show], Awaitable[None]]


async def none_arrives(stage: Stage, event_ids: set[str]) -> bool:
    """Whether none of these is at PM-3, now and for a while."""

    async def any_there() -> bool:
        return bool(event_ids & (await stage.counted()).keys())

    return not await until(any_there, within_s=_A_WHILE_S)
