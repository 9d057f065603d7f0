"""What a connection proves itself with, as it is sealed; and what a token endpoint grants."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias

import orjson
from attrs import frozen

from adapters.contract import Later, NeedsLogin, Refused, Request, Response, Secret
from adapters.errors import CredentialsError
from adapters.manifest import AuthMethod

_KIND = "ia_credentials"
"""Marks a document of ours; a sealed secret without it is a static token, as it was handed over."""
_SENDABLE = re.compile(rb"[\x21-\x7e\x80-\xff]{1,16384}")


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

_METHOD_OF: Mapping[type[Credentials], AuthMethod] = MappingProxyType(
    {
        StaticToken: AuthMethod.TOKEN,
        OAuthTokens: AuthMethod.OAUTH2,
        ClientCredentials: AuthMethod.CLIENT_CREDENTIALS,
        AppKey: AuthMethod.APP,
    }
)


def check(credentials: Credentials, *, methods: tuple[AuthMethod, ...]) -> None:
    """Refuse credentials that a provider with these methods can not take, or no request can carry.

    Raises:
        CredentialsError: with what is wrong, and nothing of what is in them.
    """
    method = _METHOD_OF[type(credentials)]
    if method not in methods:
        allowed = ", ".join(methods)
        raise CredentialsError(f"must be of one of the kinds {allowed}, and not {method}")
    if isinstance(credentials, StaticToken) and not _SENDABLE.fullmatch(credentials.token.value):
        raise CredentialsError("a token is one word, without spaces or line ends around it")


@frozen(kw_only=True)
class Grant:
    """What a token endpoint granted. ``refresh_token`` None: the one that was used stays good."""

    access_token: Secret
    expires_at: datetime | None = None
    refresh_token: Secret | None = None
    scopes: tuple[str, ...] = ()


def bearer(value: object) -> Secret | None:
    """What a server granted as a token; None if it is none, or would break the headers that are to carry it."""
    if isinstance(value, str) and value.isascii() and _SENDABLE.fullmatch(value.encode()):
        return Secret(value=value.encode())
    return None


GrantOutcome: TypeAlias = Grant | Later | NeedsLogin | Refused
GrantPlan: TypeAlias = Generator[Request, Response, GrantOutcome]
"""Requests have absolute URLs: a token endpoint need not be of the connection's origin. They carry secrets in
their bodies, so they are sent and forgotten, never journalled."""


def sealed_form(credentials: Credentials) -> Secret:
    """The credentials as they are sealed; ``read`` is its inverse."""
    if isinstance(credentials, StaticToken) and _ours(credentials.token) is None:
        return credentials.token
    return Secret(value=orjson.dumps(_document(credentials)))


def _document(credentials: Credentials) -> dict[str, Any]:
    match credentials:
        case StaticToken(token=token):
            # One that looks like a document of ours must not be read as what it says.
            return {_KIND: "token", "token": _text(token)}
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
    document = _ours(sealed)
    if document is None:
        return StaticToken(token=sealed)
    try:
        return _read(document)
    except (KeyError, ValueError):
        # Not chained: the cause may quote a secret.
        raise CredentialsError("the sealed credentials can not be read") from None


def _ours(sealed: Secret) -> dict[str, Any] | None:
    try:
        document = orjson.loads(sealed.value)
    except ValueError:
        return None
    return document if isinstance(document, dict) and _KIND in document else None


def _read(document: dict[str, Any]) -> Credentials:
    match document[_KIND]:
        case "token":
            return StaticToken(token=_secret(document["token"]))
        case "oauth2":
            refresh, expires = document["refresh_token"], document["expires_at"]
            return OAuthTokens(
                access_token=_secret(document["access_token"]),
                refresh_token=None if refresh is None else _secret(refresh),
                expires_at=None if expires is None else datetime.fromisoformat(_string(expires)),
                scopes=tuple(_string(scope) for scope in _list(document["scopes"])),
            )
        case "client_credentials":
            return ClientCredentials(
                client_id=_string(document["client_id"]),
                client_secret=_secret(document["client_secret"]),
            )
        case "app":
            return AppKey(
                app_id=_string(document["app_id"]),
                installation_id=_string(document["installation_id"]),
                private_key=_secret(document["private_key"]),
            )
        case _:
            raise ValueError


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - one error to catch
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError  # noqa: TRY004 - one error to catch
    return value


def _text(secret: Secret) -> str:
    return secret.value.decode("latin-1")


def _secret(value: object) -> Secret:
    return Secret(value=_string(value).encode("latin-1"))
