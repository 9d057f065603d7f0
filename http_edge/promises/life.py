"""A connection's life: suspended and resumed, deleted."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import httpx

from actors.sealing import AUTH, CLIENT, ENDPOINT, VERIFIER, WEBHOOK
from http_edge.promises.show import PATIENCE_S, Show, none_arrives
from http_edge.stage import until
from persistence.opening import open_store

_WHILE_SUSPENDED = 50
_PURPOSES = (AUTH, CLIENT, WEBHOOK, ENDPOINT, VERIFIER)
_PATIENCE = timedelta(seconds=PATIENCE_S)


async def suspended(show: Show) -> None:
    """Nothing goes on while it is suspended, and nothing is lost."""
    stage = show.stage
    await stage.verb("suspend")
    sent = await stage.send_many(_WHILE_SUSPENDED)
    kept = {one.event_id for one in sent if one.acknowledged}
    refused = await _refused_comment(show)
    quiet = await none_arrives(stage, kept)
    show.check(
        "suspended: webhooks are verified and kept, none goes on, no action is taken (FR-2)",
        len(kept) == _WHILE_SUSPENDED and quiet and refused == 409,
        f"{len(kept)} kept, none at PM-3; an action: {refused}",
    )
    await stage.verb("resume")
    counted = await stage.arrived(kept, within_s=PATIENCE_S)
    numbers = [signal["sequence_no"] for signal in await stage.signals()]
    show.check(
        "resumed: all that was kept is released, in order, once",
        all(counted[event] == 1 for event in kept) and numbers == list(range(1, len(numbers) + 1)),
        f"{sum(counted[event] for event in kept)} signals, sequence numbers 1 to {len(numbers)}",
    )


async def deleted(show: Show) -> None:
    """Nothing is left of a deleted connection at the provider, at its endpoint and in the safe."""
    stage = show.second
    before = len(await stage.neighbours.hooks())
    await stage.delete()

    async def tidied() -> bool:
        return not await stage.neighbours.hooks() and not await _secrets(show)

    await until(tidied, within_s=PATIENCE_S)
    event_id, request = stage.delivery()
    sent = await stage.send(event_id, request)
    status = sent.answered.status if sent.answered else 0
    hooks, secrets = len(await stage.neighbours.hooks()), await _secrets(show)
    show.check(
        "deleted: its endpoint answers 410, its webhook is gone at the provider, its secrets too (FR-2)",
        (before, status, hooks, secrets) == (1, 410, 0, 0),
        f"endpoint {status}; webhooks at the provider {before}, then {hooks}; {secrets} secrets kept",
    )


async def _refused_comment(show: Show) -> int:
    """With which status an action is refused; 0: it was not."""
    try:
        await show.stage.comment("while-suspended")
    except httpx.HTTPStatusError as error:
        return error.response.status_code
    return 0


async def _secrets(show: Show) -> int:
    """How many sealed secrets the database has of the second tenant's connection."""
    stage, url = show.second, show.node.program.environ["IA_DATABASE_URL"]
    async with open_store(url, deadline=_PATIENCE) as store:
        kept = [
            await store.secrets_of(
                stage.tenant, UUID(stage.connection_id), purpose, now=stage.clock.now()
            )
            for purpose in _PURPOSES
        ]
    return sum(len(found) for found in kept)
