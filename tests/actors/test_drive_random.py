"""P4 under any sequence of faults and deaths that Hypothesis can think of."""

from __future__ import annotations

from datetime import timedelta

import trio
import trio.testing
from hypothesis import HealthCheck, given, settings, strategies as st

from actors.drive import Ended
from adapters.contract import Done, Refused, Unsure
from adapters.faults import (
    Fault,
    cut,
    dropped_after,
    dropped_before,
    failing,
    failing_after,
    late,
    rate_limited,
    slow,
)
from adapters.github.simulator import secondary_limit
from tests.actors.life import KINDS, Life

_METHODS = st.sampled_from(("GET", "POST", ""))
_SECONDS = st.integers(min_value=1, max_value=55).map(lambda number: timedelta(seconds=number))
# No effect is later than GitHub's horizon, sixty seconds: beyond it nothing could be promised.
_FAULTS = st.one_of(
    st.builds(failing, st.sampled_from((500, 502, 503, 429, 408)), method=_METHODS),
    st.builds(failing, st.sampled_from((404, 410, 422)), method=st.just("POST")),
    st.builds(failing_after, st.sampled_from((500, 502, 504))),
    st.builds(dropped_before, method=_METHODS),
    st.builds(dropped_after),
    st.builds(late, _SECONDS, status=st.sampled_from((500, 504))),
    st.builds(slow, _SECONDS, method=_METHODS),
    st.builds(cut, st.integers(min_value=0, max_value=300), method=_METHODS),
    st.builds(rate_limited, _SECONDS),
    st.builds(secondary_limit, retry_after_s=st.sampled_from((None, 5, 90))),
)


async def lived(
    kind: str, faults: tuple[Fault, ...], deaths: list[int]
) -> tuple[tuple[str, ...], Ended]:
    """What the provider has of it in the end, and what we say."""
    life = Life(kind, faults)
    for point in deaths:
        await life.die_at(point)
        await trio.sleep(11)
    outcome = await life.until_final(most=200)
    return life.effects(), outcome


@given(
    kind=st.sampled_from(KINDS),
    faults=st.lists(_FAULTS, max_size=7).map(tuple),
    deaths=st.lists(st.integers(min_value=1, max_value=30), max_size=4),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_never_two_effects_and_an_end_that_tells_the_truth(kind, faults, deaths):
    effects, outcome = trio.run(
        lived, kind, faults, deaths, clock=trio.testing.MockClock(autojump_threshold=0)
    )

    assert len(effects) <= 1
    assert isinstance(outcome, Done | Refused | Unsure)
    if isinstance(outcome, Done):
        assert outcome.reference is not None
        assert effects == (outcome.reference.id,)
    if isinstance(outcome, Refused):
        assert effects == ()
