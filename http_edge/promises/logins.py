"""OAuth 2.0: a login, its tokens and their renewal, a grant that is taken back."""

from __future__ import annotations

from datetime import timedelta

import trio

from http_edge.hubs import RENEWED_AHEAD
from http_edge.promises.show import PATIENCE_S, Show, none_arrives

_MEANWHILE = 20
_AS_IT_IS = timedelta(seconds=3)
LIVES = RENEWED_AHEAD + _AS_IT_IS
"""How long a token lives here: a node uses it as it is for three seconds, and then renews it."""


async def log_in(show: Show) -> None:
    """A person grants access."""
    stage = show.second
    answer = await stage.connect_by_login()
    told = answer.json()
    again = await stage.client.get(str(answer.url))
    show.check(
        "a login by OAuth 2.0 makes a connection active; its callback works once (FR-3)",
        told["status"] == "active" and told["verification"]["passed"] and again.is_client_error,
        f"{told['status']}; the same callback again: {again.status_code}",
    )


async def renewed(show: Show) -> None:
    """Three seconds after the login, less than five minutes are left of its token."""
    stage = show.second
    await trio.sleep(_AS_IT_IS.total_seconds())
    done, asked = (
        await stage.comment("by-a-renewed-token", wait_s=20),
        await stage.token_requests(),
    )
    connection = await stage.connection()
    show.check(
        "a token is renewed ahead of its end (FR-3)",
        (done["status"], connection["status"], asked) == ("done", "active", 2),
        f"{asked} tokens from GitHub: by the code, and by its refresh token; a comment: {done['status']}",
    )


async def taken_back(show: Show) -> None:
    """The person takes the grant back, and later gives it again."""
    stage, neighbours = show.second, show.second.neighbours
    await neighbours.tell_github("revocations", login="octo-bot")
    refused = await stage.comment("after-the-revocation", wait_s=20)
    sent = await stage.send_many(_MEANWHILE)
    kept = {one.event_id for one in sent if one.acknowledged}
    connection = await stage.connection()
    opened = await stage.alerted("needs_login", "open", within_s=PATIENCE_S)
    show.check(
        "a grant that is taken back puts its connection in error, and EPC-4 is told once (FR-3)",
        connection["status"] == "error"
        and str(connection["reason"]).startswith("needs_login")
        and refused["status"] == "needs_login"
        and list(opened) == ["open"],
        f"{connection['status']}: {connection['reason']}; alert {', '.join(opened)}",
    )
    quiet = await none_arrives(stage, kept)
    answer = await stage.log_in()
    counted = await stage.arrived(kept, within_s=PATIENCE_S)
    closed = await stage.alerted("needs_login", "resolved", within_s=PATIENCE_S)
    show.check(
        "a new login brings it back, with what was delivered meanwhile",
        quiet
        and answer.json()["status"] == "active"
        and len(kept) == _MEANWHILE
        and all(counted[event] == 1 for event in kept)
        and closed == ["resolved"],
        f"{answer.json()['status']}; {sum(counted[event] for event in kept)} of {len(kept)} signals "
        f"at PM-3; alert {', '.join(closed)}",
    )
