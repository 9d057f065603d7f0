"""What is true of a provider whatever the tenant."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from attrs import field, frozen


class Category(StrEnum):
    """The families of providers (PRD, FR-1)."""

    SCM = "scm"
    ISSUE_TRACKER = "issue_tracker"
    CHAT = "chat"
    CI_CD = "ci_cd"
    OBSERVABILITY = "observability"
    KNOWLEDGE = "knowledge"
    EMAIL = "email"


class ProviderStatus(StrEnum):
    """How far an adapter is trusted (PRD, FR-1)."""

    ALPHA = "alpha"
    BETA = "beta"
    GA = "ga"
    DEPRECATED = "deprecated"


class AuthMethod(StrEnum):
    """How a connection can come to a token (PRD, FR-3)."""

    TOKEN = "token"  # noqa: S105 - a name
    OAUTH2 = "oauth2"
    CLIENT_CREDENTIALS = "client_credentials"
    APP = "app"


@frozen(kw_only=True)
class Limit:
    """What a provider allows one connection: ``amount`` requests per ``per``; of writes only, or of all requests.

    ``name`` is what ``Allowances.allowance`` calls it.
    """

    name: str
    amount: int
    per: timedelta
    writes_only: bool = False


@frozen(kw_only=True)
class NoSettings:
    """A connection of this provider needs to be told nothing more."""


@frozen(kw_only=True)
class Manifest:
    """What is true of a provider whatever the tenant.

    ``effect_horizon`` is the longest time after sending in which an effect may still appear at the provider;
    ``look_up`` says that a plan can find an effect of an earlier try, so that after the horizon, not having
    found it means it is not there. ``accepted``, ``overloaded``: the statuses this provider understands as
    such. ``body_limit_bytes``: the largest webhook it sends. ``settings``: the attrs type of what a connection must
    be told besides its credentials; its JSON Schema is what callers see. ``at_once``: requests a connection may
    have out at one time.
    """

    provider_id: str
    name: str
    category: Category
    status: ProviderStatus
    api_version: str
    adapter_version: str
    base_url: str
    body_limit_bytes: int
    event_kinds: tuple[str, ...]
    signal_types: tuple[str, ...]
    actions: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    auth_methods: tuple[AuthMethod, ...] = (AuthMethod.TOKEN,)
    settings: type = field(default=NoSettings)
    limits: tuple[Limit, ...] = ()
    at_once: int = 4
    look_up: bool = False
    effect_horizon: timedelta = timedelta(seconds=60)
    accepted: int = 202
    overloaded: int = 503
