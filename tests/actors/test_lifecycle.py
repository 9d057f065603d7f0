"""The one table of a connection's states, whole: every move from every state, and nothing else (PRD, FR-2)."""

from __future__ import annotations

from itertools import product

import pytest
from attrs import evolve

from actors.errors import WrongStateError
from actors.life import is_disabled
from actors.lifecycle import Move, after, allows
from persistence.records import ConnectionState
from tests.persistence import samples

PENDING = ConnectionState.PENDING_VERIFICATION
ACTIVE = ConnectionState.ACTIVE
SUSPENDED = ConnectionState.SUSPENDED
ERROR = ConnectionState.ERROR
DELETED = ConnectionState.DELETED

# One row a move; the columns are the states it is made from.
FROM = (PENDING, ACTIVE, SUSPENDED, ERROR, DELETED)
TABLE = {
    Move.VERIFY: (ACTIVE, ACTIVE, None, ACTIVE, None),
    Move.SUSPEND: (SUSPENDED, SUSPENDED, None, SUSPENDED, None),
    Move.RESUME: (None, None, ACTIVE, None, None),
    Move.REOPEN: (None, None, PENDING, None, None),
    Move.DISABLE: (SUSPENDED, SUSPENDED, SUSPENDED, SUSPENDED, None),
    Move.FAIL: (ERROR, ERROR, None, ERROR, None),
    Move.CHANGE: (PENDING, ACTIVE, SUSPENDED, ERROR, None),
    Move.REDO: (PENDING, PENDING, SUSPENDED, PENDING, None),
    Move.ROTATE: (PENDING, ACTIVE, SUSPENDED, ERROR, None),
    Move.DELETE: (DELETED, DELETED, DELETED, DELETED, None),
}


def test_the_states_are_those_of_the_requirements() -> None:
    assert {state.value for state in ConnectionState} == {
        "pending_verification",
        "active",
        "suspended",
        "error",
        "deleted",
    }


def test_the_table_says_something_of_every_move_and_every_state() -> None:
    assert set(TABLE) == set(Move)
    assert set(FROM) == set(ConnectionState)


@pytest.mark.parametrize(("state", "move"), tuple(product(FROM, Move)))
def test_each_move_leads_where_the_table_says_and_no_other_is_possible(
    state: ConnectionState, move: Move
) -> None:
    leads_to = TABLE[move][FROM.index(state)]

    assert allows(state, move) is (leads_to is not None)
    if leads_to is not None:
        assert after(state, move) is leads_to
        return
    with pytest.raises(WrongStateError) as refused:
        after(state, move)
    assert state.value in str(refused.value)
    assert move.value in str(refused.value)


def test_nothing_leads_out_of_deleted() -> None:
    assert not any(allows(DELETED, move) for move in Move)


@pytest.mark.parametrize(
    ("state", "verified", "is_open", "anew"),
    [
        (SUSPENDED, True, True, False),
        (SUSPENDED, True, False, True),
        (SUSPENDED, False, True, True),
        (ACTIVE, True, False, False),
    ],
)
def test_what_was_closed_or_never_verified_is_verified_anew(
    state: ConnectionState, verified: bool, is_open: bool, anew: bool
) -> None:
    connection = evolve(
        samples.connection(state=state), verified_at=samples.NOW if verified else None
    )

    assert is_disabled(connection, endpoints_open=is_open) is anew
