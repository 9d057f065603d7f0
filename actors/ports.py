"""What the actors are handed: the world, as one frozen value. The composition root makes it, tests fake it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from uuid import UUID

from attrs import field, frozen
from structlog.typing import FilteringBoundLogger

from actors.announcements import Announcements
from actors.conditions import Conditions
from actors.metrics import Metrics
from actors.platform.budgets import Budgets
from actors.platform.health import HealthReports
from actors.platform.incidents import Incidents
from actors.platform.policy import Policy
from actors.platform.receipts import Receipts
from actors.platform.secrets import SecretStore
from actors.platform.signals import Signals
from actors.transport import Transport
from adapters.oauth import OAuthClient
from adapters.registry import Registry
from persistence.records import ActionRecord
from persistence.store import Store
from runtime import Backoff, Breaker, Clock


@frozen(kw_only=True)
class Pace:
    """How fast, how many and how long: the bounds the actors work within."""

    deliveries_at_once: int = 100
    signals_at_once: int = 100
    receipts_at_once: int = 100
    receipts_every: timedelta = timedelta(seconds=1)
    """Between batches of a tenant's receipts, unless one was full."""
    incidents_at_once: int = 20
    token_kept: timedelta = timedelta(minutes=5)
    look_again: Backoff = field(
        factory=lambda: Backoff(base=timedelta(seconds=1), factor=2.0, cap=timedelta(seconds=30))
    )
    """Between look-ups for an effect that may be late."""
    retry: Backoff = field(
        factory=lambda: Backoff(base=timedelta(seconds=1), factor=2.0, cap=timedelta(minutes=5))
    )
    """Between tries of anything else."""
    breaker: Breaker = field(factory=Breaker)
    """Of each connection."""
    most_attempts: int = 200
    """So often an action is tried before it is given up, if its time does not end before."""
    budget_block: int = 10
    budget_kept: timedelta = timedelta(seconds=10)
    """So many calls M35 is asked for at once, and how long they are good."""
    answer_within: timedelta = timedelta(seconds=40)
    """How long the edge waits for a connection's actor: longer than a request to a provider takes."""
    neighbour: Backoff = field(
        factory=lambda: Backoff(base=timedelta(seconds=0.5), factor=2.0, cap=timedelta(seconds=15))
    )
    """Between tries of a sibling module or the store."""


@frozen(kw_only=True)
class Ports:
    """Everything an actor may reach. ``ids`` makes UUIDv7; ``wake`` hints that there is work for an actor.

    ``public_url`` is where providers reach us; ``entropy(n)`` gives n unpredictable bytes; ``oauth_clients`` are the
    operator's own, by provider.

    ``budgets``, ``incidents`` and ``health`` are None where the settings name no address for them.
    """

    store: Store
    registry: Registry
    secrets: SecretStore
    signals: Signals
    receipts: Receipts
    budgets: Budgets | None
    incidents: Incidents | None
    health: HealthReports | None
    policy: Policy
    transport: Transport
    clock: Clock
    ids: Callable[[], UUID]
    incarnation: UUID
    environment: str
    wake: Wake
    announcements: Announcements
    conditions: Conditions
    metrics: Metrics
    log: FilteringBoundLogger
    public_url: str
    entropy: Callable[[int], bytes]
    oauth_clients: Mapping[str, OAuthClient] = field(factory=dict)
    pace: Pace = Pace()


@frozen(kw_only=True)
class Wake:
    """Hints, never blocking and never failing: a lost one costs the time until the next upkeep, no data."""

    connection: Callable[[str, UUID], None]
    action: Callable[[ActionRecord, int | None], None]
    """An action was stored, of a connection of that version (None: nobody has looked)."""
    polls: Callable[[str, UUID], None]
    """A poll or a backfill of a connection may be due."""
    signals: Callable[[str], None]
    receipts: Callable[[str], None]
    incidents: Callable[[str], None]
    job: Callable[[str, UUID, object], None]
    """Hand a job to a connection's actor; the one that may fail: BusyError, when its mailbox is full or it is quarantined."""
