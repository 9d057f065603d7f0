"""OAuth 2.0 over the API: a person is sent to the provider and comes back, once (FR-3)."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.http_edge.scene import CONNECTIONS, Opened, Scene, error_of, running

CALLBACK = "/v1/integrations/oauth/callback"
CLIENT = {"client_id": "Iv1.rocket", "client_secret": "the-clients-own-secret"}


async def sent_to_login(scene: Scene, **body: str) -> tuple[str, str]:
    """The id of a connection that waits for a login, and where the person's browser is sent."""
    await scene.control(
        scene.around.github_url,
        "clients",
        {**CLIENT, "redirect_uri": f"{scene.url}{CALLBACK}"},
    )
    connection = await scene.create(auth={"method": "oauth2", **CLIENT})
    path = f"{CONNECTIONS}/{connection.connection_id}/oauth/start"
    started = await scene.call("tenant_admin", "POST", path, body)
    assert started.status_code == 200, started.text
    assert started.headers["cache-control"] == "no-store"
    return connection.connection_id, started.json()["authorization_url"]


async def consented(scene: Scene, url: str) -> str:
    """Where the provider sends the person back to."""
    answer = await scene.http.get(url)
    assert answer.status_code in {302, 303}, answer.text
    return answer.headers["location"]


async def state_of(scene: Scene, connection_id: str) -> str:
    shown = await scene.call("tenant_admin", "GET", f"{CONNECTIONS}/{connection_id}")
    return str(shown.json()["status"])


async def test_it_ia_01_a_login_makes_a_connection_active(scene: Scene) -> None:
    """IT-IA-01 at the edge: the state is the proof, no token of IAM is needed to come back."""
    connection_id, url = await sent_to_login(scene)

    back = await consented(scene, url)
    finished = await scene.http.get(back)

    assert finished.status_code == 200, finished.text
    assert finished.json()["connection_id"] == connection_id
    assert finished.json()["status"] == "active"
    assert finished.json()["verification"]["passed"] is True
    assert finished.headers["cache-control"] == "no-store"
    assert finished.headers["referrer-policy"] == "no-referrer"


async def test_a_state_works_once(scene: Scene) -> None:
    _, url = await sent_to_login(scene)
    back = await consented(scene, url)

    first = await scene.http.get(back)
    second = await scene.http.get(back)

    assert (first.status_code, second.status_code) == (200, 400)
    assert error_of(second)["code"] == "LOGIN_FAILED"


@pytest.mark.parametrize(
    "query", ["state=unknown&code=c", "state=unknown&error=access_denied", "state=unknown"]
)
async def test_an_unknown_state_is_400(scene: Scene, query: str) -> None:
    answer = await scene.http.get(f"{scene.url}{CALLBACK}?{query}")

    assert answer.status_code == 400
    assert error_of(answer)["code"] == "LOGIN_FAILED"


@pytest.mark.parametrize("query", ["", "code=c", "state=", "state=a&state=b", "state=%00"])
async def test_a_malformed_return_is_400_by_its_field(scene: Scene, query: str) -> None:
    answer = await scene.http.get(f"{scene.url}{CALLBACK}?{query}")

    assert answer.status_code == 400
    assert error_of(answer)["details"]["field"] == "state"


async def test_a_person_who_says_no_leaves_the_connection_as_it_was(scene: Scene) -> None:
    connection_id, url = await sent_to_login(scene)
    state = parse_qs(urlsplit(url).query)["state"][0]

    answer = await scene.http.get(f"{scene.url}{CALLBACK}?state={state}&error=access_denied")

    assert answer.status_code == 400
    assert await state_of(scene, connection_id) == "pending_verification"


async def test_a_connection_without_a_client_can_not_be_logged_in_to(scene: Scene) -> None:
    connection = await scene.create()

    answer = await scene.call(
        "tenant_admin", "POST", f"{CONNECTIONS}/{connection.connection_id}/oauth/start"
    )

    assert answer.status_code == 422
    assert error_of(answer)["code"] == "CAPABILITY_MISSING"


async def test_a_browser_is_sent_on_only_where_the_operator_allows(opened: Opened) -> None:
    """An open redirect would send people anywhere with our name on it."""
    settings = opened.settings(oauth_return_origins=("https://app.example",))

    async with running(opened, settings) as scene:
        connection_id, url = await sent_to_login(
            scene, return_to="https://app.example/done?tab=2#there"
        )
        answer = await scene.http.get(await consented(scene, url))
        refused = await elsewhere(scene, connection_id)

    assert answer.status_code == 303
    assert answer.headers["location"] == (
        f"https://app.example/done?tab=2&connection_id={connection_id}&status=active#there"
    )
    assert refused.status_code == 400
    assert error_of(refused)["code"] == "LOGIN_FAILED"


async def elsewhere(scene: Scene, connection_id: str) -> httpx.Response:
    return await scene.call(
        "tenant_admin",
        "POST",
        f"{CONNECTIONS}/{connection_id}/oauth/start",
        {"return_to": "https://evil.example/done"},
    )
