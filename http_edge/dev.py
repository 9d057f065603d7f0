"""The development node: the program and all its neighbours in one process, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click
import httpx
import orjson
import trio

from actors.logins import CALLBACK
from adapters.contract import Secret
from http_edge import surroundings
from http_edge.neighbours import Neighbours
from http_edge.node import new_id, run
from http_edge.settings import load
from http_edge.surroundings import Ports, Surroundings
from runtime import TrioClock

_STATE = Path("var")
_BIND = "127.0.0.1:8080"
_PORTS = Ports(
    pm3=8101, kms=8102, iam=8103, eris=8104, github=8105, budget=8106, alerting=8107, health=8108
)
_CLIENT_ID, _CLIENT_SECRET = "Iv1.development", "development-only-secret-of-the-oauth-app"
_GITHUB_TOKEN = Secret(value=b"ghp_DevelopmentOnlyDevelopmentOnly00")


async def main(environ: Mapping[str, str]) -> None:
    """Run until SIGINT or SIGTERM; ``environ`` may change any setting (``IA_BIND``, ``IA_DATABASE_URL`` ...).

    The database and M33's keys are kept under ``var/``, so that a restart finds its connections again.
    """
    clock = TrioClock(datetime.now(UTC))
    async with trio.open_nursery() as nursery:
        around = await surroundings.start(
            nursery,
            clock=clock,
            ids=new_id,
            ports=_PORTS,
            keys_file=_STATE / "dev-kms.json",
            github_token=_GITHUB_TOKEN,
        )
        defaults = {
            **around.environ(),
            "IA_BIND": _BIND,
            "IA_DATABASE_URL": f"sqlite:///{_STATE}/dev.sqlite3",
            "IA_PUBLIC_URL": f"http://{environ.get('IA_BIND', _BIND)}",
            "IA_OAUTH_CLIENTS": orjson.dumps(
                {"github": f"{_CLIENT_ID}:{_CLIENT_SECRET}"}
            ).decode(),
        }
        settings = load({**defaults, **environ})
        await _register(around, settings.public_url)
        async with trio.open_nursery() as node:
            await node.start(run, settings)
            click.echo(_hello(settings.public_url, around, clock))
        nursery.cancel_scope.cancel("the node has stopped")


async def _register(around: Surroundings, public_url: str) -> None:
    """Make the node an OAuth client of the simulated GitHub."""
    async with httpx.AsyncClient(trust_env=False) as client:
        await Neighbours(around=around, client=client).tell_github(
            "clients",
            client_id=_CLIENT_ID,
            client_secret=_CLIENT_SECRET,
            redirect_uri=f"{public_url}{CALLBACK}",
        )


def _hello(url: str, around: Surroundings, clock: TrioClock) -> str:
    """What a newcomer needs to try it, ready to paste."""
    admin = surroundings.caller_token("acme", "tenant_admin", clock=clock, ids=new_id)
    module = surroundings.caller_token("acme", "module", clock=clock, ids=new_id)
    return f"""
The node listens on {url}; its neighbours are simulated (PM-3 {around.pm3_url}, GitHub {around.github_url}).

  ADMIN={admin}
  MODULE={module}

  # a connection of tenant acme to the simulated GitHub, and its verification
  curl -s {url}/v1/integrations/connections -H "Authorization: Bearer $ADMIN" -d '{{
    "provider_id": "github", "display_name": "rocket", "base_url": "{around.github_url}",
    "settings": {{"repositories": ["{surroundings.REPOSITORY}"]}}, "webhook": {{"secret": "webhook-secret"}},
    "auth": {{"token": "{around.github_token.value.decode()}"}}}}'
  curl -s -X POST {url}/v1/integrations/connections/CONNECTION_ID/verify -H "Authorization: Bearer $ADMIN"
  curl -s {around.github_url}/_sim/hooks   # the webhook that was registered

  # one by a login: the simulated GitHub consents at once
  export IA_API_TOKEN=$ADMIN IA_API_URL={url}
  integration-adapters connections create --provider github --name by-login --base-url {around.github_url} --auth oauth2
  integration-adapters connections login CONNECTION_ID   # open the URL that it shows; then it is active

  # a signed webhook, and the signal it became at PM-3
  integration-adapters send WEBHOOK_URL --secret webhook-secret --event pull_request.opened
  curl -s "{around.pm3_url}/_sim/signals?tenant_id=acme"

  # a comment on pull request {surroundings.PULL_REQUEST}
  curl -s {url}/internal/integrations/actions/execute -H "Authorization: Bearer $MODULE" -H "Prefer: wait=10" -d '{{
    "connection_id": "CONNECTION_ID", "canonical_type": "comment_on_pr", "idempotency_key": "first",
    "target": {{"repository": "{surroundings.REPOSITORY}", "pr_number": {surroundings.PULL_REQUEST}}},
    "payload": {{"body": "Hello from M10"}}}}'

Ctrl-C stops it.
"""
