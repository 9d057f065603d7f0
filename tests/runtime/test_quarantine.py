from __future__ import annotations

from datetime import timedelta

from runtime import Backoff, DirectorySpec, Intensity
from runtime.directory import Quarantine
from tests.runtime.scene import Obedient

SECOND = timedelta(seconds=1)


def ward(capacity: int = 100) -> Quarantine:
    spec = DirectorySpec(
        name="ward",
        create=lambda _: Obedient(),
        cap=capacity,
        intensity=Intensity(restarts=2, within=60 * SECOND),
        backoff=Backoff(base=SECOND, cap=10 * SECOND),
        quarantine=Backoff(base=100 * SECOND, cap=300 * SECOND),
    )
    return Quarantine(spec)


def test_crashes_within_the_intensity_are_only_delayed() -> None:
    record = ward()

    assert record.crashed("a", 0, jitter=0.5) == 0.5 * SECOND
    assert record.crashed("a", 5, jitter=0.5) == SECOND
    assert record.left("a", 5.5) == timedelta(0)


def test_one_crash_too_many_leads_into_quarantine() -> None:
    record = ward()
    for at in (0, 1):
        record.crashed("a", at, jitter=0.0)

    assert record.crashed("a", 2, jitter=0.0) == 50 * SECOND
    assert record.left("a", 12) == 40 * SECOND
    assert record.left("a", 52) == timedelta(0)


def test_a_crash_after_a_life_of_the_window_is_the_first_again() -> None:
    record = ward()

    for at in range(0, 630, 63):
        assert record.crashed("a", at, jitter=0.5) == 0.5 * SECOND
        assert record.left("a", at) == timedelta(0)


def test_lives_shorter_than_the_window_count_as_crashes_in_a_row() -> None:
    record = ward()

    for at in (0, 40):
        record.crashed("a", at, jitter=0.5)
        assert record.left("a", at) == timedelta(0)

    assert record.crashed("a", 80, jitter=0.0) == 50 * SECOND


def test_a_crash_after_quarantine_leads_into_a_longer_one() -> None:
    record = ward()
    for at in (0, 1, 2):
        record.crashed("a", at, jitter=0.0)

    assert record.crashed("a", 60, jitter=0.0) == 100 * SECOND
    assert record.crashed("a", 200, jitter=0.0) == 150 * SECOND


def test_living_for_the_window_after_quarantine_is_a_new_beginning() -> None:
    record = ward()
    for at in (0, 1, 2):
        record.crashed("a", at, jitter=0.0)

    record.crashed("a", 52 + 60, jitter=0.5)

    assert record.left("a", 52 + 60) == timedelta(0)


def test_keys_do_not_count_for_each_other() -> None:
    """P6: one key's crashes are nothing to another."""
    record = ward()
    for at in (0, 1, 2):
        record.crashed("a", at, jitter=0.0)

    assert record.left("b", 2) == timedelta(0)
    record.crashed("b", 2, jitter=0.5)
    assert record.left("b", 2) == timedelta(0)


def test_it_remembers_a_bounded_number_of_keys() -> None:
    """P7: the key whose last crash is oldest is forgotten."""
    record = ward(capacity=2)
    for at, key in enumerate(("a", "a", "a", "b", "c")):
        record.crashed(key, at, jitter=0.0)

    assert record.left("a", 5) == timedelta(0)
    record.crashed("a", 5, jitter=0.5)
    assert record.left("a", 5) == timedelta(0)
