"""A provider that can only be polled, with all bad habits: every entry is found, whatever the book does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest
from attrs import evolve
from hypothesis import given, settings as effort, strategies as st

from adapters.contract import Action, Done, Later, NeedsLogin, Refused, Request, Response, Secret
from adapters.errors import ActionError, PayloadError, SignatureError
from adapters.faults import failing, rate_limited, revoked
from adapters.polling import CursorLost, Heals, Page, Polls, Span
from adapters.registry import capabilities, register
from tests.adapters.polled import Clock, Reader, delivery_of
from tests.fakes.ledgerbook import ENTRIES, LEDGERBOOK, LIMIT, Book
from tests.fakes.plans import LostError, carry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = Secret(value=b"t0ken")


class Desk:
    """The book, a clock, and one who reads."""

    def __init__(self, start: datetime = NOW, **habits: object) -> None:
        self.clock = Clock(start)
        self.book = Book(token=TOKEN, **habits)  # type: ignore[arg-type]
        self.reader = Reader(LEDGERBOOK, ENTRIES.name, self.send, self.clock)

    def send(self, request: Request) -> Response:
        reply = self.book.handle(LEDGERBOOK.authorise(request, token=TOKEN), now=self.clock())
        if reply.response is None:
            raise LostError
        return reply.response

    def backfill(self, span: Span) -> list[Page]:
        pages: list[Page] = []
        cursor: bytes | None = None
        while not pages or pages[-1].more:
            page = carry(LEDGERBOOK.backfill(ENTRIES.name, span, cursor), self.send)
            assert isinstance(page, Page), page
            pages.append(page)
            cursor = page.cursor
        return pages


def test_it_is_polled_and_nothing_else() -> None:
    assert capabilities(LEDGERBOOK) == ("polling",)
    assert isinstance(LEDGERBOOK, Polls)
    assert not isinstance(LEDGERBOOK, Heals)
    assert register([LEDGERBOOK]).get("ledgerbook") is LEDGERBOOK
    assert LEDGERBOOK.resources(b"{}") == (ENTRIES,)


@effort(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(("write", "late", "poll", "dies")),
            st.integers(min_value=0, max_value=240),
        ),
        max_size=60,
    ),
    ahead=st.integers(min_value=-7_200, max_value=7_200),
    repeats=st.integers(min_value=0, max_value=2),
    backwards=st.booleans(),
)
def test_every_entry_is_found_once(
    steps: list[tuple[str, int]], ahead: int, repeats: int, backwards: bool
) -> None:
    """P2: late, twice, in any order, by any clock, and though a page is lost with its process."""
    desk = Desk(ahead=timedelta(seconds=ahead), repeats=repeats, backwards=backwards)
    desk.reader.poll()
    for step, seconds in steps:
        match step:
            case "write":
                desk.book.write(now=desk.clock())
            case "late":
                desk.book.write(now=desk.clock(), late_by=timedelta(seconds=seconds / 2))
            case "poll":
                desk.reader.poll()
            case _:
                desk.reader.poll(keeps=False)
        desk.clock.pass_(seconds)
    desk.clock.pass_(120)

    desk.reader.drain()
    desk.reader.drain()

    assert {*desk.reader.found} == {f"entry:{entry.id}" for entry in desk.book.entries}
    signals = desk.reader.signals(LEDGERBOOK)
    assert {signal.occurred_at for signal in signals.values()} == {
        entry.at for entry in desk.book.entries
    }


def test_what_is_late_is_found_behind_what_was_in_time() -> None:
    desk = Desk()
    desk.reader.poll()
    desk.book.write(now=desk.clock(), late_by=timedelta(seconds=100))
    desk.clock.pass_(60)
    desk.book.write(now=desk.clock())
    desk.reader.drain()
    desk.clock.pass_(60)

    desk.reader.drain()

    assert {*desk.reader.found} == {"entry:1", "entry:2"}


def test_the_mark_waits_for_the_last_page() -> None:
    desk = Desk()
    desk.reader.poll()
    for _ in range(2 * LIMIT):
        desk.book.write(now=desk.clock())
        desk.clock.pass_(60)
    first = desk.reader.poll()

    assert isinstance(first, Page)
    assert first.more
    assert orjson.loads(first.cursor)["since"] == NOW.isoformat()


def test_what_the_book_has_forgotten_is_a_gap_and_told() -> None:
    desk = Desk(keeps=timedelta(days=2))
    desk.reader.poll()
    desk.book.write(now=desk.clock())
    desk.clock.pass_(5 * 86_400)
    kept = desk.book.write(now=desk.clock())

    desk.reader.drain()

    assert [lost.since for lost in desk.reader.lost] == [desk.clock() - timedelta(days=2)]
    assert {*desk.reader.found} == {f"entry:{kept.id}"}


def test_a_token_that_is_too_old_begins_again() -> None:
    desk = Desk()
    desk.reader.poll()
    for _ in range(3 * LIMIT):
        desk.book.write(now=desk.clock())
    desk.reader.poll()
    desk.clock.pass_(3_600)

    lost = desk.reader.poll()
    desk.reader.drain()

    assert isinstance(lost, CursorLost)
    assert len(desk.reader.found) == 3 * LIMIT


def test_endings_leave_the_cursor_where_it_was() -> None:
    desk = Desk()
    desk.reader.poll()
    before = desk.reader.cursor
    desk.book.plan(rate_limited(timedelta(seconds=40)), failing(502), revoked())

    outcomes = [desk.reader.poll() for _ in range(3)]

    assert outcomes[0] == Later(reason="answered 429", retry_after=timedelta(seconds=40))
    assert isinstance(outcomes[1], Later)
    assert isinstance(outcomes[2], NeedsLogin)
    assert desk.reader.cursor == before


def test_an_unreadable_page_is_asked_for_again() -> None:
    plan = LEDGERBOOK.poll(
        "entries", b'{"since":"2026-03-01T12:00:00+00:00","token":null}', now=NOW
    )

    assert isinstance(carry(plan, lambda _: Response(status=200, body=b"<html>")), Later)


def test_a_backfill_says_how_far_it_is() -> None:
    desk = Desk()
    for _ in range(2 * LIMIT + 2):
        desk.book.write(now=desk.clock())
        desk.clock.pass_(600)
    span = Span(since=NOW + timedelta(minutes=10), until=NOW + timedelta(minutes=120))

    pages = desk.backfill(span)

    assert [(page.done, page.total) for page in pages] == [(5, 11), (10, 11), (11, 11)]
    found = [item.occurred_at for page in pages for item in page.items]
    assert found == sorted(found)
    assert found[0] == span.since
    assert found[-1] < span.until


def test_a_backfill_of_what_is_forgotten_is_refused() -> None:
    desk = Desk(keeps=timedelta(days=1))
    span = Span(since=NOW - timedelta(days=9), until=NOW)

    assert carry(LEDGERBOOK.backfill("entries", span, None), desk.send) == Refused(
        reason="answered 410", status=410
    )


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 0, 30, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),
        ("Pacific/Chatham", datetime(2028, 2, 28, 23, 0, tzinfo=UTC)),
        ("UTC", datetime(2028, 2, 29, 23, 30, tzinfo=UTC)),
    ],
)
def test_clocks_that_change_and_leap_days_hide_nothing(zone: str, start: datetime) -> None:
    """Cursors and spans are UTC, whatever zone the one who asks lives in."""
    local = ZoneInfo(zone)
    desk = Desk(start.astimezone(local))
    desk.reader.poll()
    for _ in range(12):
        desk.clock.time = (desk.clock().astimezone(UTC) + timedelta(minutes=10)).astimezone(local)
        desk.book.write(now=desk.clock().astimezone(UTC))
        desk.reader.drain()
    span = Span(
        since=(start + timedelta(minutes=5)).astimezone(local),
        until=(start + timedelta(hours=3)).astimezone(local),
    )

    assert len(desk.reader.found) == 12
    assert len([item for page in desk.backfill(span) for item in page.items]) == 12


def test_the_rest_of_the_contract_is_kept() -> None:
    desk = Desk()
    desk.book.write(now=NOW, text="Bought ink")
    item = desk.backfill(Span(since=NOW, until=NOW + timedelta(days=1)))[0].items[0]

    assert isinstance(carry(LEDGERBOOK.probe(), desk.send), Done)
    (signal,) = LEDGERBOOK.normalise(delivery_of(item, NOW))
    assert (signal.signal_type, signal.event_key) == ("page_created", "entry:1")
    assert orjson.loads(signal.payload) == {"text": "Bought ink"}
    with pytest.raises(SignatureError):
        LEDGERBOOK.receive(Request(method="POST", url="/"), secrets=(TOKEN,), now=NOW)
    with pytest.raises(PayloadError):
        LEDGERBOOK.normalise(evolve(delivery_of(item, NOW), body=b"{}"))


def test_it_can_do_nothing() -> None:
    action = Action(action_id="a", canonical_type="create_issue", target=b"{}", payload=b"{}")

    with pytest.raises(ActionError):
        LEDGERBOOK.check(action)
    assert LEDGERBOOK.target_key(action) == "create_issue"
    assert isinstance(carry(LEDGERBOOK.plan(action), lambda _: Response(status=200)), Refused)


def test_strangers_and_other_paths_are_turned_away() -> None:
    desk = Desk()

    stranger = desk.book.handle(Request(method="GET", url="/entries"), now=NOW)
    elsewhere = desk.send(Request(method="GET", url="/pages"))

    assert stranger.response is not None
    assert (stranger.response.status, elsewhere.status) == (401, 404)
    assert len(desk.book.seen) == 2
