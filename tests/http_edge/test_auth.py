"""Who may do what: every route, every role; and every way not to be anybody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest

from actors.platform.errors import InvalidTokenError
from actors.platform.identity import Caller
from http_edge.auth import PERMISSIONS, Permission, authenticate, demand
from http_edge.errors import EdgeError
from http_edge.route import Route
from http_edge.routes import ROUTES
from tests.http_edge.scene import CONNECTIONS, Opened, Scene, error_of, running

ID = "00000000-0000-7000-8000-000000000000"
ROLES = ("tenant_admin", "module", "operator", "viewer", "stranger")
READERS = {"tenant_admin", "module", "operator", "viewer"}
MAY = {
    Permission.READ_PROVIDERS: READERS,
    Permission.READ_CONNECTIONS: READERS,
    Permission.READ_ACTIONS: READERS,
    Permission.READ_HEALTH: READERS,
    Permission.WRITE_CONNECTIONS: {"tenant_admin"},
    Permission.EXECUTE_ACTIONS: {"module"},
    Permission.FORWARD_SIGNALS: {"module"},
    Permission.CANCEL_ACTIONS: {"tenant_admin", "module", "operator"},
    Permission.RESOLVE_ACTIONS: {"operator"},
    Permission.READ_METRICS: {"operator"},
}
"""Said here once more, so that a change to the table is a change to a promise."""
DOORS = [(route, route.door.permission) for route in ROUTES if route.door.permission is not None]
OPEN = {"finish_login", "webhook", "live", "ready", "contract"}


def path_of(route: Route) -> str:
    return route.path.format(**dict.fromkeys(route.names, ID))


def test_every_other_route_is_known_to_be_open() -> None:
    """A new route is guarded, or named here."""
    assert {route.name for route in ROUTES} - {route.name for route, _ in DOORS} == OPEN


async def test_sec_each_role_reaches_just_its_routes(opened: Opened) -> None:
    """403 names the permission; a role let in gets any other answer."""
    async with running(opened, opened.settings(metrics_open=False)) as scene:
        for route, permission in DOORS:
            for role in ROLES:
                body: object = {} if route.method == "POST" else None
                answer = await scene.call(role, route.method, path_of(route), body)
                if role in MAY[permission]:
                    assert answer.status_code not in {401, 403}, (role, route.name)
                else:
                    assert answer.status_code == 403, (role, route.name)
                    assert error_of(answer)["details"]["permission"] == permission.value


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic YTpi", "x.y.z"])
async def test_no_token_is_401_on_every_route(opened: Opened, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    async with running(opened, opened.settings(metrics_open=False)) as scene:
        for route, _ in DOORS:
            answer = await scene.http.request(
                route.method, f"{scene.url}{path_of(route)}", headers=headers
            )
            assert answer.status_code == 401, route.name
            assert error_of(answer)["code"] == "UNAUTHENTICATED"
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_closed_door_comes_before_what_is_wrong_with_the_request(scene: Scene) -> None:
    """A caller who may not learns nothing of what is behind it."""
    answer = await scene.call("viewer", "POST", CONNECTIONS, b"{", headers={"if-match": "x"})

    assert answer.status_code == 403


def forged(scene: Scene, **changes: object) -> str:
    now = datetime.now(UTC)
    claims = {
        "kid": "development",
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(hours=1)).timestamp()),
        "iss": "zeroui-iam",
        "aud": "zeroui",
        "sub": "acme:mallory",
        "tenant_id": "acme",
        "scope": ["tenant_admin"],
        "roles": ["tenant_admin"],
        "jti": str(uuid4()),
    }
    key = changes.pop("key", scene.around.iam_secret.value)
    algorithm = changes.pop("algorithm", "HS256")
    payload = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(
        payload,
        key,  # type: ignore[arg-type]
        algorithm=str(algorithm),
        headers={"kid": "development"},
    )


async def test_the_token_that_is_forged_below_would_be_good_unchanged(scene: Scene) -> None:
    headers = {"authorization": f"bearer {forged(scene)}"}

    answer = await scene.http.get(f"{scene.url}{CONNECTIONS}", headers=headers)

    assert answer.status_code == 200


FORGED: list[dict[str, object]] = [
    {"key": b"some other secret, long enough for it"},
    {"key": None, "algorithm": "none"},
    {"exp": 1_700_000_000, "iat": 1_699_990_000},
    {"iss": "somebody"},
    {"aud": "somewhere"},
    {"tenant_id": None},
    {"exp": None},
    {"sub": None},
    {"iat": 4_000_000_000, "exp": 4_000_000_100},
]


async def test_forged_and_expired_tokens_are_401_and_not_repeated(scene: Scene) -> None:
    """P8: neither the answer nor the log holds the token."""
    for changes in FORGED:
        token = forged(scene, **changes)
        answer = await scene.http.get(
            f"{scene.url}{CONNECTIONS}", headers={"authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 401, changes
        assert error_of(answer)["code"] == "UNAUTHENTICATED"
        assert token not in answer.text + scene.log.getvalue()


async def test_a_revoked_token_is_401(scene: Scene) -> None:
    token = forged(scene, jti="stolen")
    await scene.control(scene.around.iam_url, "revoke", {"jti": "stolen"})

    answer = await scene.http.get(
        f"{scene.url}{CONNECTIONS}", headers={"authorization": f"Bearer {token}"}
    )

    assert answer.status_code == 401


@pytest.mark.parametrize("how", [{"status": 503, "retry_after": 9}, {"refuse": True}])
async def test_iam_down_is_503_and_nobody_is_let_in(scene: Scene, how: dict[str, object]) -> None:
    await scene.control(scene.around.iam_url, "down", how)

    answer = await scene.call("tenant_admin", "GET", CONNECTIONS)

    assert answer.status_code == 503
    assert error_of(answer)["code"] == "DEPENDENCY_UNAVAILABLE"
    assert int(answer.headers["retry-after"]) >= 1


async def test_webhooks_need_no_iam(scene: Scene) -> None:
    """A provider proves itself by its signature; IAM's outage is not its problem."""
    connection = await scene.create()
    await scene.control(scene.around.iam_url, "down", {"status": 503})

    assert (await scene.deliver(connection)).status_code == 202


class NobodyAsks:
    async def verify(self, token: str) -> Caller:
        raise AssertionError(f"asked for {token}")


@pytest.mark.parametrize("header", [None, "", "Bearer   ", "Token abc", "abc"])
async def test_what_is_no_bearer_token_is_not_even_asked_about(header: str | None) -> None:
    with pytest.raises(InvalidTokenError):
        await authenticate(NobodyAsks(), header)


def test_the_table_of_roles_is_as_promised() -> None:
    """Only operators read all tenants' metrics and settle what is unsure."""
    held = {
        permission: {role for role, granted in PERMISSIONS.items() if permission in granted}
        for permission in Permission
    }

    assert held == MAY


async def test_roles_add_up(scene: Scene) -> None:
    token = forged(scene, roles=["operator", "module"])
    known = await scene.node.edge.identity.verify(token)

    demand(known, Permission.EXECUTE_ACTIONS)
    demand(known, Permission.READ_METRICS)
    with pytest.raises(EdgeError, match="connections:write") as refused:
        demand(known, Permission.WRITE_CONNECTIONS)

    assert refused.value.status == 403
