"""A provider with webhooks and lists, and no record of what it sent: the ledgerbook, which tells of its entries too.

Who has its webhook made does that by hand. Where the token of a backfill's page is too old, it is begun anew.
"""

from __future__ import annotations

from uuid import UUID

import orjson
from attrs import evolve, field, frozen

from adapters.contract import Refused
from adapters.manifest import Manifest
from adapters.polling import CursorLost, PollPlan, Span
from persistence.records import ConnectionRecord, NewDelivery
from tests.fakes.ledgerbook import MANIFEST, Entry, LedgerbookAdapter

HERALD_URL = "https://herald.test"
_FROM_THE_BEGINNING = b'{"token":null,"done":0}'


@frozen(kw_only=True)
class HeraldAdapter(LedgerbookAdapter):
    """See ``LedgerbookAdapter``."""

    manifest: Manifest = field(
        default=evolve(
            MANIFEST, provider_id="herald", base_url=HERALD_URL, event_kinds=("entry.made",)
        )
    )

    def backfill(self, resource: str, span: Span, cursor: bytes | None) -> PollPlan:
        """See ``Polls.backfill``."""
        outcome = yield from LedgerbookAdapter.backfill(self, resource, span, cursor)
        if isinstance(outcome, Refused) and outcome.status == 410:
            reason = "the page is forgotten"
            return CursorLost(reason=reason, cursor=_FROM_THE_BEGINNING, since=span.since)
        return outcome


def webhook_of(entry: Entry, to: ConnectionRecord, delivery_id: UUID) -> NewDelivery:
    """The webhook about an entry, which comes when the entry is made, as the edge stores it."""
    document = {"id": entry.id, "at": entry.at.isoformat(), "text": entry.text}
    return NewDelivery(
        delivery_id=delivery_id,
        tenant_id=to.tenant_id,
        connection_id=to.connection_id,
        event_kind="entry.made",
        event_id=str(delivery_id),
        replay_digest=None,
        received_at=entry.at,
        body=orjson.dumps(document),
    )


HERALD = HeraldAdapter()
