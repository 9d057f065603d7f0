"""Everything a node talks to, simulated over real HTTP on loopback: for development, the demo and tests.

The simulators run outside the node, so that a node can be killed and started again and find the world as it was.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import trio
from attrs import frozen

from actors.platform.embedded.alerting import AlertingService
from actors.platform.embedded.budgets import BudgetService
from actors.platform.embedded.health import HealthService
from actors.platform.embedded.identity import IdentityService
from actors.platform.embedded.keys import KeyManagement
from actors.platform.embedded.receipts import EvidenceService
from actors.platform.embedded.signals import SignalIngestion
from actors.platform.tokens import MintedClaims, MintedTokens
from adapters.contract import Secret
from adapters.github.simulator import GitHub
from adapters.github.world import Token
from adapters.signals import SIGNAL_TYPES
from http_edge.simulators import Handle, serve_simulator
from runtime import Clock

KMS_TENANT = "dev-tenant"
"""M33 as shipped knows no other tenant in development."""
HEALTH_TOKEN = "valid_epc1_admin_integration_adapters"  # noqa: S105 - EPC-5's mock believes any of this shape
"""With ``admin`` in it, EPC-5 lets it speak for every tenant."""
ISSUER, AUDIENCE = "zeroui-iam", "zeroui"
REPOSITORY = "acme/rocket"
ISSUE, PULL_REQUEST = 1, 2
_DEVELOPMENT_SECRET = Secret(value=b"development-only-secret-of-the-dev-node")
_TOKEN_LIFETIME = timedelta(hours=12)


@frozen(kw_only=True)
class Surroundings:
    """Where each simulated neighbour listens, and what opens its door."""

    pm3_url: str
    kms_url: str
    iam_url: str
    eris_url: str
    budget_url: str
    alerting_url: str
    health_url: str
    github_url: str
    github_token: Secret
    iam_secret: Secret

    def environ(self) -> Mapping[str, str]:
        """The settings of a node that lives among these neighbours."""
        secret = self.iam_secret.value.decode()
        return {
            "IA_PM3_URL": self.pm3_url,
            "IA_KMS_URL": self.kms_url,
            "IA_IAM_URL": self.iam_url,
            "IA_ERIS_URL": self.eris_url,
            "IA_BUDGET_URL": self.budget_url,
            "IA_ALERTING_URL": self.alerting_url,
            "IA_HEALTH_URL": self.health_url,
            "IA_PM3_TOKEN": "valid_token_{tenant}",
            "IA_KMS_TENANT": KMS_TENANT,
            "IA_KMS_APPROVAL_TOKEN": "approved-for-development",
            "IA_IAM_SECRET": secret,
            "IA_ERIS_JWT_SECRET": secret,
            "IA_BUDGET_JWT_SECRET": secret,
            "IA_ALERTING_JWT_SECRET": secret,
            "IA_HEALTH_TOKEN": HEALTH_TOKEN,
            "IA_DEVELOPMENT": "true",
            "IA_METRICS_OPEN": "true",
        }


@frozen(kw_only=True)
class Ports:
    """On which ports they listen; 0 takes a free one."""

    pm3: int = 0
    kms: int = 0
    iam: int = 0
    eris: int = 0
    budget: int = 0
    alerting: int = 0
    health: int = 0
    github: int = 0


async def start(
    nursery: trio.Nursery,
    *,
    clock: Clock,
    ids: Callable[[], UUID],
    ports: Ports | None = None,
    keys_file: Path | None = None,
    github_token: Secret | None = None,
) -> Surroundings:
    """Start every simulator in ``nursery``; they listen when this returns.

    ``keys_file`` keeps M33's keys over a restart, which the real one does not: without it, the secrets of a
    development node are lost with the process.
    """
    places = ports or Ports()
    token = github_token or Secret(value=b"ghp_" + secrets.token_hex(18).encode())
    identity = IdentityService()
    serve = partial(_serve, nursery, clock)
    return Surroundings(
        pm3_url=await serve(SignalIngestion(SIGNAL_TYPES, ids=ids).handle, places.pm3),
        kms_url=await serve(_key_management(keys_file).handle, places.kms),
        iam_url=await serve(identity.handle, places.iam),
        eris_url=await serve(EvidenceService(identity).handle, places.eris),
        budget_url=await serve(BudgetService(_DEVELOPMENT_SECRET).handle, places.budget),
        alerting_url=await serve(AlertingService(_DEVELOPMENT_SECRET).handle, places.alerting),
        health_url=await serve(HealthService().handle, places.health),
        github_url=await serve(_github(clock, token).handle, places.github),
        github_token=token,
        iam_secret=_DEVELOPMENT_SECRET,
    )


async def _serve(nursery: trio.Nursery, clock: Clock, handle: Handle, port: int) -> str:
    url: str = await nursery.start(partial(serve_simulator, handle, clock=clock, port=port))
    return url


def _github(clock: Clock, token: Secret) -> GitHub:
    """GitHub with one repository that has an issue (1) and a pull request (2)."""
    github = GitHub(tokens=(Token(secret=token, scopes=("repo",)),))
    repository, now = github.world.add_repository(REPOSITORY), clock.now()
    for title, is_pr in (("The engine is cold", False), ("Warm the engine", True)):
        github.world.add_issue(repository, title=title, author="ada", now=now, is_pr=is_pr)
    return github


def _key_management(path: Path | None) -> KeyManagement:
    if path is None:
        return KeyManagement(entropy=secrets.token_bytes)
    state = path.read_bytes() if path.exists() else None
    return KeyManagement(entropy=secrets.token_bytes, state=state, save=partial(_save, path))


def _save(path: Path, state: bytes) -> None:
    """Write beside and rename: a crash leaves the old keys or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.touch(mode=0o600)
    beside.write_bytes(state)
    beside.replace(path)


def caller_token(tenant_id: str, role: str, *, clock: Clock, ids: Callable[[], UUID]) -> str:
    """A bearer token that the simulated IAM and a node among these surroundings believe."""
    claims = MintedClaims(
        service=f"{role}-of-{tenant_id}",
        issuer=ISSUER,
        audience=AUDIENCE,
        key_id="development",
        scope=(role,),
        roles=(role,),
        lifetime=_TOKEN_LIFETIME,
    )
    minted = MintedTokens(_DEVELOPMENT_SECRET, claims, clock=clock, ids=ids)
    return minted.token(tenant_id).value.decode()
