"""IT-IA-01: a connection is verified by OAuth 2.0, over real HTTP, and what becomes of a login that goes wrong."""

from __future__ import annotations

import pytest

from http_edge.child import Child
from http_edge.stage import Stage

# What the engines do differently is proven elsewhere: by the store's own contract, and by the kills under load.
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.parametrize("store_url", ["sqlite"], indirect=True),
]

_ELSEWHERE = "state=somebody-elses-state"


async def test_it_ia_01_a_login_makes_a_connection_active(stage: Stage, node: Child) -> None:
    """IT-IA-01: started, consented, called back, verified at the provider; then it works."""
    answer = await stage.connect_by_login()

    connection = await stage.connection()
    assert answer.json()["verification"]["passed"]
    assert connection["status"] == "active"
    assert await stage.token_requests() == 1
    assert (await stage.comment("logged-in", wait_s=10))["status"] == "done"


async def test_it_ia_01_what_a_browser_brings_back_is_good_once_and_for_one_login(
    stage: Stage, node: Child
) -> None:
    """IT-IA-01: a callback that is repeated, or has another's state, changes nothing."""
    answer = await stage.connect_by_login()
    callback = await stage.consented()
    forged = callback.partition("state=")[0] + _ELSEWHERE

    repeated = await stage.client.get(str(answer.url))
    stranger = await stage.client.get(forged)

    assert (repeated.status_code, stranger.status_code) == (400, 400)
    assert await stage.token_requests() == 1


async def test_it_ia_01_a_person_who_denies_leaves_the_connection_pending(
    stage: Stage, node: Child
) -> None:
    """IT-IA-01: and may log in after all."""
    await stage.neighbours.tell_github("consent", denied=True)

    denied = await stage.connect_by_login()

    assert denied.status_code == 400
    assert "denied" in denied.json()["error"]["message"]
    assert (await stage.connection())["status"] == "pending_verification"
    await stage.neighbours.tell_github("consent", denied=False)
    assert (await stage.log_in()).json()["status"] == "active"


async def test_it_ia_01_a_token_endpoint_that_fails_leaves_the_connection_pending(
    stage: Stage, node: Child
) -> None:
    """IT-IA-01: the code is spent, so the person has to log in again, and can."""
    await stage.neighbours.fault(effect="none", status=500, path="/login/oauth/access_token")

    failed = await stage.connect_by_login()

    assert failed.status_code == 400
    assert (await stage.connection())["status"] == "pending_verification"
    assert (await stage.log_in()).json()["status"] == "active"
