"""Capabilities that not every provider has: a Protocol each; an adapter has what it implements."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from attrs import field, frozen

from adapters.contract import Plan, Response, Secret
from adapters.credentials import AppKey, Credentials, GrantPlan


@frozen(kw_only=True)
class Wanted:
    """The webhook a connection wants at its provider.

    ``url`` is where it must lead; ``former_urls`` are this connection's from before, to be replaced. ``settings``
    is the connection's, a JSON object of ``Manifest.settings``; ``former_settings`` are those of before, whose
    webhooks are to be removed where ``settings`` no longer asks for them. ``renewed``: the secret is another than
    when ``subscribe`` was last ``Done``; no provider shows the secret it has, so it is sent again. The URLs hold
    the endpoint's token.
    """

    url: str = field(repr=False)
    former_urls: tuple[str, ...] = field(default=(), repr=False)
    secret: Secret
    settings: bytes
    former_settings: tuple[bytes, ...] = ()
    renewed: bool = False


@runtime_checkable
class Subscriptions(Protocol):
    """The capability to make, repair and remove the provider's webhook by its API."""

    def subscribe(self, wanted: Wanted) -> Plan:
        """Bring the provider to exactly one webhook as ``wanted``; lists before it creates, always.

        ``Done.details``: ``{"hooks": [{"target", "id", "was": "kept" | "created" | "repaired"}], "removed": n}``.
        A target that is refused ends the plan ``Refused`` with its name, after the others are done. Any other
        ending than ``Done`` may have left part of the work done; run again, it goes on from what it finds. After
        ``Later(maybe_sent=True)``, and after an answer that was lost, that is once the effect horizon has passed.
        """
        ...

    def unsubscribe(self, wanted: Wanted) -> Plan:
        """Remove every webhook of this connection; one that is gone already is as good.

        ``Done.details``: ``{"removed": n, "unreachable": [targets]}``; the latter show themselves to these
        credentials no more, as one does that was deleted.
        """
        ...


class ClientAuthentication(StrEnum):
    """Where a client shows its secret to the token endpoint (RFC 6749, 2.3.1)."""

    BODY = "body"
    BASIC = "basic"


@frozen(kw_only=True)
class AuthorizationServer:
    """Where OAuth 2.0 happens for a connection (RFC 6749). ``extra`` are more parameters for the authorisation URL."""

    authorize_url: str
    token_url: str
    scopes: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()
    client_authentication: ClientAuthentication = ClientAuthentication.BODY


@runtime_checkable
class Login(Protocol):
    """The capability to be granted tokens by OAuth 2.0."""

    def authorization_server(self, base_url: str) -> AuthorizationServer:
        """The server that grants tokens for a connection with that base URL."""
        ...


@runtime_checkable
class Apps(Protocol):
    """The capability to act as an app that signs for its tokens."""

    def app_grant(self, key: AppKey, *, now: datetime) -> GrantPlan:
        """Get a token of the app's installation; requests are relative to the connection's base URL."""
        ...


@runtime_checkable
class CredentialsCheck(Protocol):
    """The capability to say early that credentials can not be used."""

    def check_credentials(self, credentials: Credentials) -> None:
        """Refuse at the door what would only fail later.

        Raises:
            CredentialsError: with what is wrong, and nothing of what is in them.
        """
        ...


@frozen(kw_only=True)
class Allowance:
    """What a provider says is left of the limit ``name`` (of ``Manifest.limits``), and when it is full again."""

    name: str
    remaining: int
    resets_at: datetime


@runtime_checkable
class Allowances(Protocol):
    """The capability to read a provider's own limit headers."""

    def allowance(self, response: Response) -> Allowance | None:
        """What the answer says of a limit, or None."""
        ...
