"""What callers may send, as types: what they say stands in the OpenAPI document, and what it says is held by them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any, Literal

from attrs import field, frozen
from msgspec import Meta

from adapters.contract import SignalKind
from adapters.manifest import AuthMethod
from adapters.schema import json_schema

_LONGEST_EXPIRY_S = 30 * 86_400
LONGEST_EXPIRY = timedelta(seconds=_LONGEST_EXPIRY_S)

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(min_length=1, max_length=1_000)]
Tags = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=100)], Annotated[str, Meta(max_length=200)]],
    Meta(max_length=50, description="Your own words on it; connections can be listed by them."),
]
BaseUrl = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2_000,
        description="Where the provider's API is; without it, the provider's own.",
    ),
]
Names = Annotated[
    list[Name], Meta(max_length=50, description="What of the provider's capabilities it is for.")
]
Settings = Annotated[
    dict[str, Any],
    Meta(description="What the provider's `config_schema` asks for, and nothing else."),
]

ResourceName = Annotated[
    str, Meta(min_length=1, max_length=500, description="As the cursors name it.")
]


@frozen(kw_only=True)
class TokenAuth:
    """A token that a person made. ``method`` may be left out."""

    token: Annotated[str, Meta(min_length=1, max_length=10_000)] = field(repr=False)
    method: Literal["token"] = "token"


@frozen(kw_only=True)
class ClientAuth:
    """A client that is granted tokens in its own name (RFC 6749, 4.4)."""

    method: Literal["client_credentials"]
    client_id: Name
    client_secret: Text = field(repr=False)


@frozen(kw_only=True)
class AppAuth:
    """An app's key (PEM), which signs for one installation of it."""

    method: Literal["app"]
    app_id: Name
    installation_id: Name
    private_key: Annotated[str, Meta(min_length=1, max_length=20_000)] = field(repr=False)


@frozen(kw_only=True)
class LoginAuth:
    """A person will log in at the provider (``oauth/start``), to this client, or to the operator's without one."""

    method: Literal["oauth2"]
    client_id: Name | None = None
    client_secret: Text | None = field(default=None, repr=False)


Auth = TokenAuth | ClientAuth | AppAuth | LoginAuth

AUTH_TYPES: Mapping[str, type[Auth]] = MappingProxyType(
    {
        AuthMethod.TOKEN: TokenAuth,
        AuthMethod.CLIENT_CREDENTIALS: ClientAuth,
        AuthMethod.APP: AppAuth,
        AuthMethod.OAUTH2: LoginAuth,
    }
)

AuthDocument = Annotated[
    dict[str, Any],
    Meta(
        description="Credentials, handed over once and shown never again; `method` says which kind.",
        extra_json_schema={"oneOf": [json_schema(kind) for kind in AUTH_TYPES.values()]},
    ),
]
"""One of ``AUTH_TYPES``; read by ``reading.auth_of``, as one field can not be one of several attrs types."""


@frozen(kw_only=True)
class WebhookBody:
    """The secret that the provider signs its webhooks with; none: we make one, where we register the webhook."""

    secret: Annotated[str, Meta(min_length=8, max_length=1_000)] | None = field(
        default=None, repr=False
    )


@frozen(kw_only=True)
class NetworkBody:
    """By which way the provider is reached: certificates (PEM) to trust instead of the known ones, a proxy."""

    ca_bundle: Annotated[str, Meta(min_length=1, max_length=200_000)] | None = field(
        default=None, repr=False
    )
    proxy: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = field(
        default=None, repr=False
    )


@frozen(kw_only=True)
class ConnectionBody:
    """``POST /v1/integrations/connections``."""

    provider_id: Name
    display_name: Name
    base_url: BaseUrl | None = None
    capabilities: Names | None = None
    settings: Settings = field(factory=dict)
    tags: Tags = field(factory=dict)
    network: NetworkBody | None = None
    auth: AuthDocument | None = field(default=None, repr=False)
    webhook: WebhookBody | None = None


@frozen(kw_only=True)
class ConnectionEdits:
    """``PATCH /v1/integrations/connections/{connection_id}``: what is left out stays; at least one is needed.

    ``status`` suspends or resumes, as the verbs do, and is changed alone.
    """

    status: Literal["active", "suspended"] | None = None

    display_name: Name | None = None
    base_url: BaseUrl | None = None
    capabilities: Names | None = None
    settings: Settings | None = None
    tags: Tags | None = None
    network: NetworkBody | None = None


@frozen(kw_only=True)
class RotationBody:
    """``POST …/rotate``: new credentials, a new webhook secret (without one in it, we make it), a new webhook URL."""

    auth: AuthDocument | None = field(default=None, repr=False)
    webhook: WebhookBody | None = None
    webhook_url: bool = False


@frozen(kw_only=True)
class LoginBody:
    """``POST …/oauth/start``. ``return_to``: where the person's browser is sent when it is over."""

    return_to: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None


@frozen(kw_only=True)
class BackfillBody:
    """``POST …/backfill``: what happened to ``resource`` from ``since`` on, before ``until``, or before now."""

    resource: ResourceName
    since: Annotated[datetime, Meta(tz=True)]
    until: Annotated[datetime, Meta(tz=True)] | None = None


@frozen(kw_only=True)
class CursorResetBody:
    """``POST …/cursors/reset``."""

    resource: ResourceName


@frozen(kw_only=True)
class PollBody:
    """``POST …/poll``; without a ``resource``, all of them."""

    resource: ResourceName | None = None


@frozen(kw_only=True)
class ActionBody:
    """``POST /internal/integrations/actions/execute``: a NormalisedAction (PRD 10.2).

    ``provider_id`` and ``tenant_id`` may be left out; given, they must be the connection's and the caller's. It is
    never sent after its expiry.
    """

    connection_id: Name
    canonical_type: Name
    target: dict[str, Any]
    payload: dict[str, Any] = field(repr=False)
    idempotency_key: Name
    correlation_id: Name | None = None
    provider_id: Name | None = None
    tenant_id: Name | None = None
    expires_in_s: Annotated[int, Meta(ge=1, le=_LONGEST_EXPIRY_S)] | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


@frozen(kw_only=True)
class NoBody:
    """This route takes no body; an empty object is as good as none."""


@frozen(kw_only=True)
class ReasonBody:
    """Why it is asked, for those who read of it later."""

    reason: Text | None = None


@frozen(kw_only=True)
class ResolutionBody:
    """``POST …/resolve``: what became of an action that was left ``unsure``, as a person found out."""

    status: Literal["done", "refused"]
    reason: Text
    reference: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None


Words = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"\S")]
MaybeText = Annotated[str, Meta(max_length=512)] | None
Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


@frozen(kw_only=True)
class ResourceBody:
    """Where a signal happened."""

    service_name: MaybeText = None
    repository: MaybeText = None
    branch: MaybeText = None
    commit: MaybeText = None
    module: MaybeText = None
    file_path: MaybeText = None
    environment: MaybeText = None
    deployment_id: MaybeText = None
    plane: Literal["edge", "tenant_cloud", "product_cloud", "shared_services"] | None = None
    pr_id: Annotated[int, Meta(ge=0)] | None = None


@frozen(kw_only=True)
class SignalBody:
    """``POST /internal/integrations/events/normalised``: a SignalEnvelope (PRD 10.1), as PM-3 takes it.

    Read by ``adapters.envelope``, which has the last word; this says the same to callers.
    """

    signal_id: Words
    tenant_id: Words
    environment: Literal["dev", "stage", "prod"]
    producer_id: Words
    signal_kind: SignalKind
    signal_type: Words
    occurred_at: Instant
    ingested_at: Instant
    schema_version: Words
    payload: Annotated[dict[str, Any], Meta(min_length=1)]
    actor_id: MaybeText = None
    trace_id: MaybeText = None
    span_id: MaybeText = None
    correlation_id: MaybeText = None
    resource: ResourceBody | None = None
    sequence_no: Annotated[int, Meta(ge=0)] | None = None
