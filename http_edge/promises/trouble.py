"""Providers in trouble: one fails for a while, one wants to be left alone. Both begin early and are looked at late.

A breaker pauses for 15 to 30 seconds, so the rest of the demo, its kill -9 included, happens meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

from http_edge.neighbours import Document
from http_edge.promises.show import PATIENCE_S, Show
from http_edge.stage import Stage, until
from http_edge.surroundings import ISSUE, PULL_REQUEST, REPOSITORY

_KIND = "circuit_open"
_SILENCE = timedelta(seconds=20)
_LONG_S = 60.0
_RENAMES = (
    (ISSUE, "Warmer"),
    (PULL_REQUEST, "Heat it"),
    (ISSUE, "Warm"),
    (PULL_REQUEST, "Heat it more"),
)
_AS_ASKED = {
    number: [title for place, title in _RENAMES if place == number]
    for number in (ISSUE, PULL_REQUEST)
}


async def begin(show: Show) -> None:
    """One GitHub answers 503 to whatever it is asked, the other answers 429."""
    failing, limited = show.failing, show.limited
    for stage in (failing, limited):
        await stage.connect()
        await until(stage.is_registered, within_s=PATIENCE_S)
    await failing.neighbours.fault(effect="none", status=503, headers=_wish(1), lasting=True)
    for number, title in _RENAMES:
        target = {"repository": REPOSITORY, "issue_number": number}
        await failing.act("update_issue", target, {"title": title}, f"{number} {title}")
    headers = _wish(_SILENCE.total_seconds())
    await limited.neighbours.fault(effect="none", status=429, headers=headers, path="/comments")
    await limited.comment("in-the-storm")
    await until(partial(_has_answered, limited, 429), within_s=PATIENCE_S)
    await limited.comment("beside-the-storm", on_issue=True)
    opened = await failing.alerted(_KIND, "open", within_s=PATIENCE_S)
    condition = (await failing.health())["provider"]
    waiting = [(await failing.action(each))["status"] for each in failing.asked]
    show.check(
        "a provider fails: its breaker opens, actions wait, EPC-4 is told (FR-8)",
        condition["circuit"] == "open"
        and list(opened) == ["open"]
        and waiting == ["queued"] * len(_RENAMES),
        f"breaker {condition['circuit']}, {len(waiting)} actions {waiting[0]}, "
        f"alert {', '.join(opened)}",
    )
    await failing.neighbours.lift("")  # nobody tells the node


async def end(show: Show) -> None:
    """Both are well again."""
    await _failed(show)
    await _limited(show)


async def _failed(show: Show) -> None:
    stage, neighbours = show.failing, show.failing.neighbours
    ended = await stage.endings(within_s=_LONG_S)
    closed = await stage.alerted(_KIND, "resolved", within_s=PATIENCE_S)
    titles = await _titles(stage)
    refused = sum(one["status"] == 503 for one in await neighbours.requests())
    show.check(
        "well again: all that waited is done, once and in order; while it failed it was hardly asked",
        list(ended) == ["done"] * len(_RENAMES) and titles == _AS_ASKED and refused <= 3,
        f"{ended.count('done')} done, {' then '.join(titles[ISSUE])}; 503 was answered {refused} times",
    )
    rates = [one["metrics"]["error_rate"] for one in await neighbours.reports(stage.tenant, _KIND)]
    show.check(
        "EPC-4 and EPC-5 are told once that it is bad, and once that it is over (FR-8)",
        list(closed) == ["resolved"] and rates == [1.0, 0.0],
        f"alert {', '.join(closed)}; error rate {' then '.join(f'{rate:g}' for rate in rates)}",
    )


async def _limited(show: Show) -> None:
    stage = show.limited
    ended = await stage.endings(within_s=_LONG_S)
    made = [await stage.comments(key) for key in ("in-the-storm", "beside-the-storm")]
    waits = _after_429(await stage.neighbours.requests())
    show.check(
        "429: nothing at all is sent before its Retry-After is over, over a kill -9 too (FR-8)",
        (list(ended), made) == (["done", "done"], [1, 1])
        and bool(waits)
        and min(waits) >= _SILENCE,
        f"asked to wait {_SILENCE.seconds} s, waited "
        f"{', '.join(f'{wait.total_seconds():.1f}' for wait in waits)} s; "
        f"{ended.count('done')} actions done, {sum(made)} comments",
    )


def _wish(seconds: float) -> dict[str, str]:
    return {"retry-after": f"{seconds:.0f}"}


async def _has_answered(stage: Stage, status: int) -> bool:
    return any(one["status"] == status for one in await stage.neighbours.requests())


async def _titles(stage: Stage) -> dict[int, list[str]]:
    """Which titles each was given, in order, as its history tells."""
    events = (await stage.neighbours.repository())["events"]
    return {
        number: [
            event["rename"]["to"] for event in events[str(number)] if event["event"] == "renamed"
        ]
        for number in (ISSUE, PULL_REQUEST)
    }


def _after_429(requests: Sequence[Document]) -> list[timedelta]:
    """How long after each answer of 429 the next request came, whatever it was for."""
    return [
        datetime.fromisoformat(after["at"]) - datetime.fromisoformat(before["at"])
        for before, after in pairwise(requests)
        if before["status"] == 429
    ]
