"""What webhooks tell and what polls find is one signal, whichever comes first (P2, FR-5)."""

from __future__ import annotations

from uuid import uuid4

import orjson
import pytest
from attrs import evolve

from adapters.github.simulator_history import Happened
from persistence.records import ConnectionRecord
from tests.actors.book import HOUR, Turns
from tests.actors.hub import Hub, a_hub
from tests.actors.life import REPOSITORY
from tests.persistence import samples

BOTH = ("webhook", "polling", "outbound_actions")


def things_happen(hub: Hub) -> list[Happened]:
    """What an issue and a pull request go through."""
    history, now = hub.github.history, hub.clock.now()
    repository = hub.github.world.named(REPOSITORY)
    assert repository is not None
    return [
        history.opens(repository, now=now, is_pr=False),
        history.opens(repository, now=now, is_pr=True),
        history.comments(repository, 2, now=now),
        history.changes(repository, 2, now=now),
        history.merges(repository, 3, now=now),
    ]


async def told(hub: Hub, connection: ConnectionRecord, *happened: Happened) -> None:
    """GitHub's webhooks about it come."""
    for one in happened:
        delivery = samples.delivery(
            connection,
            str(uuid4()),
            body=orjson.dumps(one.document),
            received_at=hub.clock.now(),
        )
        await hub.scene.deliver(connection, evolve(delivery, event_kind=one.event_kind))


@pytest.mark.parametrize("webhooks", ["before", "after", "some before, some after"])
async def test_what_came_by_webhook_and_by_poll_makes_one_signal(store_url, webhooks):
    """P2, P9: both deliveries are accounted for."""
    async with a_hub(store_url) as hub:
        hub.clock.at += HOUR  # what is there already is of the past
        connection = await hub.active(capabilities=BOTH)
        turns = Turns(hub.scene, hub.clock, connection)
        await turns.rested()
        hub.clock.advance(minutes=3)
        happened = things_happen(hub)
        first = {"before": 5, "after": 0}.get(webhooks, 2)

        await told(hub, connection, *happened[:first])
        await hub.scene.counted(connection, forwarded=first)
        hub.clock.at += HOUR
        await turns.take()
        await told(hub, connection, *happened[first:])

        ledger = await hub.scene.ledger(connection)
        await hub.scene.counted(connection, forwarded=ledger.accepted)
        assert ledger.accepted == 2 * len(happened)
        assert len(hub.scene.signals.accepted) == len(happened)
        assert hub.scene.signals.numbers == [1, 2, 3, 4, 5]
        assert hub.scene.recorder.crashes == []
