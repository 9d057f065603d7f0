"""A provider without webhooks: a book of entries that can only be polled. The adapter, and the book itself, both pure.

``GET /entries?since=&until=&limit=&token=`` lists entries by their time, oldest first, from ``since`` on; ``token`` leads
to the next page. The book forgets: ``since`` too far back, or a token too old, is answered 410 with the ``oldest`` time
there still is. It has all the bad habits that polling must bear, see ``Book``.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
from attrs import define, evolve, field, frozen

from adapters import answers
from adapters.contract import (
    Action,
    Delivery,
    Done,
    Later,
    Outcome,
    Plan,
    Refused,
    Request,
    Response,
    Secret,
    Signal,
)
from adapters.document import Document, instant, objects, optional, parse, read
from adapters.errors import ActionError, PayloadError, SignatureError
from adapters.faults import Fault
from adapters.manifest import Category, Manifest, ProviderStatus
from adapters.polling import CursorLost, Item, Page, PollPlan, Resource, Span
from adapters.simulation import Reply, Seen, Stage, as_json

BASE_URL = "https://ledgerbook.test"
ENTRIES = Resource(name="entries", every=timedelta(minutes=5), overlap=timedelta(minutes=3))
LIMIT = 5

MANIFEST = Manifest(
    provider_id="ledgerbook",
    name="Ledgerbook",
    category=Category.KNOWLEDGE,
    status=ProviderStatus.ALPHA,
    api_version="1",
    adapter_version="1.0.0",
    base_url=BASE_URL,
    body_limit_bytes=1_000_000,
    event_kinds=(),
    signal_types=("page_created",),
    actions=(),
)


@frozen(kw_only=True)
class LedgerbookAdapter:
    """See ``contract.Adapter`` and ``polling.Polls``."""

    manifest: Manifest = MANIFEST

    def receive(
        self, request: Request, *, secrets: tuple[Secret, ...], now: datetime
    ) -> Delivery | Response:
        """See ``Webhooks.receive``."""
        raise SignatureError("nothing is sent by this provider")

    def normalise(self, delivery: Delivery) -> tuple[Signal, ...]:
        """See ``Webhooks.normalise``."""
        entry = parse(delivery.body)
        signal = Signal(
            signal_type="page_created",
            occurred_at=instant(entry, "at") or delivery.received_at,
            payload=orjson.dumps({"text": read(entry, "text", str)}),
            event_key=_key(entry),
        )
        return (signal,)

    def check(self, action: Action) -> None:
        """See ``Actions.check``."""
        raise ActionError("nothing can be done here", field="canonical_type")

    def target_key(self, action: Action) -> str:
        """See ``Actions.target_key``."""
        return action.canonical_type

    def plan(self, action: Action) -> Plan:
        """See ``Actions.plan``."""
        yield from ()
        return Refused(reason="nothing can be done here")

    def probe(self, settings: bytes = b"{}", *, granted: tuple[str, ...] = ()) -> Plan:
        """See ``Adapter.probe``."""
        request = Request(method="GET", url="/entries?limit=1")
        response = yield request
        ending: Outcome | None = answers.ending(response, request=request)
        return ending or Done(details=b'{"permissions":{"entries:read":"granted"}}')

    def authorise(self, request: Request, *, token: Secret) -> Request:
        """See ``Adapter.authorise``."""
        header = ("authorization", f"Bearer {token.value.decode()}")
        return evolve(request, headers=(*request.headers, header))

    def resources(self, settings: bytes) -> tuple[Resource, ...]:
        """See ``Polls.resources``."""
        return (ENTRIES,)

    def poll(self, resource: str, cursor: bytes | None, *, now: datetime) -> PollPlan:
        """See ``Polls.poll``."""
        if cursor is None:
            return (yield from _begin(now))
        place = orjson.loads(cursor)
        since = datetime.fromisoformat(place["since"])
        query = {"since": _text(since - ENTRIES.overlap), "limit": LIMIT, "token": place["token"]}
        response = yield _entries(query)
        return _lost(response) or _ended(response) or _next(response, since)

    def backfill(self, resource: str, span: Span, cursor: bytes | None) -> PollPlan:
        """See ``Polls.backfill``."""
        place = orjson.loads(cursor or b'{"token":null,"done":0}')
        query = {"since": _text(span.since), "until": _text(span.until), "limit": LIMIT}
        response = yield _entries({**query, "token": place["token"]})
        ending = _ended(response)
        if ending is not None:
            return ending
        document = parse(response.body)
        token, items = optional(document, "token", str), _items(document)
        done = place["done"] + len(items)
        return Page(
            items=items,
            cursor=orjson.dumps({"token": token, "done": done}),
            more=token is not None,
            done=done,
            total=read(document, "total", int),
        )


def _begin(now: datetime) -> Generator[Request, Response, Page | answers.Ending]:
    response = yield _entries({"limit": 1, "since": _text(now)})
    since = answers.answered_at(response) or now
    ending = None if response.status == 410 else _ended(response)
    return ending or Page(items=(), cursor=_cursor(since))


def _next(response: Response, since: datetime) -> Page | Later:
    try:
        document = parse(response.body)
        items = _items(document)
    except PayloadError as error:
        return Later(reason=f"the answer is unreadable: {error}")
    token = optional(document, "token", str)
    newest = max((since, *(item.occurred_at for item in items)))
    # The mark waits for the last page: what is late on the next ones must not fall behind it.
    at = min(newest, answers.answered_at(response) or newest) if token is None else since
    return Page(items=items, cursor=_cursor(at, token), more=token is not None)


def _lost(response: Response) -> CursorLost | None:
    if response.status != 410:
        return None
    oldest = instant(parse(response.body), "oldest") or datetime.min.replace(tzinfo=UTC)
    cursor = _cursor(oldest + ENTRIES.overlap)
    return CursorLost(reason="the book has forgotten so much", cursor=cursor, since=oldest)


def _ended(response: Response) -> answers.Ending | None:
    return answers.ending(response, request=Request(method="GET", url="/entries"))


def _items(document: Document) -> tuple[Item, ...]:
    found = [
        Item(
            event_kind="entry.made",
            event_id=_key(entry),
            occurred_at=instant(entry, "at") or datetime.min.replace(tzinfo=UTC),
            body=orjson.dumps(entry),
        )
        for entry in objects(document, "entries")
    ]
    return tuple(sorted(found, key=lambda item: item.occurred_at))


def _key(entry: Document) -> str:
    return f"entry:{read(entry, 'id', int)}"


def _cursor(since: datetime, token: str | None = None) -> bytes:
    return orjson.dumps({"since": _text(since), "token": token})


def _entries(query: dict[str, Any]) -> Request:
    given = {name: value for name, value in query.items() if value is not None}
    return Request(method="GET", url=f"/entries?{urlencode(given)}")


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()


@frozen(kw_only=True)
class Entry:
    """An entry of the book; it is listed from ``visible_at`` on, which may be long after its time."""

    id: int
    at: datetime
    visible_at: datetime
    text: str


@define(kw_only=True)
class Book:
    """The provider. ``now`` of every call is ours; ``ahead`` is how far its clock is ahead of it.

    ``keeps``: how far back it lists. ``token_lives``: how long a page's token is good. ``repeats``: how many entries of
    a page are on the one before it too. ``backwards``: each page is in the wrong order.
    """

    token: Secret
    ahead: timedelta = timedelta()
    keeps: timedelta = timedelta(days=30)
    token_lives: timedelta = timedelta(minutes=10)
    repeats: int = 0
    backwards: bool = False
    entries: list[Entry] = field(factory=list)
    _stage: Stage = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Put the stage before what it answers by itself."""
        self._stage = Stage(self._perform)

    @property
    def seen(self) -> tuple[Seen, ...]:
        """The requests it saw."""
        return self._stage.seen

    def plan(self, *faults: Fault) -> None:
        """Plan faults for the requests to come."""
        self._stage.plan(*faults)

    def write(self, *, now: datetime, late_by: timedelta = timedelta(), text: str = "") -> Entry:
        """Somebody makes an entry; it is listed ``late_by`` later."""
        at = now + self.ahead
        made = Entry(
            id=len(self.entries) + 1, at=at, visible_at=at + late_by, text=text or "An entry"
        )
        self.entries.append(made)
        return made

    def handle(self, request: Request, *, now: datetime) -> Reply:
        """Answer a request."""
        return self._stage.handle(request, now=now)

    def _perform(self, request: Request, now: datetime) -> Response:
        there = now + self.ahead
        response = self._answer(request, there)
        date = ("date", format_datetime(there.astimezone(UTC), usegmt=True))
        return evolve(response, headers=(*response.headers, date))

    def _answer(self, request: Request, now: datetime) -> Response:
        url = urlsplit(request.url)
        if request.header("authorization") != f"Bearer {self.token.value.decode()}":
            return as_json(401, {"message": "who are you?"})
        if request.method != "GET" or url.path != "/entries":
            return as_json(404, {"message": "there are only entries"})
        query = dict(parse_qsl(url.query))
        oldest = now - self.keeps
        since = datetime.fromisoformat(query.get("since", _text(oldest)))
        begin, made_at = _token(query.get("token"), now)
        if since < oldest or now - made_at > self.token_lives:
            return as_json(410, {"oldest": _text(oldest)})
        until = datetime.fromisoformat(query.get("until", _text(now + timedelta(days=1))))
        listed = sorted(
            (one for one in self.entries if since <= one.at < until and one.visible_at <= now),
            key=lambda one: (one.at, one.id),
        )
        return self._page(listed, begin, int(query.get("limit", LIMIT)), now)

    def _page(self, listed: list[Entry], begin: int, limit: int, now: datetime) -> Response:
        shown = listed[max(0, begin - self.repeats) : begin + limit]
        rest = begin + limit < len(listed)
        entries = [{"id": one.id, "at": _text(one.at), "text": one.text} for one in shown]
        return as_json(
            200,
            {
                "entries": entries[::-1] if self.backwards else entries,
                "token": f"{begin + limit}~{now.timestamp()}" if rest else None,
                "total": len(listed),
            },
        )


def _token(text: str | None, now: datetime) -> tuple[int, datetime]:
    """Where a page begins, and when its token was given out."""
    if text is None:
        return 0, now
    begin, _, made_at = text.partition("~")
    return int(begin), datetime.fromtimestamp(float(made_at), UTC)


LEDGERBOOK = LedgerbookAdapter()
