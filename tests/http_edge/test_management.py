"""The management API of connections, as tenants use it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from persistence.errors import StoreUnavailableError
from persistence.records import ConnectionState
from tests.http_edge.scene import CONNECTIONS, EVENTS, EXECUTE, Scene, beyond_the_moment, error_of
from tests.persistence import samples


async def test_a_created_connection_waits_for_verification_and_is_shown_without_secrets(
    scene: Scene,
) -> None:
    """FR-2, P8: references only; the webhook URL is told once."""
    body = scene.connection_body(tags={"team": "engines"})

    made = await scene.call("tenant_admin", "POST", CONNECTIONS, body)
    shown = await scene.call("tenant_admin", "GET", made.headers["location"])

    assert made.status_code == 201
    document = made.json()
    webhook = document.pop("webhook")
    assert webhook["url"].startswith(f"{scene.url}/v1/integrations/webhooks/github/")
    assert shown.json() == document
    assert document["status"] == "pending_verification"
    assert document["tags"] == {"team": "engines"}
    assert document["enabled_capabilities"] == ["webhook", "outbound_actions"]
    assert document["last_verified_at"] is None
    for secret in (body["auth"]["token"], body["webhook"]["secret"]):
        assert secret not in made.text + shown.text


async def test_every_webhook_token_is_another_and_is_only_stored_as_a_hash(scene: Scene) -> None:
    first, second = await scene.create(), await scene.create()

    tokens = {one.webhook_url.rpartition("/")[2] for one in (first, second)}

    assert len(tokens) == 2
    assert all(len(token) == 43 for token in tokens)  # 256 bits, URL-safe


async def test_connections_are_listed_in_pages(scene: Scene) -> None:
    """A cursor is where the next page begins; the last page has none; only the tenant's own are there (P6)."""
    made = {(await scene.create()).connection_id for _ in range(5)}
    await scene.create("globex")

    found: list[str] = []
    cursors: list[str | None] = []
    path = f"{CONNECTIONS}?limit=2"
    while True:
        page = (await scene.call("tenant_admin", "GET", path)).json()
        found += [one["connection_id"] for one in page["connections"]]
        cursors.append(page["next_cursor"])
        if page["next_cursor"] is None:
            break
        path = f"{CONNECTIONS}?limit=2&cursor={page['next_cursor']}"

    assert set(found) == made
    assert len(found) == 5
    assert found == sorted(found)
    assert len(cursors) == 3


async def test_a_page_that_is_just_full_is_the_last(scene: Scene) -> None:
    for _ in range(2):
        await scene.create()

    page = (await scene.call("tenant_admin", "GET", f"{CONNECTIONS}?limit=2")).json()
    whole = (await scene.call("tenant_admin", "GET", CONNECTIONS)).json()

    assert len(page["connections"]) == 2
    assert page["next_cursor"] is None
    assert whole == page


async def test_a_wrong_page_is_400_by_its_field(scene: Scene) -> None:
    limits = ("0", "201", "ten", "-1", "99999999999999999999", "", "\u0661")
    for query in (*(f"limit={limit}" for limit in limits), "cursor=here", "cursor="):
        answer = await scene.call("tenant_admin", "GET", f"{CONNECTIONS}?{query}")
        assert answer.status_code == 400, query
        assert error_of(answer)["details"]["field"] == query.partition("=")[0]


async def test_ia_01_verification_makes_a_connection_active_and_says_what_it_may(
    scene: Scene,
) -> None:
    """FR-2: tried at the provider, registered at PM-3; a second time it stays active."""
    connection = await scene.create()
    path = f"{CONNECTIONS}/{connection.connection_id}/verify"

    answer = await scene.call("tenant_admin", "POST", path)
    again = await scene.call("tenant_admin", "POST", path)

    assert answer.status_code == again.status_code == 200
    document = answer.json()
    assert document["status"] == again.json()["status"] == "active"
    assert document["last_verified_at"] is not None
    assert document["verification"]["passed"] is True
    assert document["verification"]["details"]["permissions"]["issues:write"] == "granted"
    assert '"move": "verify"' in scene.log.getvalue()


async def test_verification_with_refused_credentials_leaves_it_pending(scene: Scene) -> None:
    """The provider says 401: no retry helps, and the tenant reads so."""
    connection = await scene.create(auth={"token": "ghp_" + "0" * 36})
    path = f"{CONNECTIONS}/{connection.connection_id}/verify"

    answer = await scene.call("tenant_admin", "POST", path)

    assert answer.status_code == 200
    document = answer.json()
    assert document["status"] == "pending_verification"
    assert document["verification"]["passed"] is False
    assert document["verification"]["try_again"] is False
    assert document["verification"]["reason"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"dropped": True}])
async def test_verification_while_the_provider_is_down_may_be_tried_again(
    scene: Scene, fault: dict[str, Any]
) -> None:
    connection = await scene.create()
    planned = {"effect": "none", "times": 5, **fault}
    await scene.control(scene.around.github_url, "faults", planned)
    path = f"{CONNECTIONS}/{connection.connection_id}/verify"

    answer = await scene.call("tenant_admin", "POST", path)

    assert answer.status_code == 200
    assert answer.json()["status"] == "pending_verification"
    assert answer.json()["verification"]["passed"] is False
    assert answer.json()["verification"]["try_again"] is True


async def test_a_suspended_connection_can_not_be_verified(scene: Scene) -> None:
    connection = await scene.active()
    await samples.move(
        scene.store, connection, ConnectionState.SUSPENDED, reason="unpaid", now=scene.clock.now()
    )

    path = f"{CONNECTIONS}/{connection.connection_id}"
    answer = await scene.call("tenant_admin", "POST", f"{path}/verify")

    assert answer.status_code == 409
    assert error_of(answer)["code"] == "CONFLICT"
    assert (await scene.call("tenant_admin", "GET", path)).json()["reason"] == "unpaid"


async def test_a_second_connection_of_that_name_is_409(scene: Scene) -> None:
    """One name per tenant and provider; another tenant may use it too (P6)."""
    body = scene.connection_body(display_name="rocket")

    first = await scene.call("tenant_admin", "POST", CONNECTIONS, body)
    second = await scene.call("tenant_admin", "POST", CONNECTIONS, body)
    other = await scene.call("tenant_admin", "POST", CONNECTIONS, body, tenant="globex")

    assert [first.status_code, second.status_code, other.status_code] == [201, 409, 201]
    assert error_of(second)["code"] == "CONFLICT"


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"provider_id": "gopher"}, 422, "provider_id"),
    ({"capabilities": ["webhook", "telepathy"]}, 422, "capabilities"),
    ({"capabilities": []}, 422, "capabilities"),
    ({"auth": None, "webhook": None}, 422, "capabilities"),
    ({"capabilities": ["webhook"], "webhook": None, "auth": None}, 422, "webhook.secret"),
    ({"webhook": {}, "auth": None}, 422, "webhook.secret"),
    ({"capabilities": ["outbound_actions"], "auth": None}, 422, "auth"),
    (
        {"auth": {"method": "client_credentials", "client_id": "c", "client_secret": "s"}},
        422,
        "auth.method",
    ),
    ({"auth": {"method": "oauth2"}}, 422, "auth.client_id"),
    ({"auth": {"method": "oauth2", "client_secret": "s"}}, 422, "auth.client_id"),
    ({"auth": {"method": "oauth2", "token": "t"}}, 400, "auth.token"),
    ({"settings": {"repositories": ["rocket"]}}, 422, "settings.repositories[0]"),
    ({"settings": {"colour": "red"}}, 422, "settings.colour"),
    ({"base_url": "https://no-such-host.invalid"}, 422, "base_url"),
    ({"network": {"ca_bundle": "nothing"}}, 422, "network.ca_bundle"),
    ({"network": {"proxy": "ftp://proxy.test"}}, 422, "network.proxy"),
    ({"base_url": "http://example.com"}, 400, "base_url"),
    ({"base_url": "https://10.0.0.1"}, 400, "base_url"),
    ({"display_name": ""}, 400, "display_name"),
    ({"webhook": {"secret": "short"}}, 400, "webhook.secret"),
    ({"tenant_id": "globex"}, 400, "tenant_id"),
]


async def test_a_wrong_connection_names_its_field_and_is_not_kept(scene: Scene) -> None:
    for changes, status, field in WRONG:
        body = scene.connection_body(**changes)
        answer = await scene.call("tenant_admin", "POST", CONNECTIONS, body)
        assert answer.status_code == status, changes
        assert error_of(answer)["details"]["field"] == field, changes

    assert (await scene.call("tenant_admin", "GET", CONNECTIONS)).json()["connections"] == []


async def test_a_connection_may_have_one_capability_only(scene: Scene) -> None:
    """The default base URL is the provider's own; what is asked for is what it has."""
    made = await scene.call(
        "tenant_admin",
        "POST",
        CONNECTIONS,
        scene.connection_body(base_url=None, capabilities=["webhook"]),
    )

    assert made.json()["base_url"] == "https://api.github.com"
    assert made.json()["enabled_capabilities"] == ["webhook"]


async def test_a_connection_without_credentials_is_verified_by_its_signatures(
    scene: Scene,
) -> None:
    connection = await scene.active(auth=None)

    path = f"{CONNECTIONS}/{connection.connection_id}"
    assert (await scene.call("tenant_admin", "GET", path)).json()["auth_ref"] is None


async def test_key_management_down_is_503_and_nothing_is_kept(scene: Scene) -> None:
    await scene.control(scene.around.kms_url, "down", {"status": 503, "retry_after": 4})

    answer = await scene.call("tenant_admin", "POST", CONNECTIONS, scene.connection_body())

    assert answer.status_code == 503
    assert error_of(answer)["code"] == "DEPENDENCY_UNAVAILABLE"
    assert int(answer.headers["retry-after"]) >= 1
    assert (await scene.call("tenant_admin", "GET", CONNECTIONS)).json()["connections"] == []


async def test_an_unavailable_store_is_503(scene: Scene) -> None:
    scene.store.failing["create_connection"] = StoreUnavailableError("gone")

    answer = await scene.call("tenant_admin", "POST", CONNECTIONS, scene.connection_body())

    assert answer.status_code == 503
    assert '"event": "request.failed"' in scene.log.getvalue()


async def test_sec_ia_02_another_tenants_ids_are_404_on_every_endpoint(scene: Scene) -> None:
    """SEC-IA-02, P6: the same answer as for an id that nobody has, and for what is no id."""
    connection = await scene.active("globex")
    done = await scene.call(
        "module", "POST", EXECUTE, scene.action_body(connection, "k"), tenant="globex"
    )
    action_id = done.json()["action_id"]

    def asked(connection_id: str, action_id: str) -> list[tuple[str, str, str, object]]:
        action = {**scene.action_body(connection, "k2"), "connection_id": connection_id}
        return [
            ("tenant_admin", "GET", f"{CONNECTIONS}/{connection_id}", None),
            ("tenant_admin", "POST", f"{CONNECTIONS}/{connection_id}/verify", None),
            ("module", "GET", f"/internal/integrations/connections/{connection_id}/health", None),
            ("module", "GET", f"/internal/integrations/actions/{action_id}", None),
            ("module", "POST", EXECUTE, action),
        ]

    foreign = [await scene.call(*one) for one in asked(connection.connection_id, action_id)]
    missing = [await scene.call(*one) for one in asked(str(uuid4()), str(uuid4()))]
    no_ids = [await scene.call(*one) for one in asked("nonsense", "nonsense")]

    assert [answer.status_code for answer in foreign] == [404] * 5
    for theirs, nobodys, none in zip(foreign, missing, no_ids, strict=True):
        assert beyond_the_moment(theirs) == beyond_the_moment(nobodys) == beyond_the_moment(none)


async def test_sec_ia_02_naming_another_tenant_in_a_body_opens_nothing(scene: Scene) -> None:
    """SEC-IA-02, P6: the tenant is the token's; an action or a signal of another is refused."""
    connection = await scene.active("globex")

    action = scene.action_body(connection, "k", tenant_id="globex")
    refused = await scene.call("module", "POST", EXECUTE, action)
    signal = await scene.call("module", "POST", EVENTS, scene.envelope(connection))

    assert refused.status_code == 404
    assert signal.status_code == 403
    assert await scene.signals("globex") == []
