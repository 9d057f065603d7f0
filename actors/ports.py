"""What the actors are handed: the world, as one frozen value. The composition root makes it, tests fake it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from attrs import field, frozen
from structlog.typing import FilteringBoundLogger

from actors.announcements import Announcements
from actors.metrics import Metrics
from actors.platform.receipts import Receipts
from actors.platform.secrets import SecretStore
from actors.platform.signals import Signals
from actors.transport import Transport
from adapters.registry import Registry
from persistence.store import Store
from runtime import Backoff, Clock


@frozen(kw_only=True)
class Pace:
    """How fast, how many and how long: the bounds the actors work within."""

    deliveries_at_once: int = 100
    signals_at_once: int = 100
    actions_at_once: int = 4
    receipts_at_once: int = 100
    token_kept: timedelta = timedelta(minutes=5)
    look_again: Backoff = field(
        factory=lambda: Backoff(base=timedelta(seconds=1), factor=2.0, cap=timedelta(seconds=30))
    )
    """Between look-ups for an effect that may be late."""
    retry: Backoff = field(
        factory=lambda: Backoff(base=timedelta(seconds=1), factor=2.0, cap=timedelta(minutes=5))
    )
    """Between tries of anything else."""
    neighbour: Backoff = field(
        factory=lambda: Backoff(base=timedelta(seconds=0.5), factor=2.0, cap=timedelta(seconds=15))
    )
    """Between tries of a sibling module or the store."""


@frozen(kw_only=True)
class Ports:
    """Everything an actor may reach. ``ids`` makes UUIDv7; ``wake`` hints that there is work for an actor."""

    store: Store
    registry: Registry
    secrets: SecretStore
    signals: Signals
    receipts: Receipts
    transport: Transport
    clock: Clock
    ids: Callable[[], UUID]
    incarnation: UUID
    environment: str
    wake: Wake
    announcements: Announcements
    metrics: Metrics
    log: FilteringBoundLogger
    pace: Pace = Pace()


@frozen(kw_only=True)
class Wake:
    """Hints, never blocking and never failing: a lost one costs the time until the next upkeep, no data."""

    connection: Callable[[str, UUID], None]
    signals: Callable[[str], None]
    receipts: Callable[[str], None]
