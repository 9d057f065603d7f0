from __future__ import annotations

from datetime import timedelta

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from runtime.errors import ActorStoppedError, AskTimeoutError, MailboxFullError
from runtime.mailbox import CONTROL, CONTROL_STREAK, Answer, Mailbox
from tests.runtime.scene import actor


def box() -> Mailbox:
    return Mailbox("/a", 3)


def contents(mailbox: Mailbox) -> list[object]:
    taken = []
    while (entry := mailbox.take()) is not None:
        taken.append(entry[0])
    return taken


async def test_a_full_mailbox_refuses_and_counts_it() -> None:
    """P7: full is said at once, and nothing is lost of what was accepted."""
    mailbox = box()
    for number in range(3):
        mailbox.tell(number)

    with pytest.raises(MailboxFullError, match="/a has no room: 3 are waiting"):
        mailbox.tell(3)

    assert mailbox.statistics(trio.current_time()).refused == 1
    assert contents(mailbox) == [0, 1, 2]


async def test_control_passes_a_full_mailbox_within_its_own_bound() -> None:
    mailbox = box()
    for number in range(3):
        mailbox.tell(number)
    for number in range(CONTROL):
        mailbox.control(("control", number))

    with pytest.raises(MailboxFullError, match=f"{CONTROL} are waiting"):
        mailbox.control("one more")

    found = contents(mailbox)
    assert found[0] == ("control", 0)
    assert len(found) == CONTROL + 3


async def test_what_others_control_does_not_take_the_actors_own_room() -> None:
    mailbox = box()
    for _ in range(CONTROL):
        mailbox.control("other")
        mailbox.tell_own("own")

    with pytest.raises(MailboxFullError):
        mailbox.tell_own("own")

    mailbox.take()
    mailbox.take()
    mailbox.tell_own("own")


async def test_control_does_not_starve_data() -> None:
    mailbox = box()
    mailbox.tell("data")
    taken: list[object] = []

    while "data" not in taken:
        mailbox.tell_own("again")
        entry = mailbox.take()
        assert entry is not None
        taken.append(entry[0])

    assert len(taken) == CONTROL_STREAK + 1


async def test_demand_is_the_free_room_and_none_once_refusing() -> None:
    mailbox = box()
    mailbox.tell("data")
    mailbox.control("control")

    assert mailbox.demand() == 2
    mailbox.refusing = "stopping"
    assert mailbox.demand() == 0


async def test_statistics_tell_depth_peak_and_the_age_of_the_oldest(mock_clock: MockClock) -> None:
    mailbox = box()
    assert mailbox.statistics(trio.current_time()).oldest is None
    mailbox.tell("a")
    mailbox.tell("b")
    mock_clock.jump(2)
    mailbox.take()

    figures = mailbox.statistics(trio.current_time())

    assert (figures.depth, figures.peak, figures.refused) == (1, 2, 0)
    assert figures.oldest == timedelta(seconds=2)


async def test_refusing_stops_data_but_not_control() -> None:
    mailbox = box()
    mailbox.refusing = "stopping"

    with pytest.raises(ActorStoppedError, match="/a takes nothing: stopping"):
        mailbox.tell("data")

    mailbox.control("control")
    assert contents(mailbox) == ["control"]


async def test_closing_drops_everything_and_tells_those_who_asked() -> None:
    mailbox = box()

    async def ask() -> None:
        with pytest.raises(ActorStoppedError, match="gone"):
            await mailbox.ask("asked", deadline=timedelta(seconds=1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        mailbox.tell("told")
        mailbox.tell_own("own")

        assert mailbox.close("gone") == 2

    assert len(mailbox) == 0
    with pytest.raises(ActorStoppedError, match="gone"):
        mailbox.control("late")


async def test_the_next_incarnation_finds_what_others_sent_and_not_what_the_last_told_itself() -> (
    None
):
    mailbox = box()
    mailbox.tell("data")
    mailbox.tell_own("own")
    mailbox.control("control")
    mailbox.refusing = "restarting"
    assert len(mailbox) == 2

    mailbox.reopen()
    mailbox.tell("more")

    assert contents(mailbox) == ["control", "data", "more"]


async def test_an_answer_that_comes_after_the_asker_left_hurts_nobody(
    autojump_clock: MockClock,
) -> None:
    mailbox = box()
    taken: list[Answer] = []

    async def handle_slowly() -> None:
        await mailbox.wait()
        entry = mailbox.take()
        assert entry is not None
        assert entry[2] is not None
        taken.append(entry[2])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle_slowly)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(AskTimeoutError, match="/a did not answer within 0:00:02"):
            await mailbox.ask("slow", deadline=timedelta(seconds=2))

    (answer,) = taken
    answer.give("late")
    answer.give(None, "later")


async def test_only_the_first_answer_counts() -> None:
    answer = Answer()
    answer.give(1)
    answer.give(2)
    answer.give(None, "no")

    assert (answer.value, answer.failure) == (1, None)


async def test_a_cancelled_wait_takes_nothing() -> None:
    mailbox = box()
    with trio.move_on_after(0):
        await mailbox.wait()

    mailbox.tell("data")

    assert contents(mailbox) == ["data"]


async def test_a_wait_ends_at_its_deadline(autojump_clock: MockClock) -> None:
    start = trio.current_time()

    await box().wait(start + 3)

    assert trio.current_time() == start + 3


def test_a_mailbox_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="'mailbox' must be >= 1"):
        actor("a", mailbox=0)


async def test_what_others_control_and_what_the_actor_tells_itself_take_turns() -> None:
    mailbox = box()
    for number in range(2):
        mailbox.control(("other", number))
        mailbox.tell_own(("own", number))

    assert contents(mailbox) == [("other", 0), ("own", 0), ("other", 1), ("own", 1)]
