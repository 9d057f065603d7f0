"""What no webhook brings: a past that is filled in, lists that are polled, webhooks that are asked for once more."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial

from http_edge.hubs import PAST
from http_edge.neighbours import Document
from http_edge.promises.show import PATIENCE_S, Show
from http_edge.stage import Sent, Stage, until
from http_edge.surroundings import REPOSITORY

_ISSUES = f"issues:{REPOSITORY}"
_FAILED = 5
_PAGES_BEFORE = 3
_DELAY_S = 0.2
_WAIT_S = 12
_LONG_S = 90.0


async def begin(show: Show) -> None:
    """A connection that is polled, with a past; its GitHub wants to be left alone, so that the kill comes meanwhile."""
    stage = show.polled
    await stage.connect()
    await until(stage.is_registered, within_s=PATIENCE_S)
    await until(partial(_has_polled, stage), within_s=PATIENCE_S)
    await stage.neighbours.fault(delay_s=_DELAY_S, path="/issues", times=_PAGES_BEFORE)
    headers = {"retry-after": f"{_WAIT_S}"}
    await stage.neighbours.fault(effect="none", status=429, headers=headers, path="/issues")
    since = stage.clock.now() - 2 * timedelta(days=PAST)
    body = {"resource": _ISSUES, "since": since.isoformat()}
    begun = await stage.ask("backfill", body)
    show.backfill = begun["backfill_id"]
    await until(partial(_waits, show), within_s=PATIENCE_S)
    found = await _backfill(show)
    show.check(
        "a backfill is under way, page by page, with its progress (FR-5)",
        found["status"] == "running" and 0 < found["progress"]["found"] < PAST,
        f"{found['status']}, {found['progress']['found']} found so far; {found['reason']}",
    )


async def end(show: Show) -> None:
    """It went on after the kill; then two ways in which what webhooks did not bring comes all the same."""
    await _filled_in(show)
    await _redelivered(show)
    await _polled(show)


async def _filled_in(show: Show) -> None:
    stage = show.polled

    async def done() -> bool:
        return bool((await _backfill(show))["status"] != "running")

    await until(done, within_s=_LONG_S)
    ended = await _backfill(show)
    await until(partial(_arrived, stage, PAST), within_s=PATIENCE_S)
    signals = [one for one in await stage.signals() if _is_backfilled(one)]
    times = Counter(one["signal_id"] for one in signals)
    oldest = min(one["occurred_at"] for one in signals)[:10] if signals else "none"
    show.check(
        "the backfill survives the kill -9: each of the past is there, once, marked, at its real time",
        (ended["status"], len(signals), len(times)) == ("done", PAST, PAST)
        and oldest < str(stage.clock.now() - timedelta(days=PAST - 2))[:10],
        f"{ended['status']}, {len(signals)} signals, {len(signals) - len(times)} twice, the oldest of {oldest}",
    )


async def _redelivered(show: Show) -> None:
    """GitHub could not reach us: its own record says so, and it sends once more what it is asked for."""
    stage = show.polled
    before = len(await stage.signals())
    for number in range(_FAILED):
        await stage.neighbours.happens("comments", number=1, body=f"Comment {number}")
    lost = await stage.neighbours.outgoing()
    for one in lost:
        await stage.neighbours.delivered(one["id"], 0)
    await stage.ask("poll", {"resource": "webhook_deliveries"})
    brought: list[Sent] = []

    async def redelivered() -> bool:
        brought.extend([await _bring(stage, one) for one in await stage.neighbours.outgoing()])
        return len(brought) >= _FAILED

    await until(redelivered, within_s=PATIENCE_S)
    await until(partial(_arrived, stage, before + _FAILED), within_s=PATIENCE_S)
    new = (await stage.signals())[before:]
    show.check(
        "webhooks that found nobody: GitHub is asked for them once more, and they come (FR-5)",
        (len(lost), len(brought), len(new)) == (_FAILED,) * 3,
        f"{len(lost)} failed, {len(brought)} brought once more, {len(new)} signals",
    )


async def _polled(show: Show) -> None:
    """What GitHub tells nobody is in its lists; told of as well, it makes no second signal."""
    stage = show.polled
    before = len(await stage.signals())
    for number in range(_FAILED):
        await stage.neighbours.happens("issues", title=f"Unheard of {number}")
    kept = await stage.neighbours.outgoing()
    await stage.ask("poll", {"resource": _ISSUES})
    await until(partial(_arrived, stage, before + _FAILED), within_s=PATIENCE_S)
    polled = len(await stage.signals()) - before
    for one in kept:
        await _bring(stage, one)
    await until(stage.is_settled, within_s=PATIENCE_S)
    both = len(await stage.signals()) - before
    show.check(
        "polling finds what no webhook brought; the webhooks come late, and make no second signal (P2)",
        (len(kept), polled, both) == (_FAILED,) * 3,
        f"{polled} signals by polling, {both} after {len(kept)} late webhooks",
    )


async def _bring(stage: Stage, one: Document) -> Sent:
    """Carry what GitHub sends to the node, and tell GitHub what became of it."""
    sent = await stage.forward(one)
    await stage.neighbours.delivered(one["id"], sent.answered.status if sent.answered else 0)
    return sent


async def _backfill(show: Show) -> Document:
    return await show.polled.read(f"backfills/{show.backfill}")


async def _waits(show: Show) -> bool:
    found = await _backfill(show)
    return bool(found["progress"]["found"] and "429" in (found["reason"] or ""))


async def _has_polled(stage: Stage) -> bool:
    cursors = (await stage.read("cursors"))["cursors"]
    return bool(cursors) and all(one["last_polled_at"] for one in cursors)


async def _arrived(stage: Stage, number: int) -> bool:
    return len(await stage.signals()) >= number


def _is_backfilled(signal: Document) -> bool:
    return bool(signal["payload"]["provider_metadata"].get("backfilled"))
