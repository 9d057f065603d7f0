"""All configuration: one frozen object, read once, every mistake reported together.

Each field is ``IA_<FIELD>`` in the environment, or ``<field>`` in the TOML file that ``IA_CONFIG`` names; the
environment wins. A secret may also come from a file: ``IA_<FIELD>_FILE``. Where ZeroUI already has a name for a
neighbour's address (``PM3_SERVICE_URL`` ...), that name is read when ours is not set.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import NOTHING, Attribute, field, fields, frozen

from actors.platform.tokens import SHORTEST_HS256_SECRET_BYTES
from adapters.contract import Secret
from adapters.envelope import ENVIRONMENTS
from persistence.opening import is_postgres, sqlite_path

_PREFIX = "IA_"
_FILE_VARIABLE = "IA_CONFIG"
_PM3_MOST = 100
_LAST_PORT = 65_535


class SettingsError(Exception):
    """What is wrong with the configuration: every mistake, one line each, never a value of a secret."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a non-empty string")
    return value


def _url(value: object) -> str:
    parts = urlsplit(_text(value))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("must be an http(s) URL")
    return str(value).rstrip("/")


def _flag(value: object) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in known:
        raise ValueError("must be true or false")
    return known[str(value).lower()]


def _whole(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,15}", str(value)):
        raise ValueError("must be a whole number, not negative")
    return int(str(value))


def _count(value: object) -> int:
    if _whole(value) == 0:
        raise ValueError("must be at least 1")
    return _whole(value)


def _seconds(value: object) -> timedelta:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:  # refuses nan and infinities too
        raise ValueError("must be a number of seconds above 0")
    return timedelta(seconds=seconds)


def _secret(value: object) -> Secret:
    return Secret(value=_text(value).encode())


def _signing_secret(value: object) -> Secret:
    secret = _secret(value)
    if len(secret.value) < SHORTEST_HS256_SECRET_BYTES:
        raise ValueError(f"must have at least {SHORTEST_HS256_SECRET_BYTES} bytes")
    return secret


def _table(value: object) -> Mapping[str, str]:
    try:
        table = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        table = None
    if not isinstance(table, Mapping) or not all(
        isinstance(key, str) and isinstance(entry, str) for key, entry in table.items()
    ):
        raise ValueError("must be a table of strings (in the environment: a JSON object)")
    return dict(table)


def _secret_table(value: object) -> Mapping[str, Secret]:
    return {key: _secret(entry) for key, entry in _table(value).items()}


def _one_of(*allowed: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return str(value)

    return read


def _database(value: object) -> str:
    url = _text(value)
    if not is_postgres(url):
        sqlite_path(url)
    return url


def _bind(value: object) -> str:
    found = re.fullmatch(r"[^\s]+:([0-9]{1,5})", _text(value))
    if found is None or int(found[1]) > _LAST_PORT:
        raise ValueError("must be host:port")
    return str(value)


def _setting(
    read: Callable[[object], Any], *, default: Any = ..., also: str | None = None, doc: str
) -> Any:
    metadata = {"read": read, "also": also, "doc": doc}
    shown = read is not _database  # the URL may hold a password; a Secret hides itself
    if default is ...:
        return field(metadata=metadata, repr=shown)
    return field(default=default, metadata=metadata, repr=shown)


@frozen(kw_only=True)
class Settings:
    """What a node needs to know. Durations are timedelta here and seconds in the environment."""

    pm3_url: str = _setting(_url, also="PM3_SERVICE_URL", doc="signal ingestion (PM-3)")
    kms_url: str = _setting(_url, also="KMS_SERVICE_URL", doc="key management (M33)")
    iam_url: str = _setting(_url, also="IAM_SERVICE_URL", doc="identity (M21)")
    eris_url: str = _setting(_url, also="ERIS_SERVICE_URL", doc="evidence and receipts (ERIS)")
    public_url: str = _setting(_url, doc="where providers reach this node's webhooks from outside")

    database_url: str = _setting(
        _database,
        default="sqlite:///var/integration-adapters.sqlite3",
        also="INTEGRATION_ADAPTERS_DATABASE_URL",
        doc="sqlite:///path or postgresql://...",
    )
    bind: str = _setting(_bind, default="127.0.0.1:8080", doc="host:port to listen on")
    tls_certificate: str | None = _setting(
        _text, default=None, doc="PEM file; with tls_key, serve https (else put TLS in front)"
    )
    tls_key: str | None = _setting(_text, default=None, doc="PEM file of the certificate's key")
    environment: str = _setting(
        _one_of(*ENVIRONMENTS), default="dev", doc="dev, stage or prod, as PM-3 says it"
    )
    development: bool = _setting(
        _flag, default=False, doc="allow providers on loopback without TLS; never in production"
    )
    log_level: str = _setting(
        _one_of("debug", "info", "warning", "error"), default="info", doc="least level logged"
    )
    metrics_open: bool = _setting(
        _flag, default=False, doc="serve /metrics without a token (a private network's choice)"
    )

    pm3_token: Secret | None = _setting(
        _secret, default=None, doc="PM-3 token; {tenant} in it is replaced by the tenant's id"
    )
    pm3_tokens: Mapping[str, Secret] = _setting(
        _secret_table, default={}, doc="PM-3 tokens of single tenants, before pm3_token"
    )
    kms_tenant: str | None = _setting(
        _text, default=None, doc="the tenant M33 is told (unset: the tenant's own id)"
    )
    kms_approval_token: Secret | None = _setting(
        _secret, default=None, doc="what M33 wants to see before it makes a key"
    )
    kms_plane: str = _setting(
        _one_of("laptop", "tenant", "product", "shared"), default="shared", doc="M33's plane"
    )
    iam_secret: Secret | None = _setting(
        _signing_secret, default=None, doc="HS256 secret that IAM signs tokens with"
    )
    iam_jwks_url: str | None = _setting(
        _url, default=None, doc="IAM's public keys (instead of iam_secret)"
    )
    iam_issuer: str = _setting(_text, default="zeroui-iam", doc="issuer a token must name")
    iam_audience: str = _setting(_text, default="zeroui", doc="audience a token must name")
    iam_cache: timedelta = _setting(
        _seconds, default=timedelta(seconds=10), doc="how long IAM's word on a token is believed"
    )
    eris_token: Secret | None = _setting(_secret, default=None, doc="service token for ERIS")
    eris_jwt_secret: Secret | None = _setting(
        _signing_secret,
        default=None,
        doc="HS256 secret to mint ERIS tokens with (instead of eris_token)",
    )

    webhook_rate_per_s: int = _setting(
        _count, default=200, doc="webhooks a second one connection may send in the long run"
    )
    webhook_burst: int = _setting(
        _count, default=2000, doc="webhooks one connection may send at once"
    )
    accept_deadline: timedelta = _setting(
        _seconds, default=timedelta(seconds=5), doc="longest wait for a webhook's commit"
    )
    accept_waiting: int = _setting(
        _count, default=2000, doc="webhooks that may wait for a commit; more are answered 503"
    )
    accept_waiting_bytes: int = _setting(
        _count, default=256_000_000, doc="their bytes; more are answered 503"
    )
    inbox_limit: int = _setting(
        _count, default=1_000_000, doc="deliveries that may wait for their actor in all"
    )
    replay_window: timedelta = _setting(
        _seconds, default=timedelta(days=1), doc="how long a signature is not taken twice"
    )
    retention: timedelta = _setting(
        _seconds, default=timedelta(days=7), doc="how long what is finished is kept"
    )
    pm3_batch: int = _setting(_count, default=100, doc="signals to PM-3 at once, at most 100")
    action_deadline: timedelta = _setting(
        _seconds, default=timedelta(seconds=20), doc="longest wait for one answer of a provider"
    )
    action_expiry: timedelta = _setting(
        _seconds, default=timedelta(days=1), doc="an action not done by then is given up"
    )
    upkeep_every: timedelta = _setting(
        _seconds, default=timedelta(seconds=2), doc="how often lost wake-ups are looked for"
    )
    drain: timedelta = _setting(
        _seconds, default=timedelta(seconds=15), doc="time to finish after SIGTERM"
    )


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings from ``environ`` and the TOML file it names.

    Raises:
        SettingsError: with every mistake found, unknown names included.
    """
    problems: list[str] = []
    from_file = _read_file(environ.get(_FILE_VARIABLE), problems)
    values: dict[str, Any] = {}
    for attribute in fields(Settings):
        _read(attribute, environ, from_file, values, problems)
    problems += _unknown(environ, from_file)
    if not problems:
        problems += _contradictions(values)
    if problems:
        raise SettingsError(tuple(problems))
    return Settings(**values)


def _read_file(path: str | None, problems: list[str]) -> Mapping[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{_FILE_VARIABLE}: {path}: {error.strerror}")
    except ValueError as error:
        problems.append(f"{_FILE_VARIABLE}: {path}: {error}")
    return {}


def _read(
    attribute: Attribute[Any],
    environ: Mapping[str, str],
    from_file: Mapping[str, Any],
    values: dict[str, Any],
    problems: list[str],
) -> None:
    name = _PREFIX + attribute.name.upper()
    try:
        raw = _raw(attribute, environ, from_file)
        if raw is not None:
            values[attribute.name] = attribute.metadata["read"](raw)
        elif attribute.default is NOTHING:
            problems.append(f"{name} is missing: {attribute.metadata['doc']}")
    except ValueError as error:
        problems.append(f"{name} {error}")
    except OSError as error:
        problems.append(f"{name}_FILE can not be read: {error.strerror}")


def _raw(
    attribute: Attribute[Any], environ: Mapping[str, str], from_file: Mapping[str, Any]
) -> object:
    name = _PREFIX + attribute.name.upper()
    if name in environ:
        return environ[name]
    if f"{name}_FILE" in environ and attribute.name in _SECRETS:
        return Path(environ[f"{name}_FILE"]).read_text(encoding="utf-8").strip()
    if attribute.name in from_file:
        return from_file[attribute.name]
    return environ.get(attribute.metadata["also"] or "")


def _unknown(environ: Mapping[str, str], from_file: Mapping[str, Any]) -> list[str]:
    names = {attribute.name for attribute in fields(Settings)}
    known = {_PREFIX + name.upper() for name in names} | {_FILE_VARIABLE}
    known |= {f"{_PREFIX}{name.upper()}_FILE" for name in _SECRETS}
    stray = [
        f"{name} is no setting"
        for name in sorted(environ)
        if name.startswith(_PREFIX) and name not in known and not name.startswith("IA_TEST_")
    ]
    return stray + [
        f"{name} (in {_FILE_VARIABLE}) is no setting" for name in sorted(from_file.keys() - names)
    ]


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    found = []
    if not values.get("iam_secret") and not values.get("iam_jwks_url"):
        found.append(
            "IA_IAM_SECRET or IA_IAM_JWKS_URL is needed: tokens can not be checked without"
        )
    if not values.get("pm3_token") and not values.get("pm3_tokens"):
        found.append("IA_PM3_TOKEN or IA_PM3_TOKENS is needed: PM-3 takes nothing without")
    if not values.get("eris_token") and not values.get("eris_jwt_secret"):
        found.append("IA_ERIS_TOKEN or IA_ERIS_JWT_SECRET is needed: ERIS takes nothing without")
    if not values.get("development") and values["public_url"].startswith("http://"):
        found.append("IA_PUBLIC_URL must be https outside development")
    if bool(values.get("tls_certificate")) != bool(values.get("tls_key")):
        found.append("IA_TLS_CERTIFICATE and IA_TLS_KEY go together")
    if not 1 <= values.get("pm3_batch", 100) <= _PM3_MOST:
        found.append(f"IA_PM3_BATCH must be from 1 to {_PM3_MOST}")
    return found


def describe() -> tuple[tuple[str, str, str], ...]:
    """Every setting as (environment name, default, meaning), for ``--help`` and the README."""
    return tuple(
        (
            _PREFIX + attribute.name.upper(),
            "required" if attribute.default is NOTHING else _shown(attribute.default),
            str(attribute.metadata["doc"]),
        )
        for attribute in fields(Settings)
    )


def _shown(default: object) -> str:
    if isinstance(default, timedelta):
        return f"{default.total_seconds():g}"
    return "" if default is None or default == {} else str(default)


_SECRETS = frozenset(
    attribute.name
    for attribute in fields(Settings)
    if attribute.metadata["read"] in {_secret, _signing_secret, _secret_table, _database}
)
