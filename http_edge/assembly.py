"""A node put together: which part is handed what. Nothing runs yet."""

from __future__ import annotations

import random
import secrets

import httpx
import trio
from attrs import frozen
from structlog.typing import FilteringBoundLogger

from actors.announcements import Announcements
from actors.metrics import Metrics
from actors.ports import Pace, Ports
from actors.transport import Transport
from actors.tree import tree, wake_through
from actors.upkeep import RefusalCount, Timetable
from adapters.redaction import DEFAULT_RULES
from adapters.registry import discover
from http_edge.app import Edge
from http_edge.endpoints import Endpoints
from http_edge.health import Health
from http_edge.logs import LoggingObserver
from http_edge.management import Management
from http_edge.platform import Platform, World
from http_edge.rates import Rates
from http_edge.settings import Settings
from http_edge.webhooks import WebhookPorts
from persistence.group_commit import CommitLimits, GroupCommit
from persistence.store import Store
from runtime import System, TokenBucket

_THREADS = 2
"""Large webhook bodies examined at once."""


@frozen(kw_only=True)
class Outside:
    """What a node is given from outside: its settings and the things that must be closed after it."""

    settings: Settings
    store: Store
    platform: Platform
    providers: httpx.AsyncClient
    world: World
    log: FilteringBoundLogger


@frozen(kw_only=True)
class Node:
    """A node that is put together and not yet running."""

    settings: Settings
    system: System
    ports: Ports
    edge: Edge
    log: FilteringBoundLogger


def assemble(outside: Outside) -> Node:
    """Put a node together."""
    systems: list[System] = []  # the actors are told where to send hints before their tree exists
    ports = _ports(outside, systems)
    refusals, commit = RefusalCount(), _commit(outside)
    settings = outside.settings
    timetable = Timetable(
        every=settings.upkeep_every,
        replay_window=settings.replay_window,
        retention=settings.retention,
    )
    systems.append(
        System(
            tree(ports, commit=commit, refusals=refusals, timetable=timetable),
            clock=outside.world.clock,
            random=random.Random(secrets.randbits(64)),  # noqa: S311 - for jitter
            observer=LoggingObserver(outside.log, ports.metrics),
        )
    )
    edge = _edge(outside, ports, commit, refusals, systems[0])
    return Node(settings=settings, system=systems[0], ports=ports, edge=edge, log=outside.log)


def _ports(outside: Outside, systems: list[System]) -> Ports:
    settings, platform = outside.settings, outside.platform
    return Ports(
        store=outside.store,
        registry=discover(),
        secrets=platform.secrets,
        signals=platform.signals,
        receipts=platform.receipts,
        transport=Transport(client=outside.providers, deadline=settings.action_deadline),
        clock=outside.world.clock,
        ids=outside.world.ids,
        incarnation=outside.world.ids(),
        environment=settings.environment,
        wake=wake_through(lambda: systems[0]),
        announcements=Announcements(),
        metrics=Metrics(),
        log=outside.log,
        pace=Pace(signals_at_once=settings.pm3_batch),
    )


def _commit(outside: Outside) -> GroupCommit:
    settings = outside.settings
    return GroupCommit(
        outside.store,
        limits=CommitLimits(
            waiting_count=settings.accept_waiting,
            waiting_bytes=settings.accept_waiting_bytes,
            pending=settings.inbox_limit,
            deadline=settings.accept_deadline,
        ),
    )


def _edge(
    outside: Outside, ports: Ports, commit: GroupCommit, refusals: RefusalCount, system: System
) -> Edge:
    settings = outside.settings
    return Edge(
        webhooks=_webhooks(outside, ports, commit, refusals),
        management=Management(
            ports=ports,
            public_url=settings.public_url,
            development=settings.development,
            new_token=lambda: secrets.token_urlsafe(32),
        ),
        health=Health(ports=ports, system=system),
        identity=outside.platform.identity,
        commit=commit,
        action_expiry=settings.action_expiry,
        metrics_open=settings.metrics_open,
        ids=ports.ids,
        log=outside.log,
    )


def _webhooks(
    outside: Outside, ports: Ports, commit: GroupCommit, refusals: RefusalCount
) -> WebhookPorts:
    settings = outside.settings
    bucket = TokenBucket(rate=settings.webhook_rate_per_s, burst=settings.webhook_burst)
    return WebhookPorts(
        registry=ports.registry,
        endpoints=Endpoints(outside.store, ports.secrets, ports.clock),
        rates=Rates(bucket, ports.clock),
        rules=DEFAULT_RULES,
        commit=commit,
        wake=ports.wake.connection,
        clock=ports.clock,
        ids=ports.ids,
        refusals=refusals,
        metrics=ports.metrics,
        log=outside.log,
        deadline=settings.accept_deadline,
        threads=trio.CapacityLimiter(_THREADS),
    )
