"""A node put together: which part is handed what. Nothing runs yet."""

from __future__ import annotations

import random
import secrets

import trio
from attrs import frozen
from structlog.typing import FilteringBoundLogger

from actors.actions_desk import ActionsDesk
from actors.announcements import Announcements
from actors.conditions import Conditions
from actors.connections import Connections
from actors.logins import Logins
from actors.metrics import Metrics
from actors.network import Network
from actors.pools import Pools
from actors.ports import Pace, Ports
from actors.transport import Transport
from actors.tree import tree, wake_through
from actors.upkeep import RefusalCount, Timetable
from adapters.redaction import DEFAULT_RULES
from adapters.registry import discover
from http_edge.edge import Edge
from http_edge.endpoints import Endpoints
from http_edge.logs import LoggingObserver
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
    providers: Pools
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
    if outside.platform.absent:
        outside.log.info("platform.not_configured", ports=outside.platform.absent)
    return Node(settings=settings, system=systems[0], ports=ports, edge=edge, log=outside.log)


def _ports(outside: Outside, systems: list[System]) -> Ports:
    settings, platform = outside.settings, outside.platform
    return Ports(
        store=outside.store,
        registry=discover(),
        secrets=platform.secrets,
        signals=platform.signals,
        receipts=platform.receipts,
        budgets=platform.budgets,
        incidents=platform.incidents,
        health=platform.health,
        policy=platform.policy,
        transport=Transport(
            pools=outside.providers,
            deadline=settings.action_deadline,
            network=Network(development=settings.development),
        ),
        clock=outside.world.clock,
        ids=outside.world.ids,
        incarnation=outside.world.ids(),
        environment=settings.environment,
        wake=wake_through(lambda: systems[0]),
        announcements=Announcements(),
        conditions=Conditions(),
        metrics=Metrics(),
        log=outside.log,
        public_url=settings.public_url,
        entropy=outside.world.entropy,
        oauth_clients=settings.oauth_clients,
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
    connections = Connections(ports=ports)
    return Edge(
        ports=ports,
        system=system,
        connections=connections,
        logins=Logins(
            ports=ports,
            connections=connections,
            return_origins=settings.oauth_return_origins,
        ),
        actions=ActionsDesk(ports=ports),
        webhooks=_webhooks(outside, ports, commit, refusals),
        identity=outside.platform.identity,
        commit=commit,
        action_expiry=settings.action_expiry,
        metrics_open=settings.metrics_open,
    )


def _webhooks(
    outside: Outside, ports: Ports, commit: GroupCommit, refusals: RefusalCount
) -> WebhookPorts:
    settings = outside.settings
    bucket = TokenBucket(rate=settings.webhook_rate_per_s, capacity=settings.webhook_burst)
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
