"""What the edge is handed by the composition root."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

from actors.actions_desk import ActionsDesk
from actors.connections import Connections
from actors.logins import Logins
from actors.platform.identity import Identity
from actors.ports import Ports
from http_edge.webhooks import WebhookPorts
from persistence.group_commit import GroupCommit
from runtime import System


@frozen(kw_only=True)
class Edge:
    """What the edge is handed. ``action_expiry``: when an action ends that names no time of its own."""

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
