"""All configuration: one frozen object, read once, every mistake reported together.

Each field is ``IA_<FIELD>`` in the environment, or ``<field>`` in the TOML file that ``IA_CONFIG`` names; the
environment wins. A secret may also come from a file: ``IA_<FIELD>_FILE``. Where ZeroUI already has a name for a
neighbour's address (``PM3_SERVICE_URL`` ...), that name is read when ours is not set.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from attrs import NOTHING, Attribute, field, fields, frozen

from actors.platform.policy import StaticPolicy
from adapters.contract import Secret
from adapters.envelope import ENVIRONMENTS
from adapters.oauth import OAuthClient
from http_edge.setting_values import (
    as_bind,
    as_costs,
    as_count,
    as_database,
    as_flag,
    as_oauth_clients,
    as_origins,
    as_policy,
    as_seconds,
    as_secret,
    as_secret_table,
    as_signing_secret,
    as_text,
    as_url,
    one_of,
)

_PREFIX = "IA_"
_FILE_VARIABLE = "IA_CONFIG"
_PM3_MOST = 100
_OPTIONAL = {
    "budget_url": "budget_jwt_secret",
    "alerting_url": "alerting_jwt_secret",
    "health_url": "health_token",
}
"""Neighbours that may be left out, and what opens the door of one that is not."""


class SettingsError(Exception):
    """What is wrong with the configuration: every mistake, one line each, never a value of a secret."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _setting(
    read: Callable[[object], Any], *, default: Any = ..., also: str | None = None, doc: str
) -> Any:
    metadata = {"read": read, "also": also, "doc": doc}
    shown = read is not as_database  # the URL may hold a password; a Secret hides itself
    if default is ...:
        return field(metadata=metadata, repr=shown)
    return field(default=default, metadata=metadata, repr=shown)


@frozen(kw_only=True)
class Settings:
    """What a node needs to know. Durations are timedelta here and seconds in the environment."""

    pm3_url: str = _setting(as_url, also="PM3_SERVICE_URL", doc="signal ingestion (PM-3)")
    kms_url: str = _setting(as_url, also="KMS_SERVICE_URL", doc="key management (M33)")
    iam_url: str = _setting(as_url, also="IAM_SERVICE_URL", doc="identity (M21)")
    eris_url: str = _setting(as_url, also="ERIS_SERVICE_URL", doc="evidence and receipts (ERIS)")
    public_url: str = _setting(
        as_url, doc="where providers reach this node's webhooks from outside"
    )

    database_url: str = _setting(
        as_database,
        default="sqlite:///var/integration-adapters.sqlite3",
        also="INTEGRATION_ADAPTERS_DATABASE_URL",
        doc="sqlite:///path or postgresql://...",
    )
    bind: str = _setting(as_bind, default="127.0.0.1:8080", doc="host:port to listen on")
    tls_certificate: str | None = _setting(
        as_text, default=None, doc="PEM file; with tls_key, serve https (else put TLS in front)"
    )
    tls_key: str | None = _setting(as_text, default=None, doc="PEM file of the certificate's key")
    environment: str = _setting(
        one_of(*ENVIRONMENTS), default="dev", doc="dev, stage or prod, as PM-3 says it"
    )
    development: bool = _setting(
        as_flag, default=False, doc="allow providers on loopback without TLS; never in production"
    )
    log_level: str = _setting(
        one_of("debug", "info", "warning", "error"), default="info", doc="least level logged"
    )
    metrics_open: bool = _setting(
        as_flag, default=False, doc="serve /metrics without a token (a private network's choice)"
    )

    pm3_token: Secret | None = _setting(
        as_secret, default=None, doc="PM-3 token; {tenant} in it is replaced by the tenant's id"
    )
    pm3_tokens: Mapping[str, Secret] = _setting(
        as_secret_table, default={}, doc="PM-3 tokens of single tenants, before pm3_token"
    )
    kms_tenant: str | None = _setting(
        as_text, default=None, doc="the tenant M33 is told (unset: the tenant's own id)"
    )
    kms_approval_token: Secret | None = _setting(
        as_secret, default=None, doc="what M33 wants to see before it makes a key"
    )
    kms_plane: str = _setting(
        one_of("laptop", "tenant", "product", "shared"), default="shared", doc="M33's plane"
    )
    oauth_clients: Mapping[str, OAuthClient] = _setting(
        as_oauth_clients, default={}, doc="our OAuth clients by provider, id:secret"
    )
    oauth_return_origins: tuple[str, ...] = _setting(
        as_origins, default=(), doc="where a browser may be sent after a login"
    )
    iam_secret: Secret | None = _setting(
        as_signing_secret, default=None, doc="HS256 secret that IAM signs tokens with"
    )
    iam_jwks_url: str | None = _setting(
        as_url, default=None, doc="IAM's public keys (instead of iam_secret)"
    )
    iam_issuer: str = _setting(as_text, default="zeroui-iam", doc="issuer a token must name")
    iam_audience: str = _setting(as_text, default="zeroui", doc="audience a token must name")
    iam_cache: timedelta = _setting(
        as_seconds, default=timedelta(seconds=10), doc="how long IAM's word on a token is believed"
    )
    eris_token: Secret | None = _setting(as_secret, default=None, doc="service token for ERIS")
    eris_jwt_secret: Secret | None = _setting(
        as_signing_secret,
        default=None,
        doc="HS256 secret to mint ERIS tokens with (instead of eris_token)",
    )

    budget_url: str | None = _setting(
        as_url, default=None, also="BUDGET_SERVICE_URL", doc="budgets (M35); unset: not asked"
    )
    budget_jwt_secret: Secret | None = _setting(
        as_signing_secret, default=None, doc="HS256 secret to mint M35 tokens with"
    )
    budget_costs: Mapping[str, Decimal] = _setting(
        as_costs, default={}, doc="what a call costs at M35, by provider; others cost nothing"
    )
    alerting_url: str | None = _setting(
        as_url, default=None, also="ALERTING_SERVICE_URL", doc="alerting (EPC-4); unset: not told"
    )
    alerting_jwt_secret: Secret | None = _setting(
        as_signing_secret, default=None, doc="HS256 secret to mint EPC-4 tokens with"
    )
    health_url: str | None = _setting(
        as_url, default=None, also="HEALTH_SERVICE_URL", doc="health (EPC-5); unset: not told"
    )
    health_token: Secret | None = _setting(
        as_secret, default=None, doc="EPC-5 token; {tenant} in it is replaced by the tenant's id"
    )
    health_tenant: str | None = _setting(
        as_text, default=None, doc="the tenant EPC-5 is told (unset: the tenant's own id)"
    )
    policy_file: StaticPolicy | None = _setting(
        as_policy, default=None, doc="TOML file of what each tenant may do (unset: the defaults)"
    )

    webhook_rate_per_s: int = _setting(
        as_count, default=200, doc="webhooks a second one connection may send in the long run"
    )
    webhook_burst: int = _setting(
        as_count, default=2000, doc="webhooks one connection may send at once"
    )
    accept_deadline: timedelta = _setting(
        as_seconds, default=timedelta(seconds=5), doc="longest wait for a webhook's commit"
    )
    accept_waiting: int = _setting(
        as_count, default=2000, doc="webhooks that may wait for a commit; more are answered 503"
    )
    accept_waiting_bytes: int = _setting(
        as_count, default=256_000_000, doc="their bytes; more are answered 503"
    )
    inbox_limit: int = _setting(
        as_count, default=1_000_000, doc="deliveries that may wait for their actor in all"
    )
    replay_window: timedelta = _setting(
        as_seconds, default=timedelta(days=1), doc="how long a signature is not taken twice"
    )
    retention: timedelta = _setting(
        as_seconds, default=timedelta(days=7), doc="how long what is finished is kept"
    )
    pm3_batch: int = _setting(as_count, default=100, doc="signals to PM-3 at once, at most 100")
    action_deadline: timedelta = _setting(
        as_seconds, default=timedelta(seconds=20), doc="longest wait for one answer of a provider"
    )
    action_expiry: timedelta = _setting(
        as_seconds, default=timedelta(days=1), doc="an action not done by then is given up"
    )
    upkeep_every: timedelta = _setting(
        as_seconds, default=timedelta(seconds=2), doc="how often lost wake-ups are looked for"
    )
    drain: timedelta = _setting(
        as_seconds, default=timedelta(seconds=15), doc="time to finish after SIGTERM"
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
        problems += [f"{name} {line}" for line in str(error).splitlines()]
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
    found = [
        f"{_PREFIX}{credential.upper()} is needed with {_PREFIX}{url.upper()}"
        for url, credential in _OPTIONAL.items()
        if values.get(url) and not values.get(credential)
    ]
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
    if attribute.metadata["read"] in {as_secret, as_signing_secret, as_secret_table, as_database}
)
