"""Actions out: in order per target, cancelled before they are sent, settled by a person where nobody can know."""

from __future__ import annotations

from functools import partial

from http_edge.neighbours import Document
from http_edge.promises.show import PATIENCE_S, Show
from http_edge.stage import ACTIONS, Stage, until

_STUCK_S = 3


async def in_order(show: Show) -> None:
    """One target is stuck, with two actions behind; another target is free."""
    stage = show.stage
    await stage.neighbours.fault(delay_s=_STUCK_S, method="POST", path="/issues/2/comments")
    first = await stage.comment("first")
    await until(partial(stage.is_commented, "first"), within_s=PATIENCE_S)
    second, doomed = await stage.comment("second"), await stage.comment("doomed")
    beside = await stage.comment("beside", wait_s=10, on_issue=True)
    held = [(await stage.action(each["action_id"]))["status"] for each in (first, second)]
    show.check(
        "a target that is stuck holds up only itself",
        beside["status"] == "done" and held == ["queued", "queued"],
        f"its two actions are {held[0]}; one on another target is {beside['status']}",
    )
    cancelled = await stage.call(
        "module", "POST", f"{ACTIONS}/{doomed['action_id']}/cancel", {"reason": "not needed"}
    )
    after = await stage.comment("after", wait_s=10)
    made = [key for key in await stage.neighbours.comments() if key in _WANTED]
    show.check(
        "actions on one target are carried out in order",
        made == ["Comment first", "Comment second", "Comment after"],
        ", ".join(made),
    )
    show.check(
        "an action that is cancelled before it is sent is never sent",
        cancelled["status"] == "cancelled"
        and after["status"] == "done"
        and await stage.comments("doomed") == 0,
        f"{cancelled['status']}; the one behind it is {after['status']}",
    )


_WANTED = tuple(f"Comment {key}" for key in ("first", "second", "doomed", "after"))


async def unsure(show: Show) -> None:
    """The answer is lost, and the provider does not let us look; an operator does."""
    stage, faults = show.stage, show.stage.neighbours
    await faults.fault(dropped=True, method="POST", path="/comments")
    await faults.fault(effect="none", status=404, method="GET", path="/comments")
    action = await stage.comment("nobody-knows", wait_s=20)
    kind = f"action_unsure:{action['action_id']}"
    opened = await stage.alerted(kind, "open", within_s=PATIENCE_S)
    resolved = await _resolve(stage, action)
    closed = await stage.alerted(kind, "resolved", within_s=PATIENCE_S)
    show.check(
        "what nobody can know is unsure and never sent again; an operator settles it (FR-7)",
        (action["status"], resolved["status"]) == ("unsure", "done")
        and [*opened, *closed] == ["open", "resolved"]
        and await stage.comments("nobody-knows") == 1,
        f"{action['status']}, an alert; then {resolved['status']}, alert {', '.join(closed)}; "
        f"{await stage.comments('nobody-knows')} comment",
    )


async def _resolve(stage: Stage, action: Document) -> Document:
    said = {"status": "done", "reason": "seen at GitHub"}
    return await stage.call("operator", "POST", f"{ACTIONS}/{action['action_id']}/resolve", said)
