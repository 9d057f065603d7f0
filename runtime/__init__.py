"""Actors on trio: supervised, bounded, visible, deterministic. Knows nothing of what they are for.

``docs/runtime.md`` shows a tree and a worked example.
"""

from __future__ import annotations

from runtime.actor import Actor as Actor, Context as Context, Timer as Timer
from runtime.backoff import Backoff as Backoff, Refusal as Refusal
from runtime.breaker import (
    Breaker as Breaker,
    BreakerState as BreakerState,
    Permit as Permit,
    Phase as Phase,
    Result as Result,
)
from runtime.budget import (
    Budget as Budget,
    BudgetState as BudgetState,
    Level as Level,
    TokenBucket as TokenBucket,
    Window as Window,
)
from runtime.clock import Clock as Clock, TrioClock as TrioClock
from runtime.errors import ActorError as ActorError, GaveUpError as GaveUpError
from runtime.specs import (
    ActorSpec as ActorSpec,
    DirectorySpec as DirectorySpec,
    Intensity as Intensity,
    Restart as Restart,
    ServiceSpec as ServiceSpec,
    Strategy as Strategy,
    SupervisorSpec as SupervisorSpec,
)
from runtime.system import System as System
from runtime.tree import Observer as Observer
from runtime.watchdog import Watchdog as Watchdog
