"""What callers ask of connections, and what they get: the values of ``actors.connections``."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from attrs import field, frozen

from adapters.contract import Secret
from adapters.credentials import Credentials
from adapters.oauth import OAuthClient
from persistence.records import ConnectionRecord


@frozen(kw_only=True)
class By:
    """Who asks, and the version they have seen (None: whatever it is now)."""

    subject: str
    version: int | None = None


@frozen(kw_only=True)
class NewConnection:
    """A connection to be made; what is None comes from the provider's manifest."""

    provider_id: str
    display_name: str
    base_url: str
    capabilities: tuple[str, ...]
    settings: bytes = b"{}"
    tags: bytes = b"{}"
    network: bytes = field(default=b"{}", repr=False)
    credentials: Credentials | None = None
    client: OAuthClient | None = None
    webhook_secret: Secret | None = None


@frozen(kw_only=True)
class Created:
    """A new connection. The URL is shown only this once."""

    connection: ConnectionRecord
    webhook_url: str = field(repr=False)
    webhook_secret_ref: UUID | None


@frozen(kw_only=True)
class Edits:
    """What to change of a connection; None: nothing."""

    display_name: str | None = None
    base_url: str | None = None
    capabilities: tuple[str, ...] | None = None
    settings: bytes | None = None
    tags: bytes | None = None
    network: bytes | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Rotation:
    """Which secrets of a connection are to be replaced. ``webhook_url``: by a new URL."""

    credentials: Credentials | None = None
    client: OAuthClient | None = None
    webhook_secret: Secret | None = None
    webhook_url: bool = False


@frozen(kw_only=True)
class Rotated:
    """What a rotation led to; the old webhook secret and URL are good until ``old_valid_until``."""

    connection: ConnectionRecord
    webhook_url: str | None = field(default=None, repr=False)
    old_valid_until: datetime | None = None


@frozen(kw_only=True)
class Verified:
    """What a try at the provider found. ``passed`` False: ``reason`` says why, and whether to try ``again``."""

    connection: ConnectionRecord
    passed: bool
    reason: str | None = None
    again: bool = False
    details: bytes = b"{}"
