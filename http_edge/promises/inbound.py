"""Webhooks in: accepted, refused, known again, kept while PM-3 is down."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.progress import Progress

from adapters.contract import Request, Secret
from http_edge.promises.show import PATIENCE_S, Show
from http_edge.sending import Answered, signed
from http_edge.stage import WEBHOOK_SECRET, Sent, Stage, until

FIRST, DURING_OUTAGE = 200, 100


async def connect(show: Show) -> None:
    """A connection by a token, and its webhook at the provider."""
    stage = show.stage
    connection = await stage.connect()
    verification = connection["verification"]
    permissions = verification["details"].get("permissions", {})
    granted = sum(verdict == "granted" for verdict in permissions.values())
    show.check(
        "a connection is active once its credentials were tried at the provider (FR-2)",
        connection["status"] == "active" and verification["passed"],
        f"{connection['status']}; {granted} of {len(permissions)} permissions granted",
    )
    await until(stage.is_registered, within_s=PATIENCE_S)
    await stage.verb("subscribe")
    hooks = await stage.neighbours.hooks()
    ours = [hook for hook in hooks if hook["url"] == stage.webhook_url]
    show.check(
        "its webhook is registered at the provider by itself; asked again, there is still one",
        len(hooks) == len(ours) == 1 and ours[0]["secret"] == WEBHOOK_SECRET.value.decode(),
        f"{len(hooks)} webhook, {len(ours)} of it with our URL, "
        f"for {len(hooks[0]['events']) if hooks else 0} events",
    )


async def webhooks(show: Show) -> None:
    """What is signed becomes a signal."""
    sent = await _send_with_progress(show, FIRST)
    accepted = {one.event_id for one in sent if one.acknowledged}
    counted = await show.stage.arrived(accepted, within_s=PATIENCE_S)
    kinds = {str(signal["signal_type"]) for signal in await show.stage.signals()}
    show.check(
        "every signed webhook becomes one signal at PM-3 (P1, P2)",
        len(accepted) == FIRST and all(counted[event] == 1 for event in accepted),
        f"{len(accepted)} accepted, {counted.total()} signals of {len(kinds)} types",
    )


async def refusals(show: Show) -> None:
    """What is forged, replayed or malformed does not."""
    stage = show.stage
    before = len(await stage.signals())
    forged = await _post(stage, *stage.delivery(secret=Secret(value=b"not the secret")))
    show.check("a forged webhook is refused (P3)", forged.status == 401, _told(forged))
    event_id, genuine = stage.delivery()
    first = await _post(stage, event_id, genuine)
    again = await _post(stage, event_id, genuine)
    other_id = await _post(stage, event_id, _under(str(stage.ids()), genuine))
    await stage.arrived({event_id}, within_s=PATIENCE_S)
    show.check(
        "a replayed webhook is known again, under a new id too (P2)",
        (first.status, again.status, other_id.status) == (202, 200, 200),
        f"first {first.status}; same id {_told(again)}; new id {_told(other_id)}",
    )
    broken_id = str(stage.ids())
    broken = signed("github", "push", b'{"ref": ', secret=WEBHOOK_SECRET, event_id=broken_id)
    malformed = await _post(stage, broken_id, broken)
    show.check("a malformed webhook is refused", malformed.status == 400, _told(malformed))
    after = len(await stage.signals())
    show.check(
        "of these, only the genuine one is at PM-3", after == before + 1, f"{after - before} more"
    )


async def outage(show: Show) -> None:
    """PM-3 goes down and comes back."""
    stage = show.stage
    before = len(await stage.signals())
    await stage.neighbours.pm3("down")
    sent = await _send_with_progress(show, DURING_OUTAGE)
    accepted = {one.event_id for one in sent if one.acknowledged}
    meanwhile = len(await stage.signals())
    await stage.neighbours.pm3("up")
    counted = await stage.arrived(accepted, within_s=PATIENCE_S)
    show.check(
        "PM-3 down: webhooks are accepted all the same",
        len(accepted) == DURING_OUTAGE and meanwhile == before,
        f"{len(accepted)} accepted, {meanwhile - before} at PM-3",
    )
    numbers = [signal["sequence_no"] for signal in await stage.signals()]
    show.check(
        "PM-3 up again: nothing lost, in order, without gaps (P5)",
        accepted <= counted.keys() and numbers == list(range(1, len(numbers) + 1)),
        f"sequence numbers 1 to {len(numbers)}",
    )


async def _send_with_progress(show: Show, number: int) -> Sequence[Sent]:
    with Progress(console=show.console, transient=True) as progress:
        task = progress.add_task("  sending", total=number)
        return await show.stage.send_many(
            number, told=lambda done: progress.update(task, completed=done)
        )


async def _post(stage: Stage, event_id: str, request: Request) -> Answered:
    sent = await stage.send(event_id, request)
    return sent.answered or Answered(status=0, body="no answer")


def _under(event_id: str, request: Request) -> Request:
    """The same delivery under another id."""
    headers = tuple(
        (name, event_id if name == "x-github-delivery" else value)
        for name, value in request.headers
    )
    return Request(method="POST", url="/", headers=headers, body=request.body)


def _told(answered: Answered) -> str:
    """The status, and the node's own word for it."""
    if not answered.status:
        return answered.body
    document = json.loads(answered.body)
    word = document["error"]["message"] if "error" in document else document["status"]
    return f"{answered.status} {word}"
