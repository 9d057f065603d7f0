"""A power cut: kill -9 under load, and what stands after the restart."""

from __future__ import annotations

from functools import partial

import trio

from http_edge.promises.show import PATIENCE_S, Show
from http_edge.stage import until

AROUND_KILL = 400


async def lost_answer(show: Show) -> None:
    """The effect is there, the answer is not."""
    await show.stage.neighbours.fault(effect="now", dropped=True, method="POST", path="/comments")
    action = await show.stage.comment("whose-answer-is-lost", wait_s=20)
    found = await show.stage.comments("whose-answer-is-lost")
    show.check(
        "a comment whose first answer is lost is made once (P4)",
        action["status"] == "done" and found == 1,
        f"{action['status']} after {action['attempts'] + 1} tries, {found} comment",
    )


async def killed(show: Show) -> None:
    """Kill the node while webhooks pour in and a comment waits for its answer; then start it again."""
    stage = show.stage
    await stage.neighbours.fault(effect="now", delay_s=8, method="POST", path="/comments")
    action = await stage.comment("sent-before-the-kill")
    await until(partial(stage.is_commented, "sent-before-the-kill"), within_s=PATIENCE_S)
    await _kill_under_load(show)
    await show.node.start_again(stage.client)
    await _webhooks_are_there(show)
    ended = await stage.action_ended(action["action_id"], within_s=PATIENCE_S)
    found = await stage.comments("sent-before-the-kill")
    show.check(
        "kill -9 while a comment waits for its answer: it is made once (P4)",
        ended.get("status") == "done" and found == 1,
        f"{ended.get('status')}, {found} comment",
    )
    await _login_is_there(show)


async def _kill_under_load(show: Show) -> None:
    progress = trio.Event()

    def told(done: int) -> None:
        if done >= AROUND_KILL // 3:
            progress.set()

    async with trio.open_nursery() as nursery:

        async def kill() -> None:
            await progress.wait()
            await show.node.kill()

        nursery.start_soon(kill)
        await show.stage.send_many(AROUND_KILL, told=told)


async def _webhooks_are_there(show: Show) -> None:
    stage = show.stage
    acknowledged = stage.acknowledged()
    counted = await stage.arrived(acknowledged, within_s=PATIENCE_S)
    lost = len(acknowledged - counted.keys())
    twice = sum(times > 1 for times in counted.values())
    cut = sum(one.answered is None for one in stage.sent)
    show.check(
        "kill -9 under load, restart: every acknowledged webhook is at PM-3, once (P1, P2)",
        lost == 0 and twice == 0 and cut > 0,
        f"{len(acknowledged)} acknowledged, {cut} cut off unanswered, {lost} lost, {twice} twice",
    )


async def _login_is_there(show: Show) -> None:
    """GitHub takes each refresh token once, so only the one that was kept before the kill opens the door."""
    stage, before = show.second, await show.second.token_requests()
    done = await stage.comment("after-the-kill", wait_s=20)
    connection, asked = await stage.connection(), await stage.token_requests() - before
    show.check(
        "the rotated refresh token survives the kill -9 (FR-3)",
        done["status"] == "done" and connection["status"] == "active" and asked == 1,
        f"renewed {asked} time after the restart; comment {done['status']}",
    )
