"""P8: after a day's work in small, no secret is anywhere but where it belongs."""

from __future__ import annotations

from pathlib import Path

import httpx
import trio

from adapters.contract import Request, Secret
from tests.http_edge.scene import CONNECTIONS, EVENTS, EXECUTE, Opened, Scene, running


class Listening:
    """Keeps every answer that the node gave."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def __call__(self, answer: httpx.Response) -> None:
        await answer.aread()
        self.texts.append(f"{answer.headers}\n{answer.text}")


async def busy(scene: Scene) -> tuple[list[str], list[str]]:
    """Good and bad calls of all kinds; gives the webhooks' tokens and what must not be found."""
    connection = await scene.active()
    wrong_token = "ghp_" + "Z9y8" * 9
    refused = await scene.create(auth={"token": wrong_token})
    await scene.call("tenant_admin", "POST", f"{CONNECTIONS}/{refused.connection_id}/verify")
    request = scene.delivery(connection)
    forged = scene.delivery(connection, secret=Secret(value=b"a secret of a forger"))
    for one in (request, request, forged):
        await scene.post(connection.webhook_url, one)
    await scene.deliver(connection)
    await scene.call("module", "POST", EVENTS, scene.envelope(connection))
    wait = {"prefer": "wait=10"}
    body = scene.action_body(connection, "k")
    await scene.call("module", "POST", EXECUTE, body, headers=wait)
    await scene.call("module", "POST", EXECUTE, {**body, "auth": wrong_token})
    misplaced = scene.connection_body(display_name=["hush"], auth={"token": wrong_token, "x": 1})
    await scene.call("tenant_admin", "POST", CONNECTIONS, misplaced)
    keyed = scene.connection_body()
    for _ in range(2):
        kept = await scene.call(
            "tenant_admin", "POST", CONNECTIONS, keyed, headers={"idempotency-key": "kept"}
        )
    path = f"{CONNECTIONS}/{connection.connection_id}/rotate"
    renewed = {"webhook": {"secret": "the secret after the first"}, "webhook_url": True}
    rotated = await scene.call("tenant_admin", "POST", path, renewed)
    scene.store.failing["endpoint"] = RuntimeError("broken")
    other = await scene.create()
    await scene.deliver(other)
    scene.store.failing.clear()
    await scene.control(scene.around.iam_url, "down", {"status": 503})
    scene.token("operator", "initech")
    await scene.call("operator", "GET", CONNECTIONS, tenant="initech")
    await scene.control(scene.around.iam_url, "up", {})
    await scene.arrived(3)
    await scene.http.get(f"{scene.url}/metrics")
    signatures = [one.header("x-hub-signature-256") or "" for one in (request, forged)]
    urls = (
        connection.webhook_url,
        kept.json()["webhook"]["url"],
        rotated.json()["rotation"]["webhook_url"],
    )
    return [url.rpartition("/")[2] for url in urls], [
        wrong_token,
        "a secret of a forger",
        connection.secret.value.decode(),
        "the secret after the first",
        scene.around.github_token.value.decode(),
        scene.around.iam_secret.value.decode(),
        "approved-for-development",
        "valid_token_acme",
        *(signature.removeprefix("sha256=") for signature in signatures),
        *(scene.token(role) for role in ("tenant_admin", "module")),
        scene.token("operator", "initech"),
    ]


def everything_in(file: Path) -> bytes:
    found = [path.read_bytes() for path in file.parent.glob(f"{file.name}*")]
    assert any(found)
    return b"".join(found)


async def test_sec_ia_01_no_secret_leaves_through_logs_answers_rows_or_reprs(
    opened: Opened,
) -> None:
    """SEC-IA-01, P8: the log at debug level, every answer, every byte of the database, and the settings' repr."""
    listening = Listening()
    settings = opened.settings()
    file = Path(settings.database_url.removeprefix("sqlite:///"))
    async with running(opened, settings) as scene:
        scene.http.event_hooks = {"response": [listening]}
        tokens, secrets = await busy(scene)
        log = scene.log.getvalue()
        shown = repr(scene.node.settings) + repr(scene.node.edge.webhooks.endpoints)

    rows = await trio.to_thread.run_sync(everything_in, file)
    answers = "\n".join(listening.texts)
    for secret in secrets:
        assert len(secret) >= 16
        assert secret not in log
        assert secret not in answers
        assert secret not in shown
        assert secret.encode() not in rows
    for token in (
        tokens
    ):  # which their owner is told once, and when the request that asked for it is repeated
        assert token not in log
        assert token not in shown
        assert token.encode() not in rows
    assert "request.crashed" in log
    assert "webhook.rejected" in log
    assert b"pull_request" in rows  # it is the right file
    assert len(listening.texts) > 15


def test_p8_a_request_never_shows_its_credentials() -> None:
    request = Request(method="GET", url="/user", headers=(("authorization", "Bearer s3cret"),))

    assert "s3cret" not in repr(request)
