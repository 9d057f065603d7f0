"""What the edge is handed by the composition root."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from attrs import field, frozen

from actors.actions_desk import ActionsDesk
from actors.connections import Connections
from actors.logins import Logins
from actors.platform.identity import Identity
from actors.platform.memory import Memory
from actors.ports import Ports
from http_edge.webhooks import WebhookPorts
from persistence.group_commit import GroupCommit
from persistence.records import ConnectionRecord
from runtime import System

_KNOWN = 5_000


@frozen(kw_only=True)
class Edge:
    """What the edge is handed. ``action_expiry``: when an action ends that names no time of its own.

    ``known``: connections as they were last read for an action. Nothing may be done by them but what the store refuses
    where they have changed.
    """

    ports: Ports
    system: System
    connections: Connections
    logins: Logins
    actions: ActionsDesk
    webhooks: WebhookPorts
    identity: Identity
    commit: GroupCommit
    action_expiry: timedelta
    metrics_open: bool
    known: Memory[tuple[str, UUID], ConnectionRecord] = field(
        factory=lambda: Memory(limit=_KNOWN), repr=False
    )
