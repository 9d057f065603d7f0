from __future__ import annotations

from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

from runtime import ActorStoppedError, AskTimeoutError, MailboxFullError
from runtime.mailbox import CONTROL_STREAK, Answer, Mailbox


def box(capacity: int = 3, control: int = 2) -> Mailbox:
    return Mailbox("/a", capacity=capacity, control=control)


def contents(mailbox: Mailbox) -> list[object]:
    taken = []
    while (entry := mailbox.take()) is not None:
        taken.append(entry[0])
    return taken


async def test_a_full_mailbox_refuses_and_counts_it() -> None:
    """P7: full is said at once, and nothing is lost of what was accepted."""
    mailbox = box()
    for number in range(3):
        mailbox.put(number)

    with pytest.raises(MailboxFullError, match="/a has no room: 3 are waiting"):
        mailbox.put(3)

    assert mailbox.statistics(trio.current_time()).refused == 1
    assert contents(mailbox) == [0, 1, 2]


async def test_control_passes_a_full_mailbox_within_its_own_bound() -> None:
    mailbox = box()
    for number in range(3):
        mailbox.put(number)
    mailbox.put_control("first")
    mailbox.put_control("second")

    with pytest.raises(MailboxFullError, match="2 are waiting"):
        mailbox.put_control("third")

    assert contents(mailbox) == ["first", "second", 0, 1, 2]


async def test_what_others_control_does_not_take_the_actors_own_room() -> None:
    mailbox = box()
    for _ in range(2):
        mailbox.put_control("other")
        mailbox.put_own("own")

    with pytest.raises(MailboxFullError):
        mailbox.put_own("own")

    mailbox.take()
    mailbox.take()
    assert mailbox.room_for_own()


async def test_control_does_not_starve_data() -> None:
    mailbox = box()
    mailbox.put("data")
    taken: list[object] = []

    while "data" not in taken:
        mailbox.put_own("again")
        entry = mailbox.take()
        assert entry is not None
        taken.append(entry[0])

    assert len(taken) == CONTROL_STREAK + 1


async def test_demand_is_the_free_room_and_none_once_refusing() -> None:
    mailbox = box()
    mailbox.put("data")
    mailbox.put_control("control")

    assert mailbox.demand() == 2
    mailbox.refuse("stopping")
    assert mailbox.demand() == 0


async def test_statistics_tell_depth_peak_and_the_age_of_the_oldest(mock_clock: MockClock) -> None:
    mailbox = box()
    assert mailbox.statistics(trio.current_time()).oldest is None
    mailbox.put("a")
    mailbox.put("b")
    mock_clock.jump(2)
    mailbox.take()
    mailbox.put_control("c")

    figures = mailbox.statistics(trio.current_time())

    assert (figures.capacity, figures.depth, figures.control, figures.peak) == (3, 1, 1, 2)
    assert figures.oldest == timedelta(seconds=2)


async def test_refusing_stops_data_but_not_control() -> None:
    mailbox = box()
    mailbox.refuse("stopping")

    with pytest.raises(ActorStoppedError, match="/a does not answer: stopping"):
        mailbox.put("data")

    mailbox.put_control("control")
    assert contents(mailbox) == ["control"]


async def test_closing_drops_everything_and_tells_those_who_asked() -> None:
    mailbox = box()
    answer = Answer("/a")
    mailbox.put("asked", answer)
    mailbox.put("told")
    mailbox.put_own("own")

    dropped = mailbox.close("gone")

    assert dropped == 2
    assert len(mailbox) == 0
    with pytest.raises(ActorStoppedError, match="gone"):
        await answer.wait(timedelta(seconds=1))
    with pytest.raises(ActorStoppedError, match="gone"):
        mailbox.put_control("late")


async def test_the_next_incarnation_finds_what_others_sent_and_not_what_the_last_told_itself() -> (
    None
):
    mailbox = box()
    mailbox.put("data")
    mailbox.put_own("own")
    mailbox.put_control("control")
    mailbox.refuse("restarting")
    assert mailbox.kept == 2

    mailbox.reopen()
    mailbox.put("more")

    assert contents(mailbox) == ["control", "data", "more"]


async def test_an_answer_that_comes_after_the_asker_left_hurts_nobody(
    autojump_clock: MockClock,
) -> None:
    answer = Answer("/a")

    with pytest.raises(AskTimeoutError, match="/a did not answer within 2 s"):
        await answer.wait(timedelta(seconds=2))

    assert answer.abandoned
    answer.give("late")
    answer.fail("later")


async def test_only_the_first_answer_counts() -> None:
    answer = Answer("/a")
    answer.give(1)
    answer.give(2)
    answer.fail("no")

    assert await answer.wait(timedelta(seconds=1)) == 1


async def test_a_cancelled_wait_takes_nothing() -> None:
    mailbox = box()
    with trio.move_on_after(0):
        await mailbox.wait()

    mailbox.put("data")

    assert contents(mailbox) == ["data"]


async def test_a_wait_ends_at_its_deadline(autojump_clock: MockClock) -> None:
    start = trio.current_time()

    await box().wait(start + 3)

    assert trio.current_time() == start + 3


@pytest.mark.parametrize(("capacity", "control"), [(0, 1), (1, 0)])
async def test_a_mailbox_without_room_is_refused(capacity: int, control: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        box(capacity, control)
