"""The routes: every error in the PRD's shape, a correlation id all through, bodies bounded in size and time."""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson
import pytest
import trio

from http_edge import front
from persistence.errors import StoreUnavailableError
from tests.http_edge.scene import CONNECTIONS, EXECUTE, Scene, error_of, send_chunked


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/nothing/here", 404, "NOT_FOUND"),
        ("GET", "/health//live", 404, "NOT_FOUND"),
        ("GET", f"{CONNECTIONS}/", 404, "NOT_FOUND"),
        ("DELETE", CONNECTIONS, 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/integrations/webhooks/github/token", 405, "METHOD_NOT_ALLOWED"),
        ("PATCH", "/metrics", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_the_frameworks_own_errors_have_the_prds_shape(
    scene: Scene, method: str, path: str, status: int, code: str
) -> None:
    answer = await scene.http.request(method, f"{scene.url}{path}")

    assert answer.status_code == status
    assert error_of(answer)["code"] == code
    assert error_of(answer)["details"]["correlation_id"]


async def test_a_405_says_what_is_allowed(scene: Scene) -> None:
    """RFC 9110, 15.5.6: it must carry Allow."""
    answer = await scene.http.delete(f"{scene.url}{CONNECTIONS}")

    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))


async def test_a_bug_of_ours_is_a_500_that_says_nothing_and_is_in_the_log(scene: Scene) -> None:
    """P8: the exception goes to the log and a counter, not to the caller."""
    connection = await scene.create()
    scene.store.failing["endpoint"] = RuntimeError("inner workings")

    answer = await scene.post(
        connection.webhook_url, scene.delivery(connection), x_correlation_id="corr-9"
    )

    assert answer.status_code == 500
    error = error_of(answer)
    assert error["code"] == "INTERNAL_ERROR"
    assert error["details"] == {"correlation_id": "corr-9"}
    assert "inner workings" not in answer.text
    told = [line for line in scene.log.getvalue().splitlines() if "request.crashed" in line]
    assert orjson.loads(told[0])["correlation_id"] == "corr-9"
    assert "inner workings" in told[0]
    metrics = (await scene.http.get(f"{scene.url}/metrics")).text
    assert 'error_type="request_crashed"} 1.0' in metrics


async def test_a_503_is_told_in_the_log_under_the_callers_id(scene: Scene) -> None:
    scene.store.failing["connections"] = StoreUnavailableError("gone")

    answer = await scene.call(
        "tenant_admin", "GET", CONNECTIONS, headers={"x-correlation-id": "corr-1"}
    )

    assert error_of(answer)["details"]["correlation_id"] == "corr-1"
    told = [line for line in scene.log.getvalue().splitlines() if "request.failed" in line]
    assert orjson.loads(told[0])["correlation_id"] == "corr-1"
    assert orjson.loads(told[0])["code"] == "STORE_UNAVAILABLE"


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129, '"}{', "a;b"])
async def test_a_correlation_id_that_could_do_harm_is_replaced(
    scene: Scene, given: str | None
) -> None:
    headers = {} if given is None else {"x-correlation-id": given}

    answer = await scene.http.get(f"{scene.url}/nothing", headers=headers)

    ours = error_of(answer)["details"]["correlation_id"]
    assert ours != given
    assert len(ours) == 36


async def test_an_api_body_over_a_megabyte_is_413_however_it_comes(scene: Scene) -> None:
    declared = await scene.call("module", "POST", EXECUTE, b" " * 1_200_000)
    counted = await send_chunked(
        f"{scene.url}{EXECUTE}",
        megabytes=1,
        headers={"authorization": f"Bearer {scene.token('module')}"},
        until=b'"limit_bytes":1000000',
    )

    assert declared.status_code == 413
    assert error_of(declared)["details"]["limit_bytes"] == 1_000_000
    assert counted.startswith(b"HTTP/1.1 413")


async def test_p7_a_body_that_does_not_arrive_in_time_is_408(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P7: a slow sender holds nothing for ever."""
    monkeypatch.setattr(front, "_BODY_DEADLINE_S", 0.2)
    connection = await scene.create()
    address = urlsplit(connection.webhook_url)
    stream = await trio.open_tcp_stream("127.0.0.1", address.port or 0)

    with trio.fail_after(10):
        head = f"POST {address.path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{{"
        await stream.send_all(head.encode())
        answer = b""
        while b"REQUEST_TIMEOUT" not in answer:
            answer += await stream.receive_some(65536)
    await stream.aclose()

    assert answer.startswith(b"HTTP/1.1 408")


async def test_every_answer_of_the_api_is_json(scene: Scene) -> None:
    connection = await scene.active()

    for path in (
        CONNECTIONS,
        f"{CONNECTIONS}/{connection.connection_id}",
        f"/internal/integrations/connections/{connection.connection_id}/health",
    ):
        answer = await scene.call("tenant_admin", "GET", path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
