"""What of a connection is read again and again: its lists, and the provider's record of webhooks that failed."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from adapters.contract import Adapter
from adapters.polling import Heals, Polls, Resource
from adapters.registry import POLLING, WEBHOOK
from persistence.records import ConnectionRecord

HEALING = Resource(
    name="webhook_deliveries",
    every=timedelta(minutes=15),
    fastest=timedelta(minutes=15),
    slowest=timedelta(minutes=15),
)
"""The provider's own record of what it sent us: a cursor like any other, so a gap is looked for after every outage."""


def streams_of(connection: ConnectionRecord, adapter: Adapter) -> tuple[Resource, ...]:
    """What is read for a connection as it is.

    A connection for webhooks of which no record shows what failed is compared with the provider's lists, seldom: what
    no webhook brought is in there.

    Raises:
        SettingsError: this version of the adapter can not read the connection's settings.
    """
    if connection.auth_ref is None:
        return ()
    wants, hears = POLLING in connection.capabilities, WEBHOOK in connection.capabilities
    heals = hears and isinstance(adapter, Heals)
    lists = adapter.resources(connection.settings) if isinstance(adapter, Polls) else ()
    if not wants:
        lists = tuple(_seldom(one) for one in lists) if hears and not heals else ()
    return (*lists, HEALING) if heals else lists


def _seldom(resource: Resource) -> Resource:
    return evolve(resource, every=resource.slowest, fastest=resource.slowest)
