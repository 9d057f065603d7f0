"""The node's neighbours in a process of their own: ``python -m benchmarks.neighbours`` runs them until SIGTERM.

Its first line of output is a ``Neighbours`` as JSON.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson
import trio
from attrs import asdict, frozen

from http_edge import surroundings
from http_edge.node import new_id
from runtime import TrioClock

TENANT = "bench"


@frozen(kw_only=True)
class Neighbours:
    """What a node and the benchmark need to know of them; the tokens are of the benchmark's tenant."""

    environ: Mapping[str, str]
    pm3_url: str
    github_url: str
    github_token: str
    admin_token: str
    module_token: str


async def main() -> None:
    """Start them, say where they are, and run until SIGTERM."""
    clock = TrioClock(datetime.now(UTC))
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            around = await surroundings.start(nursery, clock=clock, ids=new_id)
            told = Neighbours(
                environ=dict(around.environ()),
                pm3_url=around.pm3_url,
                github_url=around.github_url,
                github_token=around.github_token.value.decode(),
                admin_token=surroundings.caller_token(
                    TENANT, "tenant_admin", clock=clock, ids=new_id
                ),
                module_token=surroundings.caller_token(TENANT, "module", clock=clock, ids=new_id),
            )
            print(orjson.dumps(asdict(told)).decode(), flush=True)
            async for _ in signals:
                nursery.cancel_scope.cancel("asked to stop")


if __name__ == "__main__":
    trio.run(main)
