"""What the value of a setting may be: each of these reads one from the environment or from TOML.

A wrong value is a ValueError, each line of which names a mistake; none quotes what may be a secret.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from urllib.parse import urlsplit

from actors.platform.policy import StaticPolicy, read_policy
from actors.platform.tokens import SHORTEST_HS256_SECRET_BYTES
from adapters.contract import Secret
from adapters.oauth import OAuthClient
from persistence.opening import is_postgres, sqlite_path

_LAST_PORT = 65_535


def as_text(value: object) -> str:
    """Any text but an empty one."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a non-empty string")
    return value


def as_url(value: object) -> str:
    """An http(s) URL, without a slash at its end."""
    parts = urlsplit(as_text(value))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("must be an http(s) URL")
    return str(value).rstrip("/")


def as_flag(value: object) -> bool:
    """True or false, also as 1, 0, yes and no."""
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in known:
        raise ValueError("must be true or false")
    return known[str(value).lower()]


def as_whole(value: object) -> int:
    """A whole number from 0."""
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,15}", str(value)):
        raise ValueError("must be a whole number, not negative")
    return int(str(value))


def as_count(value: object) -> int:
    """A whole number from 1."""
    if as_whole(value) == 0:
        raise ValueError("must be at least 1")
    return as_whole(value)


def as_seconds(value: object) -> timedelta:
    """A duration, in seconds."""
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:  # refuses nan and infinities too
        raise ValueError("must be a number of seconds above 0")
    return timedelta(seconds=seconds)


def as_secret(value: object) -> Secret:
    """A secret, as UTF-8."""
    return Secret(value=as_text(value).encode())


def as_signing_secret(value: object) -> Secret:
    """A secret to sign HS256 tokens with."""
    secret = as_secret(value)
    if len(secret.value) < SHORTEST_HS256_SECRET_BYTES:
        raise ValueError(f"must have at least {SHORTEST_HS256_SECRET_BYTES} bytes")
    return secret


def as_table(value: object) -> Mapping[str, str]:
    """Texts by name; in the environment a JSON object."""
    try:
        table = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        table = None
    if not isinstance(table, Mapping) or not all(
        isinstance(key, str) and isinstance(entry, str) for key, entry in table.items()
    ):
        raise ValueError("must be a table of strings (in the environment: a JSON object)")
    return dict(table)


def as_secret_table(value: object) -> Mapping[str, Secret]:
    """Secrets by name; see ``as_table``."""
    return {key: as_secret(entry) for key, entry in as_table(value).items()}


def as_oauth_clients(value: object) -> Mapping[str, OAuthClient]:
    """OAuth clients by provider, as ``id:secret``; see ``as_table``. A public client has no secret: ``id``."""
    return {key: _oauth_client(entry) for key, entry in as_table(value).items()}


def _oauth_client(text: str) -> OAuthClient:
    client_id, _, secret = text.partition(":")
    if not client_id:
        raise ValueError("must be a table of id:secret")
    return OAuthClient(
        client_id=client_id, client_secret=Secret(value=secret.encode()) if secret else None
    )


def as_origins(value: object) -> tuple[str, ...]:
    """Origins (scheme and host), separated by blanks or commas; in a file a list too."""
    texts = value if isinstance(value, list) else as_text(value).replace(",", " ").split()
    origins = tuple(as_url(text) for text in texts)
    if any(urlsplit(origin).path for origin in origins):
        raise ValueError("must be origins: scheme and host, nothing behind")
    return origins


def one_of(*allowed: str) -> Callable[[object], str]:
    """One of these words."""

    def read(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return str(value)

    return read


def as_database(value: object) -> str:
    """A database URL of a kind the store knows."""
    url = as_text(value)
    if not is_postgres(url):
        sqlite_path(url)
    return url


def as_bind(value: object) -> str:
    """host:port."""
    found = re.fullmatch(r"[^\s]+:([0-9]{1,5})", as_text(value))
    if found is None or int(found[1]) > _LAST_PORT:
        raise ValueError("must be host:port")
    return str(value)


def as_costs(value: object) -> Mapping[str, Decimal]:
    """Costs of a call by provider; see ``as_table``."""
    return {provider_id: _cost(entry) for provider_id, entry in as_table(value).items()}


def _cost(text: str) -> Decimal:
    try:
        cost = Decimal(text)
    except InvalidOperation:
        cost = Decimal("nan")
    if not cost.is_finite() or cost < 0:
        raise ValueError("must be a table of amounts, as texts, none below 0")
    return cost


def as_policy(value: object) -> StaticPolicy:
    """The policy in the TOML file of that name."""
    path = as_text(value)
    try:
        return read_policy(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path} can not be read: {error.strerror}") from error
