"""Where a connection may go from where it is: the one table of its states (PRD, FR-2). Pure.

pending_verification ──verify──► active ◄──resume── suspended
▲                          │ ──suspend, disable──► │
└────────reopen, redo──────┴──fail──► error ───────┴──delete──► deleted
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from actors.errors import WrongStateError
from persistence.records import ConnectionState

_PENDING = ConnectionState.PENDING_VERIFICATION
_ACTIVE = ConnectionState.ACTIVE
_SUSPENDED = ConnectionState.SUSPENDED
_ERROR = ConnectionState.ERROR
_DELETED = ConnectionState.DELETED


class Move(StrEnum):
    """What happens to a connection; its name stands in receipts and logs.

    ``REOPEN`` is a resume of one that was disabled or never verified; ``REDO`` is a change after which what was
    verified holds no more (another address, say).
    """

    VERIFY = "verify"
    SUSPEND = "suspend"
    RESUME = "resume"
    REOPEN = "reopen"
    DISABLE = "disable"
    FAIL = "fail"
    CHANGE = "change"
    REDO = "redo"
    ROTATE = "rotate"
    DELETE = "delete"


_ANYWHERE = {Move.CHANGE, Move.ROTATE}
_NEXT: Mapping[tuple[ConnectionState, Move], ConnectionState] = MappingProxyType(
    {
        (state, move): state
        for state in ConnectionState
        if state is not _DELETED
        for move in _ANYWHERE
    }
    | {
        (_PENDING, Move.VERIFY): _ACTIVE,
        (_ACTIVE, Move.VERIFY): _ACTIVE,
        (_ERROR, Move.VERIFY): _ACTIVE,
        (_PENDING, Move.SUSPEND): _SUSPENDED,
        (_ACTIVE, Move.SUSPEND): _SUSPENDED,
        (_ERROR, Move.SUSPEND): _SUSPENDED,
        (_SUSPENDED, Move.RESUME): _ACTIVE,
        (_SUSPENDED, Move.REOPEN): _PENDING,
        (_PENDING, Move.DISABLE): _SUSPENDED,
        (_ACTIVE, Move.DISABLE): _SUSPENDED,
        (_SUSPENDED, Move.DISABLE): _SUSPENDED,
        (_ERROR, Move.DISABLE): _SUSPENDED,
        (_PENDING, Move.FAIL): _ERROR,
        (_ACTIVE, Move.FAIL): _ERROR,
        (_ERROR, Move.FAIL): _ERROR,
        (_PENDING, Move.REDO): _PENDING,
        (_ACTIVE, Move.REDO): _PENDING,
        (_SUSPENDED, Move.REDO): _SUSPENDED,
        (_ERROR, Move.REDO): _PENDING,
        (_PENDING, Move.DELETE): _DELETED,
        (_ACTIVE, Move.DELETE): _DELETED,
        (_SUSPENDED, Move.DELETE): _DELETED,
        (_ERROR, Move.DELETE): _DELETED,
    }
)


def after(state: ConnectionState, move: Move) -> ConnectionState:
    """The state that ``move`` leads to.

    Raises:
        WrongStateError: it is not possible from ``state``.
    """
    found = _NEXT.get((state, move))
    if found is None:
        raise WrongStateError(f"a {state.value} connection can not be changed by {move.value}")
    return found


def allows(state: ConnectionState, move: Move) -> bool:
    """Whether ``move`` is possible from ``state``."""
    return (state, move) in _NEXT
