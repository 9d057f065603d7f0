"""What the simulated GitHub sends to webhooks, keeps for three days, shows, and sends again when it is asked.

It does no I/O: ``pending`` is what is to be sent now, signed; whoever sends it tells with ``answered`` what came of it.
"""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timedelta
from urllib.parse import urlencode

import orjson
from attrs import define, field

from adapters.contract import Request, Response, Secret
from adapters.document import Document
from adapters.github import sending
from adapters.github.requests import stamp
from adapters.github.routes import Call, not_found, per_page
from adapters.github.simulator_hooks import Hook, HookShelf
from adapters.github.world import Item, World
from adapters.simulation import as_json

_PATH = re.compile(
    r"/(?P<owner>repos/[^/]+/[^/]+|repositories/\d{1,12}|orgs/[^/]+)/hooks/(?P<hook>\d{1,12})"
    r"/deliveries(?:/(?P<id>\d{1,12})/attempts)?"
)
_KEPT = timedelta(days=3)
_NAMES = uuid.UUID("5b0f4d0e-7c53-4b7e-9a8e-6d1d3f0a2c11")


@define(kw_only=True)
class Sent:
    """One delivery. ``status``: what was answered, 0 where nobody was there; None: not sent yet."""

    id: int
    hook_id: int
    guid: str
    event_kind: str
    body: bytes = field(repr=False)
    at: datetime
    redelivery: bool = False
    status: int | None = None

    @property
    def arrived(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


@define(kw_only=True)
class DeliveryLog:
    """All deliveries to the webhooks of ``shelf``, in the order they were made."""

    shelf: HookShelf
    world: World
    sent: dict[int, Sent] = field(factory=dict)

    def happened(
        self, owners: tuple[str, ...], event_kind: str, document: Document, *, now: datetime
    ) -> None:
        """Something happened: every active webhook of the ``owners`` that wants such events is to get it."""
        event, made = event_kind.partition(".")[0], self.world.new_id()
        for hook in [hook for owner in owners for hook in self.shelf.of(owner)]:
            if hook.active and (event in hook.events or "*" in hook.events):
                self._add(
                    Sent(
                        id=self.world.new_id(),
                        hook_id=hook.id,
                        guid=str(uuid.uuid5(_NAMES, str(made))),
                        event_kind=event_kind,
                        body=orjson.dumps(document),
                        at=now,
                    )
                )

    def pending(self) -> tuple[tuple[Sent, Request], ...]:
        """What is to be sent, signed with each webhook's secret of now; to one that is gone, nothing."""
        waiting = [sent for sent in self.sent.values() if sent.status is None]
        return tuple(
            (sent, _signed(sent, self.shelf.hooks[sent.hook_id]))
            for sent in waiting
            if sent.hook_id in self.shelf.hooks
        )

    def answered(self, delivery_id: int, status: int, *, now: datetime) -> bool:
        """The receiver answered (0: it was not there); False where there is no such delivery."""
        sent = self.sent.get(delivery_id)
        if sent is None:
            return False
        sent.status, sent.at = status, now
        return True

    def answer(self, call: Call) -> Response | None:
        """What the API answers about deliveries; None where the call is about something else."""
        found = _PATH.fullmatch(call.request.url)
        if found is None:
            return None
        hook = self.shelf.hooks.get(int(found["hook"]))
        if hook is None or hook.owner != self.shelf.owner(call, found["owner"]):
            return not_found()
        match call.request.method, found["id"]:
            case "GET", None:
                return self._list(call, hook)
            case "POST", str(number):
                return self._again(call, hook, int(number))
            case _:
                return not_found()

    def _list(self, call: Call, hook: Hook) -> Response:
        """Newest first; a page begins with the delivery that ``cursor`` names."""
        listed = sorted(
            self._kept(hook, call.now), key=lambda sent: (sent.at, sent.id), reverse=True
        )
        asked = call.query.get("cursor")
        begin = next((i for i, sent in enumerate(listed) if str(sent.id) == asked), 0)
        end = begin + per_page(call)
        headers: tuple[tuple[str, str], ...] = ()
        if end < len(listed):
            query = urlencode({**call.query, "cursor": listed[end].id})
            headers = (("link", f'<{call.root}{call.request.url}?{query}>; rel="next"'),)
        return as_json(200, [_shown(sent) for sent in listed[begin:end]], headers=headers)

    def _again(self, call: Call, hook: Hook, number: int) -> Response:
        first = next((sent for sent in self._kept(hook, call.now) if sent.id == number), None)
        if first is None:
            return not_found()
        self._add(
            Sent(
                id=self.world.new_id(),
                hook_id=hook.id,
                guid=first.guid,
                event_kind=first.event_kind,
                body=first.body,
                at=call.now,
                redelivery=True,
            )
        )
        return as_json(202, {})

    def _kept(self, hook: Hook, now: datetime) -> list[Sent]:
        return [
            sent
            for sent in self.sent.values()
            if sent.hook_id == hook.id and sent.status is not None and now - sent.at < _KEPT
        ]

    def _add(self, sent: Sent) -> None:
        self.sent[sent.id] = sent


def _signed(sent: Sent, hook: Hook) -> Request:
    return sending.deliver(
        sent.event_kind.partition(".")[0],
        sent.body,
        secret=Secret(value=hook.config.get("secret", "").encode()),
        guid=sent.guid,
        hook_id=hook.id,
        url=hook.config["url"],
    )


def _shown(sent: Sent) -> Item:
    event, _, action = sent.event_kind.partition(".")
    return {
        "id": sent.id,
        "guid": sent.guid,
        "delivered_at": stamp(sent.at),
        "redelivery": sent.redelivery,
        "duration": 0.1,
        "status": "OK" if sent.arrived else "failed",
        "status_code": sent.status,
        "event": event,
        "action": action or None,
        "installation_id": None,
        "repository_id": None,
    }
