"""When a stream is read again: adapted within bounds, spread, and never sooner than it is told to wait (FR-5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from actors.platform.policy import TenantPolicy
from actors.pressure import Waiting
from actors.rhythm import Rhythm
from adapters.contract import Later, NeedsLogin, Refused
from adapters.manifest import Limit
from adapters.polling import Page, Resource
from runtime import Backoff
from tests.actors.book import HOUR, MINUTE, a_running_library
from tests.actors.scene import EPOCH
from tests.fakes.ledgerbook import ENTRIES, MANIFEST, LedgerbookAdapter

LIST = Resource(name="list", every=5 * MINUTE, fastest=MINUTE, slowest=HOUR)
PAGE = Page(items=(), cursor=b"1")
MORE = evolve(PAGE, more=True)


def rhythm(**chosen: Any) -> Rhythm:
    told = {
        "stream": LIST,
        "least": None,
        "short": False,
        "now": EPOCH,
        "chance": lambda: 0.5,
        "retry": Backoff(base=MINUTE, cap=MINUTE),
    }
    return Rhythm(**{**told, **chosen})


def after(every: timedelta, *, news: bool, **chosen: Any) -> timedelta:
    turn = rhythm(**chosen).after(PAGE, every, news=news)
    assert turn.next_poll_at == EPOCH + turn.every
    return turn.every


def test_news_make_it_faster_and_their_absence_slower():
    assert after(10 * MINUTE, news=True) == 5 * MINUTE
    assert after(10 * MINUTE, news=False) == 15 * MINUTE


def test_it_stays_within_the_bounds_of_the_resource():
    assert after(MINUTE, news=True) == MINUTE
    assert after(HOUR, news=False) == HOUR


@pytest.mark.parametrize(
    ("least", "fast", "slow"),
    [
        (10 * MINUTE, 10 * MINUTE, HOUR),
        (timedelta(seconds=1), MINUTE, HOUR),
        (3 * HOUR, 3 * HOUR, 3 * HOUR),
    ],
    ids=["slower", "faster than the provider has it", "slower than the slowest"],
)
def test_the_tenant_may_have_it_slower_and_not_faster(least, fast, slow):
    assert after(MINUTE, news=True, least=least) == fast
    assert after(5 * HOUR, news=False, least=least) == slow


def test_news_make_it_no_faster_while_a_limit_is_nearly_used_up():
    assert after(10 * MINUTE, news=True, short=True) == 15 * MINUTE


def test_what_the_provider_wishes_is_waited_for_and_it_may_be_longer():
    page = evolve(PAGE, again_after=2 * HOUR)
    assert rhythm().after(page, MINUTE, news=True).next_poll_at == EPOCH + 2 * HOUR
    page = evolve(PAGE, again_after=timedelta(seconds=2))
    assert rhythm().after(page, MINUTE, news=True).next_poll_at == EPOCH + MINUTE


def test_more_is_read_at_once_and_a_page_of_it_without_news_says_nothing():
    with_news = rhythm().after(MORE, 10 * MINUTE, news=True)
    without = rhythm().after(MORE, 10 * MINUTE, news=False)

    assert (with_news.next_poll_at, with_news.every) == (EPOCH, 5 * MINUTE)
    assert (without.next_poll_at, without.every) == (EPOCH, 10 * MINUTE)


@given(
    chance=st.floats(min_value=0, max_value=1, exclude_max=True),
    minutes=st.integers(min_value=1, max_value=600),
    news=st.booleans(),
)
def test_turns_are_spread_by_a_tenth_at_the_most(chance: float, minutes: int, news: bool) -> None:
    turn = rhythm(chance=lambda: chance).after(PAGE, minutes * MINUTE, news=news)

    wait = turn.next_poll_at - EPOCH
    assert LIST.fastest <= turn.every <= LIST.slowest
    assert abs(wait - turn.every) <= turn.every / 10 + timedelta(microseconds=1)
    assert abs(wait - turn.every * (0.9 + 0.2 * chance)) <= timedelta(microseconds=1)


def test_what_has_to_wait_waits_until_then():
    until = EPOCH + timedelta(seconds=7)
    assert rhythm().held_up(Waiting(reason="x", until=until), 99) == until


def test_what_failed_is_backed_off_from_up_to_the_slowest_and_a_wish_is_honoured_in_full():
    patient = rhythm(retry=Backoff(base=timedelta(seconds=10), cap=timedelta(seconds=1)))

    waits = [patient.held_up(Later(reason="x"), failures) - EPOCH for failures in range(12)]

    assert waits[:4] == [timedelta(seconds=seconds) for seconds in (5, 10, 20, 40)]
    assert waits[-1] == HOUR / 2
    wish = Later(reason="x", retry_after=5 * HOUR)
    assert patient.held_up(wish, 0) == EPOCH + 5 * HOUR


def test_what_is_refused_waits_for_the_slowest_and_what_needs_a_person_for_that_person():
    assert rhythm().held_up(Refused(reason="x"), 0) == EPOCH + HOUR
    assert rhythm(chance=lambda: 0.0).held_up(Refused(reason="x"), 0) == EPOCH + 0.9 * HOUR
    assert rhythm().held_up(NeedsLogin(reason="x"), 9) == EPOCH


async def test_a_connection_is_polled_faster_with_news_within_what_its_tenant_may(sqlite_url):
    async with a_running_library(sqlite_url) as library:
        intervals = []
        for _ in range(4):
            library.write()
            intervals.append((await library.turn()).every)
        library.scene.policy.default = TenantPolicy(poll_every=20 * MINUTE)
        library.write()
        bounded = await library.turn()

        assert intervals == sorted(intervals, reverse=True)
        assert intervals[-1] == ENTRIES.fastest
        assert bounded.every == 20 * MINUTE
        assert abs(bounded.next_poll_at - library.clock.now() - bounded.every) <= 2 * MINUTE


async def test_a_connection_whose_limit_is_nearly_used_up_is_polled_slower_though_there_is_news(
    sqlite_url,
):
    limits = (Limit(name="core", amount=10, per=timedelta(days=9)),)
    adapter = LedgerbookAdapter(manifest=evolve(MANIFEST, limits=limits))
    async with a_running_library(sqlite_url, adapter=adapter) as library:
        intervals = [(await library.cursor()).every]
        for _ in range(7):
            library.write()
            intervals.append((await library.turn()).every)

        assert intervals[1] < intervals[0]
        assert intervals[6] == intervals[5] == ENTRIES.fastest
        assert intervals[7] > intervals[6]
