"""What stands between Hypercorn and Quart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework, ASGIReceiveEvent, ASGISendEvent, Scope


_SEND_WITHIN_S = 30.0


def finishing(app: ASGIFramework) -> ASGIFramework:
    """The same application, whose answers are sent to their end.

    Hypercorn tells of the end of a stream from within the last ``send``, and Quart-Trio takes that for a client that
    hung up and cancels the task that is sending. What Hypercorn does after that is then lost: it never starts to
    watch the idle connection, which stays open until it is read from again, and holds up the shutdown for the whole
    graceful time-out.
    """

    async def finish(
        scope: Scope,
        receive: Callable[[], Awaitable[ASGIReceiveEvent]],
        send: Callable[[ASGISendEvent], Awaitable[None]],
    ) -> None:
        async def send_whole(event: ASGISendEvent) -> None:
            with trio.fail_after(_SEND_WITHIN_S, shield=True):
                await send(event)

        await app(scope, receive, send_whole)

    return finish
