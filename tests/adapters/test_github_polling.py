"""What a poll of GitHub finds is what its webhooks would have told, whatever happens between the pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest
from attrs import evolve
from hypothesis import given, settings as effort, strategies as st

from adapters.contract import Later, NeedsLogin, Refused, Request, Response
from adapters.errors import SettingsError
from adapters.faults import failing, rate_limited, revoked
from adapters.github import ADAPTER
from adapters.github.cursors import OVERLAP, Cursor, cursor_from, written
from adapters.github.simulator import secondary_limit
from adapters.polling import CursorLost, Item, Page, PollOutcome, Polls, Resource, Span
from tests.adapters.hub import KINDS, NOW, REPOSITORY, Hub, pages_of
from tests.adapters.polled import Reader
from tests.fakes.plans import carry

STEPS = (
    "opens", "opens_pr", "closes", "reopens", "merges", "retitles", "comments", "poll", "dies", "drain",
)  # fmt: skip
Steps = list[tuple[str, int, int]]
steps_of = st.lists(
    st.tuples(
        st.sampled_from(STEPS), st.integers(min_value=0, max_value=7), st.integers(min_value=0, max_value=90)
    ),
    max_size=50,
)  # fmt: skip
aheads = st.sampled_from((-5_400, -61, 0, 61, 5_400))


def happens(hub: Hub, step: str, pick: int) -> None:
    """One thing happens to one of the issues and pull requests, if there is one that it can happen to."""
    if step.startswith("opens"):
        hub.opens(is_pr=step == "opens_pr")
        return
    fitting = [item for item in hub.repository.issues.values() if can(step, item)]
    if fitting:
        number = fitting[pick % len(fitting)]["number"]
        getattr(hub, step)(number)


def can(step: str, item: dict[str, object]) -> bool:
    pull = item.get("pull_request")
    match step:
        case "closes":
            return item["state"] == "open"
        case "merges":
            return item["state"] == "open" and pull is not None
        case "reopens":
            return item["state"] == "closed" and not (
                isinstance(pull, dict) and pull["merged_at"] is not None
            )
        case _:
            return True


@effort(max_examples=120, deadline=None)
@given(steps=steps_of, ahead=aheads, page_size=st.sampled_from((2, 3, 100)))
def test_a_poll_finds_what_webhooks_would_have_told(
    steps: Steps, ahead: int, page_size: int
) -> None:
    """P2: one signal whichever way; between any two pages anything may happen, or the process die."""
    hub = Hub(ahead=timedelta(seconds=ahead))
    readers = [hub.reader(kind) for kind in KINDS]
    for reader in readers:
        reader.poll()
    seen: set[str] = set()
    for step, pick, seconds in [*steps, ("drain", 0, 0)]:
        hub.clock.pass_(apart(seconds, page_size))
        match step:
            case "poll" | "dies":
                with pages_of(page_size):
                    readers[pick % 3].poll(keeps=step == "poll")
            case "drain":
                with pages_of(page_size):
                    seen |= drained(hub, readers)
            case _:
                happens(hub, step, pick)

    found = {key: signal for reader in readers for key, signal in reader.signals(ADAPTER).items()}
    told = hub.told_by_webhook()
    assert {key for reader in readers for key in reader.found} == {*found}
    assert {*found} <= {*told}
    assert seen <= {*found}
    for key, signal in found.items():
        assert key is not None
        same = told[key]
        assert (signal.signal_type, signal.occurred_at, signal.resource) == (
            same.signal_type,
            same.occurred_at,
            same.resource,
        )
        assert orjson.loads(signal.canonical_keys) == orjson.loads(same.canonical_keys)


def apart(seconds: int, page_size: int) -> int:
    """No page is full of one second; see ``walking`` for what could be hidden then."""
    return seconds if page_size == 100 else max(1, seconds)


def drained(hub: Hub, readers: list[Reader]) -> set[str]:
    """What must be found once all was read twice: the first time may only end a walk that passed what happened since."""
    for reader in (*readers, *readers):
        reader.drain()
    return hub.standing()


def backfill(hub: Hub, kind: str, span: Span, between: list[str] | None = None) -> list[Item]:
    """The whole backfill; one of ``between`` happens before each page."""
    items: list[Item] = []
    cursor: bytes | None = None
    todo = list(between or ())
    for _ in range(500):
        page = carry(ADAPTER.backfill(f"{kind}:{REPOSITORY}", span, cursor), hub.send)
        assert isinstance(page, Page), page
        assert [item.occurred_at for item in page.items] == sorted(
            item.occurred_at for item in page.items
        )
        items += page.items
        cursor = page.cursor
        if not page.more:
            return items
        hub.clock.pass_(1)
        if todo:
            happens(hub, todo.pop(), len(todo))
    raise AssertionError("it does not end")


@effort(max_examples=100, deadline=None)
@given(
    steps=steps_of,
    between=st.lists(st.sampled_from(STEPS[:7]), max_size=20),
    ahead=aheads,
    page_size=st.sampled_from((2, 3, 100)),
    begin=st.integers(min_value=0, max_value=600),
    length=st.integers(min_value=1, max_value=1_200),
)
def test_a_backfill_finds_what_happened_in_its_span(
    steps: Steps, between: list[str], ahead: int, page_size: int, begin: int, length: int
) -> None:
    """Though the repository goes on changing under it; and nothing from before or after."""
    hub = Hub(ahead=timedelta(seconds=ahead))
    for step, pick, seconds in steps:
        hub.clock.pass_(apart(seconds, page_size))
        if step in STEPS[:7]:
            happens(hub, step, pick)
    since = NOW + timedelta(seconds=ahead + begin)
    span = Span(since=since, until=since + timedelta(seconds=length))
    before = hub.standing()

    with pages_of(page_size):
        found = {item.event_id for kind in KINDS for item in backfill(hub, kind, span, between)}

    told = hub.told_by_webhook()
    within = {key for key, one in told.items() if span.since <= one.occurred_at < span.until}
    assert found <= within
    assert before & hub.standing() & within <= found


@pytest.fixture
def small_pages() -> Iterator[None]:
    with pages_of(1):
        yield


@pytest.fixture
def pairs() -> Iterator[None]:
    with pages_of(2):
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_a_backfill_finds_what_is_changed_before_it_comes_to_it(kind: str) -> None:
    hub = Hub()
    for _ in range(5):
        hub.comments(hub.opens(is_pr=kind == "pulls"))
        hub.clock.pass_(60)
    span = Span(since=NOW, until=hub.clock())

    with pages_of(1):
        found = {item.event_id for item in backfill(hub, kind, span, ["retitles"] * 2)}

    assert len(found) == 5


def first_poll(hub: Hub, kind: str = "issues") -> Reader:
    reader = hub.reader(kind)
    reader.poll()
    return reader


def page_of(outcome: PollOutcome) -> Page:
    assert isinstance(outcome, Page), outcome
    return outcome


def test_three_lists_of_each_named_repository_are_polled() -> None:
    settings = b'{"repositories": ["acme/rocket", "acme/pad"], "organization": "initech"}'

    names = [resource.name for resource in ADAPTER.resources(settings)]

    assert isinstance(ADAPTER, Polls)
    assert names == [f"{kind}:acme/{name}" for name in ("rocket", "pad") for kind in KINDS]
    assert ADAPTER.resources(b'{"organization": "initech"}') == ()
    with pytest.raises(SettingsError):
        ADAPTER.resources(b'{"repositories": 1}')


@pytest.mark.parametrize("ahead", [timedelta(hours=-2), timedelta(), timedelta(hours=2)])
@pytest.mark.parametrize("kind", KINDS)
def test_it_begins_now_by_githubs_clock(kind: str, ahead: timedelta) -> None:
    hub = Hub(ahead=ahead)
    number = hub.opens()
    hub.opens(is_pr=True)
    hub.comments(number)
    hub.clock.pass_(600)

    reader = first_poll(hub, kind)
    reader.drain()

    assert reader.found == {}
    cursor = cursor_from(reader.cursor or b"")
    assert cursor is not None
    assert cursor.since == NOW + ahead + timedelta(seconds=600)
    assert cursor.repository_id == hub.repository.id


def test_without_a_date_it_begins_by_ours() -> None:
    plan = ADAPTER.poll(f"issues:{REPOSITORY}", None, now=NOW)

    page = page_of(carry(plan, lambda _: Response(status=200, body=b'{"id": 7}')))

    assert cursor_from(page.cursor) == Cursor(repository_id=7, since=NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_not_changed_costs_nothing(kind: str) -> None:
    hub = Hub()
    reader = first_poll(hub, kind)
    hub.opens(is_pr=True)
    hub.comments(1)
    hub.opens()
    for _ in range(3):
        hub.clock.pass_(300)
        reader.drain()

    spent = remaining(hub)
    outcome = page_of(reader.poll())

    assert not outcome.fresh
    assert outcome.items == ()
    assert outcome.cursor == reader.cursor
    assert remaining(hub) == spent - 1  # the question itself


def remaining(hub: Hub) -> int:
    response = hub.send(Request(method="GET", url="/user", headers=(("user-agent", "test"),)))
    return int(response.header("x-ratelimit-remaining") or "")


@pytest.mark.parametrize("kind", KINDS)
def test_news_after_silence_is_seen(kind: str) -> None:
    hub = Hub()
    reader = first_poll(hub, kind)
    for _ in range(2):
        hub.clock.pass_(300)
        reader.drain()
    number = hub.opens(is_pr=kind == "pulls")
    hub.comments(number)

    outcome = page_of(reader.poll())

    assert outcome.fresh
    assert len(outcome.items) == 1


@pytest.mark.usefixtures("small_pages")
def test_what_is_changed_before_a_walk_comes_to_it_is_told_whole_by_the_next() -> None:
    """It was opened longer ago than the overlap, and moved behind the walk when it was closed; twice."""
    hub = Hub()
    reader = first_poll(hub, "pulls")
    for _ in range(4):
        hub.opens(is_pr=True)
        hub.clock.pass_(OVERLAP.total_seconds())
    reader.poll()
    for number in (1, 2, 1):
        hub.retitles(number)
        hub.clock.pass_(1)
        while page_of(reader.poll()).more and number == 2:
            hub.clock.pass_(1)
    reader.drain()
    reader.drain()

    assert {*reader.found} == {*hub.told_by_webhook()}


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("kind", KINDS)
def test_news_within_the_second_of_a_full_page_are_seen(kind: str) -> None:
    """The full page stays the same, so its ETag says nothing of what comes behind it."""
    hub = Hub()
    reader = first_poll(hub, kind)
    for _ in range(2):
        hub.comments(hub.opens(is_pr=kind == "pulls"))
    for _ in range(3):
        reader.drain()
    hub.comments(hub.opens(is_pr=kind == "pulls"))

    reader.drain()

    assert len(reader.found) == 3


def test_what_is_listed_late_is_found_within_the_overlap() -> None:
    hub = Hub()
    reader = first_poll(hub)
    hub.clock.pass_(300)
    hub.opens()
    reader.drain()
    late = hub.clock() - OVERLAP + timedelta(seconds=1)
    hub.github.world.add_issue(hub.repository, title="Late", author="lin", now=late)

    reader.drain()

    assert len(reader.found) == 2


@pytest.mark.parametrize("kind", ["issues", "comments"])
@pytest.mark.usefixtures("pairs")
def test_what_is_deleted_between_two_pages_hides_nothing_else(kind: str) -> None:
    hub = Hub()
    reader = first_poll(hub, kind)
    for _ in range(6):
        hub.clock.pass_(10)
        hub.comments(hub.opens())
    reader.poll()
    gone = hub.told[0 if kind == "issues" else 1]
    hub.repository.issues.pop(1)
    hub.repository.comments.pop(1)

    reader.drain()

    missing = {*hub.told_by_webhook()} - {*reader.found}
    assert all(key.startswith("comment" if kind == "issues" else "issue") for key in missing)
    assert gone.event_kind.startswith("issue")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("pairs")
def test_more_than_a_page_in_one_second_is_read_by_links(kind: str) -> None:
    hub = Hub()
    reader = first_poll(hub, kind)
    for _ in range(7):
        hub.comments(hub.opens(is_pr=kind == "pulls"))

    reader.drain()

    assert len(reader.found) == 7


@pytest.mark.usefixtures("small_pages")
def test_a_page_number_that_leads_too_far_is_a_gap_and_told() -> None:
    hub = Hub()
    reader = first_poll(hub, "pulls")
    for _ in range(3):
        hub.clock.pass_(400)
        hub.opens(is_pr=True)
    reader.poll()
    hub.github.plan(failing(422, path="/pulls"))

    lost = reader.poll()
    hub.clock.pass_(400)
    hub.opens(is_pr=True)
    reader.drain()

    assert isinstance(lost, CursorLost)
    assert lost.since == NOW - OVERLAP
    assert len(reader.found) == 2


@pytest.mark.usefixtures("small_pages")
def test_a_second_with_too_much_in_it_is_left_behind() -> None:
    hub = Hub()
    reader = first_poll(hub)
    for _ in range(3):
        hub.opens()
    reader.poll()
    reader.poll()
    hub.github.plan(failing(422))
    lost = reader.poll()
    hub.clock.pass_(OVERLAP.total_seconds() + 2)
    hub.opens()

    reader.drain()

    assert isinstance(lost, CursorLost)
    assert len(reader.found) == 2


@pytest.mark.usefixtures("small_pages")
def test_a_backfill_that_github_does_not_list_is_refused() -> None:
    hub = Hub()
    for _ in range(3):
        hub.opens(is_pr=True)
    span = Span(since=NOW - timedelta(days=1), until=NOW + timedelta(days=1))
    first = page_of(carry(ADAPTER.backfill(f"pulls:{REPOSITORY}", span, None), hub.send))
    hub.github.plan(failing(422))

    outcome = carry(ADAPTER.backfill(f"pulls:{REPOSITORY}", span, first.cursor), hub.send)

    assert isinstance(outcome, Refused)
    assert "does not list so much" in outcome.reason


@pytest.mark.parametrize("text", [b"", b"[]", b'{"since": "2026-03-01T12:00:00"}', b'{"v": 9}'])
def test_a_cursor_of_another_version_is_lost_and_told(text: bytes) -> None:
    hub = Hub()

    outcome = carry(ADAPTER.poll(f"issues:{REPOSITORY}", text, now=NOW), hub.send)

    assert isinstance(outcome, CursorLost)
    assert outcome.since == NOW
    assert cursor_from(outcome.cursor) == Cursor(repository_id=hub.repository.id, since=NOW)


def test_githubs_clock_that_goes_back_hides_nothing() -> None:
    hub = Hub(ahead=timedelta(minutes=20))
    reader = first_poll(hub)
    hub.opens()
    for _ in range(3):
        hub.clock.pass_(300)
        reader.drain()
    hub.history.ahead = timedelta()
    hub.opens()
    hub.clock.pass_(60)

    reader.drain()

    assert {*reader.found} == {*hub.told_by_webhook()}


def test_a_time_in_the_future_does_not_move_the_cursor_there() -> None:
    hub = Hub()
    reader = first_poll(hub)
    hub.github.world.add_issue(
        hub.repository, title="From the future", author="lin", now=NOW + timedelta(days=3)
    )
    hub.clock.pass_(300)
    reader.drain()
    hub.clock.pass_(300)
    hub.opens()
    hub.asked.clear()

    reader.drain()

    assert len(reader.found) == 2
    assert len(hub.asked) == 1


@pytest.mark.usefixtures("pairs")
def test_a_renamed_repository_is_followed_and_called_by_its_name() -> None:
    hub = Hub()
    readers = [first_poll(hub, kind) for kind in KINDS]
    for is_pr in (False, True, False, True, False, True):
        hub.clock.pass_(5)
        hub.comments(hub.opens(is_pr=is_pr))
    for reader in readers:
        reader.poll()
    hub.github.world.rename(hub.repository, "acme/starship")
    for reader in readers:
        reader.found.clear()
        reader.drain()
        hub.clock.pass_(5)

    names = {
        signal.resource.repository
        for reader in readers
        for signal in reader.signals(ADAPTER).values()
        if signal.resource
    }
    assert names == {"acme/starship"}


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize(
    ("status", "expected"), [(404, Refused), (410, Refused), (401, NeedsLogin), (502, Later)]
)
def test_an_ending_leaves_the_cursor_where_it_was(
    begun: bool, status: int, expected: type[PollOutcome]
) -> None:
    hub = Hub()
    reader = hub.reader("issues")
    if begun:
        reader.poll()
    before = reader.cursor
    hub.github.plan(failing(status))

    outcome = reader.poll()

    assert isinstance(outcome, expected)
    assert reader.cursor == before


def test_a_repository_that_is_gone_is_refused() -> None:
    hub = Hub()
    span = Span(since=NOW, until=NOW + timedelta(hours=1))

    polled = carry(ADAPTER.poll("issues:acme/nowhere", None, now=NOW), hub.send)
    filled = carry(ADAPTER.backfill("issues:acme/nowhere", span, None), hub.send)

    assert polled == filled == Refused(reason="404: Not Found", status=404)


def test_limits_say_until_when() -> None:
    hub = Hub()
    reader = first_poll(hub)
    hub.github.plan(rate_limited(timedelta(seconds=40)), secondary_limit(retry_after_s=None))

    outcomes = [reader.poll(), reader.poll()]

    waits = [outcome.retry_after for outcome in outcomes if isinstance(outcome, Later)]
    assert waits == [timedelta(seconds=40), timedelta(seconds=60)]


@pytest.mark.parametrize("status", [200, 304])
@pytest.mark.parametrize(
    ("headers", "wish"),
    [
        ((("x-poll-interval", "90"),), timedelta(seconds=90)),
        ((("x-poll-interval", "soon"),), None),
        ((("x-poll-interval", "999999"),), timedelta(days=1)),
        (
            (
                ("x-ratelimit-resource", "core"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", str(int(NOW.timestamp()) + 300)),
                ("date", "Sun, 01 Mar 2026 12:00:00 GMT"),
            ),
            timedelta(seconds=300),
        ),
    ],
)
def test_githubs_wish_to_be_left_alone_is_handed_on(
    headers: tuple[tuple[str, str], ...], wish: timedelta | None, status: int
) -> None:
    cursor = written(Cursor(repository_id=1, since=NOW, etag='W/"x"'))
    plan = ADAPTER.poll(f"pulls:{REPOSITORY}", cursor, now=NOW)

    page = page_of(carry(plan, lambda _: Response(status=status, headers=headers, body=b"[]")))

    assert page.again_after == wish


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("issues", b"<html>"),
        ("issues", b'{"message": "hello"}'),
        ("issues", b'[{"id": 1}]'),
        ("issues", b'[{"updated_at": "2026-03-01T12:00:00Z", "id": 1, "state": "open"}]'),
        ("comments", b'[{"updated_at": "2026-03-01T12:00:00Z", "issue_url": "/somewhere"}]'),
        (
            "pulls",
            b'[{"updated_at": "2026-03-01T12:00:00Z", "created_at": "2026-03-01T12:00:00Z", "state": "open"}]',
        ),
    ],
)
def test_an_unreadable_page_is_asked_for_again(kind: str, body: bytes) -> None:
    cursor = written(Cursor(repository_id=1, since=NOW))
    plan = ADAPTER.poll(f"{kind}:{REPOSITORY}", cursor, now=NOW)

    assert isinstance(carry(plan, lambda _: Response(status=200, body=body)), Later)


def test_an_unreadable_repository_is_asked_for_again() -> None:
    plan = ADAPTER.poll(f"issues:{REPOSITORY}", None, now=NOW)

    assert isinstance(carry(plan, lambda _: Response(status=200, body=b"{}")), Later)


def test_an_unreadable_repository_stops_no_backfill_for_good() -> None:
    span = Span(since=NOW, until=NOW + timedelta(days=1))
    plan = ADAPTER.backfill(f"issues:{REPOSITORY}", span, None)

    assert isinstance(carry(plan, lambda _: Response(status=503)), Later)


def test_a_connection_may_be_polled_at_its_own_pace() -> None:
    settings = {"repositories": ["acme/rocket"], "poll_every": 7200}

    paced = ADAPTER.resources(orjson.dumps(settings))

    assert {(one.every, one.fastest, one.slowest) for one in paced} == {(timedelta(hours=2),) * 3}
    for wrong in (29, 86_401, "60", 60.5):
        with pytest.raises(SettingsError) as caught:
            ADAPTER.resources(orjson.dumps({**settings, "poll_every": wrong}))
        assert caught.value.field == "settings.poll_every"


def test_a_pace_bounds_how_often_and_not_how_seldom() -> None:
    usual = Resource(name="issues")

    paced = usual.paced(30)

    assert (paced.every, paced.fastest, paced.slowest) == (
        timedelta(seconds=30),
        timedelta(seconds=30),
        usual.slowest,
    )
    assert usual.paced(None) == usual


def test_there_are_no_other_resources() -> None:
    span = Span(since=NOW, until=NOW)

    outcomes = [
        carry(ADAPTER.poll("stars:acme/rocket", None, now=NOW), Hub().send),
        carry(ADAPTER.backfill("stars:acme/rocket", span, None), Hub().send),
    ]

    assert all(isinstance(outcome, Refused) for outcome in outcomes)


@pytest.mark.usefixtures("small_pages")
def test_a_link_is_followed_as_it_was_given_and_marks_go_with_the_first_page_only() -> None:
    hub = Hub()
    reader = first_poll(hub, "pulls")
    hub.clock.pass_(300)
    reader.drain()
    hub.opens(is_pr=True)
    hub.opens(is_pr=True)
    hub.asked.clear()

    reader.drain()

    first, second, *_ = hub.asked
    assert first.header("if-none-match") is not None
    assert second.header("if-none-match") is None
    assert second.url.startswith("https://api.github.com/repos/acme/rocket/pulls?")
    assert "page=2" in second.url
    assert not any(request.writes for request in hub.asked)


def test_an_opened_thing_is_told_as_it_was_then() -> None:
    hub = Hub()
    reader = first_poll(hub, "pulls")
    hub.opens(is_pr=True)
    hub.clock.pass_(5)
    hub.merges(1)

    reader.drain()

    opened, merged = (orjson.loads(item.body) for item in reader.found.values())
    assert (opened["pull_request"]["state"], opened["pull_request"]["merged"]) == ("open", False)
    assert (merged["pull_request"]["state"], merged["pull_request"]["merged"]) == ("closed", True)
    assert [signal.signal_type for signal in reader.signals(ADAPTER).values()] == [
        "pr_opened",
        "pr_merged",
    ]


def test_what_a_list_does_not_say_is_not_made_up() -> None:
    hub = Hub()
    reader = first_poll(hub, "comments")
    hub.comments(hub.opens())

    reader.drain()

    (signal,) = reader.signals(ADAPTER).values()
    payload = orjson.loads(signal.payload)
    assert not {"labels", "title", "state"} & {*payload}
    assert payload["issue_number"] == 1


def test_closing_twice_is_two_events() -> None:
    hub = Hub()
    reader = first_poll(hub)
    hub.opens()
    for _ in range(2):
        hub.clock.pass_(60)
        hub.closes(1)
        reader.drain()
        hub.clock.pass_(60)
        hub.reopens(1)

    closed = [key for key in reader.found if ":closed:" in key]
    assert len(closed) == 2


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 0, 30, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),
        ("UTC", datetime(2028, 2, 28, 23, 30, tzinfo=UTC)),
        ("UTC", datetime(2028, 2, 29, 23, 30, tzinfo=UTC)),
    ],
)
def test_clocks_that_change_and_leap_days_hide_nothing(zone: str, start: datetime) -> None:
    """Cursors and spans are UTC, whatever zone the one who asks lives in."""
    hub = Hub(start=start.astimezone(ZoneInfo(zone)))
    reader = first_poll(hub)
    for _ in range(12):
        hub.clock.time = (hub.clock().astimezone(UTC) + timedelta(minutes=10)).astimezone(
            ZoneInfo(zone)
        )
        hub.opens()
        reader.drain()
    span = Span(
        since=(start + timedelta(minutes=5)).astimezone(ZoneInfo(zone)),
        until=(start + timedelta(minutes=115)).astimezone(ZoneInfo(zone)),
    )

    assert len(reader.found) == 12
    assert len(backfill(hub, "issues", span)) == 11
    assert span.since == start + timedelta(minutes=5)
    assert span.since.tzinfo is UTC
    cursor = cursor_from(reader.cursor or b"")
    assert cursor is not None
    assert cursor.since.utcoffset() == timedelta()


@pytest.mark.usefixtures("small_pages")
def test_a_revoked_token_needs_a_login_in_the_middle_of_a_walk_too() -> None:
    hub = Hub()
    reader = first_poll(hub, "pulls")
    for _ in range(3):
        hub.opens(is_pr=True)
    reader.poll()
    before = reader.cursor
    hub.github.plan(revoked())

    assert isinstance(reader.poll(), NeedsLogin)
    assert reader.cursor == before


@pytest.mark.usefixtures("small_pages")
def test_a_walk_that_dies_anywhere_loses_nothing() -> None:
    """P2; crash between the page and its cursor, at each page."""
    for dies_at in range(6):
        hub = Hub()
        reader = first_poll(hub, "pulls")
        for _ in range(4):
            hub.clock.pass_(5)
            hub.opens(is_pr=True)
        for _ in range(dies_at):
            reader.poll()
        reader.poll(keeps=False)
        again = hub.reader("pulls")
        again.cursor, again.found = reader.cursor, reader.found
        again.drain()

        assert {*again.found} == {*hub.told_by_webhook()}


def test_a_cursor_can_be_written_and_read() -> None:
    cursor = Cursor(repository_id=1, since=NOW, etag='W/"x"')

    assert cursor_from(written(cursor)) == cursor
    assert cursor_from(written(evolve(cursor, walk=cursor.walking()))) is not None
