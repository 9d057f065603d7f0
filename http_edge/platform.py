"""The ports to the sibling modules, as the settings say."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from attrs import frozen

from actors.platform.identity import IamIdentity, IamPace, Identity
from actors.platform.jwks import FetchedKeys
from actors.platform.keys import KmsKeys, KmsTerms
from actors.platform.proof import KeySource, SharedSecret, TokenRules
from actors.platform.receipts import CourierReceipts, CourierTerms, Receipts
from actors.platform.secrets import SealedSecrets, SecretStore
from actors.platform.sibling import Sibling
from actors.platform.signals import Pm3Signals, Signals
from actors.platform.tokens import MintedClaims, MintedTokens, TenantTokens, TokenSource
from http_edge.settings import Settings
from persistence.store import Store
from runtime import Clock

SERVICE = "integration-adapters"
KEY_ID = "integration-adapters"
_KMS_ENVIRONMENT = {"dev": "dev", "stage": "staging", "prod": "prod"}


@frozen(kw_only=True)
class Platform:
    """The siblings this node speaks to."""

    signals: Signals
    secrets: SecretStore
    identity: Identity
    receipts: Receipts


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
    claims = MintedClaims(
        service=SERVICE,
        issuer=settings.iam_issuer,
        audience=settings.iam_audience,
        key_id=KEY_ID,
    )
    return MintedTokens(settings.eris_jwt_secret, claims, clock=world.clock, ids=world.ids)
