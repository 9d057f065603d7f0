"""GitHub: github.com and GitHub Enterprise Server (whose base URL ends in ``/api/v3``).

``events.py`` has the mapping tables. GitHub never repeats a webhook by itself, waits ten seconds for the answer,
and knows no idempotency key, so an effect is found again by a hidden marker in its text.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from adapters.capabilities import Allowance, AuthorizationServer, Wanted
from adapters.contract import Action, Delivery, Plan, Request, Response, Secret, Signal
from adapters.credentials import AppKey, Credentials, GrantPlan, check
from adapters.github import (
    access,
    actions,
    apps,
    events,
    healing,
    hooks,
    limits,
    login,
    permissions,
    plans,
    polling,
    requests,
    webhooks,
)
from adapters.github.settings import GitHubSettings
from adapters.manifest import AuthMethod, Category, Manifest, ProviderStatus
from adapters.polling import HealPlan, PollPlan, Resource, Span

MANIFEST = Manifest(
    provider_id="github",
    name="GitHub",
    category=Category.SCM,
    status=ProviderStatus.BETA,
    api_version=requests.API_VERSION,
    adapter_version="1.0.0",
    base_url="https://api.github.com",
    body_limit_bytes=webhooks.BODY_LIMIT_BYTES,
    event_kinds=events.EVENT_KINDS,
    signal_types=events.SIGNALS,
    actions=actions.ACTIONS,
    scopes=permissions.SCOPES,
    auth_methods=(AuthMethod.TOKEN, AuthMethod.OAUTH2, AuthMethod.APP),
    settings=GitHubSettings,
    limits=limits.LIMITS,
    at_once=limits.AT_ONCE,
    look_up=True,
    # GitHub gives a request up after ten seconds; the rest is for replicas that lag behind.
    effect_horizon=timedelta(seconds=60),
)


@frozen(kw_only=True)
class GitHub:
    """The adapter; see ``contract.Adapter`` for what each method promises."""

    manifest: Manifest = MANIFEST

    def receive(self, request: Request, *, secrets: tuple[Secret, ...], now: datetime) -> Delivery:
        """See ``Webhooks.receive``."""
        return webhooks.receive(request, secrets=secrets, now=now)

    def normalise(self, delivery: Delivery) -> tuple[Signal, ...]:
        """See ``Webhooks.normalise``."""
        return events.normalise(delivery)

    def check(self, action: Action) -> None:
        """See ``Actions.check``."""
        actions.read_action(action)

    def target_key(self, action: Action) -> str:
        """See ``Actions.target_key``."""
        return actions.target_key(action)

    def plan(self, action: Action) -> Plan:
        """See ``Actions.plan``."""
        return plans.plan(action)

    def probe(self, settings: bytes = b"{}", *, granted: tuple[str, ...] = ()) -> Plan:
        """See ``Adapter.probe``."""
        return access.probe(settings, granted=granted)

    def authorise(self, request: Request, *, token: Secret) -> Request:
        """See ``Adapter.authorise``."""
        return access.authorise(request, token=token)

    def allowance(self, response: Response) -> Allowance | None:
        """See ``Allowances.allowance``."""
        return limits.allowance(response)

    def check_credentials(self, credentials: Credentials) -> None:
        """See ``CredentialsCheck.check_credentials``."""
        check(credentials, methods=self.manifest.auth_methods)
        if isinstance(credentials, AppKey):
            apps.check_key(credentials)

    def authorization_server(self, base_url: str) -> AuthorizationServer:
        """See ``Login.authorization_server``."""
        return login.authorization_server(base_url)

    def app_grant(self, key: AppKey, *, now: datetime) -> GrantPlan:
        """See ``Apps.app_grant``."""
        return apps.app_grant(key, now=now)

    def subscribe(self, wanted: Wanted) -> Plan:
        """See ``Subscriptions.subscribe``."""
        return hooks.subscribe(wanted)

    def unsubscribe(self, wanted: Wanted) -> Plan:
        """See ``Subscriptions.unsubscribe``."""
        return hooks.unsubscribe(wanted)

    def resources(self, settings: bytes) -> tuple[Resource, ...]:
        """See ``Polls.resources``."""
        return polling.resources(settings)

    def poll(self, resource: str, cursor: bytes | None, *, now: datetime) -> PollPlan:
        """See ``Polls.poll``."""
        return polling.poll(resource, cursor, now=now)

    def backfill(self, resource: str, span: Span, cursor: bytes | None) -> PollPlan:
        """See ``Polls.backfill``."""
        return polling.backfill(resource, span, cursor)

    def heal(self, hooks: bytes, *, since: datetime, cursor: bytes | None) -> HealPlan:
        """See ``Heals.heal``."""
        return healing.heal(hooks, since=since, cursor=cursor)


ADAPTER = GitHub()
