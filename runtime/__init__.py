"""Actors on trio: supervised, bounded, visible, deterministic. Knows nothing of what they are for.

``docs/runtime.md`` shows a tree and a worked example.
"""

from __future__ import annotations

from runtime.actor import Actor as Actor, ActorRef as ActorRef, Context as Context, Timer as Timer
from runtime.backoff import Backoff as Backoff
from runtime.breaker import (
    Breaker as Breaker,
    BreakerState as BreakerState,
    Permit as Permit,
    Phase as Phase,
    Refusal as Refusal,
    Result as Result,
)
from runtime.budget import (
    Budget as Budget,
    BudgetState as BudgetState,
    Denied as Denied,
    Granted as Granted,
    Level as Level,
    TokenBucket as TokenBucket,
    Window as Window,
)
from runtime.clock import Clock as Clock, TrioClock as TrioClock
from runtime.directory import Directory as Directory
from runtime.errors import (
    ActorError as ActorError,
    ActorStoppedError as ActorStoppedError,
    AskTimeoutError as AskTimeoutError,
    GaveUpError as GaveUpError,
    MailboxFullError as MailboxFullError,
    QuarantinedError as QuarantinedError,
    StartError as StartError,
    UnknownAddressError as UnknownAddressError,
)
from runtime.specs import (
    ActorSpec as ActorSpec,
    DirectorySpec as DirectorySpec,
    Intensity as Intensity,
    Restart as Restart,
    ServiceSpec as ServiceSpec,
    Spec as Spec,
    Strategy as Strategy,
    SupervisorSpec as SupervisorSpec,
)
from runtime.system import System as System
from runtime.tree import (
    ActorSnapshot as ActorSnapshot,
    Change as Change,
    NullObserver as NullObserver,
    Observer as Observer,
    State as State,
)
from runtime.watchdog import Watchdog as Watchdog
