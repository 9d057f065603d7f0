"""The program is killed and started again; what it acknowledged is counted at the other end."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from http_edge.child import Child
from http_edge.stage import Stage, until

_PATIENCE_S = 40.0


async def send_and_kill(stage: Stage, node: Child, *, number: int, kill_after: int) -> None:
    """Kill -9 in the middle of ``number`` webhooks."""
    reached = trio.Event()

    def told(done: int) -> None:
        if done >= kill_after:
            reached.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(stage.send_many, number, told=told))
        await reached.wait()
        await node.kill()


async def test_p1_kill_9_under_load_loses_no_acknowledged_delivery(
    stage: Stage, node: Child
) -> None:
    """P1, P2, P5, P9: on both engines, killed twice, counted at PM-3."""
    await stage.connect()

    for kill_after in (60, 150):
        await send_and_kill(stage, node, number=250, kill_after=kill_after)
        await node.start_again(stage.client)

    acknowledged = stage.acknowledged()
    counted = await stage.arrived(acknowledged, within_s=_PATIENCE_S)
    assert len(acknowledged) >= 210
    assert any(sent.answered is None for sent in stage.sent)  # the kills did hit the load
    assert acknowledged - counted.keys() == set()
    assert max(counted.values()) == 1
    assert await until(stage.is_settled, within_s=_PATIENCE_S)
    signals, ledger = await stage.signals(), await stage.ledger()
    assert [signal["sequence_no"] for signal in signals] == list(range(1, len(signals) + 1))
    assert ledger["difference"] == 0
    assert ledger["accepted"] == ledger["forwarded"] == len(signals)


@pytest.mark.parametrize("answer", [pytest.param("delayed", marks=pytest.mark.thorough), "lost"])
async def test_p4_kill_9_while_a_comment_waits_for_its_answer_makes_one_comment(
    stage: Stage, node: Child, answer: str
) -> None:
    """P4 with the real process: the effect is there, the answer is not, the node dies."""
    await stage.connect()
    fault = {"delay_s": 20} if answer == "delayed" else {"dropped": True, "delay_s": 1}
    await stage.neighbours.fault(effect="now", method="POST", path="/comments", **fault)
    action = await stage.comment("killed", wait_s=0)
    assert await until(partial(stage.is_commented, "killed"), within_s=_PATIENCE_S)

    await node.kill()
    await node.start_again(stage.client)
    ended = await stage.action_ended(action["action_id"], within_s=_PATIENCE_S)

    assert ended["status"] == "done"
    assert ended["reference"]["url"].startswith(
        "https://github.com/acme/rocket/pull/2#issuecomment-"
    )
    assert await stage.comments("killed") == 1


@pytest.mark.thorough
async def test_p11_sigterm_under_load_exits_0_and_loses_nothing(stage: Stage, node: Child) -> None:
    """P11: what was acknowledged before the stop is forwarded after the next start."""
    await stage.connect()
    await stage.neighbours.pm3("down")
    reached = trio.Event()

    async with trio.open_nursery() as nursery:
        told = lambda done: reached.set() if done >= 40 else None  # noqa: E731
        nursery.start_soon(partial(stage.send_many, 120, told=told))
        await reached.wait()
        code = await node.stop()

    assert code == 0
    await stage.neighbours.pm3("up")
    await node.start_again(stage.client)
    acknowledged = stage.acknowledged()
    counted = await stage.arrived(acknowledged, within_s=_PATIENCE_S)
    assert len(acknowledged) >= 40
    assert acknowledged <= counted.keys()
    assert max(counted.values()) == 1


@pytest.mark.thorough
async def test_p8_no_secret_is_in_the_log_or_the_database_of_a_node(
    stage: Stage, node: Child, sqlite_url: str
) -> None:
    """P8, SEC-IA-01: what the node wrote is searched for every secret that was used."""
    await stage.connect()
    await stage.send_many(5)
    await stage.comment("searched", wait_s=10)
    await stage.arrived(stage.acknowledged(), within_s=_PATIENCE_S)

    await node.stop()

    written = node.program.log.read_bytes()
    assert b"node.stopped" in written
    for secret in (
        stage.around.github_token.value,
        stage.around.iam_secret.value,
        b"only-github-and-we-know-this",
        stage.webhook_url.rpartition("/")[2].encode(),
        b"valid_token_",
    ):
        assert secret not in written
