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
from tests.http_edge.scene import CONNECTIONS, EVENTS, EXECUTE, Opened, Scene, error_of, running

ID = "00000000-0000-7000-8000-000000000000"
ROUTES = {
    ("POST", CONNECTIONS): {"tenant_admin"},
    ("GET", CONNECTIONS): {"tenant_admin", "module", "operator"},
    ("GET", f"{CONNECTIONS}/{ID}"): {"tenant_admin", "module", "operator"},
    ("POST", f"{CONNECTIONS}/{ID}/verify"): {"tenant_admin"},
    ("POST", EXECUTE): {"module"},
    ("GET", f"/internal/integrations/actions/{ID}"): {"tenant_admin", "module", "operator"},
    ("POST", EVENTS): {"module"},
    ("GET", f"/internal/integrations/connections/{ID}/health"): {
        "tenant_admin",
        "module",
        "operator",
    },
    ("GET", "/metrics"): {"operator"},
}


async def test_sec_each_role_reaches_just_its_routes(opened: Opened) -> None:
    """403 names the permission; a role let in gets any other answer."""
    async with running(opened, opened.settings(metrics_open=False)) as scene:
        for (method, path), allowed in ROUTES.items():
            for role in ("tenant_admin", "module", "operator", "stranger"):
                answer = await scene.call(role, method, path, {} if method == "POST" else None)
                if role in allowed:
                    assert answer.status_code not in {401, 403}, (role, method, path)
                else:
                    assert answer.status_code == 403, (role, method, path)
                    assert error_of(answer)["details"]["permission"]


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic YTpi", "x.y.z"])
async def test_no_token_is_401_on_every_route(scene: Scene, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    for method, path in ROUTES:
        if path == "/metrics":
            continue
        answer = await scene.http.request(method, f"{scene.url}{path}", headers=headers)
        assert answer.status_code == 401, path
        assert error_of(answer)["code"] == "UNAUTHENTICATED"
        assert answer.headers["www-authenticate"] == "Bearer"


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


def test_every_permission_is_somebodys_and_only_operators_read_all_tenants_metrics() -> None:
    assert frozenset().union(*PERMISSIONS.values()) == set(Permission)
    holders = {role for role, held in PERMISSIONS.items() if Permission.READ_METRICS in held}
    assert holders == {"operator"}


async def test_roles_add_up(scene: Scene) -> None:
    token = forged(scene, roles=["operator", "module"])
    known = await scene.node.edge.identity.verify(token)

    demand(known, Permission.EXECUTE_ACTIONS)
    demand(known, Permission.READ_METRICS)
    with pytest.raises(EdgeError, match="connections:write") as refused:
        demand(known, Permission.WRITE_CONNECTIONS)

    assert refused.value.status == 403
