"""Which children a tree has and under which rules: plain values, to be read on one screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import StrEnum
from typing import TypeAlias

from attrs import field, frozen
from attrs.validators import ge, gt, matches_re

from runtime.actor import Actor
from runtime.backoff import Backoff

_SECOND = timedelta(seconds=1)


class Restart(StrEnum):
    """What the end of a child means."""

    PERMANENT = "permanent"  # it is always started again
    TRANSIENT = "transient"  # it is started again after an error
    TEMPORARY = "temporary"  # it is never started again, not even after a sibling's end


class Strategy(StrEnum):
    """Whom the end of one child concerns."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"  # those that were started after it


@frozen(kw_only=True)
class Intensity:
    """At most ``restarts`` within any ``within``; one more and the supervisor gives up.

    It is counted per supervisor, not per child. Attempts multiply from level to level, so keep upper ones small,
    and ``within`` longer than the backoff delays of ``restarts`` attempts add up to, else it never gives up.
    """

    restarts: int = field(default=3, validator=ge(0))
    within: timedelta = field(default=timedelta(seconds=30), validator=gt(timedelta(0)))


DEFAULT_BACKOFF = Backoff(base=timedelta(milliseconds=100), cap=timedelta(seconds=10))


@frozen(kw_only=True)
class PlaceSpec:
    """What all kinds have. ``name`` is a part of the address; ``startup`` and ``shutdown`` bound start and stop."""

    name: str = field(validator=matches_re(r"[^/\s]+"))
    restart: Restart = Restart.PERMANENT
    startup: timedelta = 30 * _SECOND
    shutdown: timedelta = 5 * _SECOND


@frozen(kw_only=True)
class ActorSpec(PlaceSpec):
    """One actor.

    ``startup`` bounds ``on_start``, ``shutdown`` what it may take to finish its work when told to stop.
    ``mailbox`` is the most data that may wait for it.
    """

    create: Callable[[], Actor]
    mailbox: int = field(default=1000, validator=ge(1))


@frozen(kw_only=True)
class ServiceSpec(PlaceSpec):
    """A long-running coroutine ``run(*, task_status)`` that says ``task_status.started()`` when it is ready.

    Told to stop it is cancelled. Cleanup in it that awaits is its own to shield and bound.
    """

    run: Callable[..., Awaitable[None]]


@frozen(kw_only=True)
class DirectorySpec(PlaceSpec):
    """Actors by key, each started by its first message.

    ``cap`` bounds the running ones; as many more may wait for a start or sit out a delay, beyond that senders are
    refused. An actor is let go after ``idle_after`` with nothing to do.
    A key that crashes is started again after ``backoff``; more than ``intensity.restarts`` in a row put it into
    quarantine, for the delays of ``quarantine`` (drawn in their upper half), longer each time. Having lived for
    ``intensity.within`` it begins anew.
    ``shutdown`` is for all of them together, ``starts_per_second`` for the whole directory.
    """

    create: Callable[[str], Actor]
    shutdown: timedelta = 10 * _SECOND
    mailbox: int = field(default=100, validator=ge(1))
    idle_after: timedelta = field(default=120 * _SECOND, validator=gt(timedelta(0)))
    cap: int = field(default=10_000, validator=ge(1))
    starts_per_second: float = field(default=1000.0, validator=gt(0))
    intensity: Intensity = Intensity()
    backoff: Backoff = DEFAULT_BACKOFF
    quarantine: Backoff = field(default=Backoff(base=60 * _SECOND, cap=3600 * _SECOND))


@frozen(kw_only=True)
class SupervisorSpec(PlaceSpec):
    """Children started in order, stopped in reverse, each with its own time.

    ``shutdown`` is for all of them together. ``backoff`` is the wait before a restart, drawn with full jitter.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: Intensity = Intensity()
    backoff: Backoff = DEFAULT_BACKOFF
    children: tuple[Spec, ...]
    startup: timedelta = timedelta.max  # each child has its own
    shutdown: timedelta = 30 * _SECOND


Spec: TypeAlias = ActorSpec | ServiceSpec | DirectorySpec | SupervisorSpec
