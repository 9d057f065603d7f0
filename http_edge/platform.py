"""The ports to the sibling modules, as the settings say."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from attrs import frozen

from actors.platform.budgets import Budgets, BudgetTerms, M35Budgets
from actors.platform.health import Epc5Health, HealthReports, HealthTerms
from actors.platform.identity import IamIdentity, IamPace, Identity
from actors.platform.incidents import AlertTerms, Epc4Incidents, Incidents
from actors.platform.jwks import FetchedKeys
from actors.platform.keys import KmsKeys, KmsTerms
from actors.platform.policy import Policy, StaticPolicy
from actors.platform.proof import KeySource, SharedSecret, TokenRules
from actors.platform.receipts import CourierReceipts, CourierTerms, Receipts
from actors.platform.secrets import SealedSecrets, SecretStore
from actors.platform.sibling import Sibling
from actors.platform.signals import Pm3Signals, Signals
from actors.platform.tokens import MintedClaims, MintedTokens, TenantTokens, TokenSource
from adapters.contract import Secret
from http_edge.settings import Settings
from persistence.store import Store
from runtime import Clock

SERVICE = "integration-adapters"
KEY_ID = "integration-adapters"
_KMS_ENVIRONMENT = {"dev": "dev", "stage": "staging", "prod": "prod"}


@frozen(kw_only=True)
class Platform:
    """The siblings this node speaks to; None: the settings name no address for it."""

    signals: Signals
    secrets: SecretStore
    identity: Identity
    receipts: Receipts
    budgets: Budgets | None
    incidents: Incidents | None
    health: HealthReports | None
    policy: Policy

    @property
    def absent(self) -> tuple[str, ...]:
        """The neighbours the node does without."""
        optional = {
            "budgets": self.budgets,
            "incidents": self.incidents,
            "health": self.health,
        }
        return tuple(name for name, port in optional.items() if port is None)


@frozen(kw_only=True)
class World:
    """Time, chance and ids, which enter the program in one place."""

    clock: Clock
    ids: Callable[[], UUID]
    entropy: Callable[[int], bytes]


def connect(settings: Settings, store: Store, client: httpx.AsyncClient, world: World) -> Platform:
    """Clients of the siblings that ``settings`` names; nothing is asked yet."""
    return Platform(
        signals=Pm3Signals(
            Sibling("PM-3", settings.pm3_url, client),
            TenantTokens(template=settings.pm3_token, own=settings.pm3_tokens),
        ),
        secrets=SealedSecrets(
            KmsKeys(Sibling("M33", settings.kms_url, client), _kms_terms(settings)),
            store,
            clock=world.clock,
            entropy=world.entropy,
            ids=world.ids,
        ),
        identity=_identity(settings, client, world.clock),
        receipts=CourierReceipts(
            Sibling("ERIS", settings.eris_url, client),
            _eris_tokens(settings, world),
            CourierTerms(environment=settings.environment),
        ),
        budgets=_budgets(settings, client, world),
        incidents=_incidents(settings, client, world),
        health=_health(settings, client),
        policy=settings.policy_file or StaticPolicy(),
    )


def _budgets(settings: Settings, client: httpx.AsyncClient, world: World) -> M35Budgets | None:
    if settings.budget_url is None or settings.budget_jwt_secret is None:
        return None
    tokens = _minted(settings.budget_jwt_secret, settings, world)
    terms = BudgetTerms(costs=settings.budget_costs)
    return M35Budgets(Sibling("M35", settings.budget_url, client), tokens, terms)


def _incidents(
    settings: Settings, client: httpx.AsyncClient, world: World
) -> Epc4Incidents | None:
    if settings.alerting_url is None or settings.alerting_jwt_secret is None:
        return None
    tokens = _minted(settings.alerting_jwt_secret, settings, world)
    terms = AlertTerms(environment=settings.environment)
    return Epc4Incidents(Sibling("EPC-4", settings.alerting_url, client), tokens, terms)


def _health(settings: Settings, client: httpx.AsyncClient) -> Epc5Health | None:
    if settings.health_url is None:
        return None
    tenant = settings.health_tenant or "{tenant}"
    return Epc5Health(
        Sibling("EPC-5", settings.health_url, client),
        TenantTokens(template=settings.health_token),
        HealthTerms(environment=settings.environment, tenant=tenant),
    )


def _kms_terms(settings: Settings) -> KmsTerms:
    return KmsTerms(
        tenant=settings.kms_tenant or "{tenant}",
        environment=_KMS_ENVIRONMENT[settings.environment],
        plane=settings.kms_plane,
        approval_token=settings.kms_approval_token,
    )


def _identity(settings: Settings, client: httpx.AsyncClient, clock: Clock) -> IamIdentity:
    return IamIdentity(
        Sibling("IAM", settings.iam_url, client),
        _keys(settings, client, clock),
        TokenRules(issuer=settings.iam_issuer, audience=settings.iam_audience),
        clock=clock,
        pace=IamPace(believed=settings.iam_cache),
    )


def _keys(settings: Settings, client: httpx.AsyncClient, clock: Clock) -> KeySource:
    if settings.iam_secret is not None:
        return SharedSecret(settings.iam_secret)
    parts = urlsplit(settings.iam_jwks_url or settings.iam_url)
    server = Sibling("IAM", f"{parts.scheme}://{parts.netloc}", client)
    return FetchedKeys(server, parts.path or "/", clock=clock)


def _eris_tokens(settings: Settings, world: World) -> TokenSource:
    if settings.eris_jwt_secret is None:
        return TenantTokens(template=settings.eris_token)
    return _minted(
        settings.eris_jwt_secret, settings, world, scope=("admin",), audience=settings.iam_audience
    )


def _minted(
    secret: Secret,
    settings: Settings,
    world: World,
    *,
    scope: tuple[str, ...] = (),
    audience: str | None = None,
) -> MintedTokens:
    claims = MintedClaims(
        service=SERVICE,
        issuer=settings.iam_issuer,
        audience=audience,
        key_id=KEY_ID,
        scope=scope,
    )
    return MintedTokens(secret, claims, clock=world.clock, ids=world.ids)
