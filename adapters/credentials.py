"""What a connection proves itself with, as it is sealed; and what a token endpoint grants."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Any, TypeAlias

import orjson
from attrs import frozen

from adapters.contract import Later, NeedsLogin, Refused, Request, Response, Secret
from adapters.errors import CredentialsError

_KIND = "ia_credentials"
"""Marks a document of ours; a sealed secret without it is a static token, as it was handed over."""


@frozen(kw_only=True)
class StaticToken:
    """A token that a person made; it is sent as it is."""

    token: Secret


@frozen(kw_only=True)
class OAuthTokens:
    """What a person granted by OAuth 2.0. ``refresh_token`` None: when it expires, a person must come again."""

    access_token: Secret
    refresh_token: Secret | None
    expires_at: datetime | None
    scopes: tuple[str, ...] = ()


@frozen(kw_only=True)
class ClientCredentials:
    """A client that is granted tokens in its own name (RFC 6749, 4.4)."""

    client_id: str
    client_secret: Secret


@frozen(kw_only=True)
class AppKey:
    """An app's key (PEM), which signs for one installation of it."""

    app_id: str
    installation_id: str
    private_key: Secret


Credentials: TypeAlias = StaticToken | OAuthTokens | ClientCredentials | AppKey


@frozen(kw_only=True)
class Grant:
    """What a token endpoint granted. ``refresh_token`` None: the one that was used stays good."""

    access_token: Secret
    expires_at: datetime | None = None
    refresh_token: Secret | None = None
    scopes: tuple[str, ...] = ()


GrantOutcome: TypeAlias = Grant | Later | NeedsLogin | Refused
GrantPlan: TypeAlias = Generator[Request, Response, GrantOutcome]
"""Requests have absolute URLs: a token endpoint need not be of the connection's origin. They carry secrets in
their bodies, so they are sent and forgotten, never journalled."""


def sealed_form(credentials: Credentials) -> Secret:
    """The credentials as they are sealed; ``read`` is its inverse."""
    if isinstance(credentials, StaticToken):
        return credentials.token
    return Secret(value=orjson.dumps(_document(credentials)))


def _document(credentials: OAuthTokens | ClientCredentials | AppKey) -> dict[str, Any]:
    match credentials:
        case OAuthTokens(refresh_token=refresh, expires_at=expires_at):
            return {
                _KIND: "oauth2",
                "access_token": _text(credentials.access_token),
                "refresh_token": None if refresh is None else _text(refresh),
                "expires_at": None if expires_at is None else expires_at.isoformat(),
                "scopes": list(credentials.scopes),
            }
        case ClientCredentials():
            return {
                _KIND: "client_credentials",
                "client_id": credentials.client_id,
                "client_secret": _text(credentials.client_secret),
            }
        case AppKey():
            return {
                _KIND: "app",
                "app_id": credentials.app_id,
                "installation_id": credentials.installation_id,
                "private_key": _text(credentials.private_key),
            }


def read(sealed: Secret) -> Credentials:
    """The credentials that were sealed.

    Raises:
        CredentialsError: a document of ours that can not be read; says nothing of what is in it.
    """
    try:
        document = orjson.loads(sealed.value)
    except ValueError:
        return StaticToken(token=sealed)
    if not isinstance(document, dict) or _KIND not in document:
        return StaticToken(token=sealed)
    try:
        return _read(document)
    except (KeyError, TypeError, ValueError, AttributeError):
        # Not chained: the cause may quote a secret.
        raise CredentialsError("the sealed credentials can not be read") from None


def _read(document: dict[str, Any]) -> Credentials:
    match document[_KIND]:
        case "oauth2":
            refresh, expires = document["refresh_token"], document["expires_at"]
            return OAuthTokens(
                access_token=_secret(document["access_token"]),
                refresh_token=None if refresh is None else _secret(refresh),
                expires_at=None if expires is None else datetime.fromisoformat(expires),
                scopes=tuple(document["scopes"]),
            )
        case "client_credentials":
            return ClientCredentials(
                client_id=document["client_id"], client_secret=_secret(document["client_secret"])
            )
        case "app":
            return AppKey(
                app_id=document["app_id"],
                installation_id=document["installation_id"],
                private_key=_secret(document["private_key"]),
            )
        case _:
            raise ValueError


def _text(secret: Secret) -> str:
    return secret.value.decode("latin-1")


def _secret(text: str) -> Secret:
    return Secret(value=text.encode("latin-1"))
