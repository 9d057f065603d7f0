"""Actors on trio: supervised, bounded, visible, deterministic. Knows nothing of what they are for.

``docs/runtime.md`` shows a tree and a worked example.
"""

from __future__ import annotations

from runtime.actor import Actor, ActorRef, Context, Timer
from runtime.backoff import Backoff
from runtime.breaker import Breaker, BreakerState, Permit, Phase, Refusal, Result
from runtime.budget import (
    Budget,
    BudgetState,
    Decision,
    Denied,
    Granted,
    Level,
    TokenBucket,
    Window,
)
from runtime.clock import Clock, TrioClock
from runtime.directory import Directory
from runtime.errors import (
    ActorError,
    ActorStoppedError,
    AskTimeoutError,
    CleanupError,
    GaveUpError,
    MailboxFullError,
    QuarantinedError,
    StartError,
    UnknownAddressError,
)
from runtime.mailbox import MailboxStatistics
from runtime.observer import NullObserver, Observer
from runtime.specs import (
    ActorSpec,
    DirectorySpec,
    Intensity,
    Restart,
    ServiceSpec,
    Spec,
    Strategy,
    SupervisorSpec,
)
from runtime.system import System
from runtime.tree import ActorSnapshot, Change, State, Subscription
from runtime.watchdog import Watchdog, watching

__all__ = [
    "Actor",
    "ActorError",
    "ActorRef",
    "ActorSnapshot",
    "ActorSpec",
    "ActorStoppedError",
    "AskTimeoutError",
    "Backoff",
    "Breaker",
    "BreakerState",
    "Budget",
    "BudgetState",
    "Change",
    "CleanupError",
    "Clock",
    "Context",
    "Decision",
    "Denied",
    "Directory",
    "DirectorySpec",
    "GaveUpError",
    "Granted",
    "Intensity",
    "Level",
    "MailboxFullError",
    "MailboxStatistics",
    "NullObserver",
    "Observer",
    "Permit",
    "Phase",
    "QuarantinedError",
    "Refusal",
    "Restart",
    "Result",
    "ServiceSpec",
    "Spec",
    "StartError",
    "State",
    "Strategy",
    "Subscription",
    "SupervisorSpec",
    "System",
    "Timer",
    "TokenBucket",
    "TrioClock",
    "UnknownAddressError",
    "Watchdog",
    "Window",
    "watching",
]
