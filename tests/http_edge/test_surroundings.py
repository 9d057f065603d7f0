"""The simulated neighbours: each listens, and a node's settings fit them."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx
import trio

from actors.platform.budgets import Taken
from actors.platform.keys import KmsKeys, KmsTerms
from actors.platform.sibling import Sibling
from adapters.contract import Secret
from http_edge import surroundings
from http_edge.node import new_id
from http_edge.settings import load
from http_edge.surroundings import KMS_TENANT, caller_token
from runtime import TrioClock
from tests.actors.platform.world import EPOCH, INCIDENT, REPORT
from tests.http_edge.scene import Scene


async def test_every_neighbour_listens_on_a_port_of_its_own(nursery: trio.Nursery) -> None:
    around = await surroundings.start(nursery, clock=TrioClock(EPOCH), ids=new_id)
    async with httpx.AsyncClient(trust_env=False) as client:
        urls = {
            f"{around.pm3_url}/health": 200,
            f"{around.iam_url}/iam/v1/health": 200,
            f"{around.github_url}/user": 401,
            f"{around.kms_url}/_sim/counts": 200,
            f"{around.eris_url}/_sim/counts": 200,
            f"{around.budget_url}/budget/v1/health": 200,
            f"{around.alerting_url}/healthz": 200,
            f"{around.health_url}/healthz": 200,
        }
        answers = {url: (await client.get(url, headers={"user-agent": "t"})) for url in urls}

    assert {url: answer.status_code for url, answer in answers.items()} == urls
    assert len({url.split("/")[2] for url in urls}) == 8


async def test_two_sets_of_neighbours_have_different_github_tokens(nursery: trio.Nursery) -> None:
    clock = TrioClock(EPOCH)
    one = await surroundings.start(nursery, clock=clock, ids=new_id)
    given = Secret(value=b"ghp_given")
    other = await surroundings.start(nursery, clock=clock, ids=new_id, github_token=given)

    assert one.github_token != given
    assert other.github_token == given
    assert one.github_token.value.decode() not in repr(one)


async def test_their_settings_need_nothing_but_a_public_url(nursery: trio.Nursery) -> None:
    around = await surroundings.start(nursery, clock=TrioClock(EPOCH), ids=new_id)

    settings = load({**around.environ(), "IA_PUBLIC_URL": "http://127.0.0.1:1"})

    assert settings.development
    assert settings.pm3_url == around.pm3_url


async def test_a_node_among_them_is_let_in_by_every_optional_one(scene: Scene) -> None:
    ports, around, tenant = scene.node.ports, scene.around, INCIDENT.tenant_id
    assert ports.budgets
    assert ports.incidents
    assert ports.health

    granted = await ports.budgets.take(
        tenant, connection_id=new_id(), provider_id="github", calls=1, work="actions"
    )
    await ports.incidents.tell(INCIDENT)
    await ports.health.report(REPORT)

    alerts = await scene.http.get(f"{around.alerting_url}/_sim/alerts?tenant_id={tenant}")
    told = await scene.http.get(f"{around.health_url}/_sim/telemetry?tenant_id={tenant}")
    assert granted == Taken()
    assert len(alerts.json()["alerts"]) == len(told.json()["telemetry"]) == 1
    assert "platform.not_configured" not in scene.log.getvalue()


async def wrapped_by(
    nursery: trio.Nursery, keys_file: Path | None
) -> tuple[KmsKeys, trio.CancelScope]:
    inner = await nursery.start(_open_nursery)
    around = await surroundings.start(
        inner, clock=TrioClock(EPOCH), ids=new_id, keys_file=keys_file
    )
    client = await nursery.start(_open_client)
    approval = Secret(value=around.environ()["IA_KMS_APPROVAL_TOKEN"].encode())
    terms = KmsTerms(tenant=KMS_TENANT, approval_token=approval)
    return KmsKeys(Sibling("M33", around.kms_url, client), terms), inner.cancel_scope


async def _open_nursery(
    *, task_status: trio.TaskStatus[trio.Nursery] = trio.TASK_STATUS_IGNORED
) -> None:
    async with trio.open_nursery() as nursery:
        task_status.started(nursery)
        await trio.sleep_forever()


async def _open_client(
    *, task_status: trio.TaskStatus[httpx.AsyncClient] = trio.TASK_STATUS_IGNORED
) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        task_status.started(client)
        await trio.sleep_forever()


async def test_m33s_keys_survive_a_restart_in_a_file_that_only_we_may_read(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    file = tmp_path / "var" / "kms.json"
    secret = Secret(value=b"0123456789abcdef0123456789abcdef")
    before, scope = await wrapped_by(nursery, file)
    key = await before.create_key("acme")
    wrapped = await before.wrap(secret, tenant_id="acme", kms_key_id=key, aad=b"x")
    scope.cancel()

    after, _ = await wrapped_by(nursery, file)
    found = await after.unwrap(wrapped, tenant_id="acme", aad=b"x")

    assert found == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.with_suffix(".new").exists()


async def test_a_callers_token_is_believed_for_its_tenant_and_role(scene: Scene) -> None:
    token = caller_token("globex", "operator", clock=scene.clock, ids=new_id)

    caller = await scene.node.edge.identity.verify(token)

    assert caller.tenant_id == "globex"
    assert caller.roles == ("operator",)
